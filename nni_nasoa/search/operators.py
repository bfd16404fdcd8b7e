"""What the evolution varies: ET-NAS architectures as networks, or plain samples of any other search space."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from nni_nasoa.architecture import Architecture, ArchitectureSpace, crossover, mutate, random_architecture

from .dimensions import (
    Dimension,
    crossover_sample,
    decode_sample,
    encode_sample,
    mutate_sample,
    random_sample,
)

_TRIES = 1000


@dataclass(frozen=True)
class ArchitectureOperators:
    """Variation of architectures that knows layers, skips and stages, and yields valid networks only."""

    space: ArchitectureSpace

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

    def to_json(self, candidate: Mapping) -> dict[str, Any]:
        """Return the sample with each value as its dimension encodes it."""
        return encode_sample(candidate, self.dimensions)

    def from_json(self, data: Mapping) -> dict[str, Any]:
        """Return the sample again."""
        return decode_sample(data, self.dimensions)
