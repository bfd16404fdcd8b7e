"""What a command is about, as a value: by name, as a folder, as arrays; and what it finds out once."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nni_nasoa.data import Dataset, DatasetError, ImageArrays, ImageSplit, open_dataset
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.dataset import Kind
from nni_nasoa.data.fingerprint import fingerprint_of_arrays


@pytest.fixture
def scans(monkeypatch):
    """Folders that were listed in this process."""
    scanned, scandir = [], os.scandir

    def noted(folder):
        if not isinstance(folder, int):  # as folders that are deleted are
            scanned.append(Path(folder).name)
        return scandir(folder)

    monkeypatch.setattr("os.scandir", noted)
    return scanned


# -- what it is --


@pytest.mark.parametrize(
    "source, kind, name",
    [
        ("digits", Kind.NAME, "digits"),
        ("CIFAR-10", Kind.NAME, "cifar10"),
        ("task:flags", Kind.NAME, "task:flags"),
        ("task:none such", Kind.NAME, "task:none such"),
        (Path("fractals"), Kind.NAME, "fractals"),
        ("./digits", Kind.FILES, "digits"),
        ("there/flowers/", Kind.FILES, "flowers"),
        (Path("~/flowers"), Kind.FILES, "flowers"),
        (os.fsdecode(b"\xff\n"), Kind.FILES, "\\udcff\\n"),
        ("/", Kind.FILES, "/"),
        ("set\0", Kind.FILES, "set\\x00"),
    ],
)
def test_kind_and_name_follow_from_what_is_given(source, kind, name):
    dataset = Dataset(source)
    assert (dataset.kind, dataset.name, dataset.input_size) == (kind, name, None)


def test_images_in_memory_are_taken_as_they_are():
    split = open_dataset("digits", input_size=16)
    dataset = Dataset(split)
    assert (dataset.kind, dataset.name, dataset.identity, dataset.input_size) == (
        Kind.ARRAYS,
        "digits",
        "digits",
        16,
    )
    dataset.check()
    assert dataset.open(32) is dataset.sample(32, 0) is split
    assert dataset.decode_in_time(32, 0) and dataset.decoded((16,)) == set()


def test_a_folder_is_known_by_its_path(animals, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(animals)
    monkeypatch.chdir(tmp_path)
    assert Dataset("animals/../link").name == "animals" == open_dataset("link", input_size=8).name
    assert Dataset("link").identity == Dataset(animals).identity == str(animals)
    assert Dataset("CIFAR-10").identity == "cifar10" and Dataset("not there").identity == "not there"


def test_paths_can_be_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/ann")
    made = Dataset("set", root="~/data", val_fraction=0.3).absolute()
    assert made == Dataset(str(tmp_path / "set"), root="/home/ann/data", val_fraction=0.3)
    assert Dataset("set", root="data").absolute("/base") == Dataset("/base/set", root="/base/data")
    assert Dataset("digits").absolute("/base") == Dataset("digits")
    assert Dataset("").absolute("/base") == Dataset("")  # is not the folder that one happens to be in


def test_files_are_asked_of_a_folder_alone(animals):
    assert [file.label for file in Dataset(animals).files.listing.files] == [0] * 10 + [1] * 5
    with pytest.raises(DatasetError, match="'digits' is given as a name, which has no files"):
        Dataset("digits").files  # noqa: B018 - asking is all


# -- a value --


def test_it_is_equal_by_what_was_given(animals):
    one = Dataset(animals, val_fraction=0.3, seed=np.int64(4))
    assert one.fingerprint and one == Dataset(animals, None, 0.3, 4) != Dataset(animals, seed=4)
    assert len({one, Dataset(animals, val_fraction=0.3, seed=4)}) == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.seed = 5
    split = open_dataset("digits", input_size=8)
    assert Dataset(split) == Dataset(split) != Dataset(open_dataset("digits", input_size=8))


def test_it_can_be_pickled_and_takes_what_it_knows_along(animals, scans):
    dataset = Dataset(animals, seed=3)
    found = dataset.fingerprint
    del scans[:]
    there = pickle.loads(pickle.dumps(dataset))
    assert there == dataset and there.fingerprint == found and there.decoded((8,)) == set() and not scans
    assert (there.open(8).train.labels == dataset.open(8).train.labels).all()
    assert "cat" not in scans


def test_it_can_be_taken_in_another_way_and_is_listed_once_for_both(animals, scans):
    dataset = Dataset(animals, seed=3, max_bad=0)
    other = dataset.but(seed=0, max_bad=1.0)
    assert other == Dataset(animals, max_bad=1) and dataset.but() == dataset
    assert other.fingerprint == Dataset(animals).fingerprint != dataset.fingerprint
    assert dataset.fingerprint == Dataset(animals, seed=3).fingerprint
    assert scans.count("cat") == 3  # one each for the two that stand alone


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"source": 3}, "dataset: int is neither a name, nor a folder or file, nor a table of pandas"),
        ({"source": None}, "dataset: NoneType is neither"),
        ({"val_fraction": 1}, "val_fraction: 1 is not between 0 and 1"),
        ({"val_fraction": "0.2"}, "val_fraction: '0.2' is not between 0 and 1"),
        ({"val_fraction": float("nan")}, "val_fraction: nan is not"),
        ({"seed": -1}, "seed: -1 is not a whole number from 0 to 2^63 - 1"),
        ({"seed": 1.0}, "seed: 1.0 is not a whole number"),
        ({"seed": True}, "seed: True is not a whole number"),
        ({"max_bad": 1.1}, "max_bad: 1.1 is not a share between 0 and 1"),
        ({"max_bad": None}, "max_bad: None is not a share"),
    ],
)
def test_what_it_cannot_be_is_one_line(fields, message):
    with pytest.raises(DatasetError) as error:
        Dataset(**{"source": "digits", **fields})
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_call_is_given_a_dataset_or_the_parts_of_one(animals):
    dataset = Dataset(animals, val_fraction=0.4, seed=1)
    assert Dataset.of(animals, val_fraction=0.4, seed=1) == dataset
    assert Dataset.of(dataset) is Dataset.of(dataset, root=None, val_fraction=0.2, seed=0) is dataset
    split = open_dataset(dataset, input_size=8)
    assert (
        split.val.images == open_dataset(animals, input_size=8, val_fraction=0.4, seed=1).val.images
    ).all()
    with pytest.raises(
        DatasetError, match=r"val_fraction: 0\.3 is given beside a Dataset, which brings its own"
    ):
        open_dataset(dataset, input_size=8, val_fraction=0.3)


# -- whether it is there --


def test_whether_it_is_there_is_asked_when_it_is_needed(tmp_path, write):
    Dataset("digits").check()
    Dataset("task:flags").check()
    Dataset(tmp_path).check()
    for source, message in (
        ("digit", "neither a folder nor a known name; did you mean 'digits'"),
        ("task:flagz", "did you mean 'flags'"),
        (tmp_path / "none", "neither a folder"),
    ):
        dataset = Dataset(source)
        for ask in (
            dataset.check,
            lambda: dataset.open(8),  # noqa: B023 - is called before the next one comes
            lambda: dataset.sample(8, 1),  # noqa: B023
        ):
            with pytest.raises(DatasetError, match=message):
                ask()
    write(tmp_path / "one" / "a" / "0.png")
    one = Dataset(tmp_path / "one")
    for ask in (lambda: one.fingerprint, lambda: one.decode_in_time(8, 60), lambda: one.decoded((8,))):
        with pytest.raises(DatasetError, match="only one class, 'a'"):
            ask()


def test_too_little_to_validate_on_shows_before_an_image_is_opened(tmp_path, write):
    for name in "ab":
        write(tmp_path / name / "0.png")
    for ask in (lambda: Dataset(tmp_path).fingerprint, lambda: Dataset(tmp_path).decode_in_time(8, 60)):
        with pytest.raises(DatasetError, match="a class needs two or more"):
            ask()


# -- fingerprints --


def test_a_fingerprint_changes_with_what_is_there_and_stays_otherwise(animals):
    first = Dataset(animals).fingerprint
    code = (
        "import sys; from nni_nasoa.data import Dataset; "
        "print(Dataset(sys.argv[1]).fingerprint, {'PIL', 'torch'} & {*sys.modules})"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(animals)], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"{first} set()\n" and Dataset(f"{animals}/../animals/").fingerprint == first
    assert Dataset(animals, root="there", max_bad=1).fingerprint == first  # which make no difference
    seen = {first, Dataset(animals, val_fraction=0.3).fingerprint, Dataset(animals, seed=1).fingerprint}
    image = animals / "cat" / "0.png"
    os.utime(image, ns=(0, 0))
    seen.add(Dataset(animals).fingerprint)
    image.rename(animals / "cat" / "00.png")
    seen.add(Dataset(animals).fingerprint)
    with open(animals / "cat" / "00.png", "ab") as file:
        file.write(b"\0")
    seen.add(Dataset(animals).fingerprint)
    (animals / "cat" / "00.png").rename(animals / "dog" / "00.png")
    seen.add(Dataset(animals).fingerprint)
    (animals / "dog" / "00.png").unlink()
    assert len(seen | {Dataset(animals).fingerprint}) == 8


def test_a_folder_with_a_validation_part_depends_on_no_seed(tmp_path, write):
    for part in ("train", "val"):
        for label in "ab":
            write(tmp_path / part / label / "0.png", (len(part), ord(label), 0))
    assert Dataset(tmp_path, seed=1, val_fraction=0.5).fingerprint == Dataset(tmp_path).fingerprint


def test_fingerprints_of_names_and_arrays():
    split = open_dataset("digits", input_size=8)
    assert Dataset(open_dataset("digits", input_size=8)).fingerprint == Dataset(split).fingerprint
    changed = split.train.images.copy()
    changed[700, 0, 3, 3] += 1
    other = ImageSplit(ImageArrays(changed, split.train.labels), split.val, split.classes, "digits", False)
    names = [
        Dataset("CIFAR-10").fingerprint,
        Dataset("cifar100").fingerprint,
        Dataset("cifar10", root="there").fingerprint,
        Dataset("digits").fingerprint,
        Dataset("task:one").fingerprint,
        Dataset(split).fingerprint,
        Dataset(open_dataset("digits", input_size=16)).fingerprint,
        Dataset(other).fingerprint,
    ]
    assert Dataset("cifar10").fingerprint == names[0] and len(set(names)) == len(names)


def test_only_some_of_many_images_in_memory_are_read_for_a_fingerprint():
    split = open_dataset("digits", input_size=8)
    few = fingerprint_of_arrays(split, 1000)
    assert (
        few == fingerprint_of_arrays(open_dataset("digits", input_size=8), 1000) != Dataset(split).fingerprint
    )
    images = split.train.images.copy()
    images[700, 0, 3, 3] += 1  # is none of the few
    changed = ImageSplit(ImageArrays(images, split.train.labels), split.val, split.classes, "digits", False)
    assert fingerprint_of_arrays(changed, 1000) == few
    images[0, 0, 3, 3] += 1
    assert fingerprint_of_arrays(changed, 1000) != few


def test_profiles_that_stores_have_kept_are_found(monkeypatch):
    """A fingerprint that changes without a reason would make every profile be found out anew."""
    monkeypatch.setattr("nni_nasoa.__version__", "1")  # fingerprints of named datasets hold it
    assert Dataset("cifar10", val_fraction=0.25, seed=7).fingerprint == (
        "c50f1bb0f4da3dc433aac0449e3cede459edeed8c9874bf2b9880f6a24f6b7b4"
    )
    split = ImageSplit(
        ImageArrays(np.arange(96, dtype=np.uint8).reshape(2, 3, 4, 4), np.arange(2)),
        ImageArrays(np.zeros((1, 3, 4, 4), np.uint8), np.arange(1)),
        ("a", "b"),
        "two",
    )
    assert Dataset(split).fingerprint == ("a61f7c48762cbe6fcb2fafe14227f1e0334bdb1ecffaddef149107c025ae2345")


# -- in time --


def test_a_folder_is_decoded_in_a_process_that_does_not_list_it_again(animals, cache, scans):
    dataset = Dataset(animals)
    assert dataset.decode_in_time(8, 600)
    (entry,) = [path for path in (cache / "images").iterdir() if path.is_dir()]
    before = entry.stat().st_ino
    assert len(dataset.open(8).train) == 12 and entry.stat().st_ino == before and scans.count("cat") == 1
    assert not dataset.decode_in_time(16, 0) and len([*(cache / "images").glob("*.npy")]) == 0


def test_what_cannot_be_opened_is_over_too(animals, monkeypatch):
    for image in animals.rglob("*.*"):
        image.write_bytes(b"no image")
    assert Dataset(animals).decode_in_time(8, 600)
    with pytest.raises(DatasetError, match="15 of 15 images cannot be read"):
        Dataset(animals).open(8)


def test_a_folder_with_the_name_of_the_digits_is_decoded_in_time_too(animals, tmp_path, monkeypatch):
    animals.rename(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert not Dataset("./digits").decode_in_time(8, 0)
    assert Dataset("digits").decode_in_time(8, 0)


def test_a_named_dataset_is_opened_whole_or_not_at_all():
    with pytest.raises(NotInTimeError, match="'task:flags' could not be opened in 0 s"):
        Dataset("task:flags").sample(48, 0)
    whole = Dataset("task:flags").open(48)
    assert (Dataset("task:flags").sample(48, float("inf"), most=3).train.labels == whole.train.labels).all()
    assert len(Dataset("digits").sample(8, 0).train) == 1438


def test_a_sample_is_taken_from_the_files_that_are_known(animals, scans):
    dataset = Dataset(animals)
    assert len(dataset.sample(8, 60).train) == 12 and len(dataset.sample(16, 60, most=8).train) == 6
    assert scans.count("cat") == scans.count("animals") == 1
