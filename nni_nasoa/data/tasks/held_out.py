"""Tasks of kinds that are kept for evaluation: counts, plants, photographs, gauges, mazes, landscapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np

from nni_nasoa.data.arrays import DatasetError

from .canvas import (
    SIZE,
    Mask,
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
)
from .task import drawing
from .textures import X, Y, cloud

COUNTS = ("one", "two", "three", "four", "five", "six")


def _count(label: int, rng: np.random.Generator) -> np.ndarray:
    """Discs and squares that do not touch."""
    mask, radius = Mask(), rng.uniform(0.045, 0.085)
    places: list[np.ndarray] = []
    while len(places) <= label:
        place = rng.uniform(radius, 1 - radius, 2)
        if all(np.hypot(*(place - other)) > 2.6 * radius for other in places):
            places.append(place)
            x, y = place
            square = (polygon(4, 1.2, np.pi / 4) - 0.5) * radius + place
            mask.area(ellipse(x, y, radius) if rng.random() < 0.5 else square)
    return painted(mask, rng, scene if rng.random() < 0.7 else cluttered)


# -- plants: Lindenmayer systems (Prusinkiewicz and Lindenmayer, The Algorithmic Beauty of Plants, 1990,
# section 1.6) --

_SYSTEMS = {  # rules, rounds, angle in degrees
    "reed": ({"F": "F[+F]F[-F]F"}, 3, 25.7),
    "bush": ({"F": "F[+F]F[-F][F]"}, 3, 20),
    "broom": ({"F": "FF-[-F+F+F]+[+F-F-F]"}, 2, 22.5),
    "fir": ({"X": "F[+X]F[-X]+X", "F": "FF"}, 4, 20),
    "candle": ({"X": "F[+X][-X]FX", "F": "FF"}, 4, 25.7),
    "fern": ({"X": "F-[[X]+X]+F[+FX]-X", "F": "FF"}, 3, 22.5),
    "fork": ({"X": "F[+X][-X]", "F": "F"}, 6, 28),
    "herb": ({"F": "F[+F]F"}, 4, 32),
    "thistle": ({"X": "F[++X][-X][+X][--X]X", "F": "F"}, 4, 24),
}


@cache
def _word(name: str) -> str:
    rules, rounds, _ = _SYSTEMS[name]
    word = "X" if "X" in rules else "F"
    for _ in range(rounds):
        word = "".join(rules.get(sign, sign) for sign in word)
    return word


def _plant(names: Sequence[str], label: int, rng: np.random.Generator) -> np.ndarray:
    place, heading, stack, lines = np.zeros(2), -np.pi / 2, [], []
    angle = np.deg2rad(_SYSTEMS[names[label]][2]) * rng.uniform(0.85, 1.15)
    shake, wind = 0.12, rng.normal(0, 0.08)
    for sign in _word(names[label]):
        if sign == "F":
            step = rng.uniform(0.8, 1.2) * np.array([np.cos(heading), np.sin(heading)])
            lines.append((place, place + step))
            place = place + step
            heading += wind * 0.1
        elif sign in "+-":
            heading += (angle + rng.normal(0, shake)) * (1 if sign == "+" else -1)
        elif sign == "[":
            stack.append((place, heading))
        elif sign == "]":
            place, heading = stack.pop()
    points = np.array(lines)
    low, high = points.min((0, 1)), points.max((0, 1))
    points = (points - (low + high) / 2) / (high - low).max() * rng.uniform(0.7, 0.95) + 0.5
    mask, width = Mask(), rng.uniform(0.012, 0.022)
    for line in points:
        mask.line(line, width)
    return painted(mask, rng, paper if rng.random() < 0.5 else scene)


# -- parts of photographs --

PARTS = {  # photograph, and left, top, right and bottom in it
    "sky": ("china", 340, 0, 640, 130),
    "lake": ("china", 345, 205, 545, 285),
    "roofs": ("china", 90, 60, 330, 190),
    "storeys": ("china", 75, 180, 345, 345),
    "bushes": ("china", 330, 285, 560, 427),
    "pine": ("china", 555, 140, 640, 400),
    "leaves": ("flower", 0, 60, 160, 330),
    "heart": ("flower", 240, 150, 370, 285),
    "petals": ("flower", 195, 88, 415, 170),
}


@cache
def _photo(name: str) -> np.ndarray:
    try:
        from sklearn.datasets import load_sample_image
    except ImportError:
        raise DatasetError(
            "task: photo-parts is cut from scikit-learn's photographs; pip install 'nni-nasoa[photographs]'"
        ) from None
    return load_sample_image(f"{name}.jpg")


def _part(label: int, rng: np.random.Generator) -> np.ndarray:
    """A patch of a part of a photograph, mirrored or not, in other light.

    Patches for training and validation overlap.
    """
    from PIL import Image

    name, left, top, right, bottom = list(PARTS.values())[label]
    side = int(rng.integers(40, min(120, right - left, bottom - top)))
    x, y = rng.integers(left, right - side + 1), rng.integers(top, bottom - side + 1)
    cut = Image.fromarray(_photo(name)[y : y + side, x : x + side])
    patch = np.asarray(cut.resize((SIZE, SIZE), Image.Resampling.BICUBIC), float)
    patch = patch if rng.random() < 0.5 else patch[:, ::-1]
    return finished(
        patch * rng.uniform(0.6, 1.3) * rng.uniform(0.85, 1.15, 3) + rng.uniform(-25, 25), rng, 15
    )


# -- gauges --

HOURS = tuple(f"{hour} o'clock" for hour in range(1, 13))
LEVELS = tuple(f"{10 * tenth} to {10 * tenth + 10} %" for tenth in range(0, 10, 2))


def _clock(label: int, rng: np.random.Generator) -> np.ndarray:
    """An hour on a dial that is nearly upright; the long hand is at twelve."""
    mask = Mask(pose(rng, turn=0.06, scale=(0.7, 1.0), shift=0.07))
    if rng.random() < 0.8:
        mask.line(ellipse(0.5, 0.5, 0.46), rng.uniform(0.02, 0.05), closed=True)
    for tick in range(0, 12, int(rng.choice((1, 3)))):
        way = _direction(tick / 12)
        mask.line([0.5 + 0.37 * way, 0.5 + 0.43 * way], 0.025)
    minutes = 0.0, rng.uniform(0.32, 0.4), 0.03
    hours = (label + 1) / 12 + rng.normal(0, 0.006), rng.uniform(0.2, 0.26), 0.055
    for turns, length, width in (minutes, hours):
        mask.line([np.full(2, 0.5), 0.5 + length * _direction(turns)], width)
    return painted(mask, rng, scene)


def _direction(turns: float) -> np.ndarray:
    """A step from the centre of a dial, clockwise from twelve."""
    return np.array([np.sin(2 * np.pi * turns), -np.cos(2 * np.pi * turns)])


def _level(label: int, rng: np.random.Generator) -> np.ndarray:
    """A tank that is filled to a fifth of its height, seen upright."""
    share = (label + rng.uniform(0.1, 0.9)) / len(LEVELS)
    left, top, width, height = (
        rng.uniform(0.1, 0.4),
        rng.uniform(0.05, 0.25),
        rng.uniform(0.2, 0.45),
        rng.uniform(0.45, 0.68),
    )
    back, ink = scene(rng)
    liquid = Mask().area(box(left, top + (1 - share) * height, left + width, top + height)).array()
    walls = Mask().line(box(left, top, left + width, top + height), 0.025, closed=True).array()
    return finished(over(over(back, liquid, 0.4 * ink + 0.6 * rng.uniform(0, 255, 3)), walls, ink), rng, 20)


# -- mazes --

MAZES = ("open", "long ways", "rows", "diagonal", "rooms")


def _maze(label: int, rng: np.random.Generator) -> np.ndarray:
    """Walls of a maze, made by another rule in each class."""
    cells = int(rng.integers(8, 12))
    right, down = np.ones((2, cells, cells), bool)  # walls
    if label == 1:  # depth first
        seen, path = {(0, 0)}, [(0, 0)]
        while path:
            y, x = path[-1]
            ways = [
                (v, u)
                for v, u in ((y, x + 1), (y, x - 1), (y + 1, x), (y - 1, x))
                if 0 <= u < cells and 0 <= v < cells and (v, u) not in seen
            ]
            if not ways:
                path.pop()
                continue
            v, u = ways[rng.integers(len(ways))]
            (right if v == y else down)[min(y, v), min(x, u)] = False
            seen.add((v, u))
            path.append((v, u))
    elif label == 0:
        right, down = rng.random((2, cells, cells)) < 0.45
    elif label == 2:
        right, down = rng.random((cells, cells)) < 0.12, rng.random((cells, cells)) < 0.85
    elif label == 3:
        right = rng.random((cells, cells)) < 0.5
        down = ~right
    else:
        step = int(rng.integers(2, 4))
        lines = (np.arange(cells) + 1) % step == 0
        right, down = (
            lines[None, :] & (rng.random((cells, cells)) < 0.8),
            lines[:, None] & (rng.random((cells, cells)) < 0.8),
        )
    mask, width = (
        Mask(pose(rng, turn=0.03, scale=(0.8, 0.95), shift=0.04, stretch=0.03)),
        rng.uniform(0.015, 0.03),
    )
    mask.line(box(0, 0, 1, 1), width, closed=True)
    for y, x in np.argwhere(right):
        mask.line([((x + 1) / cells, y / cells), ((x + 1) / cells, (y + 1) / cells)], width)
    for y, x in np.argwhere(down):
        mask.line([(x / cells, (y + 1) / cells), ((x + 1) / cells, (y + 1) / cells)], width)
    return painted(mask, rng, paper if rng.random() < 0.5 else board)


# -- landscapes from above --

LANDS = ("islands", "dunes", "craters", "canyons", "terraces", "peaks")


def _land(label: int, rng: np.random.Generator) -> np.ndarray:
    """Heights by another rule in each class, lit from a side, in earthen colours."""
    height = cloud(rng, 1.9)
    if label == 0:
        height = np.maximum(height, rng.uniform(0.45, 0.55))
    elif label == 1:
        turn = rng.normal(0.6, 0.3)
        phase = (rng.uniform(4, 7) * (X * np.cos(turn) + Y * np.sin(turn)) + 0.9 * height) % 1
        height = 0.12 * np.minimum(phase / 0.7, (1 - phase) / 0.3)
    elif label == 2:
        height = 0.25 * height
        for _ in range(int(rng.integers(5, 12))):
            x, y = rng.uniform(0, 1, 2)
            distance = np.hypot(X - x, Y - y) / rng.uniform(0.05, 0.16)
            height = height + 0.07 * np.where(
                distance < 1, distance**2 - 0.6, 0.4 * np.exp(-4 * (distance - 1))
            )
    elif label == 3:
        height = 0.5 * np.minimum(np.abs(height - 0.5) * 4, 0.5)
    elif label == 4:
        height = 0.5 * np.round(height * 8) / 8 + 0.05 * height
    else:
        height = 0.8 * (1 - np.abs(2 * cloud(rng, 1.4) - 1))
    slope_y, slope_x = np.gradient(height * SIZE)
    angle = rng.uniform(0, 2 * np.pi)
    light = 0.65 + 0.45 * np.tanh(1.2 * (slope_x * np.cos(angle) + slope_y * np.sin(angle)))
    hue = np.array((150, 120, 85)) + rng.uniform(-35, 35, 3)
    image = light[..., None] * (hue + 70 * (height[..., None] - height.mean()))
    if label == 0:
        image = np.where(
            (height <= height.min())[..., None], rng.uniform((20, 50, 90), (60, 110, 170)), image
        )
    return finished(image, rng, 12)


_held_out = partial(drawing, held_out=True)


DRAWINGS = (
    _held_out("counts", "counting", COUNTS, _count, 900, 480),
    _held_out("plants", "plants", _SYSTEMS, partial(_plant, tuple(_SYSTEMS)), 450, 450),
    _held_out("photo-parts", "photographs", PARTS, _part, 360, 450),
    _held_out("clocks", "gauges", HOURS, _clock, 720, 480, mirrored=False),
    _held_out("tank-levels", "gauges", LEVELS, _level, 300, 400),
    _held_out("mazes", "mazes", MAZES, _maze, 200, 400, mirrored=False),
    _held_out("landscapes", "landscapes", LANDS, _land, 240, 420, imbalance=4),
)
