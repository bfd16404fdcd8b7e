"""Decode a source of images, once, into a cache entry, and open that as an ImageSplit."""

from __future__ import annotations

import json
import os
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from .arrays import DatasetError, ImageArrays, ImageSplit
from .cache import cached_entry

VERSION = 1  # of what an entry holds, and of how images are decoded


class Sample(NamedTuple):
    """One image to decode: how to open it (a PIL image), its label, and what to call it in a warning."""

    open: Callable[[], Any]
    label: int
    name: str


class Source(NamedTuple):
    """The images of a dataset, before they are decoded."""

    classes: tuple[str, ...]
    train: Sequence[Sample]
    val: Sequence[Sample]


def open_decoded(name: str, key: Mapping[str, Any], input_size: int, source: Callable[[], Source],
                 mirrored: bool = True) -> ImageSplit:
    """Open a dataset from the cache; `source` is called only where it has to be decoded first.

    Parameters
    ----------
    name
        What the dataset is called.
    key
        What the images depend on besides the size, as JSON values.

    Raises
    ------
    DatasetError
        No image of a part could be read, or the cache cannot be written.

    Warns
    -----
    UserWarning
        Some images could not be read and are left out.
    """
    entry = cached_entry({**key, "version": VERSION, "input_size": input_size},
                         lambda folder: _decode_source(source(), input_size, folder, name))
    about = json.loads((entry / "about.json").read_text())
    if about["broken"]:
        warnings.warn(f"{name}: {about['broken']} of {about['images']} images could not be read and are left out; "
                      f"the first: {about['first_broken']}", stacklevel=2)
    return ImageSplit(_load(entry, "train"), _load(entry, "val"), tuple(about["classes"]), name, mirrored)


def _load(entry: Path, part: str) -> ImageArrays:
    # Copy-on-write: torch asks for arrays that may be written to, and the file stays as it is.
    return ImageArrays(np.load(entry / f"{part}_images.npy", mmap_mode="c"), np.load(entry / f"{part}_labels.npy"))


def _decode_source(source: Source, size: int, folder: Path, name: str) -> None:
    broken = []
    for part, samples in (("train", source.train), ("val", source.val)):
        with warnings.catch_warnings():  # here, since the filters are those of all threads
            warnings.simplefilter("ignore")  # Pillow's, about metadata
            labels = _decode_part(samples, size, folder / f"{part}_images.npy", broken)
        if not len(labels):
            what = f"; the first: {broken[0]}" if broken else ""
            raise DatasetError(f"{name}: not one of the {len(samples)} images for {part} can be read{what}")
        np.save(folder / f"{part}_labels.npy", labels)
    about = {"classes": list(source.classes), "images": len(source.train) + len(source.val), "broken": len(broken),
             "first_broken": broken[0] if broken else None}
    (folder / "about.json").write_text(json.dumps(about))


def _decode_part(samples: Sequence[Sample], size: int, path: Path, broken: list[str]) -> np.ndarray:
    """Write the images that can be read to a .npy file, note the others in `broken`, return the labels of the former."""
    labels = []
    # Written as a stream, not through a memory map, whose owner would be killed by a full disk.
    with open(path, "wb") as file:
        _write_header(file, len(samples), size)
        for sample, result in zip(samples, _in_threads(lambda sample: _decode_one(sample, size), samples)):
            if isinstance(result, str):
                broken.append(f"{sample.name} ({result})")
            else:
                file.write(result)
                labels.append(sample.label)
        file.seek(0)
        _write_header(file, len(labels), size)
    return np.array(labels, dtype=np.int64)


def _write_header(file, images: int, size: int) -> None:
    # numpy leaves room in the header for the first axis to change.
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (images, 3, size, size)})


def _decode_one(sample: Sample, size: int) -> bytes | str:
    """The pixels, or why there are none."""
    from .decode import to_array

    try:
        with sample.open() as image:
            return to_array(image, size).tobytes()
    except Exception as error:  # a broken file can fail in any way inside a decoder
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def _in_threads(function: Callable, items: Iterable) -> Iterator:
    """Like map, in order, some items ahead of what was consumed; Pillow decodes without holding the interpreter."""
    items = iter(items)
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(function, item) for item in islice(items, 8 * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(items, 1))
