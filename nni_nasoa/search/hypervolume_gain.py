"""The hypervolume that a point is expected to add to a front, where its coordinates are only known roughly.

Each coordinate has a normal or log-normal distribution, independent of the others. What a front leaves free
is cut into boxes, over each of which the expectation is a product of one-dimensional ones (Emmerich, Yang and
Deutz, "Infill criteria for multiobjective Bayesian optimization", 2020), so nothing has to be drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .nsga2 import crowding_distances, non_dominated_ranks

_MOST_BOXES = 4096  # above it the front is thinned: five objectives leave 7 points of it, three leave 63


@dataclass(frozen=True)
class Belief:
    """What is believed of one objective of several candidates; the objective is maximised.

    Parameters
    ----------
    mean, std
        Of the value, or with `log` of the logarithm of its size; float arrays of shape (n,).
    log
        Whether the size of the value is log-normal.
    sign
        1, or -1 where the value is minus what is believed: an objective to be minimised.
    """

    mean: np.ndarray
    std: np.ndarray
    log: bool = False
    sign: int = 1

    def excess(self, thresholds: np.ndarray) -> np.ndarray:
        """How far the value is expected to lie above each threshold, counted as 0 where below.

        Parameters
        ----------
        thresholds
            Float array of shape (k,), finite or +inf.

        Returns
        -------
        Float array of shape (n, k), 0 or more: E[max(0, value - threshold)].
        """
        from scipy.special import ndtr

        mean, std = self.mean[:, None], np.maximum(self.std, 1e-12)[:, None]
        above = np.zeros((len(self.mean), len(thresholds)))
        finite = np.isfinite(thresholds)
        level = thresholds[finite]
        if not self.log:
            gap = self.sign * mean - level
            z = gap / std
            found = gap * ndtr(z) + std * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        else:
            # The prices of a call and of a put (Black and Scholes, 1973).
            strike = self.sign * level
            size = np.exp(np.minimum(mean + std * std / 2, 700.0))
            with np.errstate(divide="ignore"):
                d = (mean - np.log(np.maximum(strike, 0.0))) / std
            found = self.sign * (size * ndtr(self.sign * (d + std)) - strike * ndtr(self.sign * d))
        above[:, finite] = np.maximum(found, 0.0)
        return above


def expected_gain(beliefs: list[Belief], front: ArrayLike, reference: ArrayLike) -> np.ndarray:
    """Hypervolume that each of n candidates is expected to add.

    Parameters
    ----------
    beliefs
        One for each objective, of the same n candidates.
    front
        Float array of shape (points, objectives), all maximised: what there is already. Dominated points are
        left out. Exact up to 4096 boxes, (points + 1) ** (objectives - 1); of a larger front the most crowded
        points are left out, which makes the gain beside them too large.
    reference
        Finite float array of shape (objectives,), from which the volume is counted.

    Returns
    -------
    Float array of shape (n,), 0 or more.
    """
    reference = np.asarray(reference, dtype=np.float64)
    objectives = len(reference)
    points = _thinned(np.asarray(front, dtype=np.float64).reshape(-1, objectives), reference)
    # A cell lies between neighbouring coordinates in all objectives but the last one, in which it is free
    # above the highest point that reaches over the cell.
    floor = np.full((len(points) + 1,) * (objectives - 1), reference[-1])
    edges = [
        np.concatenate([reference[[axis]], np.sort(points[:, axis]), [np.inf]])
        for axis in range(objectives - 1)
    ]
    for point in points:
        reached = tuple(
            slice(0, int(np.searchsorted(edge, coordinate))) for edge, coordinate in zip(edges, point)
        )
        floor[reached] = np.maximum(floor[reached], point[-1])
    levels, which = np.unique(floor, return_inverse=True)
    gain = beliefs[-1].excess(levels)[:, which.reshape(floor.shape)]  # (n, cells, cells, ..)
    for belief, edge in zip(reversed(beliefs[:-1]), reversed(edges)):
        above = belief.excess(edge)
        gain = np.einsum("n...c,nc->n...", gain, above[:, :-1] - above[:, 1:])
    return np.maximum(gain, 0.0)


def _thinned(points: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """The front of the points above the reference, without its most crowded ones if it is large."""
    points = np.unique(points[(points > reference).all(axis=1)], axis=0)
    points = points[non_dominated_ranks(points) == 0]
    if len(reference) == 1:
        return points[:1]
    most = int(_MOST_BOXES ** (1 / (len(reference) - 1)) + 1e-9) - 1
    while (many := len(points) - most) > 0:  # half of them at once, as the rest is less crowded then
        crowded = np.argsort(crowding_distances(points), kind="stable")[: (many + 1) // 2]
        points = np.delete(points, crowded, axis=0)
    return points
