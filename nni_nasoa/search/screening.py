"""Of many candidates that could be next, the one that a model of the results expects most of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice
from typing import Any

import numpy as np

from .fidelity import Attempt, bare, in_full, is_brief
from .problem import Individual, Limit, Meter, Objective, Operators
from .surrogate import Surrogate

_POOL = 100  # candidates that are compared first
_NOTHING = 1e-3  # gain, as a share of the hypervolume that there is
_KEPT = 20_000  # candidates whose features are remembered
_MOST_MEASURED = 200  # candidates whose measurements are remembered
# A brief try is a step towards its gain, a try in full brings it: so many times as much is thought of it.
_IN_FULL = 2.0
_PARENTS, _NEIGHBOURS = 5, 5  # in each round, neighbours of the best: of how many, how many of each


class Screening:
    """Chooses among new candidates by their expected gain of hypervolume.

    Parameters
    ----------
    operators
        What has `features` and `groups` of candidates.
    objectives, limits
        What is searched for.
    meter
        Measures what can be known of a candidate without evaluating it, such as its speed; None for nothing.
    metered
        So many candidates are measured, where they were not yet, before one of them is chosen.
    """

    def __init__(
        self,
        operators: Operators,
        objectives: Sequence[Objective],
        limits: Sequence[Limit],
        meter: Meter | None = None,
        metered: int = 8,
    ) -> None:
        self._operators, self._objectives, self._limits = operators, objectives, limits
        self._meter, self._metered = meter, metered
        self._features: dict[str, np.ndarray] = {}
        self._measured: dict[str, tuple[Any, dict[str, float]]] = {}  # candidates and metrics, by key

    @cached_property
    def _surrogate(self) -> Surrogate:
        return Surrogate(self._operators.groups, self._objectives, self._limits)

    @property
    def possible(self) -> bool:
        """Whether candidates differ in anything that a model can see."""
        return len(self._operators.groups) > 0

    def forget(self) -> None:
        """Start anew: results were taken back, or others took their place."""
        self._surrogate.forget()

    def best(
        self,
        proposals: Iterable[tuple[str, Any]],
        new: Callable[[Iterable[Any]], Iterator[tuple[str, Any]]],
        *,
        promoted: Mapping[str, Any],
        evaluated: Mapping[str, Individual],
        failed: Iterable[str],
        pending: Mapping[str, Any],
        rng: np.random.Generator,
    ) -> tuple[str, Any]:
        """Return (key, candidate) of the best proposal, or of a neighbour of good ones that is better.

        Where candidates can be measured, the most promising ones are, and what that teaches decides between
        them. Where the model expects next to nothing of the best, it is the first proposal half of the time:
        what a model has ruled out is not found with its help.

        Parameters
        ----------
        proposals
            At least one, by key; of more than are compared, the first ones.
        new
            Those of some candidates that are not known, with their keys.
        promoted
            What was tried briefly, to be tried in full: proposals like the others, of whose gain more is
            thought.
        evaluated, failed, pending
            What is known: by key.
        rng
            Of the search.
        """
        pool = {**dict(islice(proposals, _POOL)), **promoted}
        learn = partial(self._learn, evaluated, list(failed), pending, rng)
        learn()
        gains = self._gains(pool)
        for _ in range(self._operators.rounds):
            best = sorted(gains, key=gains.__getitem__, reverse=True)[:_PARENTS]
            mutated = [self._operators.mutate(pool[key], rng) for key in best for _ in range(_NEIGHBOURS)]
            neighbours = {key: one for key, one in new(mutated) if key not in pool}
            pool |= neighbours
            gains |= self._gains(neighbours)
        if self._meter is not None:
            best = sorted(gains, key=gains.__getitem__, reverse=True)[: self._metered]
            self._measure({key: pool[key] for key in best if key not in promoted})
            learn()
            gains = self._gains({key: pool[key] for key in best})
        key = max(gains, key=gains.__getitem__)
        if gains[key] < _NOTHING * self._surrogate.volume and rng.random() < 0.5:
            key = next(iter(pool))
        return key, pool[key]

    def _learn(
        self,
        evaluated: Mapping[str, Individual],
        failed: Iterable[str],
        pending: Mapping[str, Any],
        rng: np.random.Generator,
    ) -> None:
        known = {self._operators.key(in_full(one.candidate)) for one in evaluated.values()}
        measured = {key: found for key, found in self._measured.items() if key not in known}
        names = {name for _, metrics in measured.values() for name in metrics}
        of_name = {
            name: {key: found for key, found in measured.items() if name in found[1]}
            for name in sorted(names)
        }
        self._surrogate.learn(
            self._matrix({key: one.candidate for key, one in evaluated.items()}),
            [one.metrics for one in evaluated.values()],
            final=np.array([not is_brief(one.candidate) for one in evaluated.values()]),
            measured={
                name: (
                    self._matrix({key: in_full(candidate) for key, (candidate, _) in found.items()}),
                    np.array([metrics[name] for _, metrics in found.values()]),
                )
                for name, found in of_name.items()
            },
            failed=self._matrix({key: self._operators.from_key(key) for key in failed}),
            # What is tried briefly is as good as chosen to be tried in full: it counts as that on the front.
            pending=self._matrix({key: in_full(candidate) for key, candidate in pending.items()}),
            rng=rng,
        )

    def _measure(self, candidates: Mapping[str, Any]) -> None:
        """Measure those that were not yet; of what is known of candidates, the newest is kept."""
        assert self._meter is not None
        asked = {one.name for one in self._objectives} | {one.name for one in self._limits}
        for candidate in candidates.values():
            key = self._operators.key(in_full(candidate))
            if key not in self._measured:
                found = {name: value for name, value in self._meter(bare(candidate)).items() if name in asked}
                self._measured[key] = candidate, found
        while len(self._measured) > _MOST_MEASURED:
            del self._measured[next(iter(self._measured))]

    def _gains(self, candidates: Mapping[str, Any]) -> dict[str, float]:
        if not candidates:
            return {}
        tried_in_full = {key: in_full(candidate) for key, candidate in candidates.items()}
        gains = self._surrogate.gains(self._matrix(tried_in_full)).tolist()
        return {
            key: gain * _IN_FULL if isinstance(one, Attempt) and not one.brief else gain
            for (key, one), gain in zip(candidates.items(), gains)
        }

    def _matrix(self, candidates: Mapping[str, Any]) -> np.ndarray:
        """Features, which are kept, as most candidates come again."""
        if len(self._features) > _KEPT:
            self._features.clear()
        rows = []
        for candidate in candidates.values():
            key = self._operators.key(candidate)
            if key not in self._features:
                self._features[key] = self._operators.features(candidate)
            rows.append(self._features[key])
        return np.array(rows).reshape(len(rows), len(self._operators.groups))
