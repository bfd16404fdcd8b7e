"""What an evolution is given and gives back: objectives, limits, individuals, operators on candidates."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nni_nasoa.values import number, or_none

METRIC = number(-math.inf, math.inf, "a number")  # what could not be measured to an end may be infinite


@dataclass(frozen=True)
class Objective:
    """A metric to be maximised, or minimised."""

    name: str
    maximize: bool = True


@dataclass(frozen=True)
class Limit:
    """Bounds on a metric.

    A candidate outside is dominated by every one inside, and by those that are less far outside.
    """

    name: str
    maximum: float | None = None
    minimum: float | None = None

    def __post_init__(self) -> None:
        if self.maximum is None and self.minimum is None:
            raise ValueError(f"limit '{self.name}': needs a maximum or a minimum")
        for bound in (self.maximum, self.minimum):
            or_none(METRIC)(f"limit '{self.name}'", bound)

    def violation(self, value: float) -> float:
        """How far `value` is outside, relative to the bound (absolute for a bound of 0); 0 inside."""
        over = (
            max(0.0, value - self.maximum) / (abs(self.maximum) or 1.0) if self.maximum is not None else 0.0
        )
        under = (
            max(0.0, self.minimum - value) / (abs(self.minimum) or 1.0) if self.minimum is not None else 0.0
        )
        return over + under


@dataclass(frozen=True)
class Individual:
    """A candidate and all the metrics it was told with."""

    candidate: Any
    metrics: Mapping[str, Any]


# What is measured of a candidate before it is evaluated, by metric; nothing where that is not possible.
Meter = Callable[[Any], Mapping[str, float]]


class Operators(Protocol):
    """What the evolution has to know about candidates."""

    def random(self, rng: np.random.Generator) -> Any:
        """Draw a candidate."""

    def mutate(self, candidate: Any, rng: np.random.Generator) -> Any:
        """Return a candidate near this one."""

    def crossover(self, a: Any, b: Any, rng: np.random.Generator) -> Any:
        """Return a candidate made of parts of both."""

    def key(self, candidate: Any) -> str:
        """Canonical identity: equal keys mean the same candidate."""

    def to_json(self, candidate: Any) -> Any:
        """Return what JSON can hold of it, for `from_json`."""

    def from_json(self, data: Any) -> Any:
        """Return the candidate again."""

    def from_key(self, key: str) -> Any:
        """Return the candidate of a key."""

    def features(self, candidate: Any) -> np.ndarray:
        """Return numbers for a model, about 0 to 1: a float array of shape (columns,)."""

    @property
    def rounds(self) -> int:
        """How often neighbours of the best candidates are looked at: numbers are refined in steps."""

    @property
    def groups(self) -> np.ndarray:
        """Which of these columns belong together: an int array of shape (columns,)."""


class SpaceExhausted(Exception):  # noqa: N818  # it ends a search, as StopIteration ends a loop
    """No candidate is left, or none was found in many tries, that was not proposed before."""
