"""What the evolution varies: ET-NAS architectures as networks, or plain samples of any other search space."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.random import Generator

from nni_nasoa.architecture import (
    OPS,
    Architecture,
    ArchitectureSpace,
    crossover,
    mutate,
    random_architecture,
)

from .dimensions import (
    Dimension,
    crossover_sample,
    decode_sample,
    encode_sample,
    mutate_sample,
    random_sample,
)
from .features import sample_features

_TRIES = 1000
_DRAWN = 200  # random architectures, for the extent of the features


@dataclass(frozen=True)
class ArchitectureOperators:
    """Variation of architectures that knows layers, skips and stages, and yields valid networks only."""

    space: ArchitectureSpace
    rounds = 2

    def random(self, rng: Generator) -> Architecture:
        """Draw an architecture from the space."""
        return random_architecture(rng, self.space)

    def mutate(self, candidate: Architecture, rng: Generator) -> Architecture:
        """Change one thing about the architecture."""
        return mutate(candidate, rng, self.space)

    def crossover(self, a: Architecture, b: Architecture, rng: Generator) -> Architecture:
        """Join parts of two architectures."""
        return crossover(a, b, rng, self.space)

    def key(self, candidate: Architecture) -> str:
        """Return the canonical encoding, which is equal for equal networks."""
        return str(candidate)

    to_json = key

    def from_json(self, data: str) -> Architecture:
        """Read an encoding."""
        return Architecture.parse(data)

    from_key = from_json

    @cached_property
    def groups(self) -> np.ndarray:
        """Which columns of the features belong together: the operation of a layer, and else each its own."""
        names = [name.partition("_op")[0] if "_op" in name else name for name in _FEATURES]
        varied = [name for name, varies in zip(names, self._extent[2]) if varies]
        return np.unique(varied, return_inverse=True)[1]

    def features(self, candidate: Architecture) -> np.ndarray:
        """Return `Architecture.features`, and log2 of how many convolutions follow each other.

        That is what the step of a small network takes. Those that vary in the space are there, scaled to its
        extent.
        """
        low, high, varies = self._extent
        return (_features(candidate) - low)[varies] / (high - low)[varies]

    @cached_property
    def _extent(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Least and greatest features of random architectures, and whether they differ."""
        rng = np.random.default_rng(0)
        drawn = np.array([_features(self.random(rng)) for _ in range(_DRAWN)])
        low, high = drawn.min(axis=0), drawn.max(axis=0)
        return low, high, high > low


def _features(candidate: Architecture) -> np.ndarray:
    blocks = sum(map(len, candidate.macro.stages))
    convolutions = blocks * sum(1 + OPS[op].separable for op in candidate.block.ops)
    return np.append(candidate.features, math.log2(convolutions))


_FEATURES = (*Architecture.FEATURES, "log2_convolutions")


@dataclass(frozen=True)
class SampleOperators:
    """Variation of plain samples, dicts from label to value, dimension by dimension.

    Parameters
    ----------
    dimensions
        What each label may be.
    valid
        Whether a sample of the dimensions is a candidate, where not every one is. Invalid ones are drawn
        again.
    """

    dimensions: Mapping[str, Dimension]
    valid: Callable[[dict], bool] | None = None
    rounds = 10

    def __post_init__(self) -> None:
        if not self.dimensions:
            raise ValueError("search space: has no label")

    def random(self, rng: Generator) -> dict[str, Any]:
        """Draw a sample.

        Raises
        ------
        ValueError
            No valid one was found.
        """
        sample = self._first_valid(lambda: random_sample(self.dimensions, rng))
        if sample is None:
            raise ValueError(f"search space: none of {_TRIES} random samples is valid")
        return sample

    def mutate(self, candidate: Mapping, rng: Generator) -> dict[str, Any]:
        """Change one dimension or a few; the same sample comes back only if no other valid one was found."""
        mutated = self._first_valid(lambda: mutate_sample(candidate, self.dimensions, rng))
        return dict(candidate) if mutated is None else mutated

    def crossover(self, a: Mapping, b: Mapping, rng: Generator) -> dict[str, Any]:
        """Take each label from either parent (uniform crossover).

        The first parent comes back where none of what was drawn is valid.
        """
        child = self._first_valid(lambda: crossover_sample(a, b, self.dimensions, rng))
        return dict(a) if child is None else child

    def _first_valid(self, propose: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        proposals = (propose() for _ in range(_TRIES))
        return next((sample for sample in proposals if self.valid is None or self.valid(sample)), None)

    def key(self, candidate: Mapping) -> str:
        """Return JSON text that is equal for samples with equal values.

        Raises
        ------
        ValueError
            A label is missing, or its value is not of the search space.
        """
        return json.dumps(self.to_json(candidate), sort_keys=True)

    def from_key(self, key: str) -> dict[str, Any]:
        """Return the sample of `key` again."""
        return self.from_json(json.loads(key))

    @cached_property
    def groups(self) -> np.ndarray:
        """Which columns of the features belong together."""
        sample = random_sample(self.dimensions, np.random.default_rng(0))
        sizes = [len(group) for group in sample_features(sample, self.dimensions)]
        return np.repeat(np.arange(len(sizes)), sizes)

    def features(self, candidate: Mapping) -> np.ndarray:
        """Return numbers from 0 to 1 that stand for the values (`search/features.py`)."""
        return np.array([x for group in sample_features(candidate, self.dimensions) for x in group])

    def to_json(self, candidate: Mapping) -> dict[str, Any]:
        """Return the sample with each value as its dimension encodes it."""
        return encode_sample(candidate, self.dimensions)

    def from_json(self, data: Mapping) -> dict[str, Any]:
        """Return the sample again."""
        return decode_sample(data, self.dimensions)
