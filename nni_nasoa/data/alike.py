"""How many decoded images show nothing, are the same as others, or nearly so in both parts."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from typing import NamedTuple

import numpy as np

SIDE = 16  # rows and columns of pixels by which images are compared first
NEAR_BITS, NEAR_LEVELS = 3, 3.0  # by which hashes and pixels of near copies differ, at most
_LEAST_SPREAD = 4.0  # levels, below which a hash is one of noise
_CHUNK = 256


class Alike(NamedTuple):
    """Numbers of images.

    Parameters
    ----------
    blank
        Of one colour.
    same
        The same as another one that counts already.
    near
        Of the validation part, nearly the same as one of the training part.
    """

    blank: int = 0
    same: int = 0
    near: int = 0

    def notes(self, copies: int, validation: int) -> list[str]:
        """A line on each that is worth one.

        Parameters
        ----------
        copies
            How many of the same ones were told already.
        validation
            Images of the validation part.
        """
        lines = []
        if self.blank:
            lines.append(f"{_images(self.blank)} of one colour once decoded")
        if self.same > copies:
            lines.append(
                f"{_images(self.same - copies)} the same as others once decoded, though the files differ"
            )
        if self.near:
            lines.append(
                f"{self.near} of {validation} images to validate on look nearly the same as ones to train "
                "on, so that others may be told less well; --group-by keeps such together"
            )
        return lines


def look_alike(train: np.ndarray, val: np.ndarray) -> Alike:
    """Compare the images of two parts.

    Near copies are found by a difference hash of 64 bits (Krawetz 2013), and are then compared.

    Parameters
    ----------
    train, val
        (n, 3, size, size) uint8, mapped or not.
    """
    parts = [train, val]
    small = np.concatenate([_small(part) for part in parts])
    where = [(part, place) for part in parts for place in range(len(part))]
    may_be_blank = np.flatnonzero((small.max((2, 3)) == small.min((2, 3))).all(1)).tolist()
    blank = [i for i in may_be_blank if _is_blank(where[i][0][where[i][1]])]
    groups = defaultdict(list)
    for number, one in enumerate(small):
        groups[one.tobytes()].append(number)
    several = [number for numbers in groups.values() if len(numbers) > 1 for number in numbers]
    several = [*set(several) - set(blank)]
    digests = {hashlib.blake2b(where[i][0][where[i][1]].tobytes()).digest() for i in several}
    near = _near(small[: len(train)], small[len(train) :])
    return Alike(len(blank), len(several) - len(digests), near)


def _images(number: int) -> str:
    return f"{number} images are" if number > 1 else "1 image is"


def _small(images: np.ndarray) -> np.ndarray:
    places = np.linspace(0, images.shape[-1] - 1, SIDE).round().astype(int)
    chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
    taken = [chunk[:, :, places][..., places] for chunk in chunks]
    return np.concatenate(taken) if taken else np.empty((0, 3, SIDE, SIDE), np.uint8)


def _is_blank(image: np.ndarray) -> bool:
    return bool((image == image[:, :1, :1]).all())


def _near(train: np.ndarray, val: np.ndarray) -> int:
    """How many of some small images nearly are among others."""
    grey = [part.mean(1) for part in (train, val)]
    hashes, spread = [_hashes(part) for part in grey], grey[1].std((1, 2))
    near = np.zeros(len(val), bool)
    for band in range(4):  # one of four is the same where no more than three bits differ
        bits = [(part >> np.uint64(16 * band)) & np.uint64(0xFFFF) for part in hashes]
        order = np.argsort(bits[0], kind="stable")
        first, last = (np.searchsorted(bits[0][order], bits[1], side) for side in ("left", "right"))
        for number in np.flatnonzero(~near & (last > first) & (spread >= _LEAST_SPREAD)).tolist():
            candidates = order[first[number] : last[number]]
            differ = np.unpackbits(
                (hashes[0][candidates] ^ hashes[1][number])[:, None].view(np.uint8), axis=1
            ).sum(1)
            candidates = candidates[differ <= NEAR_BITS]
            levels = abs(grey[0][candidates] - grey[1][number]).mean((1, 2))
            near[number] = bool((levels <= NEAR_LEVELS).any())
    return int(near.sum())


def _hashes(grey: np.ndarray) -> np.ndarray:
    """Of each image, 64 bits that say where it is brighter than to the left: (n,) uint64."""
    rows, columns = np.arange(0, SIDE, 2), np.linspace(0, SIDE - 1, 9).round().astype(int)
    coarse = (grey[:, rows] + grey[:, rows + 1])[..., columns]
    bits = coarse[..., 1:] > coarse[..., :-1]
    return np.packbits(bits.reshape(len(grey), 64), axis=1).view(np.uint64).ravel()
