"""Open a dataset within a share of the budget.

Decoding a folder for the first time can take longer than the whole budget. When its time is up, the run goes
on with the images that were decoded by then.
"""

from __future__ import annotations

import math
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib import import_module
from typing import NamedTuple

import numpy as np

from nni_nasoa.data import Dataset, DatasetError, DatasetWarning, ImageSplit
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.dataset import Kind
from nni_nasoa.data.decoding import Decoding
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.training.time_shares import (
    CACHE_SHARE,
    HEAD_PASSES,
    HEAD_REST_SHARES,
    LEAST_HEAD_REST,
    SAMPLE_SHARE,
)

from .clock import Clock
from .sizes import has_resized_crops, input_size_of, known_model, larger_size

LATE_SHARE = 0.25  # of a budget, before a dataset is opened
LOOK_SHARE = 0.6  # of a budget, that may be over when a dataset's files are known: the rest takes time, too
DETAIL_SHARE = 0.1  # of a budget, for larger images beside those that lie decoded
STARTS = 3  # of the process that decodes
ENOUGH_OF_A_CLASS = 4  # images of each class, on average: with fewer a run decodes some more


class Opened(NamedTuple):
    """A dataset, and what is missing of it.

    Parameters
    ----------
    split
        The images.
    notes
        What is missing, a line for each kind.
    sampled
        Whether they are only a sample, as time was too short for all.
    detail
        The training images larger, (n, 3, larger, larger) uint8, where that was asked for and was in time.
    """

    split: ImageSplit
    notes: tuple[str, ...] = ()
    sampled: bool = False
    detail: np.ndarray | None = None


def look_in_time(dataset: Dataset, clock: Clock) -> None:
    """Find out which files a folder or a list has, and how they are split, in a share of the budget.

    Raises
    ------
    DatasetError
        The dataset cannot be used.
    FineTuneError
        There was not the time for it; one line.
    """
    if dataset.kind is not Kind.FILES:
        return
    before, kept_back = clock.elapsed, (1 - LOOK_SHARE) * clock.budget
    try:
        dataset.files.look(dataset.holdout, lambda: clock.remaining - kept_back)
    except NotInTimeError as error:
        raise FineTuneError(f"{error}{_late(before, clock.budget)}") from None


def decoding_begun(dataset: Dataset, regime: FineTuneRegime) -> AbstractContextManager[Decoding | None]:
    """The context in which a folder's images are decoded for a run, which takes that over.

    A command enters it before it loads what the run is made of: PyTorch's import takes a second of one
    processor.

    Parameters
    ----------
    dataset
        In the regime's geometry.
    regime
        Of a run that begins with no classifier.

    Raises
    ------
    DatasetError
        The dataset cannot be used, where that shows without opening an image.
    """
    if dataset.kind is not Kind.FILES or (regime.input_size is None and known_model(regime.model) is None):
        return nullcontext()
    size = input_size_of(regime, dataset)
    return dataset.decoding(larger_size(size) if has_resized_crops(regime) else size)


def open_in_time(
    dataset: Dataset,
    clock: Clock,
    *,
    input_size: int,
    pace: float | None = None,
    in_detail: bool = False,
    show_progress: bool | None = False,
) -> Opened:
    """Open a dataset, or as much of it as can be had in time.

    That is a share of the budget. A run that trains the head alone, which sees each image once or twice, has
    images decoded for as long as there is time to see those that are there.

    Parameters
    ----------
    dataset
        Which, and how it is split.
    clock
        Of the budget.
    input_size, show_progress
        As `Dataset.open` takes them.
    pace
        Of a run that trains the head alone, the seconds of a forward pass for an image.
    in_detail
        Whether a folder's training images are wanted larger, too, so that random crops are not blurred. Where
        they lie decoded at the input size alone, that takes a small share of the budget, or is not done.

    Raises
    ------
    DatasetError
        The dataset cannot be used.
    FineTuneError
        It is no folder, and was not there in time.
    """
    if dataset.kind is Kind.ARRAYS:
        return Opened(dataset.open(input_size))
    before = clock.elapsed
    if dataset.kind is not Kind.FILES:
        seconds = min(CACHE_SHARE * clock.budget, clock.remaining)
        if not dataset.decode_in_time(input_size, seconds, show_progress):
            raise FineTuneError(
                f"dataset: '{dataset.source}' could not be downloaded and decoded in {CACHE_SHARE:.0%} of "
                f"the budget; open it once before, or give more minutes{_late(before, clock.budget)}"
            )
        return _whole(dataset, input_size, show_progress)
    larger = larger_size(input_size)
    in_detail = in_detail and larger > input_size
    if in_detail and dataset.decoded([input_size]) and not dataset.decoded([larger]):
        in_detail = dataset.decode_in_time(larger, DETAIL_SHARE * clock.budget, show_progress)
    if _decoded_in_time(dataset, clock, larger if in_detail else input_size, pace, show_progress):
        whole = _whole(dataset, input_size, show_progress)
        return _with_detail(whole, dataset, larger) if in_detail else whole
    try:
        split = dataset.sample(input_size, 0.0)
    except NotInTimeError as error:
        raise FineTuneError(f"{error}{_late(before, clock.budget)}") from None
    note = (
        f"decoding all images takes longer than the budget allows: {len(split.train)} are trained on, "
        f"{len(split.val)} validated on; a longer run decodes all of them, once"
    )
    return Opened(split, (note, *split.left_out.lines()), sampled=True)


def _whole(dataset: Dataset, input_size: int, show_progress: bool | None) -> Opened:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DatasetWarning)  # the notes say it
        split = dataset.open(input_size, show_progress)
    return Opened(split, tuple(f"{split.name}: {line}" for line in split.left_out.lines()))


def _with_detail(opened: Opened, dataset: Dataset, larger: int) -> Opened:
    """Add the training images as they are decoded at a larger size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DatasetWarning)
        train = dataset.open(larger).train
    same = np.array_equal(train.labels, opened.split.train.labels)
    return opened._replace(detail=train.images) if same else opened


def _decoded_in_time(
    dataset: Dataset, clock: Clock, input_size: int, pace: float | None, show_progress: bool | None
) -> bool:
    """Whether all images of a folder were decoded in time, or cannot be: who opens them sees why.

    A process decodes, of which nothing goes on when its time is up, be it in the middle of a huge image.
    """
    least, share = HEAD_REST_SHARES
    rest = max(min(LEAST_HEAD_REST, share * clock.budget), least * clock.budget)

    def go_on(images: int) -> bool:
        return pace is None or clock.remaining > rest + HEAD_PASSES * pace * images

    dataset.files.split(dataset.holdout)  # what is wrong with it is said, however short the time is
    end = math.inf
    # Where larger images are being decoded already, smaller ones are made of these.
    decoding = dataset.decoding_under_way(input_size) or dataset.decoding(input_size)
    for _ in range(STARTS):  # The process may die, as of a lack of memory; the next one goes on.
        with suppress(DatasetError), decoding:
            if pace is not None:
                import_module("scipy.optimize")  # Heads are fitted with it, and it takes its time to load.
            left = clock.remaining - rest  # To begin takes its time, too, with very many images.
            seconds = min(CACHE_SHARE * clock.budget, left) if pace is None else left
            end = min(end, clock.elapsed + seconds)
            if decoding.show(end - clock.elapsed, show_progress, go_on):
                return True
            if not decoding.running and clock.elapsed < end and go_on(decoding.progress[0]):
                continue
            more = min(SAMPLE_SHARE * clock.budget, 0.5 * max(0.0, clock.remaining - rest))
            decoding.wait(more, until=ENOUGH_OF_A_CLASS * len(decoding.source.classes))
            return decoding.complete
        return True
    return False


def _late(before: float, budget: float) -> str:
    """What to add where much of a budget was over before a dataset was opened: the start may be the cause."""
    if before < LATE_SHARE * budget:
        return ""
    return f" ({before:.2g} s of {budget:.3g} s went by before, as the program was started)"
