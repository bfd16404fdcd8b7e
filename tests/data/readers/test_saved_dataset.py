"""Datasets of Hugging Face, as its package writes them on disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.data.place import read_piece

hf = pytest.importorskip("datasets")


@pytest.fixture
def made(noise, rows):
    """The images as a dataset of the package."""
    features = hf.Features({"image": hf.Image(), "label": hf.ClassLabel(names=["dog", "cat", "none"])})
    columns = {
        "image": [str(noise / file) for file, _ in rows],
        "label": [("dog", "cat").index(label) for _, label in rows],
    }
    return hf.Dataset.from_dict(columns, features=features)


@pytest.fixture
def saved(made, tmp_path):
    made.save_to_disk(tmp_path / "saved", num_shards=2)
    return tmp_path / "saved"


def test_it_holds_the_images_of_the_folder_and_is_split_alike(saved, noise, made, pixels):
    assert pixels(saved) == pixels(noise) and len(pixels(noise)) == 20
    held_back = [{one.tobytes() for one in Dataset(source).open(8).val.images} for source in (saved, noise)]
    assert held_back[0] == held_back[1]
    files = Dataset(saved).files
    assert files.listing.classes == ("dog", "cat")  # in the order that it names
    assert files.listing.left_out.empty_classes == ("none",)
    assert files.listing.train[0].path == "12/12.png"
    assert not (noise / "cat").samefile(saved)


def test_its_files_are_not_needed(saved, noise, pixels):
    expected = pixels(saved)
    shutil.rmtree(noise)
    assert pixels(saved) == expected


def test_the_bytes_are_those_that_the_package_gives(saved):
    raw = hf.load_from_disk(saved).cast_column("image", hf.Image(decode=False))
    place = Dataset(saved).files.place
    given = {row["image"]["bytes"] for row in raw}
    assert {read_piece(piece) for piece in place.pieces.values()} == given and len(given) == 20


def test_splits_are_parts(made, tmp_path):
    parts = made.train_test_split(test_size=6, seed=0)
    rest = parts["train"].train_test_split(test_size=4, seed=0)
    hf.DatasetDict({"train": rest["train"], "validation": rest["test"], "test": parts["test"]}).save_to_disk(
        tmp_path / "parts"
    )
    files = Dataset(tmp_path / "parts").files
    assert (len(files.listing.train), len(files.listing.val)) == (10, 4)
    assert len(files.of_parts(["test"]).files) == 6
    assert files.listing.train[0].path.startswith("train/")


def test_images_in_memory_text_labels_and_missing_ones(noise, rows, tmp_path, pixels):
    from PIL import Image

    pictures = [Image.open(noise / file) for file, _ in rows]
    species = [label for _, label in rows]
    kinds = {"picture": hf.Image(), "species": hf.Value("string"), "label": hf.Value("float32")}
    made = hf.Dataset.from_dict(
        {"picture": [*pictures, None], "species": [*species, "cat"], "label": [0.5] * 21},
        features=hf.Features(kinds),
    )
    made.save_to_disk(tmp_path / "memory")
    assert pixels(f"{tmp_path / 'memory'}?label=species") == pixels(noise)
    labelled = made.remove_columns("label").rename_column("species", "category")
    labelled.select([*range(20)]).save_to_disk(tmp_path / "selected")
    assert pixels(tmp_path / "selected") == pixels(noise)


def test_no_label_is_minus_one(made, tmp_path, listing):
    labels = [-1 if number == 3 else label for number, label in enumerate(made["label"])]
    features = made.features
    made = made.remove_columns("label").add_column("label", labels).cast(features)
    made.save_to_disk(tmp_path / "unlabelled")
    found = listing(tmp_path / "unlabelled")
    assert len(found.train) == 19
    assert "not used: 1 image without a label; the first: 3/03.png" in found.left_out.notes


def test_paths_in_a_column_of_text(noise, rows, tmp_path, listing, pixels):
    files, labels = zip(*rows)
    hf.Dataset.from_dict({"file_name": files, "label": labels}).save_to_disk(tmp_path / "paths")
    assert pixels(Dataset(tmp_path / "paths", root=noise)) == pixels(noise)


def test_decoding_goes_on_and_a_copy_is_known(saved, tmp_path, later, entries):
    with Dataset(saved).decoding(8) as decoding:
        assert decoding.wait(60, until=5)
    assert Dataset(saved).decoding(8).progress[0] >= 5
    with Dataset(saved).decoding(8) as decoding:
        assert decoding.wait(60)
    shutil.copytree(saved, tmp_path / "copy")
    Dataset(tmp_path / "copy").open(8)
    assert len(entries()) == 1


def test_what_is_damaged_or_has_no_images_is_one_clear_line(made, saved, tmp_path):
    made.remove_columns("image").save_to_disk(tmp_path / "without")
    made.remove_columns("label").save_to_disk(tmp_path / "unlabelled")
    for name in ("cut", "lost", "info", "odd"):
        shutil.copytree(saved, tmp_path / name)
    data = tmp_path / "cut" / "data-00001-of-00002.arrow"
    data.write_bytes(data.read_bytes()[:3000])
    (tmp_path / "lost" / "data-00001-of-00002.arrow").unlink()
    (tmp_path / "info" / "dataset_info.json").write_text("{")
    (tmp_path / "odd" / "dataset_info.json").write_text(json.dumps({"features": []}))
    for name, message in (
        ("without", r"without: no column of image paths .*there are 'label'"),
        ("unlabelled", r"unlabelled: no column of labels .*there are 'image'"),
        ("cut", r"data-00001-of-00002\.arrow: cannot be read \("),
        ("lost", r"data-00001-of-00002\.arrow: cannot be read \(No such file"),
        ("info", r"info/dataset_info\.json: cannot be read \("),
        ("odd", "odd/dataset_info.json: 'features' is not what save_to_disk writes"),
    ):
        with pytest.raises(DatasetError, match=message) as raised:
            Dataset(tmp_path / name).open(8)
        assert "\n" not in str(raised.value)


def test_without_pyarrow_a_line_says_what_installs_it(saved, tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "pyarrow.py").write_text("raise ImportError('not installed')")
    code = f"from nni_nasoa.data import Dataset; Dataset({str(saved)!r}).open(8)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'without')!r}); {code}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert said.splitlines()[-1].endswith("saved: needs pyarrow: pip install 'nni-nasoa[hf]'")
