"""What machines show: seven-segment figures, dot matrices, codes of squares, curves of signals."""

from __future__ import annotations

from functools import partial

import numpy as np

from .canvas import Mask, board, box, faint, painted, paper, pose, scene, speckled
from .prototypes import prototype
from .task import drawing

_SEGMENTS = {
    "a": box(0.12, 0, 0.88, 0.1),
    "b": box(0.86, 0.06, 1, 0.48),
    "c": box(0.86, 0.52, 1, 0.94),
    "d": box(0.12, 0.9, 0.88, 1),
    "e": box(0, 0.52, 0.14, 0.94),
    "f": box(0, 0.06, 0.14, 0.48),
    "g": box(0.12, 0.45, 0.88, 0.55),
}
_LIT = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")


def _figures(mask, number, left, top, width, height, gap) -> None:
    for i, digit in enumerate(number):
        for segment in _LIT[int(digit)]:
            mask.area(_SEGMENTS[segment] * (width, height) + (left + i * (width + gap), top))


def _digit(look, label, rng):
    mask = Mask(pose(rng, turn=0.08, scale=(0.6, 1.0), shift=0.1))
    _figures(mask, str(label), 0.28, 0.12, 0.44, 0.76, 0)
    return painted(mask, rng, look)


def _minutes(label, rng):
    mask = Mask(pose(rng, turn=0.06, scale=(0.7, 0.95), shift=0.06))
    _figures(mask, f"{label:02}", 0.06, 0.2, 0.38, 0.62, 0.12)
    return painted(mask, rng, board, noise=15)


def _code(name, label, rng):
    """Five by five squares, the class's own but for one or two that are wrong."""
    squares = prototype(name, label).random((5, 5)) < 0.5
    wrong = rng.choice(25, int(rng.integers(0, 3)), replace=False)
    squares.flat[wrong] = ~squares.flat[wrong]
    mask = Mask(pose(rng, turn=0.12, scale=(0.65, 0.95)))
    for row, column in np.argwhere(squares):
        mask.area(box(column, row, column + 1, row + 1) * 0.17 + 0.075)
    return painted(
        mask.line(box(0.03, 0.03, 0.97, 0.97), 0.02, closed=True), rng, paper if rng.random() < 0.5 else scene
    )


SIGNALS = ("sine", "square", "triangle", "saw", "chirp", "fading", "beat", "pulses", "noise", "steps")


def _signal(label, rng):
    t = np.linspace(0, 1, 200)
    turns, phase = rng.uniform(2.5, 4.5), rng.random()
    around = (turns * t + phase) % 1
    name = SIGNALS[label]
    if name == "sine":
        y = np.sin(2 * np.pi * around)
    elif name == "square":
        y = np.sign(around - 0.5)
    elif name == "triangle":
        y = 4 * np.abs(around - 0.5) - 1
    elif name == "saw":
        y = 2 * around - 1
    elif name == "chirp":
        y = np.sin(2 * np.pi * (rng.uniform(0.8, 1.2) * t + rng.uniform(4, 6) * t * t + phase))
    elif name == "fading":
        y = np.sin(2 * np.pi * (1.6 * turns * t + phase)) * np.exp(-rng.uniform(2.5, 4) * t)
    elif name == "beat":
        y = np.sin(2 * np.pi * (9 * t + phase)) * np.sin(
            2 * np.pi * (rng.uniform(0.8, 1.3) * t + rng.random())
        )
    elif name == "pulses":
        y = 2 * np.exp(-(((around - 0.5) / 0.07) ** 2)) - 1
    elif name == "noise":
        y = np.interp(t, np.linspace(0, 1, 40), rng.normal(0, 0.5, 40)).clip(-1, 1)
    else:
        y = np.repeat(rng.uniform(-1, 1, 8), 25)
    level = 0.5 + rng.uniform(-0.1, 0.1)
    points = np.column_stack([0.04 + 0.92 * t, level - y * rng.uniform(0.18, 0.36)])
    mask = Mask().line(points, rng.uniform(0.02, 0.04))
    if rng.random() < 0.5:
        mask.line([(0.04, level), (0.96, level)], 0.008)
    return painted(mask, rng, board if rng.random() < 0.5 else paper, noise=15)


DRAWINGS = (
    drawing(
        "segments-faint", "displays", tuple("0123456789"), partial(_digit, faint), 500, 400, mirrored=False
    ),
    drawing(
        "segments-few", "displays", tuple("0123456789"), partial(_digit, speckled), 60, 400, mirrored=False
    ),
    drawing(
        "segments-60",
        "displays",
        tuple(f"{number:02}" for number in range(60)),
        _minutes,
        1500,
        600,
        mirrored=False,
    ),
    drawing(
        "codes",
        "codes",
        tuple(f"code {i}" for i in range(40)),
        partial(_code, "codes"),
        1000,
        480,
        mirrored=False,
    ),
    drawing("signals", "signals", SIGNALS, _signal, 800, 450, mirrored=False, imbalance=4),
)
