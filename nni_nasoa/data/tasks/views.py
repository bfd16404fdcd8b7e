"""Views and figures: land from above, surfaces with defects, limbed figures in poses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise, product

import numpy as np

from .canvas import (
    CENTRE,
    SIZE,
    Look,
    Mask,
    Pose,
    board,
    box,
    cluttered,
    finished,
    over,
    painted,
    paper,
    pose,
    scene,
    smooth,
    speckled,
)
from .task import drawing
from .textures import X, Y, cloud

LAND = ("fields", "orchard", "forest", "meadow", "bare ground", "river", "road", "lake", "houses", "industry")
_EARTHS = np.array(
    [
        (92, 112, 62),
        (122, 132, 78),
        (70, 92, 58),
        (150, 134, 98),
        (168, 150, 116),
        (128, 116, 90),
        (110, 124, 84),
    ]
)
_WATER = (58, 82, 98)
_ROOFS = np.array([(150, 88, 70), (130, 126, 124), (190, 184, 176), (108, 84, 72)])


def _earth(rng: np.random.Generator) -> np.ndarray:
    return _EARTHS[rng.integers(len(_EARTHS))] * rng.uniform(0.75, 1.15) + rng.normal(0, 8, 3)


def _land(label: int, rng: np.random.Generator) -> np.ndarray:
    name, place, first = LAND[label], pose(rng, turn=3, scale=(1.0, 1.4), shift=0.1), _earth(rng)
    image = over(
        np.tile(first, (SIZE, SIZE, 1)),
        cloud(rng, rng.uniform(1, 1.8)).clip(0, 1),
        0.6 * first + 0.4 * _earth(rng),
    )
    if name == "fields" or (name in ("river", "road", "lake") and rng.random() < 0.3):
        image = _fields(image, rng, place)
    crown = np.array((62, 86, 48)) * rng.uniform(0.8, 1.4) + rng.normal(0, 8, 3)
    if name in _COVERS:
        image = _COVERS[name](image, rng, place, crown)
    if name == "meadow" or (rng.random() < 0.4 and name not in ("forest", "orchard")):
        places = rng.uniform(0, 1, (int(rng.integers(4, 12)), 2))
        image = _crowns(image, rng, places, rng.uniform(0.025, 0.045), crown, place)
    return finished(image + rng.uniform(0, 0.35) * (rng.uniform(90, 190) - image), rng, 16)


def _crowns(
    image: np.ndarray,
    rng: np.random.Generator,
    places: np.ndarray,
    radius: float,
    colour: np.ndarray,
    place: Pose,
) -> np.ndarray:
    """Crowns of trees beside their shadows."""
    for shade, moved in ((0.45, 0.3 * radius), (1, 0)):
        mask = Mask(place)
        for x, y in places + moved:
            mask.disc(x, y, radius * rng.uniform(0.7, 1.15), rng.uniform(0.6, 1))
        image = over(image, mask.array(), colour * shade)
    return image


def _fields(image: np.ndarray, rng: np.random.Generator, place: Pose) -> np.ndarray:
    edges = np.r_[-0.4, np.sort(rng.uniform(0.1, 0.9, rng.integers(1, 3))), 1.4]
    for (left, right), (top, bottom) in product(pairwise(edges), ((-0.4, 0.5), (0.5, 1.4))):
        colour, rows = _earth(rng), Mask(place)
        image = over(image, Mask(place).area(box(left, top, right, bottom)).array(), colour)
        for x in np.arange(left, right, rng.uniform(0.06, 0.1)):
            rows.line([(x, top), (x, bottom)], 0.02)
        image = over(image, rows.array() * rng.uniform(0, 0.6), colour * rng.uniform(0.6, 0.9))
    return image


# -- what covers the land: each takes the image, random numbers, a pose, and the colour of trees --


def _orchard(image: np.ndarray, rng: np.random.Generator, place: Pose, crown: np.ndarray) -> np.ndarray:
    step = rng.uniform(0.11, 0.17)
    grid = np.meshgrid(np.arange(-0.3, 1.3, step), np.arange(-0.3, 1.3, step * rng.uniform(0.8, 1.3)))
    trees = np.stack(grid, -1).reshape(-1, 2)
    trees = trees[rng.random(len(trees)) < 0.93]
    return _crowns(image, rng, trees, step * rng.uniform(0.25, 0.38), crown, place)


def _forest(image: np.ndarray, rng: np.random.Generator, place: Pose, crown: np.ndarray) -> np.ndarray:
    for shade in (0.75, 1.1):
        trees = rng.uniform(-0.2, 1.2, (70, 2))
        image = _crowns(image, rng, trees, rng.uniform(0.045, 0.075), crown * shade, place)
    return image


def _lake(image: np.ndarray, rng: np.random.Generator, place: Pose, _crown: np.ndarray) -> np.ndarray:
    angles = np.arange(9) * 2 * np.pi / 9
    shore = np.column_stack([np.cos(angles), np.sin(angles)]) * rng.uniform(0.14, 0.42, (9, 1))
    shore = shore + rng.uniform(0.35, 0.65, 2)
    return over(
        image,
        Mask(place).area(smooth(shore, closed=True)).array(),
        np.array(_WATER) * rng.uniform(0.7, 1.4),
    )


def _track(
    image: np.ndarray, rng: np.random.Generator, place: Pose, colour: np.ndarray, bends: float, width: float
) -> np.ndarray:
    heights = rng.uniform(0.35, 0.65) + rng.normal(0, bends, 7)
    track = smooth(np.column_stack([np.linspace(-0.5, 1.5, 7), heights]))
    return over(image, Mask(place).line(track, width).array(), colour)


def _river(image: np.ndarray, rng: np.random.Generator, place: Pose, _crown: np.ndarray) -> np.ndarray:
    colour = np.array(_WATER) * rng.uniform(0.7, 1.4)
    return _track(image, rng, place, colour, 0.15, rng.uniform(0.07, 0.2))


def _road(image: np.ndarray, rng: np.random.Generator, place: Pose, _crown: np.ndarray) -> np.ndarray:
    colour = np.full(3, rng.uniform(70, 190))
    return _track(image, rng, place, colour, rng.choice((0, 0.06)), rng.uniform(0.05, 0.1))


def _built(
    image: np.ndarray,
    rng: np.random.Generator,
    place: Pose,
    step: float,
    sides: tuple[float, float],
    ways: np.ndarray,
    widths: Callable[[], float],
) -> np.ndarray:
    """Roofs and their shadows, one each `step`, with sides of these lengths, among ways at these heights."""
    grey, streets = rng.uniform(100, 180), Mask(place)
    for y in ways:
        streets.line([(-0.4, y), (1.4, y)], widths())
    image = over(image, streets.array(), np.full(3, grey))
    shadows, roofs = Mask(place), [Mask(place) for _ in _ROOFS]
    grid = np.mgrid[-0.2:1.2:step, -0.2:1.2:step].reshape(2, -1).T
    for at in grid + rng.uniform(-0.02, 0.02, 2):
        corner, (width, height) = at + rng.uniform(0, 0.2 * step, 2), rng.uniform(*sides, 2)
        if rng.random() < 0.8:
            shadows.area(box(0, 0, width, height) + corner + 0.02)
            roof = roofs[int(rng.integers(4))].area(box(0, 0, width, height) + corner)
            roof.area(box(0, 0, width, height / 2) + corner, 0.75)
    image = over(image, 0.6 * shadows.array(), np.zeros(3))
    for mask, colour in zip(roofs, _ROOFS * rng.uniform(0.8, 1.2)):
        image = over(image, mask.array(), colour)
    return image


def _houses(image: np.ndarray, rng: np.random.Generator, place: Pose, _crown: np.ndarray) -> np.ndarray:
    return _built(image, rng, place, 0.2, (0.07, 0.13), np.arange(-0.34, 1.4, 0.4), lambda: 0.05)


def _industry(image: np.ndarray, rng: np.random.Generator, place: Pose, _crown: np.ndarray) -> np.ndarray:
    ways = np.arange(-0.34, 1.4, 0.5)
    return _built(image, rng, place, 0.5, (0.2, 0.42), ways, lambda: rng.uniform(0.1, 0.6))


def _bare(image: np.ndarray, rng: np.random.Generator, _place: Pose, _crown: np.ndarray) -> np.ndarray:
    return over(image, cloud(rng, 1).clip(0, 1) * 0.7, image.mean((0, 1)) * rng.uniform(0.6, 0.8))


_COVERS = {
    "orchard": _orchard,
    "forest": _forest,
    "lake": _lake,
    "river": _river,
    "road": _road,
    "houses": _houses,
    "industry": _industry,
    "bare ground": _bare,
}


# -- surfaces --

DEFECTS = ("none", "scratch", "pits", "stain", "crack", "dent", "scuff")


def _scratch(mask: Mask, rng: np.random.Generator, at: np.ndarray, turned: float) -> None:
    half = rng.uniform(0.1, 0.25) * _way(turned)
    points = np.array([at - half, at + rng.normal(0, 0.015, 2), at + half])
    mask.line(smooth(points), rng.uniform(0.01, 0.018))


def _pits(mask: Mask, rng: np.random.Generator, at: np.ndarray, _turned: float) -> None:
    for x, y in at + rng.normal(0, 0.07, (int(rng.integers(1, 4)), 2)):
        mask.disc(x, y, rng.uniform(0.016, 0.032))


def _crack(mask: Mask, rng: np.random.Generator, at: np.ndarray, turned: float) -> None:
    start, trunk = at, None
    for branch in (0.0, -0.8, 0.0):
        turns = turned + branch + rng.normal(0, 0.55, 6)
        steps = 0.045 * np.column_stack([np.cos(turns), np.sin(turns)])
        walk = np.vstack([start, start + np.cumsum(steps, 0)])
        mask.line(walk, rng.uniform(0.01, 0.018))
        trunk = walk if trunk is None else trunk
        start = trunk[rng.integers(1, 5)]


def _scuff(mask: Mask, rng: np.random.Generator, at: np.ndarray, turned: float) -> None:
    for start in at + rng.normal(0, 0.05, (int(rng.integers(8, 16)), 2)):
        end = start + rng.uniform(0.04, 0.09) * _way(turned) + rng.normal(0, 0.01, 2)
        mask.line([start, end], 0.01)


def _way(turned: float) -> np.ndarray:
    return np.array([np.cos(turned), np.sin(turned)])


_MARKS = {"scratch": _scratch, "pits": _pits, "crack": _crack, "scuff": _scuff}


def _defect(label: int, rng: np.random.Generator) -> np.ndarray:
    """Brushed metal or grained wood in uneven light, with a small defect."""
    name, wooden, mask, at = DEFECTS[label], rng.random() < 0.4, Mask(), rng.uniform(0.2, 0.8, 2)
    tone = np.array((150, 112, 78) if wooden else (140, 143, 148)) * rng.uniform(0.75, 1.2)
    grain = cloud(rng, rng.uniform(0.5, 1.2), stretch=rng.uniform(2, 6))
    grain = np.rot90(grain, int(rng.integers(2))) - 0.5
    if wooden:
        rings = np.sin(2 * np.pi * (rng.uniform(3, 8) * X + 1.5 * cloud(rng, 2, stretch=2)))
        grain = 0.25 * rings + 0.5 * grain
    angle, turned, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi), rng.uniform(0.45, 0.9)
    across = (X - 0.5) * np.cos(angle) + (Y - 0.5) * np.sin(angle)
    light = 1 + rng.uniform(0, 0.5) * across + rng.uniform(-0.5, 0.5) * across**2
    tint = tone * rng.uniform(0.25, 0.4)
    u, v = X - at[0], Y - at[1]
    if name in _MARKS:
        _MARKS[name](mask, rng, at, turned)
    elif name == "dent":
        size = rng.uniform(0.05, 0.1)
        slope = (u * np.cos(turned) + v * np.sin(turned)) / size
        light = light + 0.6 * depth * slope * np.exp(-(u * u + v * v) / (2 * size * size))
    where = mask.array()
    if name == "stain":
        beyond = np.hypot(u, v) + 0.25 * (cloud(rng, 2) - 0.5) - rng.uniform(0.08, 0.17)
        where, tint = 0.6 / (1 + np.exp(beyond / 0.015)), tone * rng.uniform(0.4, 1, 3)
    elif rng.random() < 0.4 and name in ("scratch", "scuff"):
        tint = 1.5 * tone
    surface = tone * (1 + rng.uniform(0.25, 0.55) * grain[..., None])
    return finished(over(surface, depth * where, tint) * light[..., None], rng, 10)


# The trunk's lean; near arm, far arm, near leg, far leg: the upper and the lower part of each, in degrees
# from hanging down.
POSES = {
    "standing": (0, 12, 8, -12, -8, 5, 3, -5, -3),
    "arms up": (0, 155, 170, -155, -170, 6, 3, -6, -3),
    "star jump": (0, 125, 130, -125, -130, 38, 34, -38, -34),
    "arms out": (0, 90, 90, -90, -90, 6, 4, -6, -4),
    "waving": (0, 130, 190, -12, -8, 6, 3, -6, -3),
    "running": (15, 50, 130, -55, 20, 60, -15, -25, -85),
    "kicking": (-14, 50, 70, -60, -45, 82, 80, -6, -6),
    "bowing": (80, 20, 10, 5, 0, 2, 0, -6, -4),
    "sitting": (-5, 35, 75, 25, 65, 88, 2, 80, -6),
    "kneeling": (0, 25, 60, -15, 10, 82, 0, 0, -85),
}


def _figure(looks: Sequence[Look], filled: bool, label: int, rng: np.random.Generator) -> np.ndarray:
    lean, *limbs = np.radians(np.array(list(POSES.values())[label]) + rng.normal(0, 10, 9))
    trunk, limb, head = rng.uniform((0.26, 0.12, 0.055), (0.33, 0.17, 0.08))
    up = np.array([np.sin(lean), -np.cos(lean)])
    lines, top = [np.array([(0, 0), trunk * up])], (trunk + 1.15 * head) * up
    for i, angles in enumerate(np.reshape(limbs, (4, 2))):
        steps = limb * (1 if i < 2 else 1.3) * np.column_stack([np.sin(angles), np.cos(angles)])
        lines.append(np.cumsum([0.88 * trunk * up if i < 2 else (0, 0), *steps], 0))
    every, facing, base = (
        np.vstack([*lines, top]),
        rng.choice((-1, 1)),
        pose(rng, turn=0.1, scale=(0.6, 1.1), shift=0.1),
    )
    mask = Mask(lambda points: base((points - (every.min(0) + every.max(0)) / 2) * (facing, 1) + CENTRE))
    width = rng.uniform(0.05, 0.085) if filled else rng.uniform(0.018, 0.05)
    for i, line in enumerate(lines):
        mask.line(line, 2 * width if filled and i == 0 else width)
    x, y = top
    return painted(mask.disc(x, y, head), rng, looks[int(rng.integers(len(looks)))], noise=15)


_POSED = tuple(POSES)
DRAWINGS = (
    drawing("aerial", "aerial", LAND, _land, 500, 500),
    drawing("defects", "defects", DEFECTS, _defect, 700, 420),
    drawing("poses", "poses", _POSED, partial(_figure, (cluttered, scene, speckled), False), 600, 500),
    drawing("poses-few", "poses", _POSED, partial(_figure, (board, paper), True), 120, 400),
)
