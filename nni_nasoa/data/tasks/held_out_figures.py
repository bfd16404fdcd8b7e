"""Tasks of kinds that are kept for evaluation: faces, flags, vehicles."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .canvas import (
    SIZE,
    Mask,
    Points,
    box,
    ellipse,
    finished,
    over,
    painted,
    polygon,
    pose,
    scene,
    smooth,
    star,
)
from .prototypes import prototype
from .task import drawing

# Brows (tilt), eyes (openness, left and right), mouth (its curve up, its opening).
EXPRESSIONS = {
    "neutral": (0, 1, 1, 0, 0),
    "happy": (0, 1, 1, 1, 0),
    "sad": (-1, 0.8, 0.8, -1, 0),
    "angry": (1.2, 0.8, 0.8, -0.6, 0),
    "surprised": (-0.4, 1.4, 1.4, 0, 1),
    "asleep": (0, 0, 0, 0, 0),
    "winking": (0, 1, 0, 0.9, 0),
    "laughing": (0, 0.3, 0.3, 1, 1),
}

_HAIR = np.array([(30, 25, 25), (95, 60, 35), (215, 180, 90), (190, 80, 35), (175, 175, 180)])


def _face(
    features: Sequence[float],
    person: np.ndarray,
    rng: np.random.Generator,
    hair: tuple[np.ndarray, float] | None = None,
) -> np.ndarray:
    """A face with an expression.

    Parameters
    ----------
    features
        As in EXPRESSIONS.
    person
        Widths and places: width and height of the face, how far the eyes are apart and how wide, how wide and
        how low the mouth is.
    rng
        Random numbers.
    hair
        Its colour, and how far it reaches down.
    """
    tilt, left, right, curve, opening = np.array(features) + rng.normal(0, 0.07, 5)
    width, height, apart, eye, mouth_width, low = person
    back, _ = scene(rng)
    skin = (np.array((235, 195, 160)) * rng.uniform(0.45, 1.05) + rng.uniform(-12, 12, 3)).clip(0, 255)
    lines = rng.uniform(0, 50, 3)
    place = pose(rng, turn=0.12, scale=(0.75, 1.05), shift=0.07)
    image = over(back, Mask(place).area(ellipse(0.5, 0.5, width, height)).array(), skin)
    if hair is not None:
        colour, reach = hair
        cap = ellipse(0.5, 0.48, width + 0.03, height + 0.02, np.pi + reach, 2 * np.pi - reach)
        image = over(image, Mask(place).area(cap).array(), colour)
    mask = Mask(place)
    for side, openness in ((-1, left), (1, right)):
        x = 0.5 + side * apart
        if openness > 0.15:
            mask.area(ellipse(x, 0.42, eye, eye * openness))
        else:
            mask.line([(x - eye, 0.42), (x + eye, 0.42)], 0.025)
        mask.line([(x - 0.08, 0.31 + 0.035 * side * -tilt), (x + 0.08, 0.31 + 0.035 * side * tilt)], 0.028)
    y = 0.5 + low
    corners = y - 0.06 * curve
    mouth = smooth(
        np.array([(0.5 - mouth_width, corners), (0.5, y + 0.1 * curve), (0.5 + mouth_width, corners)]), 30
    )
    if opening > 0.5:
        mask.area(
            np.vstack([mouth, ellipse(0.5, y + 0.07 * (1 + curve) / 2, 0.6 * mouth_width, 0.09, 0, np.pi)])
        )
    else:
        mask.line(mouth, 0.03)
    return finished(over(image, mask.array(), lines), rng, 10)


def _expression(label: int, rng: np.random.Generator) -> np.ndarray:
    person = rng.uniform((0.32, 0.38, 0.13, 0.035, 0.13, 0.2), (0.42, 0.46, 0.18, 0.06, 0.2, 0.26))
    return _face(list(EXPRESSIONS.values())[label], person, rng)


def _person(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """Somebody's face, whatever its expression: known by its widths and hair."""
    own = prototype(name, label)
    person = own.uniform((0.26, 0.34, 0.1, 0.025, 0.08, 0.16), (0.44, 0.47, 0.2, 0.075, 0.22, 0.28))
    hair = (
        _HAIR[own.integers(len(_HAIR))] + own.normal(0, 15, 3) + rng.normal(0, 10, 3),
        own.uniform(0.1, 0.7),
    )
    expressions = list(EXPRESSIONS.values())
    return _face(expressions[rng.integers(len(expressions))], person * rng.normal(1, 0.02, 6), rng, hair)


# -- flags --

_LAYOUTS = (
    "three rows",
    "three columns",
    "cross",
    "disc",
    "diagonal",
    "triangle",
    "canton",
    "star",
    "saltire",
    "border",
)
_CLOTHS = np.array(
    [
        (206, 17, 38),
        (0, 56, 147),
        (0, 122, 61),
        (252, 209, 22),
        (255, 255, 255),
        (20, 20, 20),
        (116, 172, 223),
        (255, 130, 0),
    ]
)


def _flag(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """A flag of the class's own layout and colours, waving in the wind."""
    own = prototype(name, label)
    layout = _LAYOUTS[own.integers(len(_LAYOUTS))]
    first, second, third = _CLOTHS[own.permutation(len(_CLOTHS))[:3]] + rng.normal(0, 6, (3, 3))
    layouts: dict[str, list[ArrayLike]] = {
        "three rows": [box(0, 0.33, 1, 0.67), box(0, 0.67, 1, 1)],
        "three columns": [box(0.33, 0, 0.67, 1), box(0.67, 0, 1, 1)],
        "cross": [box(0.28, 0, 0.5, 1), box(0, 0.38, 1, 0.62)],
        "disc": [ellipse(0.5, 0.5, 0.24, 0.34), ellipse(0.5, 0.5, 0.1, 0.14)],
        "diagonal": [[(0, 1), (1, 0), (1, 1)], [(0, 1), (0.16, 1), (1, 0.16), (1, 0), (0.84, 0), (0, 0.84)]],
        "triangle": [box(0, 0.5, 1, 1), [(0, 0), (0.5, 0.5), (0, 1)]],
        "canton": [box(0, 0, 0.45, 0.5), star(5, 0.22) - (0.28, 0.25)],
        "star": [box(0, 0.75, 1, 1), star(5, 0.36) - (0, 0.12)],
        "saltire": [
            [(0, 0), (0.2, 0), (1, 0.8), (1, 1), (0.8, 1), (0, 0.2)],
            [(1, 0), (0.8, 0), (0, 0.8), (0, 1), (0.2, 1), (1, 0.2)],
        ],
        "border": [box(0.16, 0.2, 0.84, 0.8), polygon(4, 0.2)],
    }
    waves, phase, lift = rng.uniform(0.6, 1.4), rng.uniform(0, 6.28), rng.uniform(0.01, 0.035)
    base = pose(rng, turn=0.12, scale=(0.65, 1.0), shift=0.06)

    def waving(points: Points) -> Points:
        x, y = (points * (0.94, 0.62) + (0.03, 0.19)).T
        return base(np.column_stack([x, y + lift * np.sin(2 * np.pi * waves * x + phase)]))

    image, _ = scene(rng)
    cloth = Mask(waving).area(_fine(box(0, 0, 1, 1))).array()
    image = over(image, cloth, first)
    for points, colour in zip(layouts[layout], (second, third)):
        image = over(image, Mask(waving).area(_fine(points)).array() * cloth, colour)
    shade = 1 + 0.25 * np.cos(2 * np.pi * waves * np.linspace(0, 1, SIZE) + phase)
    return finished(image * np.where(cloth[..., None] > 0.5, shade[None, :, None], 1), rng, 14)


def _fine(corners: ArrayLike) -> Points:
    """A polygon with many points on each side, so that it can bend."""
    points = np.asarray(corners, float)
    along = np.linspace(0, 1, 12, endpoint=False)[:, None]
    return np.vstack(
        [first + along * (second - first) for first, second in zip(points, np.roll(points, -1, axis=0))]
    )


# -- vehicles --

VEHICLES: dict[str, tuple[list[Any], list[tuple[float, float, float]], list[Any]]] = {
    # Areas; wheels, each by x, y and radius; lines.
    "car": (
        [
            [
                (0.05, 0.68),
                (0.05, 0.52),
                (0.24, 0.48),
                (0.36, 0.32),
                (0.66, 0.32),
                (0.8, 0.49),
                (0.95, 0.54),
                (0.95, 0.68),
            ]
        ],
        [(0.25, 0.69, 0.1), (0.76, 0.69, 0.1)],
        [],
    ),
    "bus": ([box(0.04, 0.24, 0.96, 0.7)], [(0.22, 0.71, 0.09), (0.78, 0.71, 0.09)], []),
    "lorry": (
        [box(0.03, 0.22, 0.66, 0.68), [(0.69, 0.68), (0.69, 0.38), (0.86, 0.38), (0.97, 0.53), (0.97, 0.68)]],
        [(0.16, 0.7, 0.085), (0.36, 0.7, 0.085), (0.83, 0.7, 0.085)],
        [],
    ),
    "bicycle": (
        [],
        [],
        [
            ellipse(0.24, 0.64, 0.19),
            ellipse(0.76, 0.64, 0.19),
            [(0.24, 0.64), (0.38, 0.38), (0.64, 0.38), (0.48, 0.64), (0.24, 0.64)],
            [(0.76, 0.64), (0.62, 0.3), (0.7, 0.28)],
            [(0.48, 0.64), (0.36, 0.32)],
            [(0.3, 0.31), (0.42, 0.31)],
        ],
    ),
    "ship": (
        [
            [(0.03, 0.6), (0.97, 0.6), (0.84, 0.8), (0.16, 0.8)],
            [(0.47, 0.54), (0.47, 0.12), (0.14, 0.54)],
            [(0.53, 0.54), (0.53, 0.2), (0.8, 0.54)],
        ],
        [],
        [],
    ),
    "aeroplane": (
        [
            [(0.04, 0.47), (0.12, 0.43), (0.8, 0.43), (0.9, 0.26), (0.98, 0.26), (0.95, 0.53), (0.12, 0.53)],
            [(0.38, 0.5), (0.55, 0.5), (0.76, 0.78), (0.66, 0.78)],
            [(0.42, 0.43), (0.55, 0.43), (0.68, 0.26), (0.62, 0.26)],
        ],
        [],
        [],
    ),
    "engine": (
        [box(0.08, 0.38, 0.7, 0.64), box(0.7, 0.2, 0.94, 0.64), box(0.17, 0.18, 0.27, 0.4)],
        [(x, 0.7, 0.09) for x in (0.2, 0.42, 0.64, 0.85)],
        [],
    ),
    "tractor": (
        [
            [(0.1, 0.66), (0.1, 0.46), (0.5, 0.46), (0.5, 0.2), (0.86, 0.2), (0.86, 0.66)],
            box(0.2, 0.28, 0.26, 0.48),
        ],
        [(0.24, 0.72, 0.1), (0.7, 0.64, 0.2)],
        [],
    ),
}


def _vehicle(label: int, rng: np.random.Generator) -> np.ndarray:
    areas, wheels, lines = list(VEHICLES.values())[label]
    base, facing = pose(rng, turn=0.08, scale=(0.6, 1.0), shift=0.1, stretch=0.15), rng.choice((-1, 1))
    mask = Mask(lambda points: base((points - 0.5) * (facing, 1) + 0.5))
    for area in areas:
        mask.area(np.asarray(area) + rng.normal(0, 0.012, np.shape(area)))
    for x, y, typical in wheels:
        radius = typical * rng.uniform(0.85, 1.15)
        mask.disc(x, y, radius + 0.02, 0).disc(x, y, radius).disc(x, y, 0.4 * radius, 0.3)
    for line in lines:
        mask.line(line, rng.uniform(0.025, 0.04))
    return painted(mask, rng, scene, noise=20)


_held_out = partial(drawing, held_out=True)


DRAWINGS = (
    _held_out("expressions", "faces", EXPRESSIONS, _expression, 400, 480),
    _held_out("people", "faces", (f"person {i}" for i in range(20)), partial(_person, "people"), 400, 480),
    _held_out(
        "flags", "flags", (f"flag {i}" for i in range(36)), partial(_flag, "flags"), 252, 504, mirrored=False
    ),
    _held_out("vehicles", "vehicles", VEHICLES, _vehicle, 160, 480),
)
