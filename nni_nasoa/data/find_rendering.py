"""Find out how the images of a folder are to be rendered, from some of them."""

from __future__ import annotations

import heapq
import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from nni_nasoa.files import read_json

from .content import keep, memo_path
from .opening import open_image
from .parallel import in_threads
from .rendering import CROP, PLAIN, SQUISH, Rendering
from .walk import begins_as_image

# Formats that have neither transparent pixels nor, in grey, more than 8 bits.
ORDINARY = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".bmp", ".dib", ".pbm", ".ppm", ".pcx", ".xbm")
HEADERS = 500  # images that are looked at
PIXELS, MOST_PIXELS = 64, 50_000_000  # images whose pixels are, of each kind, and their pixels
FRAMES = 3  # of an image of several, as three are the colours of one
GROUNDS = (255, 0, 128)  # greys under transparent images, the usual one first
LEAST_CONTRAST = 24  # levels by which what is to be seen differs from the ground, on average
_THUMBNAIL = 64
SHAPES = 200  # images whose width and height are looked at
MOST_LOST = 0.3  # share of the images, on average, that a crop may leave out


def find_rendering(folder: Path, files: Sequence[str], keys: Mapping[str, int], times: str) -> Rendering:
    """How the images of a folder are to be rendered; it is kept until they change.

    White is the largest value of as many bits as the largest one in them takes, and black is 0; where there
    are negative values, they are the largest and the least one. The background is the first of `GROUNDS` on
    which most of the transparent images can be seen. What the geometry is, `usual_geometry` says.

    Parameters
    ----------
    folder, files
        The folder, and paths in it.
    keys
        By which the images are chosen that are looked at, the lowest first; see `Identities`.
    times
        As `stat_digest` gives it.
    """
    memo = memo_path(folder).with_suffix(".rendering.json")
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_json(memo)
        if kept["times"] == times and "geometry" in kept["rendering"]:
            return Rendering.from_json(kept["rendering"])
    special = [file for file in files if not file.lower().endswith(ORDINARY)]
    first, some = (
        [folder / file for file in heapq.nsmallest(number, of, key=lambda file: keys[file])]
        for number, of in ((HEADERS, special), (SHAPES, files))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about metadata
        found = replace(_found(first) if first else PLAIN, geometry=usual_geometry(_aspects(some)))
    with suppress(OSError):  # a cache that cannot be written says so elsewhere
        keep(memo, {"times": times, "rendering": found.to_json()})
    return found


def _aspects(paths: Sequence[Path]) -> list[float]:
    """Width over height of images, or the inverse where EXIF turns them; others cannot be told."""
    import imagesize

    found = []
    for path in paths:
        with suppress(Exception):  # a broken file can fail in any way
            if path.is_file():  # a pipe would be waited for
                width, height = imagesize.get(path)
                if min(width, height) > 0:
                    found.append(width / height)
    return found


def usual_geometry(aspects: Sequence[float]) -> str:
    """What becomes of oblong images, by the width over the height of some."""
    lost = [1 - min(aspect, 1 / aspect) for aspect in aspects]  # the share of each that a crop leaves out
    return SQUISH if lost and sum(lost) / len(lost) > MOST_LOST else CROP


def _found(paths: Sequence[Path]) -> Rendering:
    of_kind: dict[str, list[tuple[Path, int]]] = {"I": [], "F": [], "A": []}
    for path, (kind, pixels) in zip(paths, in_threads(_kind, paths)):
        if kind:
            of_kind[kind].append((path, pixels))
    ranges = {kind: _range(_few(of_kind[kind])) for kind in "IF"}
    return Rendering(
        ranges["I"] or PLAIN.integers, ranges["F"] or PLAIN.floats, _background(_few(of_kind["A"]))
    )


def _kind(path: Path) -> tuple[str, int]:
    """The kind of an image, integers "I", floats "F", transparent "A" or neither "", and its pixels."""
    if _is_ordinary_png(path):
        return "", 0
    from .decode import is_deep, is_transparent

    with suppress(Exception), open_image(path) as image:  # a broken file can fail in any way
        kind = image.mode[0] if is_deep(image) else "A" if is_transparent(image) else ""
        return kind, image.width * image.height
    return "", 0


def _is_ordinary_png(path: Path) -> bool:
    """Whether it is a PNG of 8 bits or fewer without transparency (https://www.w3.org/TR/png-3/#11IHDR).

    A broken one, which is no image at all, counts as such.
    """
    with suppress(OSError):
        if path.is_file():  # a pipe would be waited for
            with open(path, "rb", buffering=0) as file:
                begin = file.read(4096)
            if begin.startswith(b"\x89PNG\r\n\x1a\n"):
                depth, colour_type = begin[24:25], begin[25:26]
                return depth != b"\x10" and colour_type in b"\0\2\3" and b"tRNS" not in begin
            return path.suffix.lower() == ".png" and not begins_as_image(begin)
    return False


def _few(images: Sequence[tuple[Path, int]]) -> list[Path]:
    """As many of some images as are looked at in whole."""
    chosen: list[Path] = []
    pixels = 0
    for path, number in images[:PIXELS]:
        pixels += number
        if chosen and pixels > MOST_PIXELS:
            break
        chosen.append(path)
    return chosen


def _range(paths: Sequence[Path]) -> tuple[float, float] | None:
    """The values that become black and white; None where no image can be read."""
    limits = [one for one in in_threads(_limits, paths) if one is not None]
    if not limits:
        return None
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    if low < 0:
        return low, max(high, low + 1)
    return 0.0, float(2 ** max(1, math.ceil(math.log2(high + 1))) - 1)


def _limits(path: Path) -> tuple[float, float] | None:
    """The least and the largest value in an image, or in the first ones of several."""
    values = []
    with suppress(Exception), open_image(path) as image:  # EOFError at the end
        for frame in range(FRAMES):
            image.seek(frame)
            pixels = np.asarray(image)
            values.append(pixels[np.isfinite(pixels)])
    found = np.concatenate([one.ravel() for one in values]) if values else np.empty(0)
    return (float(found.min()), float(found.max())) if len(found) else None


def _background(paths: Sequence[Path]) -> int:
    """The grey on which most images can be seen."""
    contrasts = np.array([one for one in in_threads(_contrasts, paths) if one is not None])
    if not len(contrasts):
        return PLAIN.background
    return GROUNDS[(contrasts >= LEAST_CONTRAST).sum(0).argmax()]


def _contrasts(path: Path) -> list[float] | None:
    """By how many levels that which is to be seen differs from each ground; None where all or nothing is."""
    with suppress(Exception), open_image(path) as image:
        small = image.convert("RGBA")
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        alpha = np.asarray(small.getchannel("A")).astype(np.float64)
        if alpha.max() == 0 or alpha.min() == 255:
            return None
        grey = np.asarray(small.convert("RGB").convert("L")).astype(np.float64)
        return [float(np.average(abs(grey - ground), weights=alpha)) for ground in GROUNDS]
    return None
