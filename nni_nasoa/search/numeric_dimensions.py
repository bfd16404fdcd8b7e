"""Dimensions whose values are numbers: how they are drawn, and varied by steps on their own scale."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.random import Generator

from nni_nasoa.values import NUMBER, shown

T = TypeVar("T")

_TRIES = 100


class EitherParent:
    """Crossover of values that have no parts."""

    def crossover(self, a: T, b: T, rng: Generator) -> T:
        """Return either value."""
        return a if rng.random() < 0.5 else b


class _Numeric(EitherParent, ABC):
    """A number, and how it changes by steps in a coordinate in which equal steps matter equally."""

    low: float
    high: float

    @abstractmethod
    def random(self, rng: Generator) -> float:
        """Draw a value."""

    @abstractmethod
    def _stepped(self, value: float, step: float) -> float:
        """The value that lies a step away; 1 is the whole scale."""

    def encode(self, value: Any) -> float:
        """Return the number as float, so that 1 and 1.0 are the same."""
        if not NUMBER.allows(value):
            raise ValueError(f"{shown(value)} is not a number")
        if not self.low <= value <= self.high:
            raise ValueError(f"{shown(value)} is not a number from {self.low:g} to {self.high:g}")
        return float(value) + 0.0  # -0.0 becomes 0.0

    def decode(self, data: float) -> float:
        """Return the number."""
        return data

    def mutate(self, value: float, rng: Generator) -> float:
        """Take a normal step, its width drawn between 3% and 55% of the scale: to explore and to refine."""
        for _ in range(_TRIES):
            step = rng.normal() * 0.3 ** rng.uniform(0.5, 3)
            mutated = self._stepped(value, step)
            if mutated != value:
                return mutated
        # Steps are too short for the quantum, or there is no other value.
        return self._another(value, rng)

    def _another(self, value: float, rng: Generator) -> float:
        return next((drawn for drawn in (self.random(rng) for _ in range(_TRIES)) if drawn != value), value)


def _quantized(value: float, quantum: float | None) -> float:
    return value if quantum is None else round(value / quantum) * quantum


def _clipped(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _log(value: float) -> float:
    """Logarithm, of a value that quantising may have brought to 0 or below."""
    return math.log(value) if value > 0 else -math.inf


@dataclass(frozen=True)
class Uniform(_Numeric):
    """A float between two bounds: uniform, quniform, and with `log` loguniform, qloguniform."""

    low: float
    high: float
    log: bool = False
    quantum: float | None = None

    def random(self, rng: Generator) -> float:
        """Draw a value."""
        low, high = self._bounds
        return self._value(rng.uniform(low, high))

    @property
    def _bounds(self) -> tuple[float, float]:
        return (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)

    def _value(self, x: float) -> float:
        x = float(x)
        return _clipped(
            _quantized(math.exp(min(x, 700.0)) if self.log else x, self.quantum), self.low, self.high
        )

    def _stepped(self, value: float, step: float) -> float:
        low, high = self._bounds
        x = _clipped(_log(value) if self.log else value, low, high) + step * (high - low)
        x = low + abs(x - low)  # reflected at the bounds, so that they do not collect what falls outside
        return self._value(_clipped(high - abs(high - x), low, high))


@dataclass(frozen=True)
class Normal(_Numeric):
    """A float around a mean: normal, qnormal, and with `log` lognormal, qlognormal.

    With `log`, `mu` and `sigma` are those of the logarithm.
    """

    mu: float
    sigma: float
    log: bool = False
    quantum: float | None = None
    low: float = -math.inf
    high: float = math.inf

    def random(self, rng: Generator) -> float:
        """Draw a value."""
        return self._value(rng.normal(self.mu, self.sigma))

    def _value(self, x: float) -> float:
        x = float(x)
        return _clipped(
            _quantized(math.exp(min(x, 700.0)) if self.log else x, self.quantum), self.low, self.high
        )

    def _stepped(self, value: float, step: float) -> float:
        x = max(_log(value), self.mu - 4 * self.sigma) if self.log else value
        return self._value(x + 4 * self.sigma * step)  # nearly all values lie on a scale of 4 sigma


@dataclass(frozen=True)
class Distribution(_Numeric):
    """A float of any continuous distribution that has `ppf` and `cdf`, as frozen ones of scipy.stats have."""

    distribution: Any
    low: float = -math.inf
    high: float = math.inf
    quantum: float | None = None

    def random(self, rng: Generator) -> float:
        """Draw a value."""
        return self._value(rng.uniform())

    def _value(self, probability: float) -> float:
        return _clipped(
            _quantized(float(self.distribution.ppf(probability)), self.quantum), self.low, self.high
        )

    def _stepped(self, value: float, step: float) -> float:
        probability = abs(float(self.distribution.cdf(value)) + step)
        return self._value(_clipped(1 - abs(1 - probability), 1e-9, 1 - 1e-9))


@dataclass(frozen=True)
class Integer(_Numeric):
    """An integer from `low` to `high` - 1: randint."""

    low: int
    high: int

    def random(self, rng: Generator) -> int:
        """Draw a value."""
        return int(rng.integers(self.low, self.high))

    def encode(self, value: Any) -> float:
        """Return the integer as float."""
        number = super().encode(value)
        if number != int(number) or number == self.high:
            raise ValueError(f"{shown(value)} is not a whole number from {self.low} to {self.high - 1}")
        return number

    def decode(self, data: float) -> int:
        """Return the integer."""
        return int(data)

    def _stepped(self, value: float, step: float) -> float:
        x = value + step * (self.high - self.low)
        # Rounded away from the value: the shortest step is 1.
        rounded = math.floor(x) if step < 0 else math.ceil(x)
        return rounded if self.low <= rounded < self.high else value
