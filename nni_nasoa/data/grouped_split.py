"""A split into two parts in which all images of a group are in the same one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from .arrays import DatasetError
from .identity import hashed


def grouped_split(
    labels: ArrayLike, groups: ArrayLike, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a validation part in which all classes have about the same share.

    All images of a group are in the same part. Groups are held back in an order that follows from their
    numbers, until a class has its share. Every class keeps a group for training, and of two or more that are
    all its own one goes to validation.

    Parameters
    ----------
    labels
        (n,) integers.
    groups
        (n,) integers from 0 to 2^64 - 1, as `hashed` gives them.
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
        Nothing is left to validate on.
    """
    labels = np.asarray(labels, dtype=np.int64)
    names, group_of = np.unique(np.asarray(groups, dtype=np.uint64), return_inverse=True)
    holding = _Holding(labels, group_of.ravel(), fraction)
    order = np.argsort(_mixed(names, seed), kind="stable").tolist()
    for group in order:
        if holding.is_done:
            break
        if holding.is_wanted(group) and holding.leaves_some(group):
            holding.hold(group)
    for label in holding.without():  # its groups are large: the smallest, then
        of_label = [
            group for group in order if label in holding.of_group[group] and holding.leaves_some(group)
        ]
        if of_label:
            holding.hold(min(of_label, key=lambda group: sum(holding.of_group[group].values())))
    chosen = np.zeros(len(names), bool)
    chosen[holding.groups] = True
    if not chosen.any():
        raise DatasetError(
            "too few images to hold some back for validation: a class needs two or more"
            + (", and not all of them copies or of one group" if len(labels) > len(np.unique(labels)) else "")
        )
    return np.flatnonzero(~chosen[group_of.ravel()]), np.flatnonzero(chosen[group_of.ravel()])


class _Holding:
    """Groups that are held back one after the other, and how many images of each class these are.

    Parameters
    ----------
    labels, group_of
        Classes and groups of the images, (n,) int64.
    fraction
        Share of each class that is wanted.
    """

    def __init__(self, labels: np.ndarray, group_of: np.ndarray, fraction: float):
        totals = np.bincount(labels)
        pairs, counts = np.unique(group_of * len(totals) + labels, return_counts=True)
        places = zip((pairs // len(totals)).tolist(), (pairs % len(totals)).tolist(), counts.tolist())
        self.of_group: list[dict[int, int]] = [{} for _ in range(group_of.max() + 1)]  # images by class
        for group, label, count in places:
            self.of_group[group][label] = count
        self.groups: list[int] = []
        self._totals, self._held = totals.tolist(), [0] * len(totals)
        several = np.bincount(pairs % len(totals), minlength=len(totals)) > 1
        self._wanted = [
            min(total - 1, max(1, round(fraction * total))) if more else 0
            for total, more in zip(self._totals, several.tolist())
        ]
        self._missing = sum(self._wanted)

    @property
    def is_done(self) -> bool:
        """Whether each class has its share."""
        return self._missing <= 0

    def is_wanted(self, group: int) -> bool:
        """Whether each class in it comes nearer to its share."""
        return all(
            self._held[label] + count / 2 <= self._wanted[label]
            for label, count in self.of_group[group].items()
        )

    def leaves_some(self, group: int) -> bool:
        """Whether each class in it keeps an image to train on."""
        return all(
            self._held[label] + count < self._totals[label] for label, count in self.of_group[group].items()
        )

    def hold(self, group: int) -> None:
        """Hold a group back."""
        self.groups.append(group)
        for label, count in self.of_group[group].items():
            self._missing -= max(0, min(count, self._wanted[label] - self._held[label]))
            self._held[label] += count

    def without(self) -> Iterator[int]:
        """Classes of which an image is wanted and none is held back, when it is their turn."""
        return (label for label, wanted in enumerate(self._wanted) if wanted and not self._held[label])


def _mixed(numbers: np.ndarray, seed: int) -> np.ndarray:
    """Other numbers for each seed, uint64; the finisher of SplitMix64 (Steele et al., OOPSLA 2014)."""
    mixed = numbers ^ np.uint64(hashed(b"%d" % seed))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
