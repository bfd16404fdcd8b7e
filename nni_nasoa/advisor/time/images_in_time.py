"""How many images runs will have of a dataset, and how long a folder's take to be decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.data.split_defaults import SAMPLE_VAL_SHARE
from nni_nasoa.training.time_shares import CACHE_SHARE, HEAD_CACHE_SHARE

if TYPE_CHECKING:
    from nni_nasoa.data.profile import DatasetProfile

TYPICAL_IMAGES = 1000, 250  # what a dataset has to train and validate on that there was no time to look at
# The share of the processors that can be counted on: others may need some, and two may share a core.
PROCESSORS_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class ImagesInTime:
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


def images_in_time(
    profile: DatasetProfile,
    budget: float,
    decoded: np.ndarray,
    head_only: np.ndarray,
    processors: int,
    seconds_left: float | None = None,
) -> ImagesInTime:
    """What runs will have of a dataset.

    Where decoding a folder takes too long for the budget, `finetune` goes on with as many images as were
    decoded in a share of it, which is larger where it trains the head alone.

    Parameters
    ----------
    profile, budget
        Of the dataset; in seconds.
    decoded, head_only
        Of each run, whether the images lie in the cache at its input size, and whether it trains no stage,
        bool arrays (n,).
    processors
        That decode.
    seconds_left
        That decoding will take from now on, where it has begun.
    """
    train, val = profile.train_images or TYPICAL_IMAGES[0], profile.val_images or TYPICAL_IMAGES[1]
    an_image = (profile.decode_seconds or 0.0) / max(1.0, PROCESSORS_SHARE * processors)
    until, share = an_image * (train + val), np.where(head_only, HEAD_CACHE_SHARE, CACHE_SHARE)
    done = 0.0  # part of the images that are there already
    if seconds_left is not None and until > 0:
        done, until = max(0.0, 1 - seconds_left / until), seconds_left
    in_time = decoded | (until <= share * budget)
    part, note = np.ones(len(decoded)), ""
    if not in_time.all():
        new = np.minimum(share * budget / max(until, 1e-9), 1.0)
        part = np.where(in_time, 1.0, done + (1 - done) * new)
        most = part[~in_time].max() * (train + val)
        note = (
            f"decoding all {train + val} images takes about {until:.3g} s here, too long for {budget:.3g} s: "
            f"at input sizes that are not in the cache, a run uses some {most:.0f} of them; "
            f"from {until / share[~in_time].max() / 60:.2g} minutes on, all"
        )
    sampled = part < 1
    return ImagesInTime(
        train=np.where(sampled, np.clip((1 - SAMPLE_VAL_SHARE) * part * (train + val), 1.0, train), train),
        val=np.where(sampled, np.clip(SAMPLE_VAL_SHARE * part * (train + val), 1.0, val), val),
        seconds=np.where(decoded, 0.0, np.minimum(until, share * budget)),
        all_train=train,
        note=note,
    )
