"""Fingerprints of datasets: the same for the same images, split in the same way, and others for others."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np

from .arrays import ImageArrays, ImageSplit

VERSION = 1  # changes with what goes into a fingerprint
HASHED_BYTES = 2**26  # bytes of a part's images that go into the fingerprint of arrays, at most
QUICKLY_HASHED_BYTES = 2**22  # the same, where a run has no time to lose


def fingerprint_of(*parts: Any) -> str:
    """A digest of JSON values."""
    return hashlib.sha256(json.dumps([VERSION, *parts]).encode()).hexdigest()


def fingerprint_of_arrays(split: ImageSplit, hashed_bytes: int = HASHED_BYTES) -> str:
    """A digest of labels of images in memory, and of up to so many bytes of each part's, evenly spaced."""
    parts = [_array_digest(part, hashed_bytes) for part in (split.train, split.val)]
    return fingerprint_of("arrays", split.name, split.classes, split.mirrored, *parts)


def digest_of_images(part: ImageArrays) -> str:
    """A digest of the labels of some images, and of up to 4 MiB of these, evenly spaced."""
    return _array_digest(part, QUICKLY_HASHED_BYTES)


def _array_digest(part: ImageArrays, hashed_bytes: int) -> str:
    step = max(1, math.ceil(part.images.nbytes / hashed_bytes))
    digest = hashlib.sha256(f"{part.images.shape} {part.images.dtype}".encode())
    digest.update(np.ascontiguousarray(part.labels).data)
    digest.update(np.ascontiguousarray(part.images[::step]).data)
    return digest.hexdigest()
