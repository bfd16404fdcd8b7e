"""Open a dataset within a share of the budget.

Decoding a folder for the first time can take longer than the whole budget. When its time is up, the run goes
on with the images that were decoded by then.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

from nni_nasoa.data import Dataset, DatasetWarning, ImageSplit
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.dataset import Kind
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.time_shares import CACHE_SHARE, SAMPLE_SHARE

from .clock import Clock

ENOUGH_OF_A_CLASS = 4  # images of each class, on average: with fewer a run decodes some more


class Opened(NamedTuple):
    """A dataset, and what is missing of it.

    Parameters
    ----------
    split
        The images.
    note
        A line on what is missing, if anything is.
    sampled
        Whether they are only a sample, as time was too short for all.
    """

    split: ImageSplit
    note: str | None = None
    sampled: bool = False


def open_in_time(
    dataset: Dataset, clock: Clock, *, input_size: int, show_progress: bool | None = False
) -> Opened:
    """Open a dataset, or as much of it as can be had in a share of the budget.

    Parameters
    ----------
    dataset
        Which, and how it is split.
    clock
        Of the budget.
    input_size, show_progress
        As `Dataset.open` takes them.

    Raises
    ------
    DatasetError
        The dataset cannot be used.
    FineTuneError
        It is no folder, and was not there in time.
    """
    if dataset.kind is Kind.ARRAYS:
        return Opened(dataset.open(input_size))
    seconds = min(CACHE_SHARE * clock.budget, clock.remaining)
    if dataset.decode_in_time(input_size, seconds, show_progress):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DatasetWarning)  # the note says it
            split = dataset.open(input_size, show_progress)
        missing = split.left_out.summary()
        return Opened(split, missing and f"{split.name}: {missing}")
    if dataset.kind is not Kind.FOLDER:
        raise FineTuneError(
            f"dataset: '{dataset.source}' could not be downloaded and decoded in {CACHE_SHARE:.0%} of the "
            "budget; open it once before, or give more minutes"
        )
    try:
        split = dataset.sample(
            input_size,
            min(SAMPLE_SHARE * clock.budget, 0.5 * clock.remaining),
            enough=ENOUGH_OF_A_CLASS * len(dataset.folder.listing.classes),
        )
    except NotInTimeError as error:
        raise FineTuneError(str(error)) from None
    note = (
        f"decoding all images takes longer than the budget allows: {len(split.train)} are trained on, "
        f"{len(split.val)} validated on; a longer run decodes all of them, once"
    )
    return Opened(split, "; ".join(filter(None, (note, split.left_out.summary()))), sampled=True)
