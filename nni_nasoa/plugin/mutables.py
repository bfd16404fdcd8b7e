"""NNI's mutables as what the evolution varies: architectures, or samples dimension by dimension."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from nni.mutable import (
    Categorical,
    CategoricalMultiple,
    LabeledMutable,
    Mutable,
    MutableAnnotation,
    Numerical,
)

from nni_nasoa.architecture import ArchitectureError
from nni_nasoa.search import dimensions
from nni_nasoa.search.choices import architecture_space, describes_architectures
from nni_nasoa.search.dimensions import Dimension
from nni_nasoa.search.front import OBJECTIVES
from nni_nasoa.search.operators import ArchitectureOperators, SampleOperators
from nni_nasoa.values import shown

from .search_space_codec import Architectures, Samples, Vocabulary

_logger = logging.getLogger(__name__)


def vocabulary_of(model_space: Mutable) -> Vocabulary:
    """Architectures, if the choices of a model space are ETNASSpace's and no others; else samples.

    Beside choices of others (of an evaluator, say), architectures are samples as well: valid, but varied
    choice by choice.

    Raises
    ------
    ValueError
        A mutable is of a kind that is none of NNI's own.
    """
    mutables = model_space.simplify()
    space = {
        label: mutable.as_legacy_dict()
        for label, mutable in mutables.items()
        if isinstance(mutable, Categorical)
    }
    varied = dimensions_of(mutables)
    if not describes_architectures(space):
        return Samples(SampleOperators(varied, valid=model_space.contains))
    if len(space) == len(varied):
        try:
            return Architectures(ArchitectureOperators(architecture_space(space)))
        except ArchitectureError as error:
            _logger.info(
                "The space has more than architectures, so it is searched choice by choice (%s).", error
            )
    return Samples(SampleOperators(varied, valid=model_space.contains), OBJECTIVES)


def dimensions_of(mutables: Mapping[str, LabeledMutable]) -> dict[str, Dimension]:
    """One dimension for every mutable of a simplified space.

    Parameters
    ----------
    mutables
        What `simplify()` of a model space gives. Annotations such as constraints have no values and are left
        out: whether a sample keeps to them is what the space's `contains` tells.

    Raises
    ------
    ValueError
        A mutable is of a kind that is none of NNI's own; the message names its label.
    """
    return {
        label: _dimension(mutable)
        for label, mutable in mutables.items()
        if not isinstance(mutable, MutableAnnotation)
    }


def _dimension(mutable: LabeledMutable) -> Dimension:
    if isinstance(mutable, Categorical):
        return dimensions.Categorical(tuple(mutable.values), tuple(mutable.weights))
    if isinstance(mutable, CategoricalMultiple):
        return dimensions.Multiple(tuple(mutable.values), mutable.n_chosen, tuple(mutable.weights))
    if isinstance(mutable, Numerical):
        return _number(mutable)
    raise ValueError(
        f"search space: {shown(mutable.label)} is a {type(mutable).__name__}, "
        "where a Categorical, CategoricalMultiple or Numerical is needed"
    )


def _number(mutable: Numerical) -> Dimension:
    low, high, quantum = mutable.low, mutable.high, mutable.quantize
    if mutable.mu is not None and mutable.sigma is not None:
        return dimensions.Normal(mutable.mu, mutable.sigma, mutable.log_distributed, quantum, low, high)
    distribution = mutable.distribution
    if distribution.dist.name in ("uniform", "loguniform") and distribution.support() == (low, high):
        return dimensions.Uniform(low, high, mutable.log_distributed, quantum)
    return dimensions.Distribution(distribution, low, high, quantum)  # one of scipy.stats that the user gave
