"""An elitist, steady-state, asynchronous NSGA-II behind an ask/tell interface (Deb et al., 2002).

It knows nothing of NNI. One result at a time enters the population and the worst one leaves (mu + 1), so a
worker never waits for a generation.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from threading import RLock
from typing import Any

import numpy as np

from nni_nasoa.values import SHARE, whole

from .fidelity import in_full, is_brief
from .nsga2 import non_dominated_ranks
from .population import Entry, Population
from .problem import METRIC, Individual, Limit, Meter, Objective, Operators, SpaceExhausted
from .screening import Screening

__all__ = ["Evolution", "Individual", "Limit", "Objective", "Operators", "SpaceExhausted"]

_logger = logging.getLogger(__name__)

_CHILDREN = 100  # proposals by variation before the next one is drawn at random
_START = 10  # candidates before the first is screened: with fewer results, a model knows too little
_UNSCREENED = 0.1  # share of the children that no model chooses, so that a wrong one cannot lead astray


class Evolution:
    """Multi-objective evolution, driven by `ask` and `tell`. Safe to use from several threads.

    Parameters
    ----------
    operators
        How candidates are drawn, varied and told apart. Those of `fidelity.BriefFirst` are tried briefly
        first: what is asked for, told and on the front is an `Attempt` then, and the front is of tries in
        full alone.
    objectives
        At least one. The first one orders `front`.
    limits
        Bounds on metrics, handled by constraint domination (section VI of the NSGA-II paper).
    population_size
        Individuals that are kept as parents; before the first is bred, as many are asked for: `initial`, then
        random ones.
    crossover_probability
        Probability that a child has two parents; every child is mutated.
    initial
        Candidates to ask for first.
    surrogate
        Whether a model of the results chooses among many children (`screening.py`), from ten candidates on or
        from as many as `population_size`. One child in ten is taken as it comes.
    meter
        Measures what can be known of a candidate before it is evaluated, such as its speed: called by `ask`
        for the `metered` candidates that the model expects most of, before it chooses one of them. An empty
        mapping says that a candidate cannot be measured.
    metered
        How many, 1 or more.
    seed
        With a seed, the same results told in the same order lead to the same candidates.

    Raises
    ------
    ValueError
        An argument is out of its range.

    Examples
    --------
    >>> objectives = [Objective("accuracy"), Objective("seconds", maximize=False)]
    >>> evolution = Evolution(operators, objectives, seed=0)
    >>> while not done:
    ...     candidate = evolution.ask()
    ...     evolution.tell(candidate, {"accuracy": 0.9, "seconds": 12.0})
    >>> evolution.front()
    """

    def __init__(
        self,
        operators: Operators,
        objectives: Sequence[Objective],
        *,
        limits: Sequence[Limit] = (),
        population_size: int = 20,
        crossover_probability: float = 0.5,
        initial: Iterable[Any] = (),
        surrogate: bool = False,
        meter: Meter | None = None,
        metered: int = 8,
        seed: int | Sequence[int] | None = None,
    ) -> None:
        names = [objective.name for objective in objectives]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"objectives: need one or more different names, got {names}")
        self.operators, self.objectives, self.limits = operators, tuple(objectives), tuple(limits)
        self.population_size = whole(2)("population size", population_size)
        self.crossover_probability = SHARE("crossover probability", crossover_probability)
        metered = whole(1)("metered", metered)
        self._screening = (
            Screening(operators, self.objectives, self.limits, meter, metered) if surrogate else None
        )
        self._rng = np.random.default_rng(seed)
        self._lock = RLock()
        self._to_ask_first = deque(initial)
        self._evaluated: dict[str, Entry] = {}  # results by their keys, in the order in which they were told
        self._failed: set[str] = set()
        self._pending: dict[str, Any] = {}
        # Results of brief tries compare among themselves alone, and so do the others.
        self._population, self._brief = Population(population_size), Population(population_size)

    # -- ask and tell --

    def ask(self) -> Any:
        """Propose a candidate that was never asked, told or failed before. Never waits.

        Raises
        ------
        SpaceExhausted
            None was found.
        """
        with self._lock:
            found = self._screened() or next(self._new_ones(self._proposals()), None)
            if found is None:
                raise SpaceExhausted("no candidate was found that was not proposed before")
            key, candidate = found
            self._pending[key] = candidate
            return candidate

    def tell(self, candidate: Any, metrics: Mapping[str, Any]) -> None:
        """Enter the result of a candidate, asked for or not.

        The first result of a candidate stays; it overrules an earlier failure. Metrics in which an objective
        or a limit is missing, not a number or NaN count as a failure; infinite values do not. Further metrics
        are kept as they are.
        """
        with self._lock:
            key = self.operators.key(candidate)
            if key in self._evaluated:
                _logger.info("Told twice, the first result stays: %s", key)
                return
            try:
                entry = self._entry(candidate, metrics)
            except ValueError as error:
                _logger.warning("Counted as a failure (%s): %s", error, key)
                self.fail(candidate)
                return
            self._pending.pop(key, None)
            self._failed.discard(key)
            self._evaluated[key] = entry
            self._enter(entry)

    def fail(self, candidate: Any) -> None:
        """Count a candidate as failed: it is not asked again. A candidate that has a result keeps it."""
        with self._lock:
            key = self.operators.key(candidate)
            if key not in self._evaluated:
                self._pending.pop(key, None)
                self._failed.add(key)

    def withdraw(self, candidate: Any) -> None:
        """Take back the result of a candidate, as if it had not been told, so that another one can be.

        A candidate without a result is left as it is.
        """
        with self._lock:
            if self._evaluated.pop(self.operators.key(candidate), None) is not None:
                self._forget()
                for entry in self._evaluated.values():
                    self._enter(entry)

    def ask_again(self, candidate: Any) -> None:
        """Ask once more, and first, for a candidate that was not answered, as nobody could evaluate it."""
        with self._lock:
            if self._pending.pop(self.operators.key(candidate), None) is not None:
                self._to_ask_first.appendleft(candidate)

    def requeue_pending(self) -> None:
        """Ask again, and first, for what was not answered: for a restart that lost what was under way."""
        with self._lock:
            self._to_ask_first.extendleft(reversed(self._pending.values()))
            self._pending.clear()

    # -- what is known --

    @property
    def population(self) -> list[Individual]:
        """The present parents, at most `population_size`; without those of brief tries."""
        return [entry.individual for entry in self._population]

    @property
    def evaluated(self) -> list[Individual]:
        """Every individual with a result, in order of telling."""
        with self._lock:
            return [entry.individual for entry in self._evaluated.values()]

    @property
    def failures(self) -> int:
        """Number of candidates that failed."""
        return len(self._failed)

    @property
    def pending(self) -> int:
        """Number of candidates asked for and not answered yet."""
        return len(self._pending)

    @property
    def unanswered(self) -> dict[str, Any]:
        """Candidates asked for and not answered yet, by their keys."""
        with self._lock:
            return dict(self._pending)

    def front(self) -> list[Individual]:
        """Return the feasible, non-dominated ones of all results in full, best first objective first."""
        with self._lock:
            feasible = [entry for entry in self._in_full() if not entry.violation]
        if not feasible:
            return []
        ranks = non_dominated_ranks([entry.values for entry in feasible])
        best = [entry for entry, rank in zip(feasible, ranks) if rank == 0]
        return [entry.individual for entry in sorted(best, key=lambda entry: entry.values, reverse=True)]

    def _in_full(self) -> list[Entry]:
        """The results that are not of brief tries."""
        return [entry for entry in self._evaluated.values() if not is_brief(entry.individual.candidate)]

    # -- state --

    def state_dict(self) -> dict[str, Any]:
        """Return results, failures, pending candidates and the random state, as JSON can hold them."""
        to_json = self.operators.to_json
        with self._lock:
            return {
                "version": 1,
                "evaluated": [
                    {"candidate": to_json(one.candidate), "metrics": dict(one.metrics)}
                    for one in self.evaluated
                ],
                "failed": sorted(self._failed),
                "pending": [to_json(candidate) for candidate in self._pending.values()],
                "to_ask_first": [to_json(candidate) for candidate in self._to_ask_first],
                "rng": self._rng.bit_generator.state,
            }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, in place of what was known so far.

        The results are told again one by one, under the present objectives and limits, so these may have
        changed.

        Raises
        ------
        ValueError
            The state is of another version.
        """
        if state.get("version") != 1:
            raise ValueError(f"evolution state: version {state.get('version')!r}, where 1 is expected")
        from_json = self.operators.from_json
        with self._lock:
            self._evaluated, self._failed = {}, set(state["failed"])
            self._forget()
            self._pending = {
                self.operators.key(candidate): candidate for candidate in map(from_json, state["pending"])
            }
            self._to_ask_first = deque(map(from_json, state["to_ask_first"]))
            for one in state["evaluated"]:
                self.tell(from_json(one["candidate"]), one["metrics"])
            self._rng.bit_generator.state = state["rng"]

    # -- variation --

    def _new_ones(self, proposals: Iterable[Any]) -> Iterator[tuple[str, Any]]:
        """Yield (key, candidate) for the proposals that nobody made before."""
        for candidate in proposals:
            key = self.operators.key(candidate)
            if key not in self._evaluated and key not in self._failed and key not in self._pending:
                yield key, candidate

    def _enter(self, entry: Entry) -> None:
        (self._brief if is_brief(entry.individual.candidate) else self._population).enter(entry)

    def _forget(self) -> None:
        """Forget who are parents and what the model knows, where results are not those that there were."""
        self._population.clear()
        self._brief.clear()
        if self._screening is not None:
            self._screening.forget()

    def _screened(self) -> tuple[str, Any] | None:
        """What a model of the results expects most of; None where it is not its turn, or knows too little."""
        known = len(self._evaluated) + len(self._failed) + len(self._pending)
        start = min(_START, self.population_size)
        if self._screening is None or self._to_ask_first or known < start:
            return None
        if len(self._evaluated) < start / 2 or not self._can_breed:
            return None
        if not self._screening.possible or self._rng.random() < _UNSCREENED:
            return None
        first = next(proposals := self._new_ones(self._many()), None)
        if first is None:
            return None
        return self._screening.best(
            chain([first], proposals),
            self._new_ones,
            promoted=dict(self._new_ones(in_full(entry.individual.candidate) for entry in self._brief)),
            evaluated={key: entry.individual for key, entry in self._evaluated.items()},
            failed=sorted(self._failed),
            pending=self._pending,
            rng=self._rng,
        )

    def _many(self) -> Iterator[Any]:
        """Yield children, and random candidates among them."""
        for number in range(4 * _CHILDREN):
            yield self.operators.random(self._rng) if number % 4 == 3 else self._child()

    def _proposals(self) -> Iterator[Any]:
        """Yield what to ask for first; children of the population, or random candidates without one.

        Before the children comes what is on the front of the brief tries, to be tried in full.
        """
        while self._to_ask_first:
            yield self._to_ask_first.popleft()
        bred = len(self._evaluated) + len(self._pending) >= self.population_size and self._can_breed
        if bred:
            yield from (in_full(entry.individual.candidate) for entry in self._brief.front())
            for _ in range(_CHILDREN):
                yield self._child()
        # With all but one of N equally likely candidates known, 20 N draws miss that one with probability
        # exp(-20).
        known = len(self._evaluated) + len(self._failed) + len(self._pending)
        for _ in range(1000 + 20 * known):
            yield self.operators.random(self._rng)
        # Where nothing is new any more, what did not promise much is tried in full after all.
        yield from (in_full(entry.individual.candidate) for entry in list(self._evaluated.values()))

    @property
    def _can_breed(self) -> bool:
        return max(len(self._population), len(self._brief)) >= 2

    def _child(self) -> Any:
        parent, other = self._parent(), self._parent()
        if parent is not other and self._rng.random() < self.crossover_probability:
            return self.operators.mutate(self.operators.crossover(parent, other, self._rng), self._rng)
        return self.operators.mutate(parent, self._rng)

    def _parent(self) -> Any:
        """The winner of a tournament among brief tries, or among those in full where there are such."""
        both = [population for population in (self._population, self._brief) if len(population) >= 2]
        among = both[self._rng.integers(len(both))] if len(both) > 1 else both[0]
        return among.tournament(self._rng).individual.candidate

    # -- selection --

    def _entry(self, candidate: Any, metrics: Mapping[str, Any]) -> Entry:
        names = [*(objective.name for objective in self.objectives), *(limit.name for limit in self.limits)]
        numbers = {name: METRIC(f"metric '{name}'", metrics.get(name)) for name in names}
        values = tuple(
            numbers[objective.name] * (1 if objective.maximize else -1) for objective in self.objectives
        )
        violation = sum(limit.violation(numbers[limit.name]) for limit in self.limits)
        further = {  # all in a form that JSON can hold
            name: value.item() if isinstance(value, np.generic) else value for name, value in metrics.items()
        }
        return Entry(Individual(candidate, {**further, **numbers}), values, violation)
