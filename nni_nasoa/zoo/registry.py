"""Names to models: the families of the zoo, and the three functions that users call."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nni_nasoa.values import MAX_REASON, close_names, one_line, shown, suggestion

from .family import Family, ModelInfo, create_et_net
from .searched import FrontFile

if TYPE_CHECKING:
    from torch import nn

_FAMILIES: dict[str, Family] = {}
# What the names begin with in families that own all names with a prefix.
_PREFIXES: dict[str, str] = {}


class UnknownNameError(ValueError):
    """No such model or family. The message is one line that says what there is instead.

    Parameters
    ----------
    what
        "model" or "family".
    name
        Which there is not.
    known
        The names that there are.
    otherwise
        Where to look if none of these is close.

    Attributes
    ----------
    close
        The known names that may have been meant.
    """

    def __init__(self, what: str, name: str, known: list[str], otherwise: str) -> None:
        super().__init__(
            f"zoo: no {what} {shown(name)}; {suggestion(name, known, f'see {otherwise}', most=3)}"
        )
        self.close = tuple(close_names(name, known, most=3))


def register_family(family: Family, prefix: str | None = None) -> None:
    """Make the models of a family known by name.

    Parameters
    ----------
    family
        The family.
    prefix
        What the names of its models begin with, and no others: such a family is asked for these names only,
        and listed only when it is named, so that it may be large, or need a library that is not there.
    """
    if family.name in _FAMILIES:
        raise ValueError(f"zoo: there is already a family '{family.name}'")
    _FAMILIES[family.name] = family
    if prefix is not None:
        _PREFIXES[family.name] = prefix


def list_models(family: str | None = None) -> list[str]:
    """Names of models.

    Parameters
    ----------
    family
        A family such as `nano` or `searched` (what the user has added), or the path of a front file, whose
        networks are called `front.json#1`, `front.json#2`, ... None lists all families but timm, which has
        over a thousand models and is listed by its name only, as front files are by their path.

    Raises
    ------
    UnknownNameError
        There is no such family; the message names close ones.
    FrontError
        A front file cannot be read.
    """
    families = _listed() if family is None else [_family(family)]
    return [name for family in families for name in family.models()]


def get(name: str) -> ModelInfo:
    """Everything known about a model.

    Raises
    ------
    UnknownNameError
        There is no such model; the message names close ones.
    """
    return _find(name)[1]


def create_model(
    name_or_encoding: str, num_classes: int = 1000, weights: str | os.PathLike | None = None
) -> nn.Module:
    """Build a network.

    Parameters
    ----------
    name_or_encoding
        A name of `list_models`, a network of a front file (`front.json#1`), or an ET-NAS encoding.
    num_classes
        Outputs of the head. Where the weights are for another number, the head starts afresh, and a warning
        says so. Those of the nano family have no head: it was for fractals, and the network's starts afresh
        for any number, without a warning.
    weights
        None for a fresh network, "default" for the model's pretrained weights, or the path of a
        `.safetensors` file or a published `.pth`.

    Raises
    ------
    UnknownNameError
        There is no such model; the message names close ones.
    WeightsError
        Its weights cannot be had.
    ArchitectureError
        An encoding does not describe a network.
    """
    if name_or_encoding[:1].isdigit() and "_" in name_or_encoding and not FrontFile.owns(name_or_encoding):
        info = ModelInfo(f"the encoding {one_line(name_or_encoding, MAX_REASON)}", "", name_or_encoding)
        return create_et_net(info, num_classes, weights)
    family, info = _find(name_or_encoding)
    return family.create(info, num_classes, weights)


def _find(name: str) -> tuple[Family, ModelInfo]:
    families = _families_of(name)
    for family in families:
        if (info := family.models().get(name)) is not None:
            return family, info
    known = [model for family in families for model in family.models()]
    raise UnknownNameError("model", name, known, "`nasoa zoo list`")


def _families_of(name: str) -> list[Family]:
    """The families that may have a model of this name."""
    if FrontFile.owns(name):
        return [FrontFile.of(name)]
    return [_FAMILIES[family] for family, prefix in _PREFIXES.items() if name.startswith(prefix)] or _listed()


def families() -> dict[str, Family]:
    """The families that are registered, by name."""
    return dict(_FAMILIES)


def _listed() -> list[Family]:
    return [family for name, family in _FAMILIES.items() if name not in _PREFIXES]


def _family(name: str) -> Family:
    if name in _FAMILIES:
        return _FAMILIES[name]
    if name.endswith(".json"):
        return FrontFile(name)
    otherwise = f"{', '.join(_FAMILIES)}, or the path of a front file (.json)"
    raise UnknownNameError("family", name, list(_FAMILIES), otherwise)
