from __future__ import annotations

import os
import warnings
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import DatasetWarning, open_dataset

# What processes run before anything else: images that are opened are noted, and take some time.
NOTING = """
import os, time
from PIL import Image

def noted(path, open_=Image.open):
    with open(os.environ["OPENED"], "a") as file:
        file.write(str(path) + chr(10))
    time.sleep(float(os.environ["OPENING_TAKES"]))
    return open_(path)

Image.open = noted
"""


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


@pytest.fixture
def pets(tmp_path):
    """45 images of three classes, and one that is broken."""
    rng = np.random.default_rng(0)
    for label, n in (("a", 30), ("b", 12), ("c", 3)):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(n):
            coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
            coarse.resize((110, 96), Image.Resampling.BICUBIC).save(tmp_path / "pets" / label / f"{i}.png")
    (tmp_path / "pets" / "a" / "broken.png").write_bytes(b"no image")
    return tmp_path / "pets"


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A function that counts how often processes have opened each image; that takes them some time."""
    (tmp_path / "noting").mkdir()
    (tmp_path / "noting" / "sitecustomize.py").write_text(NOTING)
    path = os.pathsep.join(filter(None, (str(tmp_path / "noting"), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("OPENED", str(tmp_path / "opened"))
    monkeypatch.setenv("OPENING_TAKES", "0.05")
    (tmp_path / "opened").touch()
    return lambda: Counter((tmp_path / "opened").read_text().splitlines())
