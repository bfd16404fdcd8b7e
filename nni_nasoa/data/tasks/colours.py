"""Colours: their names, pairs of them, the colour of one thing among others."""

from __future__ import annotations

import numpy as np

from .canvas import CENTRE, SIZE, Mask, finished, hsv, over, polygon, pose, scene, star
from .task import drawing
from .textures import X, Y

HUES = (
    "red",
    "orange",
    "yellow",
    "lime",
    "green",
    "teal",
    "cyan",
    "azure",
    "blue",
    "violet",
    "magenta",
    "rose",
)
PAIRED = ("red", "yellow", "green", "cyan", "blue", "magenta")
PAIRS = tuple(f"{first} and {second}" for i, first in enumerate(PAIRED) for second in PAIRED[i + 1 :])


def _colour(name: str, rng: np.random.Generator) -> np.ndarray:
    """A shade of a hue: pale or full, dark or light."""
    hue = HUES.index(name) / len(HUES) + rng.normal(0, 0.009)
    return hsv(hue, rng.uniform(0.5, 1), rng.uniform(0.5, 1))


def _hue(label: int, rng: np.random.Generator) -> np.ndarray:
    """A blot in a hue on grey, under coloured noise."""
    back = np.full((SIZE, SIZE, 3), rng.uniform(20, 235))
    mask = (
        Mask(pose(rng, turn=3, scale=(0.5, 1.1), shift=0.15))
        .area(polygon(int(rng.integers(3, 9)), 0.42))
        .array()
    )
    return finished(over(back, mask, _colour(HUES[label], rng)) + rng.normal(0, 20, back.shape), rng)


def _pair(label: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes, checks or halves in two hues."""
    first, second = (_colour(name, rng) for name in rng.permutation(PAIRS[label].split(" and ")))
    angle, waves = rng.uniform(0, np.pi), rng.uniform(0.5, 5)
    u, v = X * np.cos(angle) + Y * np.sin(angle) - 0.5, Y * np.cos(angle) - X * np.sin(angle)
    values = (np.sin(2 * np.pi * waves * u), np.sin(2 * np.pi * waves * u) * np.sin(2 * np.pi * waves * v))[
        rng.integers(2)
    ]
    return finished(over(np.tile(first, (SIZE, SIZE, 1)), (values > 0).astype(float), second), rng, 40)


def _of_the_star(label: int, rng: np.random.Generator) -> np.ndarray:
    """A star in a hue, among discs and squares in others."""
    image, _ = scene(rng)
    image = 0.5 * image + 0.25 * image.mean()
    places = rng.permutation([(x, y) for x in (0.25, 0.75) for y in (0.25, 0.75)])
    other = [name for name in PAIRED if name != PAIRED[label]]
    for i, place in enumerate(places):
        shape, size = (
            (star(5, 0.46), 0.5)
            if i == 0
            else (polygon(int(rng.choice((4, 30))), 0.46, np.pi / 4), rng.uniform(0.3, 0.46))
        )
        name = PAIRED[label] if i == 0 else other[rng.integers(len(other))]
        points = (shape - CENTRE) * size + place + rng.uniform(-0.05, 0.05, 2)
        image = over(image, Mask().area(points).array(), _colour(name, rng))
    return finished(image, rng)


DRAWINGS = (
    drawing("hues", "colours", HUES, _hue, 240, 480),
    drawing("colour-pairs", "colours", PAIRS, _pair, 600, 450),
    drawing("colour-of-the-star", "colours", PAIRED, _of_the_star, 1500, 480),
)
