"""Draw a task into the cache, where it is not there yet, and open it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from nni_nasoa.data.arrays import ImageArrays, ImageSplit
from nni_nasoa.data.cache import make_room, map_array, open_entry

from .canvas import SIZE
from .task import Drawing

VERSION = 1  # Counts up when what is drawn changes, so that caches are drawn anew.


def open_drawing(drawing: Drawing, input_size: int) -> ImageSplit:
    """Open a task at a size; see `Dataset.open`.

    Raises
    ------
    DatasetError
        The cache cannot be written, or what the task is drawn from is not installed.
    """
    task = drawing.task
    train, val = _opened(drawing, input_size)
    return ImageSplit(train, val, task.classes, f"task:{task.name}", mirrored=task.mirrored)


def _opened(drawing: Drawing, size: int) -> list[ImageArrays]:
    def build(folder: Path) -> None:
        if size == SIZE:
            _draw_parts(drawing, folder)
        else:
            _resize_parts(_opened(drawing, SIZE), size, folder)

    key = {
        "task": asdict(drawing.task),
        "imbalance": drawing.imbalance,
        "version": VERSION,
        "input_size": size,
    }
    return open_entry(key, build, _load)


def _load(entry: Path) -> list[ImageArrays]:
    return [
        ImageArrays(map_array(entry / f"{part}_images.npy"), np.load(entry / f"{part}_labels.npy"))
        for part in ("train", "val")
    ]


def _draw_parts(drawing: Drawing, folder: Path) -> None:
    task = drawing.task
    make_room((task.train_images + task.val_images) * 3 * SIZE * SIZE)
    for number, (part, count) in enumerate((("train", task.train_images), ("val", task.val_images))):
        rng = np.random.default_rng(np.random.SeedSequence(task.seed, spawn_key=(number,)))
        labels = labels_of(count, len(task.classes), drawing.imbalance if part == "train" else 1.0)
        images = np.stack([drawing.draw(int(label), rng) for label in labels])
        order = rng.permutation(count)
        np.save(folder / f"{part}_images.npy", np.ascontiguousarray(images[order].transpose(0, 3, 1, 2)))
        np.save(folder / f"{part}_labels.npy", labels[order])


def labels_of(count: int, classes: int, imbalance: float) -> np.ndarray:
    """(count,) int64: labels, all as often or falling geometrically, every class at least once."""
    shares = imbalance ** -np.linspace(0, 1, classes)
    ends = np.round(np.cumsum(shares / shares.sum()) * count)
    return np.searchsorted(ends, np.arange(count), side="right").astype(np.int64)


def _resize_parts(parts: list[ImageArrays], size: int, folder: Path) -> None:
    from PIL import Image

    make_room(sum(map(len, parts)) * 3 * size * size)
    for part, arrays in zip(("train", "val"), parts):
        images = np.empty((len(arrays), 3, size, size), np.uint8)
        for image, drawn in zip(images, arrays.images):
            full = Image.fromarray(np.ascontiguousarray(drawn.transpose(1, 2, 0)))
            image[:] = np.asarray(full.resize((size, size), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
        np.save(folder / f"{part}_images.npy", images)
        np.save(folder / f"{part}_labels.npy", arrays.labels)
