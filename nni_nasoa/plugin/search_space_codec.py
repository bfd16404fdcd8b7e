"""How NNI's parameters and the evolution's candidates translate, and how candidates vary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nni_nasoa.architecture import Architecture
from nni_nasoa.search.choices import (
    EPOCHS,
    architecture_space,
    decode,
    describes_architectures,
    encode,
    search_space,
)
from nni_nasoa.search.dimensions import dimensions_from_search_space
from nni_nasoa.search.evolution import Objective, Operators
from nni_nasoa.search.fidelity import Attempt, BriefFirst
from nni_nasoa.search.front import OBJECTIVES
from nni_nasoa.search.operators import ArchitectureOperators, SampleOperators
from nni_nasoa.values import POSITIVE


class Vocabulary(Protocol):
    """One kind of search space."""

    @property
    def operators(self) -> Operators:
        """How candidates vary."""

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """What is optimised, unless the user names others."""

    def to_parameters(self, candidate: Any) -> dict[str, Any]:
        """Return what NNI and the trial get."""

    def to_candidate(self, parameters: Mapping[str, Any]) -> Any:
        """Return what they mean.

        Raises
        ------
        ValueError
            They are not of the search space.
        """

    def identity(self, metrics: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the parameters that a result names itself."""


@dataclass(frozen=True)
class Architectures:
    """Search spaces of ET-NAS architectures.

    The parameters have the encoding as well, under `architecture`.
    """

    operators: ArchitectureOperators
    objectives: tuple[Objective, ...] = OBJECTIVES

    def to_parameters(self, candidate: Architecture) -> dict[str, Any]:
        """Return a value for every label, and the encoding."""
        return {**encode(candidate, self.operators.space), "architecture": str(candidate)}

    def to_candidate(self, parameters: Mapping[str, Any]) -> Architecture:
        """Return the architecture of the encoding, or else of the labels."""
        architecture = decode(parameters)
        encode(architecture, self.operators.space)  # raises where the search space does not have it
        return architecture

    def identity(self, metrics: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the encoding that the trial reports."""
        return {"architecture": metrics["architecture"]} if "architecture" in metrics else None


@dataclass(frozen=True)
class Samples:
    """All other search spaces."""

    operators: SampleOperators
    objectives: tuple[Objective, ...] = (Objective("default"),)

    def to_parameters(self, candidate: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sample."""
        return dict(candidate)

    def to_candidate(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sample without labels that the search space does not have."""
        return self.operators.from_json(self.operators.to_json(parameters))

    def identity(self, metrics: Mapping[str, Any]) -> None:
        """A plain sample has no name that a metric could carry."""


@dataclass(frozen=True)
class BriefTries:
    """A search space whose candidates are trained briefly first.

    The parameters, and the results, have the number of epochs as well, under `epochs`.

    Parameters
    ----------
    vocabulary
        Of the candidates.
    brief, epochs
        How many epochs a brief try has, and one in full.
    """

    vocabulary: Vocabulary
    brief: int
    epochs: int

    @property
    def operators(self) -> BriefFirst:
        """Of attempts."""
        return BriefFirst(self.vocabulary.operators)

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """As without brief tries."""
        return self.vocabulary.objectives

    def to_parameters(self, attempt: Attempt) -> dict[str, Any]:
        """Return the candidate's, and the epochs."""
        epochs = self.brief if attempt.brief else self.epochs
        return {**self.vocabulary.to_parameters(attempt.candidate), EPOCHS: epochs}

    def to_candidate(self, parameters: Mapping[str, Any]) -> Attempt:
        """Return the attempt; without a number of epochs it is one in full."""
        rest = {name: value for name, value in parameters.items() if name != EPOCHS}
        epochs = parameters.get(EPOCHS, self.epochs)
        return Attempt(self.vocabulary.to_candidate(rest), brief=epochs < self.epochs)

    def identity(self, metrics: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what the candidate's result names, and the epochs."""
        named = self.vocabulary.identity(metrics)
        return None if named is None else {**named, **_epochs(metrics)}


def _epochs(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {EPOCHS: metrics[EPOCHS]} if POSITIVE.allows(metrics.get(EPOCHS)) else {}


def read_search_space(nni_space: Any) -> Architectures | Samples:
    """What the `searchSpace` of a config means.

    Raises
    ------
    ValueError
        It is not a search space; one line.
    """
    if isinstance(nni_space, Mapping) and describes_architectures(nni_space):
        return Architectures(ArchitectureOperators(architecture_space(nni_space)))
    return Samples(SampleOperators(dimensions_from_search_space(nni_space)))


def space_in_use(vocabulary: Vocabulary, nni_space: Any) -> Any:
    """The `searchSpace` that says what is searched, where the tuner's arguments changed the given one."""
    if isinstance(vocabulary, BriefTries):
        vocabulary = vocabulary.vocabulary
    if isinstance(vocabulary, Architectures):
        return search_space(vocabulary.operators.space)
    return nni_space
