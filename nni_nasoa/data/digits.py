"""The embedded dataset: 1797 handwritten digits of 8x8 pixels.

`digits.npz` holds the images of `sklearn.datasets.load_digits`, which are the test part of "Optical
Recognition of Handwritten Digits" (E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, 1998, doi
10.24432/C50P49, CC BY 4.0). They are shipped, and not imported from scikit-learn, since every trial of a
search is a process that would pay for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .arrays import Holdout, ImageArrays, ImageSplit

WHITE = 16  # grey levels run from 0 to 16


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """The images as they were published, (1797, 8, 8) uint8 from 0 to 16, and their labels, (1797,) int64."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
        return file["images"], file["labels"].astype(np.int64)


def open_digits(input_size: int, holdout: Holdout) -> ImageSplit:
    """Open the digits as RGB images of `input_size`, interpolated bilinearly; see `Dataset.open`."""
    images, labels = load_digits()
    grey = resize_bilinear(images * np.float32(255 / WHITE), input_size).round().astype(np.uint8)

    def part(indices: np.ndarray) -> ImageArrays:
        return ImageArrays(np.repeat(grey[indices, None], 3, axis=1), labels[indices])

    train, val = holdout.parts(labels)
    return ImageSplit(part(train), part(val), tuple("0123456789"), "digits", mirrored=False)


def resize_bilinear(images: np.ndarray, size: int) -> np.ndarray:
    """Resize (n, h, w) float images to (n, size, size), pixel centres aligned as in `align_corners=False`."""
    rows, columns = (_interpolation(old, size) for old in images.shape[1:])
    return rows @ images @ columns.T


def _interpolation(old: int, new: int) -> np.ndarray:
    """The (new, old) matrix of linear interpolation."""
    place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    distance = np.abs(place[:, None] - np.arange(old))
    return np.maximum(0, 1 - distance).astype(np.float32)
