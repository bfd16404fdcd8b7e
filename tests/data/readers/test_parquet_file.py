"""Parquet files: tables as CSV files have them, typed."""

from __future__ import annotations

import gc
import subprocess
import sys

import pandas as pd
import pytest

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.data.labelled import labelled_images

pytest.importorskip("pyarrow")


@pytest.fixture
def frame(rows):
    return pd.DataFrame(rows, columns=["file", "label"])


@pytest.fixture
def written(noise):
    def written(frame, **options):
        frame.to_parquet(noise / "labels.parquet", **options)
        return noise / "labels.parquet"

    return written


def test_a_file_is_the_same_as_a_folder(frame, noise, same, written):
    assert same(written(frame.sample(frac=1, random_state=0), row_group_size=3), noise)


def test_labels_keep_their_types_and_parts_are_taken(frame, written, listing):
    frame["label"] = [*range(12)] + [None] * 8
    frame["split"] = ["train"] * 10 + ["validation"] * 2 + ["train"] * 8
    frame.loc[10:11, "label"] = [0, 1]
    found = listing(written(frame))
    assert found.classes == tuple(map(str, range(10))) and [file.label for file in found.val] == [0, 1]
    assert "not used: 8 images without a label; the first: dog/12.png" in found.left_out.notes


def test_only_the_columns_that_count_are_read(frame, written, listing):
    frame["pixels"] = [b"x" * 100] * len(frame)
    assert len(listing(written(frame), columns={"path": "file"}).train) == 20


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"path,label\na.png,a\n"])
def test_what_is_none_is_one_clear_line(noise, content):
    path = noise / "labels.parquet"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"^{path}: not a Parquet file that can be read \(") as raised:
        Dataset(path).open(8)
    assert "\n" not in str(raised.value)


def test_images_themselves_are_taken_as_files_of_hugging_face_have_them(rows, noise, written, pixels):
    table = pd.DataFrame({"label": [label for _, label in rows]})
    table["image"] = [{"bytes": (noise / file).read_bytes(), "path": file} for file, _ in rows]
    table.loc[2, "image"]["path"] = "https://somewhere/2.png"  # where it was once
    table.loc[3, "image"]["bytes"] = None  # its path is one
    dataset = Dataset(written(table))
    assert pixels(dataset) == pixels(Dataset(noise))
    with Dataset(noise / "labels.parquet").decoding(16) as decoding:
        assert decoding.wait(60) and len(decoding.split().train) == 16


def test_the_file_of_such_images_goes_with_them(rows, noise, written, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    table = pd.DataFrame(rows, columns=["file", "label"])
    table["image"] = [(noise / file).read_bytes() for file, _ in rows]
    dataset = Dataset(written(table), columns={"path": "image"})
    sample = labelled_images(dataset, "all").samples[0]
    assert len(list(tmp_path.glob("nasoa-images-*"))) == 1
    del dataset
    gc.collect()
    with sample.open() as image:  # it holds the file
        assert image.size == (24, 20)
    del sample
    gc.collect()
    assert not list(tmp_path.glob("nasoa-images-*"))


def test_without_pyarrow_a_line_says_what_installs_it(frame, written, tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "pyarrow.py").write_text("raise ImportError('not installed')")
    code = f"from nni_nasoa.data import Dataset; Dataset({str(written(frame))!r}).open(8)"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path / 'without')!r}); {code}"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert said.splitlines()[-1].endswith("labels.parquet: needs pyarrow: pip install 'nni-nasoa[parquet]'")
