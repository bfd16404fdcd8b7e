"""Candidates that are tried briefly first, and only those that promise something in full.

A result of a brief try is none of the search, as it does not compare with one in full: it says which
candidates to try in full, which to breed from, and what the model of the results should expect (successive
halving has such rungs: Jamieson and Talwalkar, 2016, arXiv 1502.07943).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .problem import Operators

_MARK = " (brief)"


@dataclass(frozen=True)
class Attempt:
    """A candidate, to be tried briefly or in full."""

    candidate: Any
    brief: bool

    @property
    def in_full(self) -> Attempt:
        """The same candidate, in full."""
        return Attempt(self.candidate, brief=False)


def is_brief(candidate: Any) -> bool:
    """Whether what is evaluated is a brief try."""
    return isinstance(candidate, Attempt) and candidate.brief


def in_full(candidate: Any) -> Any:
    """What a candidate is in full; where there are no brief tries, itself."""
    return candidate.in_full if isinstance(candidate, Attempt) else candidate


def bare(candidate: Any) -> Any:
    """A candidate without whether it is to be tried briefly."""
    return candidate.candidate if isinstance(candidate, Attempt) else candidate


@dataclass(frozen=True)
class BriefFirst:
    """Operators of attempts: what is new is tried briefly.

    Parameters
    ----------
    operators
        Those of the candidates.
    """

    operators: Operators

    @property
    def rounds(self) -> int:
        """As of the candidates."""
        return self.operators.rounds

    def random(self, rng: np.random.Generator) -> Attempt:
        """Draw a candidate."""
        return Attempt(self.operators.random(rng), brief=True)

    def mutate(self, attempt: Attempt, rng: np.random.Generator) -> Attempt:
        """Return one near this one."""
        return Attempt(self.operators.mutate(attempt.candidate, rng), brief=True)

    def crossover(self, a: Attempt, b: Attempt, rng: np.random.Generator) -> Attempt:
        """Return one made of parts of both."""
        return Attempt(self.operators.crossover(a.candidate, b.candidate, rng), brief=True)

    def key(self, attempt: Attempt) -> str:
        """The candidate's, with a mark for a brief try."""
        return self.operators.key(attempt.candidate) + (_MARK if attempt.brief else "")

    def from_key(self, key: str) -> Attempt:
        """Return the attempt of a key."""
        return Attempt(self.operators.from_key(key.removesuffix(_MARK)), brief=key.endswith(_MARK))

    def to_json(self, attempt: Attempt) -> dict[str, Any]:
        """The candidate as JSON, and whether it is a brief try."""
        return {"candidate": self.operators.to_json(attempt.candidate), "brief": attempt.brief}

    def from_json(self, data: Any) -> Attempt:
        """Return the attempt again."""
        return Attempt(self.operators.from_json(data["candidate"]), brief=data["brief"])

    def features(self, attempt: Attempt) -> np.ndarray:
        """The candidate's, and 1 for a try in full."""
        return np.append(self.operators.features(attempt.candidate), float(not attempt.brief))

    @property
    def groups(self) -> np.ndarray:
        """The candidate's, and one more."""
        groups = self.operators.groups
        return np.append(groups, groups.max(initial=-1) + 1)
