from __future__ import annotations

import warnings

import pytest
from PIL import Image

from nni_nasoa.data import DatasetWarning, open_dataset


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of its own for each test."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("NASOA_CACHE", str(folder))
    monkeypatch.delenv("NASOA_CACHE_LIMIT", raising=False)
    return folder


@pytest.fixture
def entries(cache):
    """A function that gives the names of the cache's entries."""
    return lambda: sorted(path.name for path in (cache / "images").iterdir() if path.is_dir())


@pytest.fixture
def write():
    """A function that writes an image of one colour."""

    def write(path, colour=(10, 20, 30), size=(24, 16), **options):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, colour).save(path, **options)

    return write


@pytest.fixture
def animals(tmp_path, write):
    """Two classes, of 10 and 5 images, each of a colour of its own."""
    for i in range(10):
        write(tmp_path / "animals" / "cat" / f"{i}.png", (i, 0, 0))
    for i in range(5):
        write(tmp_path / "animals" / "dog" / f"{i}.JPG", (100 + 20 * i, 0, 0), quality=95)
    return tmp_path / "animals"


@pytest.fixture
def open_quietly():
    """`open_dataset` at 8 pixels, without warnings of what is left out."""

    def open_quietly(folder, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)
            return open_dataset(folder, **{"input_size": 8, **options})

    return open_quietly
