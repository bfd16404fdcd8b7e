"""Outlines that are written as text, seen at a slant, and lit from a side."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .canvas import CENTRE, Mask, Points, Pose, box, pose
from .textures import X, Y


def paths(text: str) -> list[Points]:
    """Points in hundredths, such as "28,50 72,50; 50,25 50,75"."""
    return [
        np.array([pair.split(",") for pair in path.split()], float) / 100
        for path in text.split(";")
        if path.strip()
    ]


def drawn(
    place: Pose, areas: Iterable[Points], lines: Iterable[Points] = (), width: float = 0.05
) -> np.ndarray:
    """A mask of polygons, of which two points are corners of a box, and of lines."""
    mask = Mask(place)
    for points in areas:
        mask.area(box(*points.ravel()) if len(points) == 2 else points)
    for points in lines:
        mask.line(points, width)
    return mask.array()


def slanted(rng: np.random.Generator, slant: float, **options: Any) -> Pose:
    """A pose, seen at a slant."""
    base, towards = pose(rng, **options), rng.uniform(-slant, slant, 2)
    return lambda points: (
        CENTRE + (at := base(np.asarray(points, float)) - CENTRE) / np.maximum(1 + at @ towards, 0.3)[:, None]
    )


def lit(image: np.ndarray, rng: np.random.Generator, strength: float = 0.5) -> np.ndarray:
    """An image in light that falls off to one side."""
    x, y = rng.uniform(-strength, strength, 2)
    return image * (1 + x * (X - 0.5) + y * (Y - 0.5))[..., None]
