"""The parents of an evolution: who enters, who has to leave, and who is chosen (Deb et al., 2002)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .nsga2 import crowding_distances, non_dominated_ranks
from .problem import Individual


@dataclass(frozen=True)
class Entry:
    """An individual as selection sees it.

    Parameters
    ----------
    values
        What the objectives are, all maximised.
    violation
        How far it is outside, summed over the limits; 0 is feasible.
    """

    individual: Individual
    values: tuple[float, ...]
    violation: float


class Population:
    """At most so many entries, the best ones that have entered.

    Parameters
    ----------
    size
        How many.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: list[Entry] = []
        # How they stand, from when a tournament asks for it.
        self._standing: list[tuple[int, float]] | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def clear(self) -> None:
        """Let all go."""
        self._entries, self._standing = [], None

    def enter(self, entry: Entry) -> None:
        """Let a new one in, and if it gets full the most crowded one of the last front out.

        On a tie the younger one has to go.
        """
        entries = [*self._entries, entry]
        if len(entries) > self._size:
            ranks = _ranks(entries)
            last = np.flatnonzero(ranks == ranks.max())
            crowding = crowding_distances([entries[i].values for i in last])
            del entries[min(zip(crowding, -last, last))[2]]
        self._entries, self._standing = entries, None

    def front(self) -> list[Entry]:
        """Those of the first rank."""
        return (
            []
            if not self._entries
            else [self._entries[i] for i in np.flatnonzero(_ranks(self._entries) == 0)]
        )

    def tournament(self, rng: np.random.Generator) -> Entry:
        """The better of two random entries: by front, then by crowding (section III-B), then by chance.

        There are two at least.
        """
        if self._standing is None:
            self._standing = _standing(self._entries)
        pair = rng.choice(len(self._entries), 2, replace=False).tolist()
        # The first one on a tie: the two come in random order.
        return self._entries[min(pair, key=self._standing.__getitem__)]


def _ranks(entries: Sequence[Entry]) -> np.ndarray:
    """Rank by constraint domination, shape (n,).

    The fronts of the feasible ones come first, then the others by violation; those equally far outside share
    a rank.
    """
    values, violations = (
        np.array([entry.values for entry in entries]),
        np.array([entry.violation for entry in entries]),
    )
    feasible = violations == 0
    ranks = np.empty(len(entries), dtype=np.intp)
    ranks[feasible] = non_dominated_ranks(values[feasible])
    if not feasible.all():
        fronts = ranks[feasible].max() + 1 if feasible.any() else 0
        ranks[~feasible] = fronts + np.unique(violations[~feasible], return_inverse=True)[1]
    return ranks


def _standing(entries: Sequence[Entry]) -> list[tuple[int, float]]:
    """(rank, negative crowding distance inside the rank) of each entry: the smaller, the better."""
    values, ranks = np.array([entry.values for entry in entries]), _ranks(entries)
    crowding = np.empty(len(entries))
    for rank in range(ranks.max() + 1):
        crowding[ranks == rank] = crowding_distances(values[ranks == rank])
    return list(zip(ranks.tolist(), (-crowding).tolist()))
