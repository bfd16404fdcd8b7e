import shutil

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError, DatasetWarning


@pytest.fixture
def write(tmp_path):
    """A function that writes so many images of noise into folders, others for each, and gives the root."""

    def write(folders, size=24, suffix="png"):
        rng = np.random.default_rng(len([*tmp_path.rglob("*.png")]))
        for name, number in folders.items():
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            for _ in range(number):
                path = tmp_path / "set" / name / f"{rng.integers(2**62)}.{suffix}"
                Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(path)
        return tmp_path / "set"

    return write


def split(root, **options):
    dataset = Dataset(root, **options)
    return dataset.files.split(dataset.holdout)


def names(part):
    return {file.path for file in part}


def test_one_new_image_moves_one_other_at_most(write):
    root = write({"cat": 100, "dog": 100})
    before = split(root)
    assert (len(before.train), len(before.val)) == (160, 40)
    for _ in range(5):
        after = split(write({"cat": 1}))
        assert len(names(before.val) - names(after.val)) <= 1
        before = after


def test_a_copied_or_renamed_folder_is_split_in_the_same_way(write, tmp_path):
    root = write({"cat": 20, "dog": 20})
    before = split(root)

    def contents(root, part):
        return {(root / file.path).read_bytes() for file in part}

    shutil.copytree(root, tmp_path / "copy")
    for number, path in enumerate(sorted((tmp_path / "copy").rglob("*.png"))):
        path.rename(path.with_name(f"{number}.png"))
    after = split(tmp_path / "copy")
    assert contents(root, before.val) == contents(tmp_path / "copy", after.val)


@pytest.mark.parametrize("size", [24, 120])  # files that are read as a whole, and in pieces
def test_copies_are_on_one_side_and_are_told(write, size):
    root = write({"cat": 10, "dog": 10}, size)
    for path in sorted(root.rglob("*.png")):
        shutil.copy(path, path.with_name(f"copy of {path.name}"))
    found = split(root)
    assert found.notes == ("20 images are exact copies of others",)
    for part in (found.train, found.val):
        assert {path.replace("copy of ", "") for path in names(part)} <= names(part)
    assert (len(found.train), len(found.val)) == (32, 8)
    with pytest.warns(DatasetWarning, match="20 images are exact copies of others"):
        Dataset(root).open(8)


def test_files_that_differ_elsewhere_alone_are_no_copies(write):
    root = write({"cat": 4, "dog": 4}, 120)
    path = next(root.rglob("*.png"))
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.with_name("other.png").write_bytes(content)
    assert split(root).notes == ()


def test_an_image_in_two_classes_is_told(write):
    root = write({"cat": 10, "dog": 10})
    path = min((root / "cat").iterdir())
    shutil.copy(path, root / "dog" / "same.png")
    found = split(root)
    assert found.notes[0] == (
        "1 images are in two classes, so that a label may be wrong; the first: "
        f"cat/{path.name} = dog/same.png"
    )
    sides = [{f"cat/{path.name}", "dog/same.png"} & names(part) for part in (found.train, found.val)]
    assert sorted(map(len, sides)) == [0, 2]


def test_copies_in_both_parts_of_a_folder_are_trained_on_no_more(write):
    """10 of 10 images to validate on were copies of ones to train on."""
    root = write({"train/cat": 20, "train/dog": 20, "val/cat": 0, "val/dog": 0})
    before = Dataset(root / "train").fingerprint
    for name in ("cat", "dog"):
        for path in sorted((root / "train" / name).iterdir())[:5]:
            shutil.copy(path, root / "val" / name)
    found = split(root)
    assert (len(found.train), len(found.val)) == (30, 10)
    assert found.notes[0].startswith(
        "10 images of one part are exact copies of ones in the other, and are left"
    )
    assert not {path.partition("/")[2] for path in names(found.train)} & {
        path.partition("/")[2] for path in names(found.val)
    }
    with pytest.warns(DatasetWarning, match="10 images of one part are exact copies"):
        opened = Dataset(root).open(8)
    assert (len(opened.train), len(opened.val)) == (30, 10) and before


def test_a_class_that_would_be_lost_keeps_its_images(write):
    root = write({"train/cat": 20, "train/dog": 3, "val/cat": 5, "val/dog": 0})
    for path in (root / "train" / "dog").iterdir():
        shutil.copy(path, root / "val" / "dog")
    found = split(root)
    assert (len(found.train), len(found.val)) == (23, 5)


def test_a_validation_part_of_copies_alone_is_one_line(write):
    root = write({"train/cat": 4, "train/dog": 4})
    shutil.copytree(root / "train", root / "val")
    with pytest.raises(DatasetError, match="all 8 images to validate on are copies of ones to train on"):
        Dataset(root).open(8)


def test_a_folder_with_two_parts_without_copies_is_known_as_before(write):
    root = write({"train/cat": 4, "train/dog": 4, "val/cat": 2, "val/dog": 2})
    assert split(root).key is None and split(root).notes == ()


def test_files_are_not_read_again_while_they_are_as_they_were(write, later, monkeypatch):
    root = write({"cat": 4, "dog": 4})
    before, opened = split(root), []
    monkeypatch.setattr("os.open", lambda *arguments: opened.append(arguments))
    assert split(root) == before and opened == []


def test_images_of_a_group_stay_together(write):
    root = write({"cat": 0, "dog": 0})
    rng = np.random.default_rng(0)
    for patient in range(12):
        for name in ("cat", "dog"):
            for view in range(3):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / name / f"p{patient}_{view}.png")
    found = split(root, group_by=r"p\d+")
    patients = [{path.partition("/")[2].partition("_")[0] for path in names(part)} for part in found[:2]]
    assert (
        not patients[0] & patients[1] and len(patients[0] | patients[1]) == 12 and len(found.val) in (12, 18)
    )
    assert names(split(root, group_by=r"/(p\d+)_").val) == names(found.val)
    assert Dataset(root, group_by=r"p\d+").fingerprint != Dataset(root).fingerprint
    with pytest.raises(DatasetError, match=r"group_by \(--group-by\): 'q' is not found in 'cat/p0_0\.png'"):
        Dataset(root, group_by="q").open(8)
    with pytest.raises(DatasetError, match=r"group_by: '\(' is not a regular expression"):
        Dataset(root, group_by="(")


def test_copies_in_two_groups_make_them_one(write):
    root = write({"cat": 0, "dog": 0})
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
                root / name / f"{number:02}.png"
            )
    for first, second in zip(range(0, 20, 2), range(1, 20, 2)):
        shutil.copy(root / "cat" / f"{first:02}.png", root / "cat" / f"{second:02}.png")
    found = split(root, group_by=r"cat/\d\d|dog/\d\d")
    held = {path for path in names(found.val) if path.startswith("cat")}
    assert len(held) == 4 and len({(root / path).read_bytes() for path in held}) == 2
