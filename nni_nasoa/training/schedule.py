"""The learning rate along a training: warm-up, then half a cosine (Loshchilov, Hutter, arXiv 1608.03983)."""

from __future__ import annotations

import math

FIRST_SHARE = 0.1  # The part of the peak at the very beginning.


def warmup_cosine(at: float, warmup: float, end: float = 1.0, first: float = FIRST_SHARE) -> float:
    """Share of the peak learning rate: linear from `first` to 1 at `warmup`, half a cosine to 0 at `end`.

    Parameters
    ----------
    at, warmup, end
        Where training stands, where warm-up is over and where training is, all in the same unit: shares of
        all, or steps.
    first
        The share at 0.
    """
    if at < warmup:
        return first + (1 - first) * at / warmup
    rest = end - warmup
    return 0.5 * (1 + math.cos(math.pi * (at - warmup) / rest)) if rest > 0 else 1.0
