"""What a dataset is here: images and labels as arrays, in a training and a validation part."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from nni_nasoa.messages import MAX_MESSAGE, cut_in_the_middle
from nni_nasoa.values import PART

from .left_out import LeftOut
from .rendering import PLAIN, Rendering


class DatasetError(ValueError):
    """A dataset that cannot be used. The message is one line that says what would be right.

    Names and paths that a file gives may be of any length: a long line is cut in the middle, as what would be
    right stands at its end.
    """

    def __init__(self, message: object) -> None:
        super().__init__(cut_in_the_middle(str(message), MAX_MESSAGE))


class NotInTimeError(DatasetError):
    """A dataset of which not even the least that is needed could be opened in the time that there was."""


@dataclass(frozen=True, eq=False)
class ImageArrays:
    """Images with their labels.

    Parameters
    ----------
    images
        (n, 3, size, size) uint8, RGB; may be memory-mapped.
    labels
        (n,) int64, from 0 to the number of classes - 1.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """A dataset, split for training and validation.

    Parameters
    ----------
    train, val
        The two parts.
    classes
        Names of the classes, in the order of their labels.
    name
        What the dataset is called in results.
    mirrored
        Whether an image means the same when mirrored left to right, as digits and traffic signs do not.
    left_out
        What was left out.
    rendering
        How pixels of many bits and transparent ones became colours, and are to become them again.
    """

    train: ImageArrays
    val: ImageArrays
    classes: tuple[str, ...]
    name: str
    mirrored: bool = True
    left_out: LeftOut = field(default_factory=LeftOut)
    rendering: Rendering = PLAIN

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def input_size(self) -> int:
        """Height and width of the images in pixels."""
        return self.train.images.shape[-1]


def stratified_split(labels: ArrayLike, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a validation part in which all classes have the same share.

    Every class keeps at least one image for training, and one of two or more goes to validation.

    Parameters
    ----------
    labels
        (n,) integers.
    fraction
        Share of the validation part, between 0 and 1.
    seed
        The same seed gives the same parts.

    Returns
    -------
    Two sorted integer arrays that together hold 0..n-1.

    Raises
    ------
    DatasetError
        The fraction is not between 0 and 1, or nothing is left to validate on.
    """
    PART("fraction", fraction, DatasetError)
    rng = np.random.default_rng(seed)
    labels = np.asarray(labels)
    train, val = [], []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        held_back = min(len(members) - 1, max(1, round(fraction * len(members))))
        val.append(members[:held_back])
        train.append(members[held_back:])
    if not sum(map(len, val)):
        raise DatasetError("too few images to hold some back for validation: a class needs two or more")
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(val))


@dataclass(frozen=True)
class Holdout:
    """What is held back for validation of a dataset that brings no such part.

    Parameters
    ----------
    fraction
        Share of each class that is held back, between 0 and 1.
    seed
        The same seed gives the same parts.
    group_by
        A regular expression, by what it finds in the paths of files: images for which that is the same stay
        together.
    """

    fraction: float
    seed: int
    group_by: str | None = None

    def parts(self, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the training and the validation part; see `stratified_split`."""
        return stratified_split(labels, self.fraction, self.seed)


def classes_in_turn(labels: ArrayLike, seed: int) -> np.ndarray:
    """A random order of images in which every class comes once before one comes again.

    So its beginnings are fair samples.

    Parameters
    ----------
    labels
        (n,) integers.
    seed
        The same seed gives the same order.

    Returns
    -------
    (n,) integers, the numbers from 0 to n - 1.
    """
    labels = np.asarray(labels, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = np.argsort(labels[order], kind="stable")
    of_class = labels[order][by_class]
    turn = np.empty(len(labels), dtype=np.int64)
    turn[by_class] = np.arange(len(labels)) - np.searchsorted(of_class, of_class)
    return order[np.argsort(turn, kind="stable")]
