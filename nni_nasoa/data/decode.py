"""One image file to one array of the wanted size."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps


def to_array(image: Image.Image, size: int) -> np.ndarray:
    """Turn an image into (3, size, size) uint8 RGB: shorter side to `size`, centre crop.

    A rotation noted in EXIF is applied, transparency is laid on white, 16-bit grey keeps its upper 8 bits,
    and of an animation the first frame counts.
    """
    # A JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves pixels enough.
    image.draft("RGB", (2 * size, 2 * size))
    if Image.MAX_IMAGE_PIXELS is not None and image.width * image.height > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError("too many pixels, which may be an attack")
    image = _to_rgb(ImageOps.exif_transpose(image))
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    square = image.resize(
        (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side), reducing_gap=2.0
    )
    return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def resized(square: np.ndarray, size: int) -> np.ndarray:
    """Make of a (3, larger, larger) uint8 image one of (3, size, size), antialiased."""
    if square.shape[-1] == size:
        return square
    image = Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0)))
    small = image.resize((size, size), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip at 255
        return Image.fromarray(
            (np.asarray(image).astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
        ).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")
