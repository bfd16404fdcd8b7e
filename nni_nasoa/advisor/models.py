"""The models that an advice may choose from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nni_nasoa.zoo import ModelInfo, get, list_models

MOST_MODELS = 60  # each is probed on the user's data


class AdviceError(ValueError):
    """A question that there is no advice on. The message is one line that says why, and what would be right."""


def models_of(zoo: str) -> list[ModelInfo]:
    """The models that a text means.

    Parameters
    ----------
    zoo
        A family, the path of a front file, or names of models with commas between them.

    Raises
    ------
    ValueError
        There is no such family or model, or it is a family too large to choose from.
    """
    if not isinstance(zoo, str) or not zoo.strip():
        raise AdviceError(
            "zoo: give a family such as nano, names of models with commas, or a front file (front.json)"
        )
    names = [name.strip() for name in zoo.split(",") if name.strip()]
    if not names:
        raise AdviceError(f"zoo: '{zoo[:80]}' names no model")
    found = list(dict.fromkeys(model for name in names for model in _models(name)))
    if not found:
        raise AdviceError(f"zoo: there are no models in '{zoo[:80]}'")
    if len(found) > MOST_MODELS:
        raise AdviceError(
            f"zoo: {len(found)} models in '{zoo[:80]}', of which at most {MOST_MODELS} can be tried; "
            "name those to choose from, with commas between them"
        )
    return [get(model) for model in found]


def _models(name: str) -> list[str]:
    try:
        return list_models(name)
    except ValueError as error:
        if name.endswith(".json"):
            raise
        unknown_family = error
    try:
        return [get(name).name]
    except ValueError as error:
        raise (
            error
            if "did you mean" in str(error) or "did you mean" not in str(unknown_family)
            else unknown_family
        ) from None


def has_weights(model: ModelInfo) -> bool:
    """Whether a model comes with pretrained weights: all but the networks of a front file do."""
    return not model.family.endswith(".json")


def parameters_m(figures: Mapping[str, Any], classes: int | None) -> float | None:
    """Millions of parameters, with a head for the dataset's classes where the encoding tells; else as published."""
    if figures.get("encoding"):
        from nni_nasoa.architecture import Architecture

        return Architecture.parse(figures["encoding"]).parameters(classes or 1000) / 1e6
    return figures.get("params_m")
