"""Tables of pandas: the same as a file of them."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError, open_dataset
from nni_nasoa.data.dataset import Kind


@pytest.fixture
def frame(rows):
    return pd.DataFrame(rows, columns=["path", "label"])


def test_a_table_in_memory_is_the_same_as_a_folder(frame, noise, same):
    dataset = Dataset(frame.sample(frac=1, random_state=0), root=noise)
    assert same(dataset, noise)
    assert (dataset.kind, dataset.name, dataset.identity) == (Kind.FILES, "DataFrame", "DataFrame")
    assert dataset.absolute().source is dataset.source and isinstance(hash(dataset), int)


def test_paths_begin_in_the_working_directory(frame, noise, monkeypatch):
    monkeypatch.chdir(noise)
    assert len(open_dataset(frame, input_size=8).train) == 16


def test_columns_may_be_named(frame, noise, same):
    named = frame.rename(columns={"path": "where", "label": "species"})
    assert same(Dataset(named, root=noise, columns={"path": "where", "label": "species"}), noise)
    with pytest.raises(DatasetError, match=r"^DataFrame: no column 'kind'; there are 'where', 'species'$"):
        Dataset(named, columns={"path": "where", "label": "kind"})


def test_columns_may_have_numbers_for_names_or_the_same_one(frame, noise, same):
    frame.columns = [0, 1]
    assert same(Dataset(frame, root=noise, columns={"path": "0", "label": "1"}), noise)
    frame["x"] = "x"
    frame.columns = ["path", "label", "label"]
    assert same(Dataset(frame, root=noise), noise)


def test_numbers_are_in_their_order_and_missing_values_no_labels(frame, noise, listing):
    frame["label"] = np.arange(len(frame), dtype=np.int64) % 12
    assert listing(frame, root=noise).classes == tuple(map(str, range(12)))
    frame["label"] = frame["label"].astype(float)
    frame.loc[3, "label"] = np.nan
    found = listing(frame, root=noise)
    assert found.classes == tuple(map(str, range(12)))
    assert "not used: 1 image without a label; the first: cat/03.png" in found.left_out.notes
    frame["label"] = pd.array([True, False] * 10, dtype="boolean")
    assert listing(frame, root=noise).classes == ("False", "True")
    frame["label"] = pd.Categorical(["b", "a"] * 10)
    assert listing(frame, root=noise).classes == ("a", "b")


def test_equal_tables_have_equal_fingerprints_and_share_what_was_decoded(frame, noise, later, entries):
    one, two = Dataset(frame, root=noise), Dataset(frame.sample(frac=1, random_state=1), root=noise)
    assert one.fingerprint == two.fingerprint != Dataset(frame[1:], root=noise).fingerprint
    one.open(8), two.open(8)
    assert len(entries()) == 1


def test_a_process_of_its_own_decodes_it(frame, noise):
    with Dataset(frame, root=noise).decoding(8) as decoding:
        assert decoding.wait(60)
        assert len(decoding.split().train) == 16


def test_images_themselves_may_be_in_it(frame, noise, same, pixels):
    pictures = [Image.open(noise / file) for file in frame["path"]]
    kinds = (lambda one: one, np.asarray, lambda one: Path(one.filename).read_bytes())
    frame["path"] = [kinds[number % 3](picture) for number, picture in enumerate(pictures)]
    assert pixels(Dataset(frame)) == pixels(noise)
    with Dataset(frame).decoding(8) as decoding:
        assert decoding.wait(60) and len(decoding.split().train) == 16
    for mode in ("1", "L", "LA", "La", "P", "RGBa", "RGBX", "HSV", "CMYK", "YCbCr", "F", "I", "I;16"):
        way = ("RGB", "LA") if mode == "La" else ("RGB", "RGBA") if mode == "RGBa" else ("RGB", "L")
        frame["path"] = [reduce(Image.Image.convert, (*way, mode), picture) for picture in pictures]
        assert {image.mode for image in frame["path"]} == {mode} and len(Dataset(frame).open(8).train) == 16
    for wrong in (3, np.zeros((3, 3), float), np.zeros((4, 4, 9), np.uint8), pd.Series([1])):
        frame["path"] = [*frame["path"][:-1], wrong]
        with pytest.raises(DatasetError, match=r"^DataFrame: .* is neither a path nor an image$") as raised:
            Dataset(frame)
        assert "\n" not in str(raised.value)


def test_other_objects_are_one_clear_line():
    with pytest.raises(DatasetError, match=r"^dataset: Series is neither a name, nor a folder or file"):
        Dataset(pd.Series([1]))
