"""Values of a search space as numbers for a model, in groups: what belongs together counts as one thing.

A category is one group, one-hot, so that all categories are equally far apart. Numbers are placed between
their bounds, by their logarithm where the space says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from nni_nasoa.values import NUMBER

from .dimensions import Categorical, Dimension, Multiple, Nested
from .numeric_dimensions import Distribution, Integer, Normal, Uniform

Groups = list[list[float]]

_APART = math.sqrt(0.5)  # makes two different one-hot vectors lie at distance 1


@singledispatch
def value_features(dimension: Dimension, value: Any) -> Groups:  # noqa: ARG001  # of a dimension that is not known
    """A value as groups of numbers, most of them from 0 to 1: as many for every value of the dimension."""
    return []


def sample_features(sample: Mapping[str, Any], dimensions: Mapping[str, Dimension]) -> Groups:
    """A sample as groups of numbers, dimension by dimension."""
    return [
        group for label, dimension in dimensions.items() for group in value_features(dimension, sample[label])
    ]


def _one_hot(position: int, count: int) -> list[float]:
    return [_APART * (index == position) for index in range(count)]


@value_features.register
def _(dimension: Categorical, value: Any) -> Groups:
    values = dimension.values
    groups = [_one_hot(dimension.encode(value), len(values))]
    if len(values) > 2 and all(map(NUMBER.allows, values)):  # near numbers may be alike
        order = sorted(set(values))
        groups.append([order.index(value) / max(1, len(order) - 1)])
    return groups


@value_features.register
def _(dimension: Multiple, value: Any) -> Groups:
    inside = set(dimension.encode(value))
    return [[float(index in inside)] for index in range(len(dimension.values))]


@value_features.register
def _(dimension: Nested, value: Any) -> Groups:
    groups = [_one_hot(list(dimension.branches).index(value["_name"]), len(dimension.branches))]
    for name, branch in dimension.branches.items():
        inside = sample_features(value if name == value["_name"] else _any_sample(branch), branch)
        groups += inside if name == value["_name"] else [[0.5] * len(group) for group in inside]
    return groups


def _any_sample(dimensions: Mapping[str, Dimension]) -> Mapping[str, Any]:
    """Some sample, for the number of its features."""
    from numpy.random import default_rng

    from .dimensions import random_sample

    return random_sample(dimensions, default_rng(0))


@value_features.register
def _(dimension: Uniform, value: float) -> Groups:
    low, high, x = dimension.low, dimension.high, value
    if dimension.log:
        low, high, x = math.log(low), math.log(high), math.log(max(value, low))
    return [[(x - low) / (high - low) if high > low else 0.0]]


@value_features.register
def _(dimension: Integer, value: int) -> Groups:
    return [[(value - dimension.low) / max(1, dimension.high - 1 - dimension.low)]]


@value_features.register
def _(dimension: Normal, value: float) -> Groups:
    if not dimension.sigma:
        return [[0.0]]
    far = dimension.mu - 4 * dimension.sigma  # where quantising may have brought a logarithm below
    x = (math.log(value) if value > 0 else far) if dimension.log else value
    return [[0.5 + (x - dimension.mu) / (4 * dimension.sigma)]]


@value_features.register
def _(dimension: Distribution, value: float) -> Groups:
    return [[float(dimension.distribution.cdf(value))]]
