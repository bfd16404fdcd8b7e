"""Images of a folder that lie decoded at a larger size, of which smaller ones are made without their files.

The largest is taken: it was decoded from the files themselves, or there would be a larger one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from nni_nasoa.files import read_json
from nni_nasoa.values import MAX_INPUT_SIZE

from .arrays import ImageSplit
from .cache import GROWING, entry_names, entry_path, growing_path
from .decoded import sized
from .growing import PARTS, Growing, Shape


class Whole:
    """An entry that is complete, seen as the listing has its images.

    Parameters
    ----------
    split
        What is in the entry.
    shape
        Of the listing.
    names
        Of all images, by their slots.

    Raises
    ------
    ValueError
        It does not go with these names.
    """

    def __init__(self, split: ImageSplit, shape: Shape, names: Sequence[str]):
        self.shape, self.split = shape, split
        bad = dict(split.left_out.bad)
        self._reasons = {slot: bad[name] for slot, name in enumerate(names) if name in bad}
        there = np.array([slot for slot in range(shape.total) if slot not in self._reasons], dtype=np.int64)
        self._rows = np.full(shape.total, -1)
        for part in PARTS:
            first, number = shape.part(part)
            slots = there[(there >= first) & (there < first + number)]
            if len(slots) != len(getattr(split, part)):
                raise ValueError(f"{split.name}: an entry of other images")
            self._rows[slots] = np.arange(len(slots))
        self._there = there

    @property
    def number(self) -> int:
        """How many images were tried: all."""
        return self.shape.total

    def records(self) -> np.ndarray:
        """As `Growing.records`, in the order of the listing."""
        return np.concatenate([self._there, ~np.array([*self._reasons], dtype=np.int64)])

    def images(self, part: str) -> np.ndarray:
        """As `Growing.images`; a copy where one of the part cannot be read."""
        first, number = self.shape.part(part)
        rows, images = self._rows[first : first + number], getattr(self.split, part).images
        if (rows >= 0).all():
            return images
        copied = np.zeros((number, *images.shape[1:]), np.uint8)
        copied[rows >= 0] = images
        return copied

    def pixels(self, slot: int) -> np.ndarray:
        """As `Growing.pixels`."""
        return getattr(self.split, self.shape.place(slot)[0]).images[self._rows[slot]]

    def reasons(self) -> dict[int, str]:
        """As `Growing.reasons`."""
        return self._reasons


def growing_entries(key: Mapping[str, Any], shape: Shape, sizes: range) -> Iterator[Growing]:
    """Growing entries of the same images.

    Parameters
    ----------
    key
        What growing entries depend on besides the size.
    shape
        Of the images; their size does not matter.
    sizes
        Heights and widths, in pixels, in the order in which they are looked for.
    """
    for size in _sizes(lambda size: growing_path(sized(key, size)).name, sizes, GROWING):
        if (found := Growing.found(growing_path(sized(key, size)), shape._replace(size=size))) is not None:
            yield found


def whole_entries(
    key: Mapping[str, Any], sizes: range, load: Callable[[Path, int], Whole]
) -> Iterator[Whole]:
    """Complete entries of the same images; what is broken counts as not there.

    Parameters
    ----------
    key
        What entries depend on besides the size.
    sizes
        As in `growing_entries`.
    load
        Gives what is in an entry, of some size.
    """
    for size in _sizes(lambda size: entry_path(sized(key, size)).name, sizes):
        with suppress(OSError, ValueError, EOFError, KeyError, TypeError):
            yield load(entry_path(sized(key, size)), size)


def largest_decoded(key: Mapping[str, Any]) -> int:
    """The largest size, in pixels, of which there is a complete entry; 0 where there is none."""
    return max(
        _sizes(lambda size: entry_path(sized(key, size)).name, range(MAX_INPUT_SIZE, 0, -1)), default=0
    )


def copy_may_be_there(images: int) -> bool:
    """Whether there is a complete entry of as many images, which a copy of the same folder may have left."""
    for name in entry_names():
        with suppress(OSError, ValueError, KeyError, TypeError):
            if read_json(entry_path({}).with_name(name) / "about.json")["images"] == images:
                return True
    return False


def _sizes(name_of: Callable[[int], str], sizes: range, suffix: str = "") -> list[int]:
    names = entry_names(suffix)
    return [size for size in sizes if name_of(size) in names] if names else []
