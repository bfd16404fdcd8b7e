"""A sample of a folder: which images it has, and what is wrong with one that has too few."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from nni_nasoa.files import cache_folder

from .arrays import DatasetError, ImageArrays, ImageSplit, NotInTimeError, classes_in_turn
from .cache import CacheError, make_room
from .decoded import Loaded, Source, check_bad
from .earlier import Whole
from .growing import PARTS, Squares
from .left_out import BadFile, LeftOut
from .parallel import in_threads
from .split_defaults import SAMPLE_VAL_SHARE

MOST_IN_MEMORY = 2**30  # bytes of a part of a sample
LEAST_PATIENCE = 0.5  # seconds beyond the deadline, at least, that the first images of two classes may take
# On a busy machine these are over before one image is: so many are tried, which may take so many seconds.
LEAST_TRIED, MOST_PATIENCE = 8, 3.0


def decoding_order(train: ArrayLike, val: ArrayLike, seed: int) -> np.ndarray:
    """In which order images are decoded: classes in turn, the validation part thinly among the other.

    So what is there at any moment is a fair sample.

    Parameters
    ----------
    train, val
        Labels of the two parts, integers.
    seed
        The same seed gives the same order.

    Returns
    -------
    Slots, integers (train + val,): places in the training part, then those in the other.
    """
    every = round(1 / SAMPLE_VAL_SHARE) - 1  # images of the one part to one of the other
    first, second = classes_in_turn(train, seed), classes_in_turn(val, seed)
    turns = np.concatenate([np.arange(1, len(first) + 1), every * np.arange(1, len(second) + 1) + 0.5])
    return np.concatenate([first, len(first) + second])[np.argsort(turns, kind="stable")]


@dataclass(frozen=True, eq=False)
class Sampling:
    """How a sample is taken of images that were decoded.

    Parameters
    ----------
    about, source
        The dataset.
    order
        In which the images are decoded, and come in the sample.
    path
        Of the folder, for messages.
    max_bad
        Share of the images that may be unreadable.
    """

    about: Loaded
    source: Source
    order: np.ndarray
    path: str
    max_bad: float

    def enough(self, squares: Squares) -> bool:
        """Whether there are two classes, and an image to validate on."""
        there = squares.records()
        there, train = there[there >= 0], len(self.source.train)
        labels = {self.source.train[slot].label for slot in there[there < train][:1000]}
        return bool((there >= train).any()) and (
            len(labels) >= 2 or len({self.source.train[slot].label for slot in there[there < train]}) >= 2
        )

    def whole(self, entry: Whole) -> ImageSplit:
        """All there is in a complete entry, mapped; errors are those of `take`."""
        check_bad(self.about.name, entry.split.left_out, self.max_bad)
        return entry.split if self.enough(entry) else self.take(entry, entry.shape.size, None)

    def take(self, squares: Squares, size: int, most: int | None) -> ImageSplit:
        """A copy of what there is, resized where it was decoded at a larger size.

        Raises
        ------
        NotInTimeError
            There are not yet two classes, and an image to validate on.
        DatasetError
            There cannot be, or more images than the share `max_bad` are unreadable.
        """
        from .decode import resized

        records, reasons = squares.records(), squares.reasons()
        state = np.zeros(len(self.order), np.int8)
        state[records[records >= 0]], state[~records[records < 0]] = 1, -1
        tried = self.order[state[self.order] != 0][:most]
        names = [sample.name for sample in (*self.source.train, *self.source.val)]
        bad = tuple(BadFile(names[slot], reasons.get(int(slot), "")) for slot in tried[state[tried] < 0])
        check_bad(self.about.name, LeftOut(len(self.order), bad), self.max_bad)
        there, train = tried[state[tried] > 0], len(self.source.train)
        parts = dict(zip(PARTS, (there[there < train], there[there >= train])))
        labels = {
            part: np.array([samples[slot].label for slot in parts[part] - first], dtype=np.int64)
            for part, samples, first in (("train", self.source.train, 0), ("val", self.source.val, train))
        }
        if len(np.unique(labels["train"])) < 2 or not len(labels["val"]):
            self._refuse(tried, bad, most)

        def part(name: str) -> ImageArrays:
            def made() -> Iterator[np.ndarray]:
                return in_threads(lambda slot: resized(squares.pixels(slot), size), parts[name].tolist())

            return ImageArrays(_copied(made, (len(parts[name]), 3, size, size)), labels[name])

        left_out = replace(self.about.left_out, images=len(tried), bad=bad)
        about, classes = self.about, self.source.classes
        return ImageSplit(
            part("train"), part("val"), classes, about.name, about.mirrored, left_out, about.rendering
        )

    def _refuse(self, tried: np.ndarray, bad: tuple[BadFile, ...], most: int | None) -> None:
        wanted = len(self.order[:most])
        if len(tried) == wanted:
            first = f"; the first: {bad[0]}" if bad else ""
            raise DatasetError(
                f"{self.path}: {len(bad)} of {wanted} images cannot be read, which leaves too few for "
                f"two classes and one image to validate on{first}"
            )
        if bad and len(bad) == len(tried):
            raise DatasetError(
                f"{self.path}: none of the {len(bad)} images for which there was time can be read; "
                f"the first: {bad[0]}"
            )
        raise NotInTimeError(
            f"{self.path}: the budget is too short to decode an image of two classes; give more minutes"
        )


def _copied(images: Callable[[], Iterator[np.ndarray]], shape: tuple[int, ...]) -> np.ndarray:
    """Images in an array of a shape: in memory, or, where they are many, in a file that goes with it."""
    if math.prod(shape) > MOST_IN_MEMORY:
        with suppress(OSError, CacheError), tempfile.TemporaryFile(dir=cache_folder()) as file:
            make_room(math.prod(shape))
            for pixels in images():
                file.write(pixels.tobytes())
            file.flush()
            return np.memmap(file, np.uint8, "c", 0, shape)
    copied = np.empty(shape, np.uint8)
    for place, pixels in zip(copied, images()):
        place[:] = pixels
    return copied


def patience(seconds: float, enough: Callable[[], bool], tried: Callable[[], int]) -> Callable[[], float]:
    """A function that gives the seconds that are left, which are more while there is not enough.

    The time begins now. Without enough, as much again may be taken, and `LEAST_PATIENCE` at least from when
    it is first asked: what came before, such as listing a slow folder, does not keep the first images from
    being tried. Until `LEAST_TRIED` were, as `tried` counts them, it is `MOST_PATIENCE`.
    """
    deadline = time.monotonic() + seconds
    latest = deadline + max(seconds, LEAST_PATIENCE)
    asked: list[tuple[float, int]] = []

    def left() -> float:
        now = time.monotonic()
        if not asked:
            asked.append((now, tried()))
        if now < deadline or enough():
            return deadline - now
        begin, before = asked[0]
        few = tried() - before < LEAST_TRIED
        return max(latest, begin + (MOST_PATIENCE if few else LEAST_PATIENCE)) - now

    return left
