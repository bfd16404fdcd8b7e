from __future__ import annotations

import csv
import itertools
import warnings

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import Dataset, DatasetWarning


@pytest.fixture
def noise(tmp_path):
    """A folder of two classes, of 12 and 8 images that are all different."""
    rng, numbers = np.random.default_rng(0), itertools.count()
    for label, count in (("cat", 12), ("dog", 8)):
        (tmp_path / "noise" / label).mkdir(parents=True)
        for _ in range(count):
            pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "noise" / label / f"{next(numbers):02}.png")
    return tmp_path / "noise"


@pytest.fixture
def rows(noise):
    """The rows of a table of these images: paths in the folder, and labels."""
    return [(str(path.relative_to(noise)), path.parent.name) for path in sorted(noise.rglob("*.png"))]


@pytest.fixture
def table(noise):
    """A function that writes a table beside the images, by default with the header path,label."""

    def table(rows, header=("path", "label"), name="labels.csv", **options):
        with open(noise / name, "w", encoding=options.pop("encoding", "utf-8"), newline="") as file:
            writer = csv.writer(file, **options)
            writer.writerows([header, *rows] if header else rows)
        return noise / name

    return table


@pytest.fixture
def listing():
    """A function that gives the listing of a dataset."""
    return lambda source, **options: Dataset(source, **options).files.listing


@pytest.fixture
def same():
    """A function that says whether two datasets give the same images and labels in the same parts."""

    def opened(source):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)
            return (source if isinstance(source, Dataset) else Dataset(source)).open(8)

    def same(one, other):
        first, second = opened(one), opened(other)
        return first.classes == second.classes and all(
            np.array_equal(getattr(getattr(first, part), what), getattr(getattr(second, part), what))
            for part in ("train", "val")
            for what in ("images", "labels")
        )

    return same


@pytest.fixture
def pixels():
    """A function that gives the images of a dataset with the names of their classes, in any order."""

    def pixels(source):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)
            split = Dataset.of(source).open(8)
        return {
            (image.tobytes(), split.classes[label])
            for part in (split.train, split.val)
            for image, label in zip(part.images, part.labels)
        }

    return pixels
