"""`open_dataset`: from a dataset and a size to its images in one call."""

from __future__ import annotations

import os

from .arrays import ImageSplit
from .dataset import Dataset, Source
from .split_defaults import MAX_BAD, VAL_FRACTION


def open_dataset(
    dataset: Dataset | Source,
    *,
    input_size: int,
    seed: int = 0,
    root: str | os.PathLike[str] | None = None,
    val_fraction: float = VAL_FRACTION,
    max_bad: float = MAX_BAD,
    group_by: str | None = None,
    show_progress: bool | None = None,
) -> ImageSplit:
    """Open a dataset at a given size; the same arguments always give the same images in the same parts.

    Parameters
    ----------
    dataset
        A Dataset, or the source of one: a name or a folder.
    input_size, show_progress
        As `Dataset.open` takes them.
    seed, root, val_fraction, max_bad, group_by
        As `Dataset` takes them; a Dataset brings its own.

    Raises
    ------
    DatasetError
        One line: what is wrong, and what would be right.

    Warns
    -----
    DatasetWarning
        One line about what was left out: images that cannot be read, classes without images.
    """
    options = {"val_fraction": val_fraction, "seed": seed, "max_bad": max_bad, "group_by": group_by}
    return Dataset.of(dataset, root=root, **options).open(input_size, show_progress)
