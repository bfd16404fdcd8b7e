"""Classes of very different numbers of images: when that is worth a word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nni_nasoa.messages import readable

UNEVEN = 10  # A class of so many times the images of another one makes classes uneven.
BALANCED_HINT = "; accuracy is mostly that of the large ones (--balanced weighs all classes alike)"


def uneven_line(classes: Sequence[str], labels: np.ndarray) -> str | None:
    """One line where classes are uneven: which has most, which fewest training images; else None.

    Parameters
    ----------
    classes, labels
        Their names, and the labels of the training images, (n,) integers.
    """
    images = np.bincount(labels, minlength=len(classes))
    most, least = int(images.argmax()), int(images.argmin())
    if not are_uneven(images[least], images[most]):
        return None
    return (
        f"classes are uneven: '{readable(classes[most])}' has {images[most]} images to train on, "
        f"'{readable(classes[least])}' {images[least]}"
    )


def are_uneven(least: int, most: int) -> bool:
    """Whether classes of which the smallest and the largest have so many images are uneven."""
    return most >= UNEVEN * max(1, least)
