"""Signs that a random hand has invented: each class has strokes of its own, drawn differently each time."""

from __future__ import annotations

from functools import partial

import numpy as np

from .canvas import Look, Mask, board, cluttered, painted, paper, pose, scene, smooth
from .prototypes import prototype
from .task import Drawing, drawing


def _strokes(own: np.random.Generator) -> list[np.ndarray]:
    """Control points of two to four strokes, which begin where another one passes or anew."""
    strokes: list[np.ndarray] = []
    for _ in range(int(own.integers(2, 5))):
        start = (
            strokes[-1][own.integers(len(strokes[-1]))]
            if strokes and own.random() < 0.6
            else own.uniform(0.12, 0.88, 2)
        )
        points = [start]
        while len(points) < 4:
            step = own.normal(0, 0.28, 2)
            if np.hypot(*step) > 0.15:
                points.append(np.clip(points[-1] + step, 0.08, 0.92))
        strokes.append(np.array(points))
    return strokes


def _sign(
    name: str, look: Look, shake: float, curved: bool, label: int, rng: np.random.Generator
) -> np.ndarray:
    mask, width = Mask(pose(rng, turn=0.12, shift=0.07, stretch=0.15)), rng.uniform(0.03, 0.065)
    for stroke in _strokes(prototype(name, label)):
        points = stroke + rng.normal(0, shake, stroke.shape)
        mask.line(smooth(points) if curved else points, width)
    return painted(mask, rng, look)


def _signs(
    name: str,
    classes: int,
    look: Look,
    train: int,
    val: int,
    shake: float = 0.03,
    curved: bool = True,
    imbalance: float = 1.0,
) -> Drawing:
    names = tuple(f"sign {label}" for label in range(classes))
    return drawing(
        name,
        "sketches",
        names,
        partial(_sign, name, look, shake, curved),
        train,
        val,
        mirrored=False,
        imbalance=imbalance,
    )


DRAWINGS = (
    _signs("signs-50-few", 50, paper, 250, 500),
    _signs("signs-20", 20, scene, 1000, 480, shake=0.04),
    _signs("signs-60-imbalanced", 60, board, 1800, 600, curved=False, imbalance=12),
    _signs("signs-8-shaky", 8, cluttered, 320, 400, shake=0.07),
)
