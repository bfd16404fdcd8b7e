"""What machines show: seven-segment figures, dot matrices, codes of squares, curves of signals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from .canvas import Look, Mask, board, box, faint, painted, paper, pose, scene, speckled
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


def _figures(
    mask: Mask, number: str, left: float, top: float, width: float, height: float, gap: float
) -> None:
    for i, digit in enumerate(number):
        for segment in _LIT[int(digit)]:
            mask.area(_SEGMENTS[segment] * (width, height) + (left + i * (width + gap), top))


def _digit(look: Look, label: int, rng: np.random.Generator) -> np.ndarray:
    mask = Mask(pose(rng, turn=0.08, scale=(0.6, 1.0), shift=0.1))
    _figures(mask, str(label), 0.28, 0.12, 0.44, 0.76, 0)
    return painted(mask, rng, look)


def _minutes(label: int, rng: np.random.Generator) -> np.ndarray:
    mask = Mask(pose(rng, turn=0.06, scale=(0.7, 0.95), shift=0.06))
    _figures(mask, f"{label:02}", 0.06, 0.2, 0.38, 0.62, 0.12)
    return painted(mask, rng, board, noise=15)


def _code(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
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


class _Wave(NamedTuple):
    """Times, (n,) from 0 to 1, and how many turns there are in them, from which part of one on."""

    times: np.ndarray
    turns: float
    phase: float

    @property
    def part(self) -> np.ndarray:
        """At which part of a turn each time is, from 0 to 1."""
        return (self.turns * self.times + self.phase) % 1


def _chirp(wave: _Wave, rng: np.random.Generator) -> np.ndarray:
    t = wave.times
    return np.sin(2 * np.pi * (rng.uniform(0.8, 1.2) * t + rng.uniform(4, 6) * t * t + wave.phase))


def _fading(wave: _Wave, rng: np.random.Generator) -> np.ndarray:
    t = wave.times
    return np.sin(2 * np.pi * (1.6 * wave.turns * t + wave.phase)) * np.exp(-rng.uniform(2.5, 4) * t)


def _beat(wave: _Wave, rng: np.random.Generator) -> np.ndarray:
    t = wave.times
    slow = np.sin(2 * np.pi * (rng.uniform(0.8, 1.3) * t + rng.random()))
    return np.sin(2 * np.pi * (9 * t + wave.phase)) * slow


def _noise(wave: _Wave, rng: np.random.Generator) -> np.ndarray:
    return np.interp(wave.times, np.linspace(0, 1, 40), rng.normal(0, 0.5, 40)).clip(-1, 1)


_SIGNALS: dict[str, Callable[[_Wave, np.random.Generator], np.ndarray]] = {
    "sine": lambda wave, _: np.sin(2 * np.pi * wave.part),
    "square": lambda wave, _: np.sign(wave.part - 0.5),
    "triangle": lambda wave, _: 4 * np.abs(wave.part - 0.5) - 1,
    "saw": lambda wave, _: 2 * wave.part - 1,
    "chirp": _chirp,
    "fading": _fading,
    "beat": _beat,
    "pulses": lambda wave, _: 2 * np.exp(-(((wave.part - 0.5) / 0.07) ** 2)) - 1,
    "noise": _noise,
    "steps": lambda _, rng: np.repeat(rng.uniform(-1, 1, 8), 25),
}
SIGNALS = tuple(_SIGNALS)


def _signal(label: int, rng: np.random.Generator) -> np.ndarray:
    t = np.linspace(0, 1, 200)
    y = _SIGNALS[SIGNALS[label]](_Wave(t, rng.uniform(2.5, 4.5), rng.random()), rng)
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
