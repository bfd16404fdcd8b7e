"""Open a dataset within a share of the budget.

Decoding a folder for the first time can take longer than the whole budget. It runs in a process of its own, which can be
ended at any moment without harm to the cache; when its time is up, the run goes on with as many images as can be decoded in
the time that follows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nni_nasoa.data import (
    BadFile,
    DatasetError,
    DatasetWarning,
    ImageArrays,
    ImageSplit,
    Report,
    open_dataset,
)
from nni_nasoa.data.decoded import MAX_BAD, check_bad
from nni_nasoa.data.left_out import readable
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.time_shares import CACHE_SHARE, SAMPLE_SHARE, SAMPLE_VAL_SHARE

from .clock import Clock

_BUILD = """
import json, sys
from nni_nasoa.data import DatasetError, open_dataset
name, options = json.loads(sys.argv[1])
try:
    open_dataset(name, **options)
except DatasetError:
    sys.exit(1)
"""


class Opened(NamedTuple):
    """A dataset, and a line on what is missing of it, if anything is."""

    split: ImageSplit
    note: str | None = None


def open_in_time(
    dataset,
    clock: Clock,
    *,
    input_size: int,
    seed: int = 0,
    root=None,
    val_fraction: float = 0.2,
    max_bad: float = MAX_BAD,
    show_progress: bool | None = False,
) -> Opened:
    """Open a dataset, or as much of it as can be had in half of the budget.

    Parameters
    ----------
    dataset
        An ImageSplit, or what `open_dataset` takes; so are the other parameters.

    Raises
    ------
    DatasetError
        The dataset cannot be used.
    FineTuneError
        It is no folder, and was not there in time.
    """
    if isinstance(dataset, ImageSplit):
        return Opened(dataset)
    options = {
        "input_size": input_size,
        "seed": seed,
        "root": None if root is None else str(root),
        "val_fraction": val_fraction,
        "max_bad": max_bad,
        "show_progress": show_progress,
    }
    folder = Path(os.path.expanduser(str(dataset)))
    if str(dataset).lower() == "digits" or _built(
        str(dataset), options, min(CACHE_SHARE * clock.budget, clock.remaining)
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)  # the note says it
            split = open_dataset(dataset, **options)
        missing = split.report.summary()
        return Opened(split, missing and f"{split.name}: {missing}")
    if not folder.is_dir():
        raise FineTuneError(
            f"dataset: '{dataset}' could not be downloaded and decoded in {CACHE_SHARE:.0%} of the budget; "
            "open it once before, or give more minutes"
        )
    split = sample_folder(
        folder,
        min(SAMPLE_SHARE * clock.budget, 0.5 * clock.remaining),
        input_size,
        seed,
        val_fraction,
        max_bad=max_bad,
    )
    note = (
        f"decoding all images takes longer than the budget allows: {len(split.train)} are trained on, "
        f"{len(split.val)} validated on; a longer run decodes all of them, once"
    )
    return Opened(split, "; ".join(filter(None, (note, split.report.summary()))))


def _built(name: str, options: dict, seconds: float) -> bool:
    """Whether a process has opened the dataset in time, or failed to, as this one will then too."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _BUILD, json.dumps([name, options])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if options.get("show_progress") is False else None,
    )
    try:
        process.wait(seconds)
        return True
    except subprocess.TimeoutExpired:
        return False
    finally:
        process.kill()
        process.wait()


def sample_folder(
    folder: Path,
    seconds: float,
    input_size: int,
    seed: int,
    val_fraction: float,
    most: int | None = None,
    max_bad: float = 1.0,
) -> ImageSplit:
    """Decode images of a folder for some time, `most` of them at most, all classes in turn, into memory; see `open_dataset`.

    Raises
    ------
    DatasetError
        As in `open_dataset`. As for unreadable images: those that were found are more than `max_bad` of all in the folder.
    FineTuneError
        Not even one image of two classes, and one to validate on, could be read.
    """
    from nni_nasoa.data.decoded import decode_one
    from nni_nasoa.data.folder import sample_of
    from nni_nasoa.data.listing import list_folder

    deadline = time.monotonic() + seconds
    listing = list_folder(folder, seed, val_fraction)
    rng = np.random.default_rng(seed)
    queue = _interleaved(_classes_in_turn(listing.train, rng), _classes_in_turn(listing.val, rng))[:most]
    decoded, bad = {"train": [], "val": []}, []
    workers = 4
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(queue), 2 * workers):
            enough = len({label for _, label in decoded["train"]}) >= 2 and decoded["val"]
            if time.monotonic() >= deadline and (enough or time.monotonic() >= deadline + max(seconds, 0.5)):
                break
            jobs = queue[start : start + 2 * workers]
            for (part, file), image in zip(
                jobs, pool.map(lambda job: decode_one(sample_of(folder, job[1]), input_size), jobs)
            ):
                if isinstance(image, str):
                    bad.append(BadFile(file.path, image))
                else:
                    decoded[part].append(
                        (np.frombuffer(image, np.uint8).reshape(3, input_size, input_size), file.label)
                    )
    name = readable(folder.resolve().name)
    check_bad(name, Report(len(listing.train) + len(listing.val), tuple(bad)), max_bad)
    if len({label for _, label in decoded["train"]}) < 2 or not decoded["val"]:
        if len(bad) + sum(map(len, decoded.values())) == len(queue):
            first = f"; the first: {bad[0]}" if bad else ""
            raise DatasetError(
                f"{folder}: {len(bad)} of {len(queue)} images cannot be read, which leaves too few for two classes "
                f"and one image to validate on{first}"
            )
        raise FineTuneError(
            f"{folder}: the budget is too short to decode an image of two classes; give more minutes"
        )
    arrays = {
        part: ImageArrays(
            np.stack([image for image, _ in items]), np.array([label for _, label in items], dtype=np.int64)
        )
        for part, items in decoded.items()
    }
    report = Report(
        sum(map(len, decoded.values())) + len(bad),
        tuple(bad),
        None,
        listing.empty_classes,
        listing.other_files,
    )
    return ImageSplit(arrays["train"], arrays["val"], listing.classes, name, report=report)


def _classes_in_turn(files: list, rng: np.random.Generator) -> list:
    """A random order in which every class comes once before one comes again."""
    by_class: dict[int, list] = {}
    for i in rng.permutation(len(files)):
        by_class.setdefault(files[i].label, []).append(files[i])
    turns = (
        (turn, label, file) for label, of_class in by_class.items() for turn, file in enumerate(of_class)
    )
    return [file for _, _, file in sorted(turns)]


def _interleaved(train: list, val: list) -> list[tuple[str, object]]:
    """Both lists in one, the validation part thinly."""
    every = round(1 / SAMPLE_VAL_SHARE)
    jobs, rest = [], list(reversed(val))
    for number, file in enumerate(train, start=1):
        jobs.append(("train", file))
        if number % (every - 1) == 0 and rest:
            jobs.append(("val", rest.pop()))
    return jobs + [("val", file) for file in reversed(rest)]
