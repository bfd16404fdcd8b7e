"""Names to models: the families of the zoo, and the three functions that users call."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING

from .family import Family, ModelInfo, create_et_net
from .searched import FrontFile

if TYPE_CHECKING:
    from torch import nn

_FAMILIES: dict[str, Family] = {}


def register_family(family: Family) -> None:
    """Make the models of a family known by name."""
    if family.name in _FAMILIES:
        raise ValueError(f"zoo: there is already a family '{family.name}'")
    _FAMILIES[family.name] = family


def list_models(family: str | None = None) -> list[str]:
    """Names of models.

    Parameters
    ----------
    family
        A family such as `et-nas`, or the path of a front file, whose networks are called `front.json#1`, `front.json#2`,
        ... None lists all families; front files are found by their path only.

    Raises
    ------
    ValueError
        There is no such family; the message names close ones. (A front file that cannot be read: FrontError, a ValueError.)
    """
    families = list(_FAMILIES.values()) if family is None else [_family(family)]
    return [name for family in families for name in family.models()]


def get(name: str) -> ModelInfo:
    """Everything known about a model.

    Raises
    ------
    ValueError
        There is no such model; the message names close ones.
    """
    return _find(name)[1]


def create_model(name_or_encoding: str, num_classes: int = 1000, weights: str | os.PathLike | None = None) -> nn.Module:
    """Build a network.

    Parameters
    ----------
    name_or_encoding
        A name of `list_models`, a network of a front file (`front.json#1`), or an ET-NAS encoding.
    num_classes
        Outputs of the head. Where the weights are for another number, the head starts afresh, and a warning says so.
    weights
        None for a fresh network, "default" for the model's pretrained weights, or the path of a `.safetensors` file or a
        published `.pth`.

    Raises
    ------
    ValueError
        There is no such model (the message names close ones), or its weights cannot be had (WeightsError); an encoding
        that does not describe a network is an ArchitectureError.
    """
    if name_or_encoding[:1].isdigit() and "_" in name_or_encoding and not FrontFile.owns(name_or_encoding):
        return create_et_net(name_or_encoding, num_classes, weights, owner=f"the encoding {name_or_encoding}")
    family, info = _find(name_or_encoding)
    return family.create(info, num_classes, weights)


def _find(name: str) -> tuple[Family, ModelInfo]:
    families = [FrontFile.of(name)] if FrontFile.owns(name) else list(_FAMILIES.values())
    for family in families:
        if name in family.models():
            return family, family.models()[name]
    raise ValueError(_unknown("model", name, [known for family in families for known in family.models()], "list_models()"))


def _family(name: str) -> Family:
    if name in _FAMILIES:
        return _FAMILIES[name]
    if name.endswith(".json"):
        return FrontFile(name)
    raise ValueError(_unknown("family", name, list(_FAMILIES), "et-nas, or the path of a front file (.json)"))


def _unknown(what: str, name: str, known: list[str], otherwise: str) -> str:
    """One line that says what there is instead."""
    close = difflib.get_close_matches(name.lower(), known, n=3)
    return f"zoo: no {what} '{name[:80]}'; " + (f"did you mean {', '.join(close)}?" if close else f"see {otherwise}")
