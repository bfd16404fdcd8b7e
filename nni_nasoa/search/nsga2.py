"""The selection of NSGA-II, and hypervolume.

Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002. Points are float arrays of
shape (n, objectives), every objective maximised. Infinite values are allowed, NaN is not.
"""

from __future__ import annotations

import math
from bisect import bisect_right

import numpy as np
from numpy.typing import ArrayLike

# Points from which on a pass of numpy costs less than the interpreter's sweep.
_LARGE_FRONT = 64


def _checked(given: ArrayLike) -> np.ndarray:
    """What was given as a float64 array of shape (n, objectives) without NaN."""
    points = np.asarray(given, dtype=np.float64)
    if points.ndim != 2 or not points.shape[1]:
        raise ValueError(f"points: expected shape (n, objectives), got {points.shape}")
    if np.isnan(points).any():
        raise ValueError(f"points: row {int(np.flatnonzero(np.isnan(points).any(axis=1))[0])} contains NaN")
    return points


def non_dominated_ranks(points: ArrayLike) -> np.ndarray:
    """Rank points by Pareto front (section III-A of the paper).

    A point dominates another if it is nowhere smaller and somewhere greater. Equal points do not dominate
    each other and share a rank. One and two objectives take O(n log n), more take O(n^2 objectives).

    Parameters
    ----------
    points
        Float array of shape (n, objectives), all maximised; +-inf compares as any other value.

    Returns
    -------
    Int array of shape (n,): 0 for the non-dominated points, 1 for those that only points of rank 0 dominate,
    ...

    Raises
    ------
    ValueError
        The array has another shape, or contains NaN.
    """
    array = _checked(points)
    if array.shape[1] == 1:
        return np.unique(-array[:, 0], return_inverse=True)[1].reshape(-1)
    if array.shape[1] == 2:
        return _ranks_of_pairs(array)
    return _ranks_by_peeling(array)


def _ranks_of_pairs(points: np.ndarray) -> np.ndarray:
    """Sort by the first value, then rank by the second: peel off large fronts, sweep many small ones."""
    if not len(points):
        return np.empty(0, dtype=np.intp)
    # Complex numbers compare as pairs, and fast.
    pairs = np.negative(points, order="C").view(np.complex128)[:, 0]
    order = np.argsort(pairs)
    pairs = pairs[order]
    distinct = np.ones(len(pairs), dtype=bool)
    np.not_equal(pairs[1:], pairs[:-1], out=distinct[1:])
    second = pairs.imag[distinct]
    found, left, rank = np.empty(len(second), dtype=np.intp), np.arange(len(second)), 0
    while left.size:
        front = np.ones(left.size, dtype=bool)
        np.less(second[1:], np.minimum.accumulate(second)[:-1], out=front[1:])
        if np.count_nonzero(front) < _LARGE_FRONT:
            found[left] = np.fromiter(_sweep(second.tolist()), np.intp, left.size) + rank
            break
        found[left[front]] = rank
        second, left, rank = second[~front], left[~front], rank + 1
    ranks = np.empty(len(points), dtype=np.intp)
    ranks[order] = found[np.cumsum(distinct) - 1]  # equal points share the rank
    return ranks


def _sweep(second: list[float]) -> list[int]:
    """Ranks of distinct points, sorted by the first value, from their second values, both to be minimised.

    Every point met so far has a first value as good, so a front dominates the next point if its best second
    value, which is that of its latest point, is as good. These values rise from front to front: bisection
    finds the first front that does not dominate.
    """
    found: list[int] = []
    latest: list[float] = []
    for value in second:
        rank = bisect_right(latest, value)
        found.append(rank)
        if rank == len(latest):
            latest.append(value)
        else:
            latest[rank] = value
    return found


def _ranks_by_peeling(points: np.ndarray) -> np.ndarray:
    """Take the non-dominated points away, front by front."""
    dominates = np.ones((len(points), len(points)), dtype=bool)
    greater = np.zeros_like(dominates)
    for column in points.T:
        dominates &= column[:, None] >= column
        greater |= column[:, None] > column
    dominates &= greater
    dominators = dominates.sum(axis=0)
    ranks = np.full(len(points), -1, dtype=np.intp)
    rank = 0
    while (front := np.flatnonzero((dominators == 0) & (ranks < 0))).size:
        ranks[front] = rank
        dominators -= dominates[front].sum(axis=0)
        rank += 1
    return ranks


def crowding_distances(points: ArrayLike) -> np.ndarray:
    """How far each point of a front is from its neighbours (section III-B of the paper), as in pymoo.

    The mean over the objectives of the gap between a point's two neighbours, relative to the objective's
    extent. The first and the last point of an objective get infinity; among equal values there, one does. An
    objective in which all values are equal, or whose extent is infinite, tells nothing about distance and
    adds 0. Duplicates stay in: a point between two copies of itself gets 0. One or two points are all
    boundary: infinity.

    Parameters
    ----------
    points
        Float array of shape (n, objectives), all maximised; usually one front.

    Returns
    -------
    Float array of shape (n,), 0 to infinity; the greater, the more a point adds to the spread.

    Raises
    ------
    ValueError
        The array has another shape, or contains NaN.
    """
    array = _checked(points)
    n, objectives = array.shape
    if n <= 2:
        return np.full(n, math.inf)
    distances = np.zeros(n)
    for column in array.T:
        order = np.argsort(-column, kind="stable")
        ordered = column[order]
        extent = float(ordered[0]) - float(ordered[-1])
        if not 0 < extent < math.inf:  # false for the NaN of inf - inf, too
            continue
        distances[order[1:-1]] += (ordered[:-2] - ordered[1:-1]) / extent + (
            ordered[1:-1] - ordered[2:]
        ) / extent
        distances[order[0]] = distances[order[-1]] = math.inf
    return distances / objectives


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """Volume that the points dominate above a reference point (Zitzler and Thiele, 1998).

    Two objectives take one sweep; each further one slices the volume along the last objective.

    Parameters
    ----------
    points
        Float array of shape (n, objectives), all maximised. Points not above the reference everywhere add
        nothing.
    reference
        Finite float array of shape (objectives,): a point that is worse than the points of interest.

    Returns
    -------
    The volume, 0 for no points; infinity where a point above the reference is infinite.

    Raises
    ------
    ValueError
        The arrays do not fit together, contain NaN, or the reference is not finite.
    """
    origin = np.asarray(reference, dtype=np.float64)
    given = np.asarray(points, dtype=np.float64)
    array = _checked(given.reshape(-1, origin.size) if given.size == 0 else given)
    if origin.shape != array.shape[1:] or not np.isfinite(origin).all():
        raise ValueError(f"reference: expected {array.shape[1]} finite numbers, got {origin.tolist()}")
    above = array[(array > origin).all(axis=1)]
    return _volume(above - origin) if np.isfinite(above).all() else math.inf


def _volume(points: np.ndarray) -> float:
    """Union volume of the boxes from the origin to each point, all coordinates positive."""
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(points.max())
    points = points[np.argsort(-points[:, -1], kind="stable")]  # the top slice comes first
    depths = -np.diff(points[:, -1], append=0.0)
    if points.shape[1] == 2:
        return float(np.maximum.accumulate(points[:, 0])[depths > 0] @ depths[depths > 0])
    return sum(
        _volume(points[:i, :-1]) * float(depth) for i, depth in enumerate(depths, start=1) if depth > 0
    )
