"""Statistics of images and their files, from samples; files that cannot be read are passed over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from .decoded import decode_one
from .image_files import sample_of
from .parallel import in_threads
from .place import Place
from .rendering import PLAIN, Rendering
from .walk import ImageFile

PIXEL_SIZE = 48  # height and width that images are decoded to
GREY = 2.0  # levels between the channels of an image, on average, below which it counts as grey
COLOURS = ("red", "green", "blue")
USUAL_PACE = 2e-8  # seconds that decoding takes for each pixel, until some were decoded
_STATS = 1000  # files between two movements of a bar
_TURNED = (5, 6, 7, 8)  # values of EXIF's orientation that exchange width and height
_ORIENTATION = 0x0112


def class_statistics(train: np.ndarray, val: np.ndarray, classes: int) -> dict[str, Any]:
    """How many images there are, by part and by class.

    Parameters
    ----------
    train, val
        Labels of the two parts, (n,) and (m,) integers.
    classes
        Number of classes.
    """
    of_class = np.bincount(np.concatenate([train, val]), minlength=classes)
    return {
        "images": of_class.sum(),
        "train_images": len(train),
        "val_images": len(val),
        "classes": classes,
        "class_mean": of_class.mean(),
        "class_std": of_class.std(),
        "class_min": of_class.min(),
        "class_max": of_class.max(),
    }


def total_bytes(place: Place, files: Sequence[ImageFile], advance: Callable[[int], None]) -> int:
    """Size of files, in bytes; `advance` is told of files done, here and below."""
    total = 0
    for start in range(0, len(files), _STATS):
        chunk = files[start : start + _STATS]
        for file in chunk:
            with suppress(OSError):  # a link that leads nowhere
                total += place.size(file.path)
        advance(len(chunk))
    return total


def header_statistics(
    place: Place, sample: Sequence[ImageFile], deadline: float, advance: Callable[[int], None]
) -> dict[str, Any]:
    """Sizes and transparency, from the headers of as many files as are read until the deadline.

    The deadline is by `time.monotonic`, here and below.
    """
    tried, found = 0, []
    if time.monotonic() < deadline:
        for header in in_threads(lambda file: _header(place, file), sample):
            tried += 1
            found += [header] if header is not None else []
            advance(1)
            if time.monotonic() >= deadline:
                break
    if not found:
        return {"headers_read": 0 if tried else None}
    width, height, alpha = np.array(found, dtype=np.float64).T
    known = {"alpha_share": alpha.mean(), "headers_read": len(found)}
    for name, values in (("width", width), ("height", height), ("aspect", width / height)):
        known |= {name: np.median(values), f"{name}_std": values.std()}
    return known


def _header(place: Place, file: ImageFile) -> tuple[int, int, bool] | None:
    """Width, height and whether there is transparency; None where it cannot be read."""
    try:
        with sample_of(place, file).open() as image:
            width, height = image.size
            if "exif" in image.info and image.getexif().get(_ORIENTATION) in _TURNED:
                width, height = height, width
            return (
                width,
                height,
                image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info,
            )
    except Exception:  # a broken file can fail in any way inside a decoder
        return None


def pixel_statistics(
    place: Place,
    sample: Sequence[ImageFile],
    deadline: float,
    advance: Callable[[int], None],
    rendering: Rendering = PLAIN,
) -> dict[str, Any]:
    """Colours, and seconds that decoding takes, from as many files as are decoded until the deadline."""
    # One after the other, in this thread, for the time's sake.
    tried, images, seconds, pixels, areas = 0, [], 0.0, 0, []
    for file in sample:
        now = time.monotonic()
        if now >= deadline:
            break
        tried, begin = tried + 1, time.thread_time()
        advance(1)
        header = _header(place, file)
        area = 0 if header is None else header[0] * header[1]
        pace = seconds / pixels if pixels else USUAL_PACE
        if header is None or now + pace * area > deadline:  # one of a hundred megapixels takes seconds
            areas += [area] if area else []
            continue
        result = decode_one(sample_of(place, file, rendering), PIXEL_SIZE)
        if not isinstance(result, str):
            areas.append(area)
            seconds, pixels = seconds + time.thread_time() - begin, pixels + area
            images.append(np.frombuffer(result, np.uint8).reshape(3, PIXEL_SIZE, PIXEL_SIZE))
    if not images:
        return {"pixels_read": 0 if tried else None}
    # Those that there was no time for would take as long for each pixel.
    decoding = seconds / pixels * np.mean(areas)
    return colour_statistics(np.stack(images)) | {"decode_seconds": decoding}


def colour_statistics(images: np.ndarray) -> dict[str, Any]:
    """Statistics of (n, 3, size, size) uint8 images."""
    if not len(images):
        return {"pixels_read": 0}
    spread = (images.max(1) - images.min(1)).mean((1, 2), dtype=np.float64)
    known = {"grey_share": (spread < GREY).mean(), "pixels_read": len(images)}
    for channel, name in enumerate(COLOURS):
        levels = np.bincount(images[:, channel].ravel(), minlength=256) / images[:, channel].size
        mean = levels @ np.arange(256)
        known |= {
            f"{name}_mean": mean / 255,
            f"{name}_std": math.sqrt(levels @ (np.arange(256) - mean) ** 2) / 255,
        }
    return known
