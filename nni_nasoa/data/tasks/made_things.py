"""Things that people make: buildings, tools, playing cards, vessels."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from .canvas import (
    Mask,
    box,
    cluttered,
    ellipse,
    finished,
    over,
    polygon,
    pose,
    scene,
    smooth,
)
from .outlines import drawn, lit, paths, slanted
from .prototypes import prototype
from .task import drawing
from .textures import X, cloud

BUILDINGS = {
    # Variants: walls | roofs | doors | where windows are, and how far from each other.
    "house": (
        "25,52 75,88 | 20,52 50,32 80,52; 61,28 68,50 | 46,70 54,88 | 25,53 75,70 16,16",
        "22,50 78,88 | 17,50 30,35 70,35 83,50 | 30,70 38,88 | 22,51 78,70 13,10",
    ),
    "tower": (
        "38,30 62,88 | 34,22 66,32; 34,15 41,25; 46,15 53,25; 59,15 66,25 | 46,76 54,88 | 42,35 58,70 16,16",
        "40,36 60,88 | 34,36 50,12 66,36 | 46,76 54,88 | 40,40 60,74 10,14",
    ),
    "church": (
        (
            "25,58 85,88; 15,42 34,88 | 25,58 31,43 80,43 88,58; 13,42 24,12 37,42 | 21,46 28,54 "
            "| 36,61 83,84 11,23"
        ),
        (
            "26,60 74,88; 40,40 60,88 | 22,60 50,42 78,60; 38,40 50,8 62,40 | 45,70 55,88; 47,45 53,53 "
            "| 27,63 39,84 12,21"
        ),
    ),
    "factory": (
        (
            "10,58 90,88; 18,15 25,60; 33,15 40,60 | 10,58 10,48 36,58; 36,58 36,48 63,58; 63,58 63,48 90,58 "
            "| | 10,60 90,84 12,20"
        ),
        "10,55 90,88; 68,12 77,60 | | 13,70 28,88 | 30,58 90,84 10,12",
    ),
    "barn": (
        "27,55 73,88 | 23,55 34,38 50,30 66,38 77,55 | 38,66 62,88; 46,41 54,50 |",
        "20,58 80,88 | 17,58 28,42 50,35 72,42 83,58 | 30,66 50,88 | 54,62 78,78 12,16",
    ),
    "glasshouse": (
        (
            "25,54 75,88; 25,55 30,40 42,32 58,32 70,40 75,55 | | 29,53 38,37 38,53; 40,53 40,35 60,35 60,53 "
            "| 25,55 75,88 9,11"
        ),
        (
            "20,54 80,88; 20,55 50,30 80,55 | | 27,53 38,44 38,53; 40,53 40,42 60,42 60,53; "
            "62,53 62,44 73,53 | 20,55 80,88 10,16"
        ),
    ),
    "temple": (
        (
            "25,50 75,55; 20,82 80,88; 27,54 31,84; 41,54 45,84; 55,54 59,84; 69,54 73,84 "
            "| 21,50 50,34 79,50 | |"
        ),
        (
            "17,48 83,54; 12,83 88,88; 19,53 23,84; 34,53 38,84; 48,53 52,84; 62,53 66,84; 77,53 81,84 "
            "| 13,48 50,30 87,48 | |"
        ),
    ),
    "skyscraper": (
        "38,14 62,88; 49,3 51,15 | | | 38,16 62,86 7,7",
        "42,10 62,88; 28,40 50,88 | | | 42,12 62,86 6,9",
    ),
}


def _building(label: int, rng: np.random.Generator) -> np.ndarray:
    """Between sky and ground, partly behind bushes."""
    base, facing = (
        slanted(rng, 0.5, turn=0.05, scale=(0.65, 1.1), shift=0.1, stretch=0.2),
        np.array([rng.choice((-1, 1)), 1]),
    )
    eaves, half = 0.5 + rng.uniform(-0.08, 0.08), rng.uniform(0.2, 0.37)
    walls, roofs, openings, windows = (
        paths(part) for part in rng.choice(BUILDINGS[list(BUILDINGS)[label]]).split("|")
    )
    for first, last, apart in windows:
        many = np.maximum(np.round((last - first) / (apart * rng.uniform(0.75, 1.3))), 1)
        openings += [
            first + (last - first) / many * (np.array(at) + np.array([[0.5 - half], [0.5 + half]]))
            for at in np.ndindex(*many.astype(int))
        ]
    image, wall = 0.5 * scene(rng)[0] + 0.5 * rng.uniform(60, 240, 3), rng.uniform(60, 240, 3)
    opening = wall * rng.uniform(0.25, 0.7) if rng.random() < 0.6 else wall + 80
    ground = box(-3, 0.88 - rng.uniform(0, 0.12), 4, 4)
    for areas, paint in (
        ([ground], rng.uniform(30, 170, 3)),
        (walls, wall),
        (roofs, rng.uniform(20, 220, 3)),
        (openings, opening),
    ):
        raised = [
            np.column_stack([x, np.interp(y, (0, 0.5, 0.88, 9), (0, eaves, 0.88, 9))])
            for x, y in (points.T for points in areas)
        ]
        image = over(image, drawn(lambda points: base((points - 0.5) * facing + 0.5), raised), paint)
    bushes = []
    for _ in range(int(rng.integers(4))):
        x, y = rng.uniform((0, 0.6), 1)
        bushes.append(ellipse(x, y, 0.08, 0.14) + rng.normal(0, 0.015, (40, 2)))
    return finished(lit(over(image, drawn(np.asarray, bushes), rng.uniform(10, 110, 3)), rng), rng, 16)


_STICK, _NECK = "| 50,40 50,95", "50,12 50,42"
TOOLS = {
    # The handle, and the metal: areas, boxes if of two points | lines.
    "hammer": (_STICK, "30,10 62,10 74,20 62,24 30,26 |" + _NECK),
    "axe": (_STICK, "50,12 76,5 80,20 74,36 50,27 |" + _NECK),
    "spanner": ("| 50,66 50,92", "| 50,25 50,70; 37,6 38,18 50,24 62,18 63,6"),
    "screwdriver": ("43,58 57,92 |", "46,6 54,6 52,20 48,20 | 50,12 50,60"),
    "saw": (
        "| 50,72 60,76 62,84 56,92 46,92 40,84 42,76 50,72",
        "44,4 44,74 62,74 60,68 64,64 60,58 64,54 60,48 64,44 60,38 64,34 60,28 64,24 60,18 64,14 60,8 |",
    ),
    "scissors": (
        "| 36,70 45,76 46,86 36,94 26,86 27,76 36,70; 64,70 73,76 74,86 64,94 54,86 55,76 64,70",
        "40,70 56,40 64,6 48,40; 60,70 44,40 36,6 52,40 |",
    ),
    "pliers": ("| 46,36 36,60 38,93; 54,36 64,60 62,93", "42,40 40,20 47,5 49,40; 58,40 60,20 53,5 51,40 |"),
    "key": (
        "| 50,67 60,71 63,80 60,89 50,93 40,89 37,80 40,71 50,67",
        "| 50,10 50,68; 50,12 64,12; 50,25 61,25",
    ),
    "brush": (_STICK, "38,6 62,6 58,40 42,40 |"),
    "spoon": (_STICK, "50,5 57,8 61,18 58,28 50,34 42,28 39,18 43,8 |" + _NECK),
    "fork": (_STICK, "| 50,8 50,42; 39,8 40,24 50,30 60,24 61,8"),
    "comb": ("36,6 46,94 |", "|" + "; ".join(f"45,{y} 64,{y}" for y in range(9, 94, 7))),
}


def _tool(label: int, rng: np.random.Generator) -> np.ndarray:
    """Lying on wood or among lines, with its shadow."""
    base, facing = (
        pose(rng, turn=0.5, scale=(0.85, 1.1), shift=0.06, stretch=0.15),
        np.array([rng.choice((-1, 1)), 1]),
    )
    pen, wood = (
        rng.uniform(0.05, 0.075),
        0.9 + 0.2 * np.sin(2 * np.pi * (rng.uniform(4, 12) * X + 2 * cloud(rng, 2))),
    )
    image, masks = cluttered(rng)[0] if rng.random() < 0.4 else rng.uniform(50, 200, 3) * wood[..., None], []
    for part in TOOLS[list(TOOLS)[label]]:
        areas, lines = (paths(text) for text in part.split("|"))
        masks.append(
            drawn(
                lambda points: base((points - 0.5) * facing + 0.5),
                areas,
                lines,
                pen if len(lines) < 9 else 0.02,
            )
        )
    image = over(image, 0.5 * np.roll(np.maximum(*masks), rng.integers(-3, 4, 2), (0, 1)), np.zeros(3))
    for mask, paint in zip(masks, (rng.uniform(0, 255, 3), rng.uniform(130, 245) + rng.normal(0, 8, 3))):
        image = over(image, mask, paint)
    return finished(lit(image, rng), rng, 14)


_STEM = "; 0,10 35,100 -35,100"
MOTIFS = {
    # Around 0; a single point is a disc of radius 44.
    "heart": "0,95 -45,55 -85,10 -95,-30 -80,-65 -50,-75 -20,-65 0,-40 20,-65 50,-75 80,-65 95,-30 85,10 "
    "45,55",
    "spade": "0,-95 -45,-55 -85,-10 -95,20 -80,50 -50,60 -20,50 0,35 20,50 50,60 80,50 95,20 85,-10 45,-55"
    + _STEM,
    "club": "0,-50; -50,15; 50,15" + _STEM,
    "drop": "0,-100 -25,-50 -50,-5 -62,35 -50,70 -20,90 20,90 50,70 62,35 50,-5 25,-50",
    "bell": "-85,55 -55,25 -48,-40 -25,-80 0,-90 25,-80 48,-40 55,25 85,55; 0,60",
    "crescent": "30,-85 -20,-85 -65,-55 -85,0 -65,55 -20,85 30,85 -5,55 -20,20 -20,-20 -5,-55",
}
CARDS = tuple(f"{motif}: {layout}" for motif in MOTIFS for layout in ("single", "two", "rows", "ring"))


def _card(label: int, rng: np.random.Generator) -> np.ndarray:
    """On a table, seen at a slant."""
    motif, layout = CARDS[label].split(": ")
    layouts: dict[str, tuple[ArrayLike, float]] = {
        "single": ([(0.5, 0.5)], 0.18),
        "two": ([(0.5, 0.3), (0.5, 0.7)], 0.14),
        "rows": (
            [(x, y) for x in (0.35, 0.65) for y in np.linspace(0.22, 0.78, int(rng.integers(2, 5)))],
            0.095,
        ),
        "ring": (
            polygon(int(rng.integers(5, 8)), 0.26, rng.uniform(0, 6.3)) * (0.8, 1.1) + (0.1, -0.05),
            0.095,
        ),
    }
    centres, typical = layouts[layout]
    place = slanted(rng, 0.5, turn=0.25, scale=(0.85, 1.1), shift=0.06)
    size = typical * rng.uniform(0.85, 1.1)
    image = over(
        cluttered(rng)[0],
        drawn(place, [box(0.2, 0.06, 0.8, 0.94)]),
        rng.uniform(190, 250) + rng.uniform(-20, 5, 3),
    )
    areas = [
        area + ellipse(0, 0, 0.44) if len(area) == 1 else area  # a disc at a single point
        for area in paths(MOTIFS[motif])
    ]
    shapes = [area * size + centre for centre in np.asarray(centres) for area in areas]
    return finished(
        lit(over(image, drawn(place, shapes), rng.uniform(0, 150, 3) * rng.uniform(0, 1, 3)), rng, 0.9),
        rng,
        12,
    )


def _vessel(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """Of the class's own profile and handles, in any glaze."""
    own = prototype(name, label)
    tall, handles, radii = own.uniform(0.5, 0.85), int(own.integers(3)), own.uniform(0.1, 0.36, 6)
    high, wide = own.uniform(0.25, 0.6), own.uniform(0.07, 0.13)
    place = pose(rng, turn=0.07, scale=(0.65, 1.0), shift=0.1, stretch=0.05)
    right = smooth(np.column_stack([radii * rng.normal(1, 0.03, 6), np.linspace(-0.5, 0.5, 6) * tall]), 40)
    mask, handle, ornament = (
        drawn(place, [np.vstack([right, right[::-1] * (-1, 1)]) + 0.5]),
        Mask(place),
        Mask(place),
    )
    height, glaze, side = (high - 0.5) * tall, rng.uniform(30, 240, 3), rng.choice((-1, 1))
    for facing in (side, -side)[:handles]:
        handle.line(
            ellipse(0.5 + facing * np.interp(height, right[:, 1], right[:, 0]), 0.5 + height, wide, 0.13),
            0.05,
        )
    for y in rng.uniform(0.2, 0.8, int(rng.integers(0, 4))):
        ornament.line(
            np.column_stack([np.linspace(0, 1, 30), y + rng.choice((0, 0.03)) * (np.arange(30) % 2)]),
            rng.uniform(0.02, 0.08),
        )
    image = over(over(scene(rng)[0], handle.array(), 0.85 * glaze), mask, glaze)
    image = over(image, mask * ornament.array(), rng.uniform(0, 255, 3))
    return finished(image * (1 - mask * np.abs(X - 0.5 - rng.uniform(-0.3, 0.3)))[..., None], rng, 25)


DRAWINGS = (
    drawing("buildings", "buildings", tuple(BUILDINGS), _building, 320, 400),
    drawing("tools", "tools", tuple(TOOLS), _tool, 720, 480),
    drawing("cards", "cards", CARDS, _card, 960, 480),
    drawing(
        "vessels", "vessels", tuple(f"vessel {i}" for i in range(20)), partial(_vessel, "vessels"), 240, 400
    ),
)
