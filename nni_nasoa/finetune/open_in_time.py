"""Open a dataset within a share of the budget.

Decoding a folder for the first time can take longer than the whole budget. When its time is up, the run goes
on with the images that were decoded by then.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from importlib import import_module
from typing import NamedTuple

from nni_nasoa.data import Dataset, DatasetError, DatasetWarning, ImageSplit
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.dataset import Kind
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.time_shares import (
    CACHE_SHARE,
    HEAD_PASSES,
    HEAD_REST_SHARES,
    LEAST_HEAD_REST,
    SAMPLE_SHARE,
)

from .clock import Clock

LATE_SHARE = 0.25  # of a budget, before a dataset is opened
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
    """

    split: ImageSplit
    notes: tuple[str, ...] = ()
    sampled: bool = False


def open_in_time(
    dataset: Dataset,
    clock: Clock,
    *,
    input_size: int,
    pace: float | None = None,
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
    if dataset.kind is not Kind.FOLDER:
        seconds = min(CACHE_SHARE * clock.budget, clock.remaining)
        if not dataset.decode_in_time(input_size, seconds, show_progress):
            raise FineTuneError(
                f"dataset: '{dataset.source}' could not be downloaded and decoded in {CACHE_SHARE:.0%} of "
                f"the budget; open it once before, or give more minutes{_late(before, clock.budget)}"
            )
        return _whole(dataset, input_size, show_progress)
    if _decoded_in_time(dataset, clock, input_size, pace, show_progress):
        return _whole(dataset, input_size, show_progress)
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

    dataset.folder.split(dataset.holdout)  # what is wrong with it is said, however short the time is
    seconds = min(CACHE_SHARE * clock.budget, clock.remaining) if pace is None else clock.remaining - rest
    # Where larger images are being decoded already, smaller ones are made of these.
    begun = dataset.decoding_under_way(input_size)
    with suppress(DatasetError), begun or dataset.decoding(input_size) as decoding:
        if pace is not None:
            import_module("scipy.optimize")  # Heads are fitted with it, and it takes its time to load.
        if decoding.show(seconds, show_progress, go_on):
            return True
        more = min(SAMPLE_SHARE * clock.budget, 0.5 * max(0.0, clock.remaining - rest))
        decoding.wait(more, until=ENOUGH_OF_A_CLASS * len(decoding.source.classes))
        return decoding.complete
    return True


def _late(before: float, budget: float) -> str:
    """What to add where much of a budget was over before a dataset was opened: the start may be the cause."""
    if before < LATE_SHARE * budget:
        return ""
    return f" ({before:.2g} s of {budget:.3g} s went by before, as the program was started)"
