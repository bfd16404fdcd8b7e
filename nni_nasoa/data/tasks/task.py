"""What a drawn task is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

Draw = Callable[[int, np.random.Generator], np.ndarray]
"""Draw an image of a class: its label and random numbers to (SIZE, SIZE, 3) uint8."""


@dataclass(frozen=True)
class Task:
    """A small drawn image classification task.

    Parameters
    ----------
    name
        What `Dataset` knows it by, after "task:".
    kind
        What its images are of; tasks of a kind are alike.
    classes
        Names of the classes.
    train_images, val_images
        How many there are.
    mirrored
        Whether an image means the same when mirrored left to right.
    held_out
        Whether the kind is kept for evaluation: nothing that the package ships was learned from such tasks.
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    train_images: int
    val_images: int
    mirrored: bool
    held_out: bool

    @property
    def seed(self) -> int:
        """The seed of all its images."""
        return zlib.crc32(self.name.encode())


@dataclass(frozen=True)
class Drawing:
    """A task and how it is drawn.

    Parameters
    ----------
    imbalance
        How many times as many training images the largest class has as the smallest; sizes fall
        geometrically.
    """

    task: Task
    draw: Draw
    imbalance: float = 1.0


def drawing(
    name: str,
    kind: str,
    classes: Iterable[str],
    draw: Draw,
    train: int,
    val: int,
    *,
    mirrored: bool = True,
    held_out: bool = False,
    imbalance: float = 1.0,
) -> Drawing:
    """A drawing and its task; the parameters as there."""
    return Drawing(Task(name, kind, tuple(classes), train, val, mirrored, held_out), draw, imbalance)
