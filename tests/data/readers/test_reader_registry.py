"""Forms of datasets that others add: by a function, or as installed packages."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nni_nasoa.data import Dataset
from nni_nasoa.data.readers import reader_names, register_reader

READER = """
from pathlib import Path

from nni_nasoa.data import ImageList, ListedImage


class ListReader:
    name = "list"

    def recognises(self, given):
        return isinstance(given, Path) and given.suffix == ".lst"

    def read(self, given, options):
        lines = given.read_text().splitlines()
        return ImageList([ListedImage(*line.split(" ")) for line in lines], given.parent)


READER = ListReader()
"""


def run(code, *paths):
    """What a fresh interpreter prints that finds packages in some folders."""
    added = "".join(f"sys.path.insert(0, {str(path)!r}); " for path in paths)
    command = [sys.executable, "-W", "ignore", "-c", f"import sys; {added}{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


OPEN = "from nni_nasoa.data import Dataset; print(len(Dataset({!r}).open(8).train))"


@pytest.fixture
def lines(rows, noise):
    (noise / "images.lst").write_text("\n".join(" ".join(row) for row in rows))
    return str(noise / "images.lst")


def test_a_function_registers_a_reader(lines, tmp_path):
    (tmp_path / "list_reader.py").write_text(READER)
    registering = "import list_reader; from nni_nasoa.data.readers import register_reader; "
    code = registering + "register_reader(list_reader.READER); " + OPEN.format(lines)
    assert run(code, tmp_path).strip() == "16"
    assert "is a file, where a folder" in run(OPEN.format(lines), tmp_path)


def test_an_installed_package_brings_a_reader(lines, tmp_path):
    (tmp_path / "list_reader.py").write_text(READER)
    about = tmp_path / "list_reader-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: list-reader\nVersion: 1\n")
    points = about / "entry_points.txt"
    points.write_text("[nni_nasoa.dataset_readers]\nlist = list_reader:READER\n")
    assert run(OPEN.format(lines), tmp_path).strip() == "16"
    points.write_text("[nni_nasoa.dataset_readers]\nlist = list_reader:NONE\n")
    assert "reader 'list' of list_reader:NONE: cannot be loaded" in run(OPEN.format(lines), tmp_path)


def test_names_are_of_one_reader(noise):
    assert reader_names()[:2] == ["csv", "dataframe"]
    with pytest.raises(ValueError, match="there is already a reader 'csv'"):
        register_reader(type("Another", (), {"name": "csv"})())
    assert Dataset(noise).files.form == "folder"
