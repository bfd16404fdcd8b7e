"""How much of the time before a run's first pass was its start-up, as far as a record tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from nni_nasoa.experience.records import COUNTS, positive

from .simulated_run import RunSetup, simulate

START_UP = 0.3  # seconds, where no run has told
MIN_START_UP, MAX_START_UP = 0.01, 600.0
HALVINGS = 12  # the range is halved so often


def start_up_until(setup: RunSetup, until_training: float) -> float:
    """The start-up after which a run's first evaluation ends at a time, by halving the range.

    Parameters
    ----------
    setup
        Of one run; its own start-up does not count.
    until_training
        Seconds from the run's start to the end of its first evaluation.
    """
    low, high = MIN_START_UP, min(MAX_START_UP, until_training)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        ends = simulate(replace(setup, start_up=np.array([middle]))).until_training[0]
        low, high = (middle, high) if ends < until_training else (low, middle)
    return max(MIN_START_UP, low)


def without_decoding(seconds: float, profile: Mapping[str, Any], expected: float) -> float:
    """The start-up in what went before the first pass of a run on a dataset with this profile.

    Whether the images had to be decoded, and in how many threads they were, nobody says: of what the start-up
    can have been, it is taken to be what is nearest to the expected.
    """
    images = sum(positive(profile, name) or 0 for name in COUNTS)
    decoding = (positive(profile, "decode_seconds") or 0.0) * images
    return max(MIN_START_UP, min(max(expected, seconds - decoding), seconds))
