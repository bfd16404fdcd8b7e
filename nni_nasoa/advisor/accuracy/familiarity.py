"""How familiar a question is: recorded runs on data like the present, and of the networks asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .features import DATASET, NAMES
from .predictor import AccuracyPredictor

ENOUGH = 30  # runs, for the predictor to be asked at all
# Root mean square difference in standard deviations: of runs on similar data, on data of a known kind.
SIMILAR, KNOWN = 0.5, 1.25
BEYOND = 0.2  # orders of magnitude that a network may lie outside of those that were run
SIZES = ("log_params", "log_gmacs", "log_own_size")

_DATASET = [NAMES.index(name) for name in DATASET]
_IMAGE_SIZE = NAMES.index("log_image_size")
_SIZES = [NAMES.index(name) for name in SIZES]


@dataclass(frozen=True)
class Familiarity:
    """What was seen before.

    Parameters
    ----------
    runs
        That were learned from.
    similar
        Of those that are kept, how many were on data like this.
    known_data
        Whether some were on data of such a kind.
    models
        Names of those models that are of sizes as some networks of them were.
    """

    runs: int
    similar: int
    known_data: bool
    models: frozenset[str]

    @property
    def enough(self) -> bool:
        """Whether the predictor has learned enough to be asked."""
        return self.runs >= ENOUGH

    @classmethod
    def of(cls, predictor: AccuracyPredictor, x: np.ndarray, models: Sequence[str]) -> Familiarity:
        """That of runs of m models on a dataset, one each, whose features are `x`, (m, len(NAMES))."""
        kept = predictor.runs()
        if not len(kept) or not len(x):
            return cls(predictor.seen, 0, False, frozenset())
        seen = [place for place in _DATASET if predictor.used[place]]
        distance = _distance(kept[:, seen], x[0, seen])
        sizes = kept[:, _SIZES]
        low = np.where(np.isnan(sizes), np.inf, sizes).min(axis=0) - BEYOND
        high = np.where(np.isnan(sizes), -np.inf, sizes).max(axis=0) + BEYOND
        known = frozenset(
            name for name, own in zip(models, x[:, _SIZES]) if ((own >= low) & (own <= high)).all()
        )
        if np.nan_to_num(x[0, _IMAGE_SIZE]):  # Files are another kind of data than images that were drawn.
            distance = np.where(np.nan_to_num(kept[:, _IMAGE_SIZE]) == 0, np.inf, distance)
        return cls(predictor.seen, int((distance <= SIMILAR).sum()), bool((distance <= KNOWN).any()), known)


def _distance(runs: np.ndarray, dataset: np.ndarray) -> np.ndarray:
    """How far the data of runs lie from a dataset.

    What is not known of either counts as a standard deviation.
    """
    datasets = np.ma.masked_invalid(np.unique(runs, axis=0))
    deviation = datasets.std(axis=0).filled(0.0)
    varies = deviation > 1e-6
    if not varies.any():
        return np.zeros(len(runs))
    off = np.abs(runs[:, varies] - dataset[varies]) / deviation[varies]
    return np.sqrt(np.mean(np.where(np.isnan(off), 1.0, off) ** 2, axis=1))
