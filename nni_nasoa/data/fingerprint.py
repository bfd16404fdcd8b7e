"""What tells a dataset, and how it is split, from others."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from .arrays import ImageArrays, ImageSplit

VERSION = 1  # of what goes into a fingerprint
HASHED_BYTES = 2**26  # of the images of a part, evenly spaced, go into that of arrays


def fingerprint_of(*parts: Any) -> str:
    """A digest of JSON values."""
    return hashlib.sha256(json.dumps([VERSION, *parts]).encode()).hexdigest()


def fingerprint_of_arrays(split: ImageSplit) -> str:
    """A digest of the labels of images in memory, and of up to 64 MiB of the images of each part."""
    parts = map(_array_digest, (split.train, split.val))
    return fingerprint_of("arrays", split.name, split.classes, split.mirrored, *parts)


def _array_digest(part: ImageArrays) -> str:
    step = max(1, math.ceil(part.images.nbytes / HASHED_BYTES))
    digest = hashlib.sha256(f"{part.images.shape} {part.images.dtype}".encode())
    digest.update(np.ascontiguousarray(part.labels).data)
    digest.update(np.ascontiguousarray(part.images[::step]).data)
    return digest.hexdigest()
