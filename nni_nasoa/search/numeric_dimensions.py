"""Dimensions whose values are numbers: how they are drawn, and varied by steps on their own scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any

_TRIES = 100


class EitherParent:
    """Crossover of values that have no parts."""

    def crossover(self, a, b, rng):
        """Return either value."""
        return a if rng.random() < 0.5 else b


class _Numeric(EitherParent):
    """A number `from_unit` of a coordinate in which equal steps matter equally."""

    def encode(self, value) -> float:
        """Return the number as float, so that 1 and 1.0 are the same."""
        if not isinstance(value, Real) or isinstance(value, bool):
            raise ValueError(f"{value!r} is not a number")
        return float(value) + 0.0  # -0.0 becomes 0.0

    def decode(self, data):
        """Return the number."""
        return data

    def mutate(self, value, rng):
        """Take a normal step, its width drawn between 3% and 55% of the scale: for exploring as for refining."""
        for _ in range(_TRIES):
            step = rng.normal() * 0.3 ** rng.uniform(0.5, 3)
            mutated = self._stepped(value, step)
            if mutated != value:
                return mutated
        return self._another(value, rng)  # steps are too short for the quantum, or there is no other value

    def _another(self, value, rng):
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

    def random(self, rng) -> float:
        """Draw a value."""
        low, high = self._bounds
        return self._value(rng.uniform(low, high))

    @property
    def _bounds(self):
        return (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)

    def _value(self, x: float) -> float:
        x = float(x)
        return _clipped(
            _quantized(math.exp(min(x, 700.0)) if self.log else x, self.quantum), self.low, self.high
        )

    def _stepped(self, value, step):
        low, high = self._bounds
        x = _clipped(_log(value) if self.log else value, low, high) + step * (high - low)
        x = low + abs(x - low)  # reflected at the bounds, so that they do not collect what falls outside
        return self._value(_clipped(high - abs(high - x), low, high))


@dataclass(frozen=True)
class Normal(_Numeric):
    """A float around a mean: normal, qnormal, and with `log` (mu and sigma of the logarithm) lognormal, qlognormal."""

    mu: float
    sigma: float
    log: bool = False
    quantum: float | None = None
    low: float = -math.inf
    high: float = math.inf

    def random(self, rng) -> float:
        """Draw a value."""
        return self._value(rng.normal(self.mu, self.sigma))

    def _value(self, x: float) -> float:
        x = float(x)
        return _clipped(
            _quantized(math.exp(min(x, 700.0)) if self.log else x, self.quantum), self.low, self.high
        )

    def _stepped(self, value, step):
        x = max(_log(value), self.mu - 4 * self.sigma) if self.log else value
        return self._value(x + 4 * self.sigma * step)  # nearly all values lie on a scale of 4 sigma


@dataclass(frozen=True)
class Distribution(_Numeric):
    """A float of any continuous distribution that has `ppf` and `cdf`, such as a frozen one of scipy.stats."""

    distribution: Any
    low: float = -math.inf
    high: float = math.inf
    quantum: float | None = None

    def random(self, rng) -> float:
        """Draw a value."""
        return self._value(rng.uniform())

    def _value(self, probability: float) -> float:
        return _clipped(
            _quantized(float(self.distribution.ppf(probability)), self.quantum), self.low, self.high
        )

    def _stepped(self, value, step):
        probability = abs(float(self.distribution.cdf(value)) + step)
        return self._value(_clipped(1 - abs(1 - probability), 1e-9, 1 - 1e-9))


@dataclass(frozen=True)
class Integer(_Numeric):
    """An integer from `low` to `high` - 1: randint."""

    low: int
    high: int

    def random(self, rng) -> int:
        """Draw a value."""
        return int(rng.integers(self.low, self.high))

    def decode(self, data) -> int:
        """Return the integer."""
        return int(data)

    def _stepped(self, value, step):
        x = value + step * (self.high - self.low)
        rounded = int(
            math.floor(x) if step < 0 else math.ceil(x)
        )  # away from the value: the shortest step is 1
        return rounded if self.low <= rounded < self.high else value
