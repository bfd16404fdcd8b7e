"""What results let expect of candidates that have none: how much hypervolume each would add."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .gaussian_process import GaussianProcess, Hyperparameters, fit_hyperparameters
from .hypervolume_gain import Belief, expected_gain
from .nsga2 import hypervolume, non_dominated_ranks
from .problem import Limit, Objective

_DRAWS = 8  # possible outcomes of what is under way
_MOST_POINTS = 300  # results that predictions are made from
_MOST_FITTED = 100  # results that hyperparameters are found from
_LARGEST = 1e100  # metric
_REFITTED = 1.1  # so many times as many results, and hyperparameters are found anew


@dataclass(frozen=True)
class _Scale:
    """How a metric's values are brought to mean 0 and standard deviation 1, by logarithms or not."""

    log: bool
    mean: float
    std: float

    @classmethod
    def of(cls, values: np.ndarray) -> _Scale:
        """The scale of some values: logarithms where these are less skewed."""
        log = bool(values.min() > 0) and abs(_skewness(np.log(values))) < abs(_skewness(values))
        standard = np.log(values) if log else values
        return cls(log, float(standard.mean()), float(standard.std()) or 1.0)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return ((np.log(values) if self.log else values) - self.mean) / self.std

    def back(self, standard: np.ndarray) -> np.ndarray:
        """Values again."""
        values = standard * self.std + self.mean
        return np.exp(np.minimum(values, 700.0)) if self.log else values

    def bound(self, value: float) -> float:
        """Where a bound on the values lies on the scale."""
        if self.log:
            value = math.log(value) if value > 0 else -math.inf
        return (value - self.mean) / self.std


def _skewness(values: np.ndarray) -> float:
    centred = values - values.mean()
    spread = centred.std()
    return float((centred**3).mean() / spread**3) if spread > 0 else 0.0


def _finite(values: np.ndarray) -> np.ndarray:
    """What is infinite as the outermost finite value: the model needs numbers, and their squares."""
    values = np.where(np.isfinite(values), np.clip(values, -_LARGEST, _LARGEST), values)
    known = values[np.isfinite(values)]
    return np.clip(values, known.min(), known.max()) if known.size else np.zeros_like(values)


@dataclass(frozen=True)
class _Metric:
    """The model of one metric."""

    scale: _Scale
    process: GaussianProcess
    drawn: np.ndarray  # values of what is under way, shape (pending, draws)


class Surrogate:
    """A model of each metric that objectives and limits name, and of whether a candidate fails.

    Parameters
    ----------
    groups
        Int array of shape (columns,): which columns of the features belong together.
    objectives, limits
        What is searched for.
    """

    def __init__(self, groups: np.ndarray, objectives: Sequence[Objective], limits: Sequence[Limit]) -> None:
        self.groups, self.objectives, self.limits = groups, objectives, limits
        # By metric, "" for failures; and with how many results and failures each was found.
        self._found: dict[str, tuple[tuple[int, int], Hyperparameters]] = {}
        self._metrics: dict[str, _Metric] = {}
        self._fails: GaussianProcess | None = None
        self._fronts: list[np.ndarray] = []
        self._reference = np.empty(0)

    def forget(self) -> None:
        """Find hyperparameters anew: earlier results are not those that they were."""
        self._found.clear()

    def learn(
        self,
        features: np.ndarray,
        metrics: Sequence[Mapping[str, Any]],
        *,
        failed: np.ndarray,
        pending: np.ndarray,
        rng: np.random.Generator,
        final: np.ndarray | None = None,
        measured: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    ) -> None:
        """Take in all that is known.

        Parameters
        ----------
        features
            Of the results in the order in which they came, shape (n, columns), n at least 2.
        metrics
            Of each, with all that the objectives and limits name.
        failed, pending
            Features of what failed, and of what is under way: shapes (k, columns).
        rng
            Draws outcomes of what is under way.
        final
            Which results count for the front, bool of shape (n,): the others, of brief tries, only teach.
            None for all of them.
        measured
            By metric, features (k, columns) and values (k,) of candidates of which it is known although they
            have no result.
        """
        names = dict.fromkeys(
            [*(objective.name for objective in self.objectives), *(limit.name for limit in self.limits)]
        )
        values = {name: _finite(np.array([one[name] for one in metrics], dtype=np.float64)) for name in names}
        more = {name: (of, _finite(found)) for name, (of, found) in (measured or {}).items()}
        points = np.column_stack([_signed(values[one.name], one) for one in self.objectives])
        violations = self._violations(values)
        chosen = _chosen(points, violations)
        draws = _DRAWS if len(pending) else 1
        self._metrics = {
            name: self._model(name, features, column, chosen, more.get(name), pending, draws, rng)
            for name, column in values.items()
        }
        self._fails = self._failures(features, features[chosen], failed) if len(failed) else None
        within = violations == 0
        self._reference = _reference(points[within] if within.any() else points)
        feasible = points[within if final is None else within & final]
        self._fronts = [self._with_drawn(feasible, draw) for draw in range(draws)]

    @property
    def volume(self) -> float:
        """Hypervolume that there is; 0 where nothing keeps to the limits."""
        return hypervolume(self._fronts[0], self._reference)

    def gains(self, features: np.ndarray) -> np.ndarray:
        """How much hypervolume candidates are expected to add, times the probability that all limits hold.

        Where nothing that is known keeps to the limits, it is that probability alone.

        Parameters
        ----------
        features
            Float array of shape (m, columns).

        Returns
        -------
        Float array of shape (m,), 0 or more.
        """
        predicted = {name: metric.process.predict(features) for name, metric in self._metrics.items()}
        total = np.zeros(len(features))
        for draw, front in enumerate(self._fronts):
            at = {name: (mean[:, draw], std) for name, (mean, std) in predicted.items()}
            gain = self._probability(at)
            if len(front) or not self.limits:
                beliefs = [self._belief(one, *at[one.name]) for one in self.objectives]
                gain = gain * expected_gain(beliefs, front, self._reference)
            total += gain
        if self._fails is not None:
            mean, std = self._fails.predict(features)
            total *= _normal((0.5 - mean) / std)
        return total / len(self._fronts)

    # -- inside --

    def _model(
        self,
        name: str,
        features: np.ndarray,
        values: np.ndarray,
        chosen: np.ndarray,
        measured: tuple[np.ndarray, np.ndarray] | None,
        pending: np.ndarray,
        draws: int,
        rng: np.random.Generator,
    ) -> _Metric:
        if measured is not None:
            chosen = np.append(chosen, len(features) + np.arange(len(measured[1])))
            features, values = (np.concatenate(both) for both in zip((features, values), measured))
        scale = _Scale.of(values)
        known, standard = features[chosen], scale(values[chosen])[:, None]
        theta = self._hyperparameters(name, features, values)
        process, drawn = GaussianProcess(known, standard, theta), np.empty((0, draws))
        if len(pending):
            drawn = process.draw(pending, draws, rng)
            outcomes = np.concatenate([np.repeat(standard, draws, axis=1), drawn])
            process = GaussianProcess(np.concatenate([known, pending]), outcomes, theta)
        return _Metric(scale, process, scale.back(drawn))

    def _hyperparameters(self, name: str, features: np.ndarray, values: np.ndarray) -> Hyperparameters:
        """Those found with the first values, at a number that depends on nothing but how many there are."""
        count = _fitted_with(len(values))
        return self._fitted(name, (count, 0), features[:count], values[:count])

    def _failures(self, features: np.ndarray, chosen: np.ndarray, failed: np.ndarray) -> GaussianProcess:
        """Of 0 for a result and 1 for a failure."""

        def outcomes(results: int) -> np.ndarray:
            return np.repeat([0.0, 1.0], [results, len(failed)])

        failed = failed[-_MOST_POINTS:]
        count = _fitted_with(len(features))
        known = np.concatenate([features[:count], failed])
        theta = self._fitted("", (count, len(failed)), known, outcomes(count))
        return GaussianProcess(np.concatenate([chosen, failed]), outcomes(len(chosen)), theta)

    def _fitted(
        self, name: str, count: tuple[int, int], features: np.ndarray, values: np.ndarray
    ) -> Hyperparameters:
        """The hyperparameters that are remembered for so many results and failures, or else are found."""
        known = self._found.get(name)
        if known is None or known[0] != count:
            few = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_FITTED)).astype(int))
            standard = _Scale.of(values[few])(values[few])
            known = self._found[name] = count, fit_hyperparameters(features[few], standard, self.groups)
        return known[1]

    def _violations(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        total = np.zeros(len(next(iter(values.values()))))
        for limit in self.limits:
            total += [limit.violation(value) for value in values[limit.name].tolist()]
        return total

    def _with_drawn(self, points: np.ndarray, draw: int) -> np.ndarray:
        """The feasible points, and those of what is under way in one of its possible outcomes."""
        drawn = {name: metric.drawn[:, draw] for name, metric in self._metrics.items()}
        more = np.column_stack([_signed(drawn[one.name], one) for one in self.objectives])
        points = np.concatenate([points, more[self._violations(drawn) == 0]])
        return points[non_dominated_ranks(points) == 0]

    def _belief(self, objective: Objective, mean: np.ndarray, std: np.ndarray) -> Belief:
        scale = self._metrics[objective.name].scale
        return Belief(
            mean * scale.std + scale.mean, std * scale.std, scale.log, 1 if objective.maximize else -1
        )

    def _probability(self, at: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """That all limits hold."""
        total = np.ones(len(next(iter(at.values()))[0]))
        for limit in self.limits:
            (mean, std), scale = at[limit.name], self._metrics[limit.name].scale
            below = scale.bound(limit.maximum) if limit.maximum is not None else math.inf
            above = scale.bound(limit.minimum) if limit.minimum is not None else -math.inf
            total *= np.maximum(_normal((below - mean) / std) - _normal((above - mean) / std), 0.0)
        return total


def _signed(values: np.ndarray, objective: Objective) -> np.ndarray:
    return values if objective.maximize else -values


def _normal(z: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return ndtr(z)


def _fitted_with(count: int) -> int:
    """The number of results with which hyperparameters are found where there are `count`."""
    fitted = 20
    if count <= fitted:
        return count
    while int(fitted * _REFITTED) <= count:
        fitted = int(fitted * _REFITTED)
    return fitted


def _chosen(points: np.ndarray, violations: np.ndarray) -> np.ndarray:
    """Which results predictions are made from: all, or the best half and of the others evenly many."""
    if len(points) <= _MOST_POINTS:
        return np.arange(len(points))
    order = np.lexsort((non_dominated_ranks(points), violations))
    best, rest = order[: _MOST_POINTS // 2], np.sort(order[_MOST_POINTS // 2 :])
    even = rest[np.linspace(0, len(rest) - 1, _MOST_POINTS - len(best)).astype(int)]
    return np.sort(np.concatenate([best, even]))


def _reference(points: np.ndarray) -> np.ndarray:
    worst, best = points.min(axis=0), points.max(axis=0)
    return worst - 0.1 * np.where(best > worst, best - worst, 1.0)
