"""FractalDB: labelled images from formulas alone.

Source: Kataoka et al., "Pre-training without Natural Images", ACCV 2020.

A class is a random iterated function system: 2 to 8 affine maps of the plane, whose attractor is drawn
by the chaos game. Its images perturb one kind of parameter, and vary how the attractor is placed and
drawn (`fractal_drawing`).

Everything follows from (seed, class, instance): an image is the same whichever others are drawn with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import nullcontext
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from .arrays import ImageArrays, ImageSplit
from .cache import make_room, map_array, open_entry
from .fractal_drawing import draw, rasterize

MIN_FILLING = 0.2  # share of a grid's pixels that an attractor must reach (the paper's filling rate)
FILLING_GRID = 32  # height and width of that grid
CHAINS, STEPS, BURN_IN = 128, 64, 16  # the chaos game's: an image has CHAINS * STEPS points
BATCH = 32  # images whose orbits are computed together
VERSION = 1  # changes with what follows from a seed
_CHUNK = 2000  # images that a process draws in one go


def open_fractals(
    classes: int, instances: int, *, size: int, seed: int = 0, val_instances: int = 10, processes: int = 1
) -> ImageSplit:
    """Draw a dataset into the cache, where it is not there yet, and open it memory-mapped.

    Parameters
    ----------
    classes, instances, val_instances
        Number of classes, and images of each for training and for validation.
    size
        Height and width in pixels.
    seed
        Seed of all classes.
    processes
        How many draw at the same time; more than one needs a main module that can be imported.

    Raises
    ------
    DatasetError
        The cache cannot be written.
    """
    key = {
        "fractals": VERSION,
        "classes": classes,
        "instances": [instances, val_instances],
        "size": size,
        "seed": seed,
    }
    train, val = open_entry(
        key,
        lambda folder: _draw_dataset(folder, seed, classes, instances, val_instances, size, processes),
        _load,
    )
    names = tuple(f"fractal {label}" for label in range(classes))
    return ImageSplit(train, val, names, "fractals", mirrored=False)


def _load(entry: Path) -> tuple[ImageArrays, ImageArrays]:
    return _load_part(entry, "train"), _load_part(entry, "val")


def _load_part(entry: Path, part: str) -> ImageArrays:
    return ImageArrays(map_array(entry / f"{part}_images.npy"), np.load(entry / f"{part}_labels.npy"))


def _draw_dataset(
    folder: Path, seed: int, classes: int, instances: int, val_instances: int, size: int, processes: int
) -> None:
    make_room(classes * (instances + val_instances) * 3 * size * size)
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn")) if processes > 1 else nullcontext()
    with pool as executor:
        for part, first, count in (("train", 0, instances), ("val", instances, val_instances)):
            labels = np.repeat(np.arange(classes), count)
            numbers = np.tile(np.arange(first, first + count), classes)
            images = np.lib.format.open_memmap(
                folder / f"{part}_images.npy", "w+", np.uint8, (len(labels), 3, size, size)
            )
            _draw_into(images, seed, labels, numbers, executor)
            images.flush()
            np.save(folder / f"{part}_labels.npy", labels.astype(np.int64))


def _draw_into(
    images: np.ndarray, seed: int, labels: np.ndarray, numbers: np.ndarray, executor: Executor | None
) -> None:
    starts = range(0, len(labels), _CHUNK)
    chunks = ([part[start : start + _CHUNK] for start in starts] for part in (labels, numbers))
    drawn = (executor.map if executor else map)(partial(fractal_images, seed, size=images.shape[-1]), *chunks)
    for start, chunk in zip(starts, drawn):
        images[start : start + _CHUNK] = chunk


def fractal_images(seed: int, labels: Sequence[int], instances: Sequence[int], size: int) -> np.ndarray:
    """Draw images.

    Parameters
    ----------
    seed
        Seed of all classes.
    labels, instances
        (n,) integers: the class of each image, and its number in the class.
    size
        Height and width in pixels.

    Returns
    -------
    (n, 3, size, size) uint8, RGB.
    """
    images = np.empty((len(labels), 3, size, size), np.uint8)
    for start in range(0, len(labels), BATCH):
        batch = slice(start, start + BATCH)
        pairs = [(int(label), int(instance)) for label, instance in zip(labels[batch], instances[batch])]
        rngs = [_rng(seed, 1, *pair) for pair in pairs]
        systems = [perturbed(_system(seed, label), rng) for (label, _), rng in zip(pairs, rngs)]
        density, tone = rasterize(orbits(systems, rngs), rngs, size)
        for i, rng in enumerate(rngs):
            images[start + i] = draw(density[i], tone[i], rng)
    return images


def fractal_system(seed: int, label: int) -> np.ndarray:
    """The iterated function system of a class.

    Returns
    -------
    (maps, 6) float32: a row (a, b, c, d, e, f) is the map (x, y) -> (a x + b y + e, c x + d y + f). All maps
    are contractions, and the attractor fills at least `MIN_FILLING` of its bounding box.
    """
    return _system(seed, label).copy()


@cache
def _system(seed: int, label: int) -> np.ndarray:
    rng = _rng(seed, 0, label)
    while True:
        maps = rng.uniform(-1, 1, (rng.integers(2, 9), 6)).astype(np.float32)
        if _norms(maps).max() < 1 and filling(maps, rng) >= MIN_FILLING:
            return maps


def filling(maps: np.ndarray, rng: np.random.Generator) -> float:
    """Share of a grid over the attractor's bounding box that points of the chaos game fall on."""
    points = orbits([maps], [rng], chains=64)[0, :2].reshape(2, -1)
    low = points.min(1, keepdims=True)
    extent = points.max(1, keepdims=True) - low
    if extent.min() < 1e-3 * extent.max():
        return 0.0
    x, y = ((points - low) / extent * (FILLING_GRID - 0.01)).astype(np.int64)
    return len(np.unique(y * FILLING_GRID + x)) / FILLING_GRID**2


def orbits(
    systems: Sequence[np.ndarray],
    rngs: Sequence[np.random.Generator],
    chains: int = CHAINS,
    steps: int = STEPS,
) -> np.ndarray:
    """Play the chaos game for several systems at once.

    Returns
    -------
    (systems, 3, steps, chains) float32: x and y, and a tone from 0 to 1 that tells which maps the point came
    by.
    """
    # A map for each value of a random byte, as often as its determinant is large: one look-up is one choice.
    table = np.concatenate([_table(maps, rng) for maps, rng in zip(systems, rngs)], axis=1)
    length = BURN_IN + steps
    choices = np.stack(
        [np.frombuffer(rng.bytes(length * chains), np.uint8).reshape(length, chains) for rng in rngs], axis=1
    )
    columns = choices + np.arange(0, 256 * len(systems), 256)[:, None]
    x, y, tone = np.zeros((3, len(systems), chains), np.float32)
    result = np.empty((3, length, len(systems), chains), np.float32)
    for step, chosen in enumerate(columns):
        a, b, c, d, e, f, t = (row.take(chosen) for row in table)
        x, y, tone = a * x + b * y + e, c * x + d * y + f, 0.5 * (tone + t)
        result[:, step] = x, y, tone
    return result[:, BURN_IN:].transpose(2, 0, 1, 3)


def _table(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(7, 256): for each byte the parameters of its map, and the map's tone."""
    share = np.abs(maps[:, 0] * maps[:, 3] - maps[:, 1] * maps[:, 2]) + 0.01
    map_of_byte = np.searchsorted(np.cumsum(share / share.sum())[:-1], (np.arange(256) + 0.5) / 256)
    tones = rng.permutation(len(maps)) / (len(maps) - 1)
    return np.vstack([maps.T, tones]).astype(np.float32)[:, map_of_byte]


def perturbed(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One of the six parameters weighted by 0.8 to 1.2 in all maps, as in the paper; still contractions."""
    maps = maps.copy()
    maps[:, rng.integers(6)] *= np.float32(rng.uniform(0.8, 1.2))
    maps[:, :4] /= np.maximum(_norms(maps) / 0.99, 1)[:, None]
    return maps


def _norms(maps: np.ndarray) -> np.ndarray:
    """Spectral norm of each map's matrix, in closed form."""
    a, b, c, d = maps[:, :4].T
    squares, det = (a * a + b * b + c * c + d * d) / 2, a * d - b * c
    return np.sqrt(squares + np.sqrt(np.maximum(squares * squares - det * det, 0)))


def _rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
