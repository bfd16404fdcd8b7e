"""Things with an inner order: fractals, symmetric patterns, spirals."""

from __future__ import annotations

from functools import partial

import numpy as np

from nni_nasoa.data.digits import resize_bilinear
from nni_nasoa.data.fractals import fractal_images

from .canvas import SIZE, Mask, finished, painted, pose, scene
from .task import Drawing, drawing

_FRACTAL_SEED = 2_000_003  # Far from the seeds of pretraining and of the dataset "fractals".


def _fractal(first: int, label: int, rng: np.random.Generator) -> np.ndarray:
    return fractal_images(_FRACTAL_SEED, [first + label], [int(rng.integers(2**31))], SIZE)[0].transpose(
        1, 2, 0
    )


def _fractals(name: str, first: int, classes: int, train: int, val: int, imbalance: float = 1.0) -> Drawing:
    return drawing(
        name,
        "fractals",
        tuple(f"fractal {first + i}" for i in range(classes)),
        partial(_fractal, first),
        train,
        val,
        mirrored=False,
        imbalance=imbalance,
    )


SYMMETRIES = ("none", "left-right", "top-bottom", "both", "half turn")


def _symmetric(label: int, rng: np.random.Generator) -> np.ndarray:
    """A pattern of soft cells that is made symmetric."""
    cells = int(rng.choice((6, 8, 10)))
    half = resize_bilinear(rng.random((3, cells, cells)), SIZE).transpose(1, 2, 0)
    back = half.copy()
    if label in (1, 3):
        back = np.where(np.arange(SIZE)[None, :, None] < SIZE // 2, back, back[:, ::-1])
    if label in (2, 3):
        back = np.where(np.arange(SIZE)[:, None, None] < SIZE // 2, back, back[::-1])
    if label == 4:
        back = np.where(np.arange(SIZE)[:, None, None] < SIZE // 2, back, back[::-1, ::-1])
    return finished(255 * (0.5 + 1.5 * (back - back.mean())).clip(0, 1), rng, 25)


SPIRALS = tuple(
    f"{arms} {'arm' if arms == 1 else 'arms'}, {way}" for arms in (1, 2, 3) for way in ("left", "right")
)


def _spiral(label: int, rng: np.random.Generator) -> np.ndarray:
    arms, sign = label // 2 + 1, 1 if label % 2 else -1
    t = np.linspace(0.12, 1, 60)
    turns, start = rng.uniform(0.9, 1.5), rng.uniform(0, 2 * np.pi)
    mask = Mask(pose(rng, turn=0, scale=(0.6, 1.05), shift=0.1))
    for arm in range(arms):
        angle = start + 2 * np.pi * (arm / arms + sign * turns * t)
        mask.line(
            np.column_stack([0.5 + 0.45 * t * np.cos(angle), 0.5 + 0.45 * t * np.sin(angle)]),
            rng.uniform(0.025, 0.045),
        )
    return painted(mask, rng, scene, noise=20)


DRAWINGS = (
    _fractals("fractals-30", 0, 30, 600, 450),
    _fractals("fractals-60-imbalanced", 1000, 60, 1500, 480, imbalance=8),
    drawing("symmetries", "symmetry", SYMMETRIES, _symmetric, 1500, 500),
    drawing("spirals", "spirals", SPIRALS, _spiral, 600, 420, mirrored=False),
)
