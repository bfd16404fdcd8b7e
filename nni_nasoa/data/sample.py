"""As many images of a folder as can be decoded in some time, in memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np

from .arrays import DatasetError, Holdout, ImageArrays, ImageSplit, NotInTimeError
from .decoded import check_bad, decode_one
from .folder import Folder, sample_of
from .left_out import BadFile, LeftOut
from .listing import ImageFile
from .split_defaults import SAMPLE_VAL_SHARE

WORKERS = 4
LEAST_PATIENCE = 0.5  # seconds beyond the deadline, at least, that the first images of two classes may take


class _Job(NamedTuple):
    part: str
    file: ImageFile


class _Decoded:
    """What was decoded so far."""

    def __init__(self, size: int):
        self.bad: list[BadFile] = []
        self._size = size
        self._images: dict[str, list[np.ndarray]] = {"train": [], "val": []}
        self._labels: dict[str, list[int]] = {"train": [], "val": []}

    def add(self, job: _Job, result: bytes | str) -> None:
        """Take the pixels of an image, or why there are none."""
        if isinstance(result, str):
            self.bad.append(BadFile(job.file.path, result))
        else:
            pixels = np.frombuffer(result, np.uint8).reshape(3, self._size, self._size)
            self._images[job.part].append(pixels)
            self._labels[job.part].append(job.file.label)

    @property
    def tried(self) -> int:
        """How many images were opened."""
        return sum(map(len, self._labels.values())) + len(self.bad)

    @property
    def enough(self) -> bool:
        """Whether there are two classes, and an image to validate on."""
        return len(set(self._labels["train"])) >= 2 and bool(self._labels["val"])

    def part(self, name: str) -> ImageArrays:
        """The images of a part."""
        return ImageArrays(np.stack(self._images[name]), np.array(self._labels[name], dtype=np.int64))


def sample_folder(
    folder: Folder,
    holdout: Holdout,
    input_size: int,
    *,
    seconds: float,
    most: int | None,
    max_bad: float,
) -> ImageSplit:
    """Decode images of a folder for some time, all classes in turn; see `Dataset.sample`.

    Raises
    ------
    NotInTimeError
        Not even one image of two classes, and one to validate on, could be read.
    DatasetError
        Those that are unreadable are more than the share `max_bad` of all in the folder, or leave too few.
    """
    deadline = time.monotonic() + seconds
    listing, path = folder.listing, folder.path
    rng = np.random.default_rng(holdout.seed)
    train, val = (_classes_in_turn(part, rng) for part in listing.parts(holdout))
    queue = list(islice(_interleaved(train, val), most))
    decoded = _Decoded(input_size)
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(queue), 2 * WORKERS):
            patience = 0 if decoded.enough else max(seconds, LEAST_PATIENCE)
            if time.monotonic() >= deadline + patience:
                break
            jobs = queue[start : start + 2 * WORKERS]
            results = pool.map(lambda job: decode_one(sample_of(path, job.file), input_size), jobs)
            for job, result in zip(jobs, results):
                decoded.add(job, result)
    bad = tuple(decoded.bad)
    check_bad(folder.name, LeftOut(len(listing.files), bad), max_bad)
    if not decoded.enough:
        if decoded.tried == len(queue):
            first = f"; the first: {bad[0]}" if bad else ""
            raise DatasetError(
                f"{path}: {len(bad)} of {len(queue)} images cannot be read, which leaves too few for "
                f"two classes and one image to validate on{first}"
            )
        raise NotInTimeError(
            f"{path}: the budget is too short to decode an image of two classes; give more minutes"
        )
    left_out = LeftOut(decoded.tried, bad, None, listing.empty_classes, listing.other_files)
    return ImageSplit(
        decoded.part("train"), decoded.part("val"), listing.classes, folder.name, left_out=left_out
    )


def _classes_in_turn(files: list[ImageFile], rng: np.random.Generator) -> list[ImageFile]:
    """A random order in which every class comes once before one comes again."""
    by_class: dict[int, list[ImageFile]] = defaultdict(list)
    for i in rng.permutation(len(files)):
        by_class[files[i].label].append(files[i])
    turns = (
        (turn, label, file) for label, of_class in by_class.items() for turn, file in enumerate(of_class)
    )
    return [file for _, _, file in sorted(turns)]


def _interleaved(train: list[ImageFile], val: list[ImageFile]) -> Iterator[_Job]:
    """Both lists in one, the validation part thinly."""
    every, rest = round(1 / SAMPLE_VAL_SHARE), iter(val)
    for number, file in enumerate(train, start=1):
        yield _Job("train", file)
        if number % (every - 1) == 0:
            yield from (_Job("val", file) for file in islice(rest, 1))
    yield from (_Job("val", file) for file in rest)
