"""What one label of a search space may be: how its values are drawn, varied and told apart.

The values are exactly those that NNI's own random tuner can draw for the same search space: bounds, quanta
and types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from numpy.random import Generator

from nni_nasoa.values import MAX_SHOWN, NUMBER, one_line, shown

from .numeric_dimensions import Distribution, EitherParent, Integer, Normal, Uniform

__all__ = [
    "Categorical",
    "Dimension",
    "Distribution",
    "Integer",
    "Multiple",
    "Nested",
    "Normal",
    "Uniform",
    "crossover_sample",
    "decode_sample",
    "dimensions_from_search_space",
    "encode_sample",
    "mutate_sample",
    "random_sample",
]


class Dimension(Protocol):
    """The values of one label."""

    def random(self, rng: Generator) -> Any:
        """Draw a value."""

    def mutate(self, value: Any, rng: Generator) -> Any:
        """Return another value, near this one if values have an order; this one if there is no other."""

    def crossover(self, a: Any, b: Any, rng: Generator) -> Any:
        """Return one value from two."""

    def encode(self, value: Any) -> Any:
        """Return what JSON can hold, equal for equal values.

        Raises
        ------
        ValueError
            The value is none of this dimension.
        """

    def decode(self, data: Any) -> Any:
        """Return the value of `encode` again."""


def _position(values: Sequence[Any], value: Any) -> int:
    """Index of a value, of the same type if there is one (True == 1 == 1.0)."""
    equal = [index for index, other in enumerate(values) if other == value]
    for index in equal:
        if type(values[index]) is type(value):
            return index
    if equal:
        return equal[0]
    raise ValueError(f"{shown(value)} is not one of {shown(list(values))}")


@dataclass(frozen=True)
class Categorical(EitherParent):
    """One of some values without an order: choice. `weights` are their probabilities, equal if None."""

    values: Sequence[Any]
    weights: Sequence[float] | None = None

    def random(self, rng: Generator) -> Any:
        """Draw a value."""
        return self.values[int(rng.choice(len(self.values), p=self.weights))]

    def mutate(self, value: Any, rng: Generator) -> Any:
        """Draw another value."""
        others = len(self.values) - 1
        if not others:
            return value
        drawn = int(rng.integers(others))
        return self.values[drawn + (drawn >= _position(self.values, value))]

    def encode(self, value: Any) -> int:
        """Return the value's index."""
        return _position(self.values, value)

    def decode(self, data: int) -> Any:
        """Return the value at the index."""
        return self.values[data]


@dataclass(frozen=True)
class Multiple:
    """Some of some values, as a list in the order of the values: `chosen` of them, or any number if None.

    `weights` are those of `nni.mutable.CategoricalMultiple`: with a number chosen the probabilities of the
    values, which sum to 1; else the probability of each value to be in.
    """

    values: Sequence[Any]
    chosen: int | None = None
    weights: Sequence[float] | None = None

    def _listed(self, indices: Iterable[int]) -> list[Any]:
        return [self.values[index] for index in sorted(indices)]

    def _indices(self, value: Iterable[Any]) -> set[int]:
        return {_position(self.values, one) for one in value}

    def random(self, rng: Generator) -> list[Any]:
        """Draw a list."""
        n = len(self.values)
        if self.chosen is not None:
            return self._listed(rng.choice(n, self.chosen, replace=False, p=self.weights).tolist())
        return self._listed(
            index for index, drawn in enumerate(rng.random(n)) if drawn < (self.weights or [0.5] * n)[index]
        )

    def mutate(self, value: Sequence[Any], rng: Generator) -> list[Any]:
        """Exchange one value, or, where any number may be chosen, add or remove one."""
        inside = self._indices(value)
        outside = [index for index in range(len(self.values)) if index not in inside]
        if self.chosen is None:
            return self._listed(inside ^ {int(rng.integers(len(self.values)))})
        if not outside:
            return self._listed(inside)
        return self._listed(inside - {int(rng.choice(sorted(inside)))} | {int(rng.choice(outside))})

    def crossover(self, a: Sequence[Any], b: Sequence[Any], rng: Generator) -> list[Any]:
        """Keep what both have, and draw from what one has; as many as the one or the other had."""
        first, second = self._indices(a), self._indices(b)
        both, one = first & second, sorted(first ^ second)
        if self.chosen is None:
            return self._listed(both | {index for index in one if rng.random() < 0.5})
        return self._listed(both | set(rng.permutation(one)[: self.chosen - len(both)].tolist()))

    def encode(self, value: Sequence[Any]) -> list[int]:
        """Return the sorted indices."""
        return sorted(self._indices(value))

    def decode(self, data: Sequence[int]) -> list[Any]:
        """Return the values at the indices."""
        return self._listed(data)


@dataclass(frozen=True)
class Nested:
    """One of some named search spaces: a choice of dicts with `_name`.

    A value is {"_name": name, label: value, ...}.
    """

    branches: Mapping[str, Mapping[str, Dimension]]

    def _branch(self, value: Any) -> Mapping[str, Dimension]:
        name = value.get("_name") if isinstance(value, Mapping) else None
        if not isinstance(name, str) or name not in self.branches:
            raise ValueError(f"{shown(value)} has a _name that is not one of {list(self.branches)}")
        return self.branches[name]

    def random(self, rng: Generator) -> dict[str, Any]:
        """Draw a branch, then a sample of it."""
        return self._in_branch(list(self.branches)[int(rng.integers(len(self.branches)))], rng)

    def _in_branch(self, name: str, rng: Generator) -> dict[str, Any]:
        return {"_name": name, **random_sample(self.branches[name], rng)}

    def mutate(self, value: Mapping[str, Any], rng: Generator) -> dict[str, Any]:
        """Change something in the branch, or go over to another: each label and the branch equally likely."""
        branch = self._branch(value)
        others = [name for name in self.branches if name != value["_name"]]
        if branch and (not others or rng.random() < len(branch) / (len(branch) + 1)):
            return {"_name": value["_name"], **mutate_sample(value, branch, rng)}
        return self._in_branch(others[int(rng.integers(len(others)))], rng) if others else dict(value)

    def crossover(self, a: Mapping[str, Any], b: Mapping[str, Any], rng: Generator) -> dict[str, Any]:
        """Mix the labels where both are in the same branch; else take either."""
        if a["_name"] == b["_name"]:
            return {"_name": a["_name"], **crossover_sample(a, b, self._branch(a), rng)}
        return dict(a if rng.random() < 0.5 else b)

    def encode(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the branch's name and its encoded sample."""
        return {"_name": value["_name"], **encode_sample(value, self._branch(value))}

    def decode(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sample with its branch's name."""
        return {"_name": data["_name"], **decode_sample(data, self._branch(data))}


# -- samples: dicts from label to value --


def random_sample(dimensions: Mapping[str, Dimension], rng: Generator) -> dict[str, Any]:
    """Draw a value for every label."""
    return {label: dimension.random(rng) for label, dimension in dimensions.items()}


def mutate_sample(sample: Mapping, dimensions: Mapping[str, Dimension], rng: Generator) -> dict[str, Any]:
    """Mutate each label with probability 1 / labels, and at least one, if any can be."""
    chosen = rng.random(len(dimensions)) < 1 / len(dimensions)
    mutated = {
        label: dimension.mutate(sample[label], rng) if mutates else sample[label]
        for (label, dimension), mutates in zip(dimensions.items(), chosen)
    }
    labels = list(dimensions)
    for index in rng.permutation(len(labels)):
        if any(mutated[label] != sample[label] for label in labels):
            break
        label = labels[index]
        mutated[label] = dimensions[label].mutate(sample[label], rng)
    return mutated


def crossover_sample(
    a: Mapping, b: Mapping, dimensions: Mapping[str, Dimension], rng: Generator
) -> dict[str, Any]:
    """Take or mix each label's value from either sample (uniform crossover)."""
    return {label: dimension.crossover(a[label], b[label], rng) for label, dimension in dimensions.items()}


def encode_sample(sample: Mapping, dimensions: Mapping[str, Dimension]) -> dict[str, Any]:
    """Return the sample as JSON can hold it; labels without a dimension are left out.

    Raises
    ------
    ValueError
        A label is missing, or its value is not of its dimension.
    """
    encoded = {}
    for label, dimension in dimensions.items():
        if label not in sample:
            raise ValueError(f"sample: no value for {shown(label)}")
        try:
            encoded[label] = dimension.encode(sample[label])
        except ValueError as error:
            raise ValueError(f"sample: {shown(label)}: {error}") from None
    return encoded


def decode_sample(data: Mapping, dimensions: Mapping[str, Dimension]) -> dict[str, Any]:
    """Return the sample of `encode_sample` again."""
    return {label: dimension.decode(data[label]) for label, dimension in dimensions.items()}


# -- NNI's search space --


def dimensions_from_search_space(search_space: Mapping[str, Any]) -> dict[str, Dimension]:
    """Read an NNI search space, a dict from label to {"_type": ..., "_value": [...]}, which may be nested.

    Raises
    ------
    ValueError
        One line that names the label and the type, and says what would be right.
    """
    if not isinstance(search_space, Mapping):
        raise ValueError(f"search space: expected a dict, got {type(search_space).__name__}")
    return {label: _dimension(label, spec) for label, spec in search_space.items() if label != "_name"}


def _dimension(label: str, spec: object) -> Dimension:
    if not isinstance(spec, Mapping) or not {"_type", "_value"} <= set(spec):
        raise ValueError(
            f"search space {shown(label)}: expected a dict with _type and _value, got {shown(spec)}"
        )
    type_, values = spec["_type"], spec["_value"]
    where = f"search space {shown(label)} ({one_line(type_, MAX_SHOWN)})"
    if not isinstance(type_, str) or type_ not in _READERS:
        raise ValueError(f"{where}: the type is not one of {', '.join(_READERS)}")
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        raise ValueError(f"{where}: _value is not a list with values: {shown(values)}")
    return _READERS[type_](where, values)


def _choice(where: str, values: Sequence[Any]) -> Dimension:
    if not all(isinstance(value, Mapping) and "_name" in value for value in values):
        return Categorical(tuple(values))
    names = [value["_name"] for value in values]
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: a _name stands twice in {shown(names)}")
    try:
        return Nested({value["_name"]: dimensions_from_search_space(value) for value in values})
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _numbers(where: str, values: Sequence[Any], wanted: str) -> list[float]:
    count = len(wanted.split(", "))
    if len(values) != count or not all(map(NUMBER.allows, values)):
        raise ValueError(f"{where}: expected {count} numbers [{wanted}], got {shown(values)}")
    return [float(value) for value in values]


def _randint(where: str, values: Sequence[Any]) -> Dimension:
    low, high = map(math.ceil, _numbers(where, values, "low, high"))
    if low >= high:
        raise ValueError(f"{where}: high must be above low, as it is not drawn itself; got {shown(values)}")
    return Integer(low, high)


def _uniform(where: str, values: Sequence[Any], log: bool = False, quantized: bool = False) -> Dimension:
    low, high, *quantum = _numbers(where, values, "low, high, q" if quantized else "low, high")
    if low > high:
        raise ValueError(f"{where}: high must not be below low; got {shown(values)}")
    if log and low <= 0:
        raise ValueError(f"{where}: low must be above 0; got {shown(values)}")
    return Uniform(low, high, log, _quantum(where, quantum))


def _normal(where: str, values: Sequence[Any], log: bool = False, quantized: bool = False) -> Dimension:
    mu, sigma, *quantum = _numbers(where, values, "mu, sigma, q" if quantized else "mu, sigma")
    if sigma < 0:
        raise ValueError(f"{where}: sigma must not be negative; got {shown(values)}")
    return Normal(mu, sigma, log, _quantum(where, quantum))


def _quantum(where: str, quantum: list[float]) -> float | None:
    if quantum and quantum[0] <= 0:
        raise ValueError(f"{where}: q must be above 0; got {quantum[0]}")
    return quantum[0] if quantum else None


_READERS: dict[str, Callable[[str, Sequence[Any]], Dimension]] = {
    "choice": _choice,
    "randint": _randint,
    "uniform": _uniform,
    "quniform": partial(_uniform, quantized=True),
    "loguniform": partial(_uniform, log=True),
    "qloguniform": partial(_uniform, log=True, quantized=True),
    "normal": _normal,
    "qnormal": partial(_normal, quantized=True),
    "lognormal": partial(_normal, log=True),
    "qlognormal": partial(_normal, log=True, quantized=True),
}
