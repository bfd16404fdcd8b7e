"""Textures from formulas: gratings, noise, cells, weaves, tilings; and smooth gradients and blobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from .canvas import SIZE, finished
from .prototypes import prototype
from .task import drawing

Y, X = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
ANGLES = tuple(f"{round(180 * i / 8)} degrees" for i in range(8))
COUNTS = tuple(f"{count} waves" for count in (3, 4, 6, 8, 11, 15))
SPECTRA = ("white", "pink", "brown", "band", "streaks")


def _coloured(
    values: np.ndarray, rng: np.random.Generator, noise: float = 8.0, grey: bool = False
) -> np.ndarray:
    """Values from 0 to 1 as a ramp between two colours."""
    low, high = rng.uniform(0, 110, 3), rng.uniform(140, 255, 3)
    if grey:
        low, high = np.full(3, low[0]), np.full(3, high[0])
    if rng.random() < 0.5:
        low, high = high, low
    return finished(low + np.clip(values, 0, 1)[..., None] * (high - low), rng, noise)


def _wave(angle: float, waves: float, rng: np.random.Generator) -> np.ndarray:
    return 0.5 + 0.5 * np.sin(2 * np.pi * (waves * (X * np.cos(angle) + Y * np.sin(angle)) + rng.random()))


def _direction(label: int, rng: np.random.Generator) -> np.ndarray:
    return _coloured(_wave(np.pi * label / 8 + rng.normal(0, 0.05), rng.uniform(4, 14), rng), rng, 40)


def _frequency(label: int, rng: np.random.Generator) -> np.ndarray:
    waves = (3, 4, 6, 8, 11, 15)[label] * rng.uniform(0.92, 1.08)
    return _coloured(
        0.5 + (_wave(rng.uniform(0, np.pi), waves, rng) - 0.5) * rng.uniform(0.3, 1), rng, 30, grey=True
    )


def cloud(
    rng: np.random.Generator, power: float, low: float = 0.0, high: float = SIZE, stretch: float = 1.0
) -> np.ndarray:
    """Noise whose amplitude falls with a power of the frequency, in a band of frequencies.

    Parameters
    ----------
    rng
        Random numbers.
    power
        By which power the amplitude falls: 0 for white noise, 1 for pink, 2 for brown.
    low, high
        The band, in waves an image.
    stretch
        How many times as long as high things are; their area stays.

    Returns
    -------
    Shape (SIZE, SIZE), with mean 0.5 and standard deviation 0.2.
    """
    fy, fx = np.fft.fftfreq(SIZE)[:, None] * SIZE * stretch, np.fft.rfftfreq(SIZE) * SIZE / stretch
    frequency = np.hypot(fy, fx)
    weight = np.where(
        (frequency >= max(low, 0.5)) & (frequency <= high), np.maximum(frequency, 0.5) ** -power, 0
    )
    values = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * weight, (SIZE, SIZE))
    return 0.5 + 0.2 * values / values.std()


def _spectrum(label: int, rng: np.random.Generator) -> np.ndarray:
    choices: tuple[dict[str, float], ...] = (
        {"power": 0},
        {"power": 1},
        {"power": 2},
        {"power": 0, "low": 6, "high": 10},
        {"power": 1, "stretch": 3},
    )
    return _coloured(np.rot90(cloud(rng, **choices[label])), rng, 0)


def _distances(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances to the nearest and the next of random points, and which is nearest."""
    points = rng.uniform(-0.1, 1.1, (count, 2))
    distance = np.hypot(X[..., None] - points[:, 0], Y[..., None] - points[:, 1])
    nearest = np.partition(distance, 1, axis=-1)
    return nearest[..., 0], nearest[..., 1], distance.argmin(-1)


def _turned(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates, turned and stretched."""
    angle, scale = rng.uniform(0, np.pi), rng.uniform(5, 9)
    u, v = X * np.cos(angle) + Y * np.sin(angle), Y * np.cos(angle) - X * np.sin(angle)
    return scale * u + rng.random(), scale * v + rng.random()


def _checker(rng: np.random.Generator) -> np.ndarray:
    u, v = _turned(rng)
    return ((np.floor(u) + np.floor(v)) % 2).astype(float)


def _dots(rng: np.random.Generator) -> np.ndarray:
    u, v = _turned(rng)
    return (np.hypot(u % 1 - 0.5, v % 1 - 0.5) < rng.uniform(0.2, 0.36)).astype(float)


def _bricks(rng: np.random.Generator) -> np.ndarray:
    u, v = _turned(rng)
    return 1.0 - (((u / 2 + 0.5 * (np.floor(v) % 2)) % 1 < 0.07) | (v % 1 < 0.14))


def _weave(rng: np.random.Generator) -> np.ndarray:
    u, v = _turned(rng)
    over = (np.floor(u) + np.floor(v)) % 2
    return np.where(over, np.sin(np.pi * (u % 1)), 0.6 * np.sin(np.pi * (v % 1)))


def _cells(rng: np.random.Generator) -> np.ndarray:
    first, second, _ = _distances(rng, int(rng.integers(25, 50)))
    return (second - first > 0.03).astype(float)


def _patches(rng: np.random.Generator) -> np.ndarray:
    _, _, nearest = _distances(rng, int(rng.integers(25, 60)))
    return rng.random(nearest.max() + 1)[nearest]


def _pebbles(rng: np.random.Generator) -> np.ndarray:
    first, second, _ = _distances(rng, int(rng.integers(30, 60)))
    return 1 - first / np.maximum(second, 1e-6)


def _rings(rng: np.random.Generator) -> np.ndarray:
    x, y = rng.uniform(0, 1, 2)
    return 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(5, 10) * np.hypot(X - x, Y - y))


def _ripples(rng: np.random.Generator) -> np.ndarray:
    return 0.5 + 0.5 * np.sin(2 * np.pi * (rng.uniform(5, 9) * _turned(rng)[0] / 7 + 0.6 * cloud(rng, 2)))


def _marble(rng: np.random.Generator) -> np.ndarray:
    return np.abs(2 * cloud(rng, 1.7) - 1) * 1.6


MATERIALS = {
    "checker": _checker,
    "dots": _dots,
    "bricks": _bricks,
    "weave": _weave,
    "cells": _cells,
    "patches": _patches,
    "pebbles": _pebbles,
    "rings": _rings,
    "ripples": _ripples,
    "marble": _marble,
}


def _material(
    drawers: Sequence[Callable[[np.random.Generator], np.ndarray]],
    grey: bool,
    label: int,
    rng: np.random.Generator,
) -> np.ndarray:
    return _coloured(drawers[label](rng), rng, 25, grey)


def _mixture(name: str, label: int, rng: np.random.Generator) -> np.ndarray:
    """Three waves of the class's own, which make a texture, seen from a little other angle and distance."""
    own = prototype(name, label)
    waves, angles, weights = own.uniform(2, 14, 3), own.uniform(0, np.pi, 3), own.uniform(0.4, 1, 3)
    turn, zoom = rng.normal(0, 0.15), np.exp(rng.normal(0, 0.06))
    values = sum(
        weight * (_wave(angle + turn, zoom * wave, rng) - 0.5)
        for wave, angle, weight in zip(waves, angles, weights)
    )
    return _coloured(0.5 + values / weights.sum(), rng, 30)


GRADIENTS = tuple(f"towards {round(360 * i / 8)} degrees" for i in range(8))


def _gradient(label: int, rng: np.random.Generator) -> np.ndarray:
    angle = 2 * np.pi * label / 8 + rng.normal(0, 0.08)
    ramp = 0.5 + ((X - 0.5) * np.cos(angle) + (Y - 0.5) * np.sin(angle)) * rng.uniform(0.25, 0.8)
    level = rng.uniform(60, 120)
    return finished(
        np.repeat((level + 110 * ramp + rng.normal(0, 25, X.shape))[..., None], 3, axis=2), rng, 20
    )


def _blob(label: int, rng: np.random.Generator) -> np.ndarray:
    """A soft spot in one of nine fields, over uneven light."""
    row, column = divmod(label, 3)
    x, y = (column + rng.uniform(0.2, 0.8)) / 3, (row + rng.uniform(0.2, 0.8)) / 3
    spot = np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * rng.uniform(0.05, 0.09) ** 2))
    return _coloured(
        0.6 * (cloud(rng, 2) - 0.5) * 0.7 + 0.25 + rng.uniform(0.5, 0.75) * spot,
        rng,
        10,
        grey=rng.random() < 0.5,
    )


FIELDS = tuple(
    f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right")
)

DRAWINGS = (
    drawing("grating-directions", "gratings", ANGLES, _direction, 400, 400, mirrored=False),
    drawing("grating-frequencies", "gratings", COUNTS, _frequency, 300, 420),
    drawing("noise-spectra", "textures", SPECTRA, _spectrum, 300, 400, mirrored=True),
    drawing(
        "materials",
        "textures",
        tuple(MATERIALS),
        partial(_material, tuple(MATERIALS.values()), False),
        1200,
        500,
    ),
    drawing(
        "materials-grey-few",
        "textures",
        tuple(MATERIALS),
        partial(_material, tuple(MATERIALS.values()), True),
        90,
        400,
        imbalance=3,
    ),
    drawing(
        "wave-mixtures",
        "gratings",
        tuple(f"mixture {i}" for i in range(24)),
        partial(_mixture, "wave-mixtures"),
        960,
        480,
        mirrored=False,
    ),
    drawing("gradients", "gradients", GRADIENTS, _gradient, 480, 400, mirrored=False),
    drawing("blob-places", "gradients", FIELDS, _blob, 900, 450, mirrored=False),
)
