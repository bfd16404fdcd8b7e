"""Find out how the images of a folder are to be rendered, from some of them."""

from __future__ import annotations

import heapq
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import numpy as np

from nni_nasoa.files import read_json

from .content import keep, memo_path
from .parallel import in_threads
from .place import Place, Where, begin_of, open_where, read_piece
from .rendering import CROP, PLAIN, SQUISH, Rendering
from .walk import begins_as_image, suffix_of

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


def find_rendering(place: Place, files: Sequence[str], keys: Mapping[str, int], times: str) -> Rendering:
    """How the images of a dataset are to be rendered; it is kept until they change.

    White is the largest value of as many bits as the largest one in them takes, and black is 0; where there
    are negative values, they are the largest and the least one. The background is the first of `GROUNDS` on
    which most of the transparent images can be seen. What the geometry is, `usual_geometry` says.

    Parameters
    ----------
    place, files
        Where they are, and their names.
    keys
        By which the images are chosen that are looked at, the lowest first; see `Identities`.
    times
        As `stat_digest` gives it.
    """
    memo = memo_path(place).with_suffix(".rendering.json")
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_json(memo)
        if kept["times"] == times and "geometry" in kept["rendering"]:
            return Rendering.from_json(kept["rendering"])
    special = [file for file in files if not file.lower().endswith(ORDINARY)]
    first, some = (
        [(file, place.where(file)) for file in heapq.nsmallest(number, of, key=lambda file: keys[file])]
        for number, of in ((HEADERS, special), (SHAPES, files))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about metadata
        found = _found(first) if first else PLAIN
        found = replace(found, geometry=usual_geometry(_aspects([where for _, where in some])))
    with suppress(OSError):  # a cache that cannot be written says so elsewhere
        keep(memo, {"times": times, "rendering": found.to_json()})
    return found


def _aspects(images: Sequence[Where]) -> list[float]:
    """Width over height of images, or the inverse where EXIF turns them; others cannot be told."""
    import imagesize

    found = []
    for where in images:
        with suppress(Exception):  # a broken file can fail in any way
            if not isinstance(where, str):
                width, height = imagesize.get(BytesIO(read_piece(where)))
            elif os.path.isfile(where):  # a pipe would be waited for
                width, height = imagesize.get(where)
            else:
                continue
            if min(width, height) > 0:
                found.append(width / height)
    return found


def usual_geometry(aspects: Sequence[float]) -> str:
    """What becomes of oblong images, by the width over the height of some."""
    lost = [1 - min(aspect, 1 / aspect) for aspect in aspects]  # the share of each that a crop leaves out
    return SQUISH if lost and sum(lost) / len(lost) > MOST_LOST else CROP


def _found(images: Sequence[tuple[str, Where]]) -> Rendering:
    of_kind: dict[str, list[tuple[Where, int]]] = {"I": [], "F": [], "A": []}
    for (_, where), (kind, pixels) in zip(images, in_threads(lambda image: _kind(*image), images)):
        if kind:
            of_kind[kind].append((where, pixels))
    ranges = {kind: _range(_few(of_kind[kind])) for kind in "IF"}
    return Rendering(
        ranges["I"] or PLAIN.integers, ranges["F"] or PLAIN.floats, _background(_few(of_kind["A"]))
    )


def _kind(name: str, where: Where) -> tuple[str, int]:
    """The kind of an image, integers "I", floats "F", transparent "A" or neither "", and its pixels."""
    if _is_ordinary_png(name, where):
        return "", 0
    from .decode import is_deep, is_transparent

    with suppress(Exception), open_where(where) as image:  # a broken file can fail in any way
        kind = image.mode[0] if is_deep(image) else "A" if is_transparent(image) else ""
        return kind, image.width * image.height
    return "", 0


def _is_ordinary_png(name: str, where: Where) -> bool:
    """Whether it is a PNG of 8 bits or fewer without transparency (https://www.w3.org/TR/png-3/#11IHDR).

    A broken one, which is no image at all, counts as such.
    """
    begin = begin_of(where, 4096)
    if begin is not None and begin.startswith(b"\x89PNG\r\n\x1a\n"):
        depth, colour_type = begin[24:25], begin[25:26]
        return depth != b"\x10" and colour_type in b"\0\2\3" and b"tRNS" not in begin
    return begin is not None and suffix_of(name) == ".png" and not begins_as_image(begin)


def _few(images: Sequence[tuple[Where, int]]) -> list[Where]:
    """As many of some images as are looked at in whole."""
    chosen: list[Where] = []
    pixels = 0
    for where, number in images[:PIXELS]:
        pixels += number
        if chosen and pixels > MOST_PIXELS:
            break
        chosen.append(where)
    return chosen


def _range(images: Sequence[Where]) -> tuple[float, float] | None:
    """The values that become black and white; None where no image can be read."""
    limits = [one for one in in_threads(_limits, images) if one is not None]
    if not limits:
        return None
    low, high = min(low for low, _ in limits), max(high for _, high in limits)
    if low < 0:
        return low, max(high, low + 1)
    return 0.0, float(2 ** max(1, math.ceil(math.log2(high + 1))) - 1)


def _limits(where: Where) -> tuple[float, float] | None:
    """The least and the largest value in an image, or in the first ones of several."""
    values = []
    with suppress(Exception), open_where(where) as image:  # EOFError at the end
        for frame in range(FRAMES):
            image.seek(frame)
            pixels = np.asarray(image)
            values.append(pixels[np.isfinite(pixels)])
    found = np.concatenate([one.ravel() for one in values]) if values else np.empty(0)
    return (float(found.min()), float(found.max())) if len(found) else None


def _background(images: Sequence[Where]) -> int:
    """The grey on which most images can be seen."""
    contrasts = np.array([one for one in in_threads(_contrasts, images) if one is not None])
    if not len(contrasts):
        return PLAIN.background
    return GROUNDS[(contrasts >= LEAST_CONTRAST).sum(0).argmax()]


def _contrasts(where: Where) -> list[float] | None:
    """By how many levels that which is to be seen differs from each ground; None where all or nothing is."""
    with suppress(Exception), open_where(where) as image:
        small = image.convert("RGBA")
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        alpha = np.asarray(small.getchannel("A")).astype(np.float64)
        if alpha.max() == 0 or alpha.min() == 255:
            return None
        grey = np.asarray(small.convert("RGB").convert("L")).astype(np.float64)
        return [float(np.average(abs(grey - ground), weights=alpha)) for ground in GROUNDS]
    return None
