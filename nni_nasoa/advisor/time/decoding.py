"""How many images runs will have of a dataset, and how long a folder's take to be decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.data.split_defaults import SAMPLE_VAL_SHARE
from nni_nasoa.training.time_shares import CACHE_SHARE

if TYPE_CHECKING:
    from nni_nasoa.data.profile import DatasetProfile

TYPICAL_IMAGES = 1000, 250  # what a dataset has to train and validate on that there was no time to look at
# The share of the processors that can be counted on: others may need some, and two may share a core.
PROCESSORS_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Decoding:
    """What n runs will have.

    Parameters
    ----------
    train, val
        Images that are trained and validated on, (n,).
    seconds
        That decoding them takes, (n,).
    all_train
        Training images that the dataset has.
    note
        What there is no time for, in a line; empty where there is time for all images.
    """

    train: np.ndarray
    val: np.ndarray
    seconds: np.ndarray
    all_train: int
    note: str = ""


def decoding(profile: DatasetProfile, budget: float, decoded: np.ndarray, processors: int) -> Decoding:
    """What runs will have of a dataset.

    Where decoding a folder takes too long for the budget, `finetune` goes on with as many images as were
    decoded in a share of it.

    Parameters
    ----------
    profile, budget
        Of the dataset; in seconds.
    decoded
        Of each run, whether the images lie in the cache at its input size, bool array (n,).
    processors
        That decode.
    """
    train, val = profile.train_images or TYPICAL_IMAGES[0], profile.val_images or TYPICAL_IMAGES[1]
    an_image = (profile.decode_seconds or 0.0) / max(1.0, PROCESSORS_SHARE * processors)
    until = an_image * (train + val)
    part, val_part, note = float(train), float(val), ""
    if until > CACHE_SHARE * budget and not decoded.all():
        sample = CACHE_SHARE * budget / an_image
        part = max(1.0, min(train, (1 - SAMPLE_VAL_SHARE) * sample))
        val_part = max(1.0, min(val, SAMPLE_VAL_SHARE * sample))
        note = (
            f"decoding all {train + val} images takes about {until:.3g} s here, too long for {budget:.3g} s: "
            f"at input sizes that are not in the cache, a run uses some {part + val_part:.0f} of them; "
            f"from {until / CACHE_SHARE / 60:.2g} minutes on, all"
        )
        until = CACHE_SHARE * budget
    return Decoding(
        train=np.where(decoded, train, part),
        val=np.where(decoded, val, val_part),
        seconds=np.where(decoded, 0.0, until),
        all_train=train,
        note=note,
    )
