"""Filled and outlined shapes, silhouettes, and how two of them stand to each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from .canvas import (
    CENTRE,
    Look,
    Mask,
    Points,
    Pose,
    board,
    box,
    cluttered,
    ellipse,
    finished,
    over,
    painted,
    paper,
    polygon,
    pose,
    scene,
    star,
)
from .prototypes import prototype
from .task import drawing

_CROSS = (
    np.array([(4, 1), (6, 1), (6, 4), (9, 4), (9, 6), (6, 6), (6, 9), (4, 9), (4, 6), (1, 6), (1, 4), (4, 4)])
    / 10
)
_HEART = np.column_stack(
    [
        0.5 + 0.026 * 16 * np.sin(np.linspace(0, 6.28, 60)) ** 3,
        0.46
        - 0.026
        * sum(
            weight * np.cos(i * np.linspace(0, 6.28, 60))
            for weight, i in ((13, 1), (-5, 2), (-2, 3), (-1, 4))
        ),
    ]
)
_MOON = np.vstack([ellipse(0.5, 0.5, 0.42, 0.42, 0.6, 5.68), ellipse(0.66, 0.5, 0.3, 0.3, 5.4, 0.9)])
_DROP = np.vstack([[(0.5, 0.06)], ellipse(0.5, 0.63, 0.3, 0.3, -0.6, np.pi + 0.6)])
SHAPES = {
    "disc": ellipse(0.5, 0.5, 0.4),
    "square": polygon(4, 0.48, np.pi / 4),
    "triangle": polygon(3, 0.46),
    "pentagon": polygon(5, 0.43),
    "star": star(5, 0.46),
    "cross": _CROSS,
    "heart": _HEART,
    "moon": _MOON,
    "drop": _DROP,
    "bar": box(0.08, 0.36, 0.92, 0.64),
}
SIDES = {f"{n} sides": polygon(n, 0.42) for n in range(3, 9)}
STARS = {f"{n} spikes": star(n, 0.46) for n in range(3, 9)}
SIMPLE = tuple(SHAPES[name] for name in ("disc", "square", "triangle", "star", "cross"))


def _filled(shapes: Sequence[Points], look: Look, label: int, rng: np.random.Generator) -> np.ndarray:
    return painted(Mask(pose(rng, turn=0.35, scale=(0.4, 1.0), shift=0.15)).area(shapes[label]), rng, look)


def _outlined(shapes: Sequence[Points], look: Look, label: int, rng: np.random.Generator) -> np.ndarray:
    place = pose(rng, turn=1.5, scale=(0.55, 1.0), shift=0.08)
    return painted(Mask(place).line(shapes[label], rng.uniform(0.02, 0.06), closed=True), rng, look)


def _silhouette(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """A contour of its own for each class: a circle bent by a few waves, by slightly other ones each time."""

    def waves(own: np.random.Generator) -> np.ndarray:
        return own.normal(0, 1, (6, 2)) / np.arange(2, 8)[:, None] ** 0.8

    amplitudes = waves(prototype(name, label)) + 0.12 * waves(rng)
    angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
    turns = np.arange(2, 8)[:, None] * angles
    radius = 1 + 0.33 * (amplitudes[:, :1] * np.cos(turns) + amplitudes[:, 1:] * np.sin(turns)).sum(0)
    radius = np.maximum(radius, 0.2) / np.maximum(radius, 0.2).max()
    points = CENTRE + 0.46 * radius[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    return painted(Mask(pose(rng, turn=0.2, scale=(0.6, 1.0))).area(points), rng, scene)


def _placed(label: int, rng: np.random.Generator) -> np.ndarray:
    """A red shape left of, right of, above or below a blue one."""
    offset = ((-1, 0), (1, 0), (0, -1), (0, 1))[label] * rng.uniform(0.17, 0.26, 2)
    offset = offset + rng.uniform(-0.1, 0.1, 2) * (np.array(offset) == 0)
    middle = 0.5 + rng.uniform(-0.08, 0.08, 2)
    image = np.tile(rng.uniform(90, 235, 3) * np.array((0.9, 1, 0.9)), (64, 64, 1))
    red = rng.uniform(170, 255), *rng.uniform(0, 60, 2)
    blue = *rng.uniform(0, 60, 2), rng.uniform(160, 255)
    for place, ink in ((middle + offset, red), (middle - offset, blue)):
        shape = SIMPLE[rng.integers(len(SIMPLE))]
        image = over(
            image, Mask().area((shape - CENTRE) * rng.uniform(0.28, 0.42) + place).array(), np.array(ink)
        )
    return finished(image, rng)


NESTING = ("inside", "touching", "apart")


def _nested(label: int, rng: np.random.Generator) -> np.ndarray:
    """A disc inside a ring, across it, or outside."""
    ring, size = rng.uniform(0.2, 0.27), rng.uniform(0.05, 0.08)
    middle = 0.5 + rng.uniform(-0.16, 0.16, 2)
    while True:
        place = rng.uniform(size, 1 - size, 2)
        gap = np.hypot(*(place - middle))
        if (gap < ring - size - 0.05, abs(gap - ring) < 0.4 * size, gap > ring + size + 0.06)[label]:
            break
    (left, top), (x, y) = middle, place
    mask = Mask().line(ellipse(left, top, ring), 0.03, closed=True).disc(x, y, size)
    return painted(mask, rng, cluttered if rng.random() < 0.3 else scene)


def _moved(place: Pose, move: np.ndarray) -> Pose:
    return lambda points: place(points) + move


def _same(label: int, rng: np.random.Generator) -> np.ndarray:
    """Two outlines of the same shape, or of two shapes; sizes differ."""
    first, second = rng.choice(len(SIMPLE), 2, replace=False)
    shapes = (first, first) if label == 0 else (first, second)
    mask = np.zeros((64, 64), np.float32)
    for shape, x in zip(shapes, (0.27, 0.73)):
        place = pose(rng, turn=0.2, scale=(0.35, 0.5), shift=0)
        move = np.array([x, 0.5]) - CENTRE + rng.uniform((-0.03, -0.2), (0.03, 0.2))
        mask = np.maximum(mask, Mask(_moved(place, move)).area(SIMPLE[shape]).array())
    return painted(mask, rng, paper if rng.random() < 0.5 else board)


DRAWINGS = (
    drawing(
        "shapes-filled", "shapes", tuple(SHAPES), partial(_filled, tuple(SHAPES.values()), scene), 600, 400
    ),
    drawing(
        "shapes-outlined",
        "shapes",
        tuple(SHAPES),
        partial(_outlined, tuple(SHAPES.values()), cluttered),
        1500,
        500,
    ),
    drawing(
        "polygon-sides", "shapes", tuple(SIDES), partial(_outlined, tuple(SIDES.values()), paper), 900, 420
    ),
    drawing(
        "star-spikes",
        "shapes",
        tuple(STARS),
        partial(_filled, tuple(STARS.values()), board),
        240,
        420,
        imbalance=6,
    ),
    drawing(
        "silhouettes",
        "silhouettes",
        tuple(f"silhouette {i}" for i in range(30)),
        partial(_silhouette, "silhouettes"),
        360,
        450,
        mirrored=False,
    ),
    drawing(
        "red-and-blue", "relations", ("left", "right", "above", "below"), _placed, 400, 400, mirrored=False
    ),
    drawing("disc-and-ring", "relations", NESTING, _nested, 900, 420),
    drawing("same-or-not", "relations", ("same", "different"), _same, 2000, 500),
)
