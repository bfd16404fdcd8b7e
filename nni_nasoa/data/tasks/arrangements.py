"""Parts in an arrangement: tilings, noughts and crosses, molecules, constellations, braille, bridges.

And fruit, and shaded balls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import numpy as np

from .canvas import (
    SIZE,
    Mask,
    Points,
    board,
    cluttered,
    ellipse,
    finished,
    hsv,
    over,
    painted,
    paper,
    pose,
    scene,
    smooth,
)
from .prototypes import prototype
from .task import drawing
from .textures import X, Y


def _tiling(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """A motif of the class's own, repeated in rows that are shifted against each other or not."""
    own = prototype(name, label)
    strokes = [own.random((int(own.integers(2, 5)), 2)) for _ in range(int(own.integers(2, 4)))]
    shifted, width = own.choice((0.0, 0.5)), own.uniform(0.1, 0.2)
    cell, mask = rng.uniform(0.24, 0.36), Mask(pose(rng, turn=0.4, scale=(0.9, 1.1), shift=0.1))
    for row in range(-2, 6):
        for column in range(-2, 6):
            for stroke in strokes:
                mask.line(
                    (stroke + np.array((column + shifted * (row % 2), row))) * cell,
                    width * cell * rng.uniform(0.85, 1.15),
                )
    return painted(mask, rng, scene, noise=25)


LINES = ("none", "row", "column", "diagonal")
_COMPLETE = {
    "row": [(0, 1, 2), (3, 4, 5), (6, 7, 8)],
    "column": [(0, 3, 6), (1, 4, 7), (2, 5, 8)],
    "diagonal": [(0, 4, 8), (2, 4, 6)],
}


def _complete(cells: np.ndarray, lines: Iterable[Sequence[int]]) -> bool:
    return any(len({*cells[list(line)]}) == 1 and cells[line[0]] for line in lines)


def _noughts(label: int, rng: np.random.Generator) -> np.ndarray:
    """Noughts and crosses, with a complete line of the class's direction and no other."""
    wanted = LINES[label]
    while True:
        cells = rng.choice((0, 1, 2), 9, p=(0.25, 0.375, 0.375))
        if wanted != "none":
            lines = _COMPLETE[wanted]
            cells[list(lines[rng.integers(len(lines))])] = rng.integers(1, 3)
        if all(_complete(cells, lines) == (direction == wanted) for direction, lines in _COMPLETE.items()):
            break
    mask, width = Mask(pose(rng, turn=0.08, scale=(0.7, 1.0))), rng.uniform(0.025, 0.045)
    for at in (0.35, 0.65):
        mask.line([(at, 0.06), (at, 0.94)], 0.02).line([(0.06, at), (0.94, at)], 0.02)
    for cell, sign in enumerate(cells):
        x, y = np.array((0.2 + 0.3 * (cell % 3), 0.2 + 0.3 * (cell // 3))) + rng.normal(0, 0.012, 2)
        r = rng.uniform(0.075, 0.1)
        if sign == 1:
            mask.line(ellipse(x, y, r), width)
        elif sign == 2:
            mask.line([(x - r, y - r), (x + r, y + r)], width).line([(x - r, y + r), (x + r, y - r)], width)
    return painted(mask, rng, paper if rng.random() < 0.5 else board, noise=15)


MOLECULES = {
    # Bonds between atoms.
    "chain": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)],
    "fork": [(0, 1), (1, 2), (2, 3), (2, 4), (1, 5)],
    "star": [(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)],
    "ring of four": [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (2, 5)],
    "ring of five": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 5)],
    "ring of six": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0)],
    "two rings": [(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 5), (5, 3)],
    "bridged ring": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 0), (1, 4)],
}


def _relaxed(bonds: Sequence[tuple[int, int]], rng: np.random.Generator) -> Points:
    """Places of six atoms, from random ones: bonds pull to a length, all others push."""
    places = rng.normal(0, 0.3, (6, 2))
    bound = np.zeros((6, 6), bool)
    bound[tuple(np.transpose(bonds))] = True
    bound |= bound.T
    for _ in range(150):
        apart = places[:, None] - places
        length = np.linalg.norm(apart, axis=-1) + 1e-6
        force = np.where(bound, 1 - length, 0.15 / length**2)
        np.fill_diagonal(force, 0)
        places += 0.1 * (apart / length[..., None] * force.clip(-1, 1)[..., None]).sum(1)
    places -= places.mean(0)
    return 0.5 + 0.36 * places / np.abs(places).max()


def _molecule(label: int, rng: np.random.Generator) -> np.ndarray:
    bonds = list(MOLECULES.values())[label]
    places, turn = _relaxed(bonds, rng), pose(rng, turn=3, scale=(0.7, 1.0))
    image, ink = scene(rng)
    sticks = Mask(turn)
    for first, second in bonds:
        sticks.line(places[[first, second]], rng.uniform(0.025, 0.045))
    image = over(image, sticks.array(), ink)
    for x, y in places:
        atom = Mask(turn).disc(x, y, rng.uniform(0.05, 0.085))
        image = over(image, atom.array(), rng.uniform(0, 255, 3))
    return finished(image, rng, 20)


def _constellation(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """Stars of the class's own places, among others, in a sky that glows here and there."""
    own = prototype(name, label)
    stars, sizes = own.uniform(0.12, 0.88, (7, 2)), own.uniform(0.02, 0.04, 7)
    mask = Mask(pose(rng, turn=0.3, scale=(0.7, 1.05), shift=0.08))
    for (x, y), size in zip(stars + rng.normal(0, 0.012, stars.shape), sizes):
        mask.disc(x, y, size * rng.uniform(0.8, 1.2))
    for x, y in rng.random((int(rng.integers(3, 12)), 2)):
        mask.disc(x, y, rng.uniform(0.01, 0.025), rng.uniform(0.4, 1))
    return painted(mask, rng, lambda rng: (0.45 * scene(rng)[0], rng.uniform(190, 255, 3)), noise=30)


_DOTS = (
    "1 12 14 145 15 124 1245 125 24 245 13 123 134 1345 "
    "135 1234 12345 1235 234 2345 136 1236 2456 1346 13456 1356"
).split()
BRAILLE = dict(zip("abcdefghijklmnopqrstuvwxyz", _DOTS))


def _braille(label: int, rng: np.random.Generator) -> np.ndarray:
    """The raised dots of a letter: light on one side, dark on the other; places without a dot are faint."""
    dots = list(BRAILLE.values())[label]
    place, size, step = (
        pose(rng, turn=0.1, scale=(0.75, 1.1), shift=0.08),
        rng.uniform(0.07, 0.1),
        rng.uniform(0.012, 0.025),
    )
    image = np.full((SIZE, SIZE, 3), rng.uniform(90, 190)) + rng.normal(0, 12, 3)
    light, contrast = rng.uniform(0, 2 * np.pi), rng.uniform(45, 110)
    for dot in "123456":
        x, y = np.array((0.33 + 0.34 * (dot in "456"), 0.2 + 0.3 * ((int(dot) - 1) % 3))) + rng.normal(
            0, 0.01, 2
        )
        move, strength = step * np.array((np.cos(light), np.sin(light))), 1 if dot in dots else 0.18
        for sign in (1, -1):
            edge = Mask(place).disc(x + sign * move[0], y + sign * move[1], size)
            image = over(image, strength * edge.array(), image.mean((0, 1)) + sign * contrast)
        image = over(image, strength * Mask(place).disc(x, y, size).array(), image.mean((0, 1)))
    return finished(image, rng, 18)


BRIDGES = ("beam", "arch below", "arch above", "suspension", "cable-stayed", "truss")


def _bridge(label: int, rng: np.random.Generator) -> np.ndarray:
    """A bridge over water, seen from the side."""
    name, deck = BRIDGES[label], rng.uniform(0.5, 0.62)
    image, ink = scene(rng)
    water = (deck + rng.uniform(0.18, 0.26) < Y).astype(float)
    image = over(image, water, 0.5 * image + 0.5 * rng.uniform(0, 255, 3))
    mask, width = (
        Mask(pose(rng, turn=0.1, scale=(0.5, 0.95), shift=0.12, stretch=0.25)),
        rng.uniform(0.016, 0.03),
    )
    mask.line([(-0.2, deck), (1.2, deck)], rng.uniform(0.035, 0.06))
    rise, posts = rng.uniform(0.2, 0.36), int(rng.integers(4, 9))
    t = np.linspace(0, 1, 30)
    if name == "beam":
        for x in np.linspace(0.1, 0.9, int(rng.integers(2, 5))):
            mask.line([(x, deck), (x, 1.1)], 2 * width)
    elif name in ("arch below", "arch above", "suspension"):
        above = name != "arch below"
        sign = -1 if above else 1
        hang = 4 * t * (1 - t)
        height = (1 - hang) if name == "suspension" else hang if above else 1 - hang
        curve = np.column_stack([0.1 + 0.8 * t, deck + sign * rise * height])
        mask.line(curve, width)
        for x, y in curve[np.linspace(0, 29, posts).astype(int)]:
            mask.line([(x, y), (x, deck)], 0.6 * width)
        if name == "suspension":
            for x in (0.1, 0.9):
                mask.line([(x, deck - rise), (x, 1.0)], 2 * width).line(
                    [(x, deck - rise), (x + (x - 0.5), deck)], width
                )
    elif name == "cable-stayed":
        tower = rng.choice((0.3, 0.5, 0.7))
        mask.line([(tower, deck - 1.3 * rise), (tower, 1.0)], 2 * width)
        for reach in np.linspace(0.1, 0.45, posts):
            mask.line(
                [(tower - reach, deck), (tower, deck - 1.25 * rise), (tower + reach, deck)], 0.6 * width
            )
    else:
        x = np.linspace(0.08, 0.92, 2 * (posts // 2) + 3)
        zigzag = np.column_stack([x, deck - 0.7 * rise * (np.arange(len(x)) % 2)])
        mask.line(zigzag, width).line([(x[1], deck - 0.7 * rise), (x[-2], deck - 0.7 * rise)], width)
    return finished(over(image, rng.uniform(0.4, 1) * mask.array(), ink), rng, 45)


FRUIT = {
    # Hue, its spread, width, height, waist, and how far it is bent.
    "apple": (0.0, 0.12, 0.3, 0.29, 0.0, 0.0),
    "pear": (0.2, 0.05, 0.24, 0.34, 0.45, 0.0),
    "lemon": (0.15, 0.02, 0.34, 0.24, 0.0, 0.0),
    "orange": (0.08, 0.02, 0.3, 0.3, 0.0, 0.0),
    "banana": (0.14, 0.03, 0.42, 0.12, 0.0, 0.35),
    "plum": (0.8, 0.06, 0.25, 0.3, 0.0, 0.0),
    "aubergine": (0.78, 0.05, 0.22, 0.4, 0.3, 0.15),
    "lime": (0.28, 0.04, 0.31, 0.26, 0.0, 0.0),
    "tomato": (0.01, 0.02, 0.33, 0.27, 0.0, 0.0),
    "chilli": (0.0, 0.3, 0.4, 0.08, 0.0, 0.3),
}


def _fruit(label: int, rng: np.random.Generator) -> np.ndarray:
    """One fruit or vegetable lying in any direction, with a light on it, a stalk and spots."""
    hue, spread, width, height, waist, bend = list(FRUIT.values())[label]
    image, _ = cluttered(rng)
    angle = np.linspace(0, 2 * np.pi, 60)
    x, y = width * np.cos(angle), height * np.sin(angle)
    x = x * (1 - waist * (y < 0) * np.abs(y) / height)
    outline = np.column_stack([x, y + bend * (x / width) ** 2 * 0.5]) * rng.normal(1, 0.06, 2)
    place = pose(rng, turn=3, scale=(0.6, 1.05), shift=0.1)
    colour = hsv(hue + rng.uniform(-spread, spread), rng.uniform(0.55, 0.95), rng.uniform(0.45, 0.95))
    body = Mask(place).area(0.5 + outline).array()
    image = over(image, body, colour)
    light = rng.uniform(0.3, 0.7, 2)
    glow = np.exp(-((X - light[0]) ** 2 + (Y - light[1]) ** 2) / 0.03)
    image = over(image, 0.6 * body * glow, np.full(3, 255.0))
    for dx, dy in rng.normal(0, 0.15, (int(rng.integers(0, 12)), 2)):
        spot = Mask(place).disc(0.5 + dx, 0.5 + dy, 0.012)
        image = over(image, 0.5 * body * spot.array(), 0.4 * colour)
    stalk = smooth(
        0.5 + np.array([(0, -0.9 * height), (0.02, -height - 0.05), rng.normal((0.03, -height - 0.1), 0.02)]),
        12,
    )
    return finished(over(image, Mask(place).line(stalk, 0.035).array(), np.array((60, 70, 30))), rng, 20)


LIGHTS = ("right", "below right", "below", "below left", "left", "above left", "above", "above right")


def _lit(label: int, rng: np.random.Generator) -> np.ndarray:
    """A ball with a light from the class's direction, on a ground that is lighter in some other one."""
    angle = 2 * np.pi * (label + rng.uniform(-0.3, 0.3)) / 8
    (x, y), radius = rng.uniform(0.35, 0.65, 2), rng.uniform(0.18, 0.32)
    u, v = (X - x) / radius, (Y - y) / radius
    inside = (u * u + v * v < 1).astype(float)
    depth = np.sqrt((1 - u * u - v * v).clip(0))
    height = rng.uniform(0.3, 0.9)
    shade = (np.sqrt(1 - height**2) * (u * np.cos(angle) + v * np.sin(angle)) + height * depth).clip(0)
    colour = rng.uniform(80, 255, 3)
    stripes = 1 - 0.5 * rng.random() * (
        np.sin(2 * np.pi * rng.uniform(1, 5) * (u * np.cos(rng.uniform(0, 6)) + v)) > 0.3
    )
    ball = (rng.uniform(0.1, 0.35) + 0.8 * shade * stripes)[..., None] * colour
    return finished(over(cluttered(rng)[0], inside, ball), rng, 45)


DRAWINGS = (
    drawing(
        "tilings",
        "tilings",
        tuple(f"tiling {i}" for i in range(24)),
        partial(_tiling, "tilings"),
        360,
        480,
        mirrored=False,
    ),
    drawing("noughts-and-crosses", "boards", LINES, _noughts, 1600, 480),
    drawing("molecules", "molecules", tuple(MOLECULES), _molecule, 480, 480),
    drawing(
        "constellations",
        "constellations",
        tuple(f"constellation {i}" for i in range(16)),
        partial(_constellation, "constellations"),
        640,
        480,
        mirrored=False,
    ),
    drawing("braille", "braille", tuple(BRAILLE), _braille, 780, 520, mirrored=False),
    drawing("bridges", "bridges", BRIDGES, _bridge, 96, 480),
    drawing("fruit", "fruit", tuple(FRUIT), _fruit, 200, 480),
    drawing("lit-from", "shading", LIGHTS, _lit, 800, 480, mirrored=False),
)
