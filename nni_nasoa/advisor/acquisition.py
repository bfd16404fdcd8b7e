"""Which regime to try next on a dataset: the one that most can be learned from.

The first is the advice itself. Of the others, a candidate is worth

    expected accuracy + novelty x (upper end of its range - expected accuracy),

so that among regimes that promise as much the less certain one is tried, and the novelty, from 0 for a regime
that was tried or is being tried to 1 for one that is unlike all of these, keeps runs from telling the same
twice. Only what may be the best counts: candidates whose range reaches the best accuracy that was seen, or
that is expected of any. Where the advisor follows its defaults, it goes from network to network in their
order first, and stays with rates that are sound everywhere after that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nni_nasoa.training.regime import FineTuneRegime

from .advice import Choice
from .alternatives import choice
from .candidates import Candidates
from .defaults import is_sound
from .distances import distances
from .scored_candidates import ScoredCandidates

TOP = 50  # so many of the advisor's own choices are looked at, in their order


def next_choice(
    scored: ScoredCandidates, tried: Sequence[FineTuneRegime], best: float | None = None
) -> Choice | None:
    """The regime to run next, None where all candidates were tried; see `next_row`."""
    row = next_row(scored, tried, best)
    return None if row is None else choice(scored, row)


def next_row(
    scored: ScoredCandidates, tried: Sequence[FineTuneRegime], best: float | None = None
) -> int | None:
    """The candidate to run next, a row.

    Parameters
    ----------
    scored
        All candidates that fit, for the dataset and the budget.
    tried
        What was run on it or is running, failed or not.
    best
        The best accuracy that came of these.

    Returns
    -------
    None where all candidates were tried.
    """
    if not tried:
        return scored.order(1)[0]
    if not scored.learned:
        for row in scored.order(TOP):
            if scored.regimes.regime(row) not in tried:
                return row
    distance = distances(scored.regimes, Candidates.of_regimes(tried, scored.figures))
    allowed = np.isfinite(scored.score) & (scored.learned | is_sound(scored.regimes, scored.figures))
    worth = worths(scored.mean, scored.high, distance, best, allowed)
    row = int(np.argmax(worth))
    return row if np.isfinite(worth[row]) else None


def worths(
    mean: np.ndarray, high: np.ndarray, distance: np.ndarray, best: float | None, allowed: np.ndarray
) -> np.ndarray:
    """What each of n candidates is worth, -inf for those that do not count.

    Parameters
    ----------
    mean, high
        Expected accuracies and the upper ends of their ranges, (n,).
    distance
        To the closest of those that were tried, (n,); see `distances.distances`.
    best
        The best accuracy that was seen; None for none.
    allowed
        Mask (n,) of those that may be advised.
    """
    allowed = allowed & (distance > 1e-6)
    if not allowed.any():
        return np.full(len(mean), -np.inf)
    to_reach = max(mean[allowed].max(), -np.inf if best is None else best)
    plausible = allowed & (high >= to_reach)
    novelty = 1 - np.exp(-(distance**2))
    return np.where(plausible if plausible.any() else allowed, mean + novelty * (high - mean), -np.inf)
