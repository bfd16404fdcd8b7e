"""Draw attractors in many looks, since networks that start from them will see photographs, drawings, scans.

Colours run along the orbit, as in fractal flames, and attractors lie over backgrounds of many kinds; Anderson
& Farrell ("Improving Fractal Pre-training", WACV 2022) found that both help. A fifth of the images is grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from .digits import resize_bilinear

Brush = tuple[tuple[int, int], ...]
BRUSHES: tuple[Brush, ...] = (  # a pixel, a square, a cross
    ((0, 0),),
    ((0, 0), (0, 1), (1, 0), (1, 1)),
    ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)),
)
_TONES = np.linspace(0, 1, 64)


def rasterize(
    orbits: np.ndarray, rngs: Sequence[np.random.Generator], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Place attractors on canvases.

    Parameters
    ----------
    orbits
        (n, 3, ...): x, y and tone of points.
    rngs
        One for each attractor.
    size
        Height and width in pixels.

    Returns
    -------
    The number of points in each pixel, and their mean tone; (n, size, size) float32 each.
    """
    points, tones = orbits[:, :2].reshape(len(orbits), 2, -1), orbits[:, 2].reshape(len(orbits), -1)
    low, high = points.min(2, keepdims=True), points.max(2, keepdims=True)
    points = (points - (low + high) / 2) / np.maximum(high - low, 1e-6)  # within +-0.5
    places = np.stack([_placement(rng) for rng in rngs])
    x, y = ((places[:, :, :2] @ points + places[:, :, 2:]) * size).transpose(1, 0, 2)
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    pixel = (
        y.astype(np.int32) * size
        + x.astype(np.int32)
        + np.arange(len(orbits), dtype=np.int32)[:, None] * size * size
    )
    pixel, count = pixel[inside], len(orbits) * size * size
    density = np.bincount(pixel, minlength=count)
    tone = np.bincount(pixel, weights=tones[inside], minlength=count) / np.maximum(density, 1)
    shape = len(orbits), size, size
    return density.reshape(shape).astype(np.float32), tone.reshape(shape).astype(np.float32)


def _placement(rng: np.random.Generator) -> np.ndarray:
    """An affine map of +-0.5 into the canvas 0..1: turned, stretched, scaled, moved. (2, 3) float32.

    Not mirrored: many images mean something else then, and mirrored attractors are
    learned many times more slowly.
    """
    angle = rng.normal(0, 0.15)
    scale = rng.uniform(0.7, 1.05) * np.exp(rng.uniform(-0.2, 0.2) * np.array([1, -1]))
    room = np.maximum(1 - scale, 0.1) / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([turn * scale, 0.5 + rng.uniform(-room, room)]).astype(np.float32)


def draw(density: np.ndarray, tone: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Colour one attractor and lay it over a background.

    Parameters
    ----------
    density, tone
        (size, size) float32, of `rasterize`.

    Returns
    -------
    (3, size, size) uint8.
    """
    size = len(density)
    density, tone = _brushed(density, tone, BRUSHES[rng.integers(len(BRUSHES))])
    silhouette, full, power = rng.random() < 0.4, rng.uniform(0.5, 2.0), rng.uniform(0.3, 1.0)
    touched = density > 0
    cover = touched.astype(np.float32)
    if touched.any() and not silhouette:
        cover = np.minimum(density / np.float32(full * density[touched].mean()), 1) ** np.float32(power)
    grey = rng.random() < 0.2
    fore, back = _colours(tone, rng, grey), _background(size, rng, grey)
    contrast = np.float32(rng.uniform(0.3, 0.9))
    fore, back = fore * (1 - contrast), back * (1 - contrast)
    if rng.random() < 0.5:  # dark on light, or light on dark, but never lost in the background
        back = back + contrast
    else:
        fore = fore + contrast
    image = back + cover * (fore - back)
    if rng.random() < 0.2:
        image = image + rng.standard_normal((1 if grey else 3, size, size), np.float32) * np.float32(
            rng.uniform(0.01, 0.08)
        )
    return np.broadcast_to((np.clip(image, 0, 1) * 255).astype(np.uint8), (3, size, size))


def _brushed(density: np.ndarray, tone: np.ndarray, brush: Brush) -> tuple[np.ndarray, np.ndarray]:
    """Each point drawn with a brush of some pixels instead of one."""
    if len(brush) == 1:
        return density, tone
    size = len(density)
    padded = np.pad(np.stack([density, density * tone]), ((0, 0), (1, 1), (1, 1)))
    shifted = (padded[:, 1 + y : 1 + y + size, 1 + x : 1 + x + size] for y, x in brush)
    density, tones = reduce(np.add, shifted)
    return density, tones / np.maximum(density, 1)


def _colours(tone: np.ndarray, rng: np.random.Generator, grey: bool) -> np.ndarray:
    """Colours of tones: a cosine of its own in each channel. (3 or 1, size, size) float32 from 0 to 1."""
    channels = 1 if grey else 3
    turns, phases = rng.uniform(0, 1.5, (channels, 1)), rng.random((channels, 1))
    colours = (0.5 + 0.5 * np.cos(2 * np.pi * (turns * _TONES + phases))).astype(np.float32)
    return colours[:, (tone * (_TONES.size - 1)).astype(np.int64)]


def _background(size: int, rng: np.random.Generator, grey: bool) -> np.ndarray:
    """A plain colour, a gradient, or a coarse or fine pattern. (3 or 1, size, size) float32 from 0 to 1."""
    cells = int(rng.choice((1, 1, 1, 2, 3, 5)))
    return resize_bilinear(rng.random((1 if grey else 3, cells, cells), np.float32), size)
