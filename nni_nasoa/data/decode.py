"""One image file to one array of the wanted size."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
from PIL import Image, ImageOps

from .rendering import CROP, PAD, PADDING, PLAIN, Rendering

_MANY = ("GIF", "TIFF", "WEBP", "PNG", "AVIF")  # formats of which a file may hold several images
_FRAMES = 64  # of which the first ones are looked at
_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 262  # TIFF's


def to_array(image: Image.Image, size: int, rendering: Rendering = PLAIN) -> np.ndarray:
    """Turn an image into (3, size, size) uint8 RGB.

    A rotation noted in EXIF is applied. Of several images in a file the first one counts that is not blank;
    three grey ones in a TIFF are red, green and blue.

    Parameters
    ----------
    rendering
        What becomes of grey pixels of more than 8 bits, of transparent ones, and of an oblong. Where all are
        transparent, but not of one colour, none is.
    """
    # A JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves pixels enough.
    image.draft("RGB", (2 * size, 2 * size))
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError("too many pixels, which may be an attack")
    square = _square(_to_rgb(image, rendering), size, rendering.geometry)
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def _square(image: Image.Image, size: int, geometry: str) -> Image.Image:
    """An RGB image as a square of some size, made in one resampling."""
    width, height = image.size
    if geometry == CROP:
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return _resized(image, (size, size), (left, top, left + side, top + side))
    if geometry == PAD and width != height:
        wide, high = (max(1, round(size * length / max(width, height))) for length in (width, height))
        square = Image.new("RGB", (size, size), (PADDING,) * 3)
        square.paste(_resized(image, (wide, high)), ((size - wide) // 2, (size - high) // 2))
        return square
    return _resized(image, (size, size))


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)


def resized(square: np.ndarray, size: int) -> np.ndarray:
    """Make of a (3, larger, larger) uint8 image one of (3, size, size), antialiased."""
    if square.shape[-1] == size:
        return square
    image = Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0)))
    return np.ascontiguousarray(np.asarray(_resized(image, (size, size))).transpose(2, 0, 1))


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey, with more than 8 bits a pixel."""
    return image.mode[0] in "IF"


def is_transparent(image: Image.Image) -> bool:
    """Whether an image may have transparent pixels."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _to_rgb(image: Image.Image, rendering: Rendering) -> Image.Image:
    if image.format == "TIFF" and getattr(image, "n_frames", 1) == 3 and (stack := _stack(image, rendering)):
        return stack
    if image.format in _MANY and getattr(image, "is_animated", False):
        _seek_shown(image)
    if is_deep(image):
        return _shallow(image, rendering).convert("RGB")
    image = ImageOps.exif_transpose(image)
    if is_transparent(image):
        image = image.convert("RGBA")
        if _is_hidden(image) and not _is_blank(colours := image.convert("RGB")):
            return colours
        ground = Image.new("RGBA", image.size, (*[rendering.background] * 3, 255))
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("RGB")


def _stack(image: Image.Image, rendering: Rendering) -> Image.Image | None:
    """Three grey images as the colours of one; None where they are none, or not of the same size."""
    frames: list[Image.Image] = []
    for number in range(3):
        image.seek(number)
        if not (is_deep(image) or image.mode == "L") or (frames and image.size != frames[0].size):
            image.seek(0)
            return None
        frames.append(_shallow(image, rendering) if is_deep(image) else image.copy())
    return Image.merge("RGB", frames)


def _seek_shown(image: Image.Image) -> None:
    """Go to the first of several images that is not blank, or to the first one.

    That also where another one is broken: it is what viewers show then.
    """
    with suppress(Exception):  # a broken file can fail in any way; EOFError is behind the last one
        for number in range(_FRAMES):
            image.seek(number)
            if not _is_blank(image):
                return
    image.seek(0)


def _is_hidden(image: Image.Image) -> bool:
    """Whether all pixels of an RGBA image are transparent."""
    return image.getchannel("A").getextrema() == (0, 0)


def _is_blank(image: Image.Image) -> bool:
    """Whether all pixels are alike, or none is to be seen."""
    if is_transparent(image):
        image = image.convert("RGBA")
        if _is_hidden(image):
            return True
    pixels = np.asarray(image)
    return bool((pixels == pixels[:1, :1]).all())


def _shallow(image: Image.Image, rendering: Rendering) -> Image.Image:
    """A grey image of more than 8 bits in 8, where convert() would clip it at 255."""
    white_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO  # of 8 bits Pillow minds
    values = np.asarray(ImageOps.exif_transpose(image)).astype(np.float64)
    if image.mode == "F":
        low, high = rendering.floats
        scaled = np.nan_to_num((values - low) * (255 / (high - low)), nan=0.0).round()
    else:
        low, high = rendering.integers
        scaled = np.floor((values - low) * (256 / (high - low + 1)))
    pixels = scaled.clip(0, 255).astype(np.uint8)
    return Image.fromarray(255 - pixels if white_is_zero else pixels)
