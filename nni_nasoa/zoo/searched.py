"""Networks that a search has found: a front file is a family, its models `front.json#1`, `front.json#2`, ...

A front file is JSON: {"format": "nni-nasoa front", "version": 1, "networks": [record, ...], ...}, best
accuracy first; a record is the final metric of a trial and names its network in "architecture".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.files import read_json
from nni_nasoa.values import NUMBER, reason, shown

from .family import ModelInfo, create_et_net

if TYPE_CHECKING:
    from nni_nasoa.networks import ETNet

FORMAT = "nni-nasoa front"
VERSION = 1
_NUMBERS = (
    "default",
    "accuracy",
    "relative_speed",
    "throughput",
    "step_time_ms",
    "reference_step_time_ms",
    "params_m",
    "gmacs",
)


class FrontError(ValueError):
    """A file that is not a front file. The message is one line that names the file and the place in it."""


def read_front(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Read the records of a front file, in its order.

    Returns
    -------
    One dict a network; each has a valid "architecture", and figures such as "accuracy" are finite numbers
    where given.

    Raises
    ------
    FrontError
        The file is missing, is not a front file of this version, or a record in it is not right.
    """
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise FrontError(f"{path}: no such file") from None
    except OSError as error:
        raise FrontError(f"{path}: cannot be read ({reason(error)})") from None
    except ValueError as error:
        raise FrontError(f"{path}: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FrontError(f'{path}: not a front file, which is a JSON object with "format": "{FORMAT}"')
    if content.get("version") != VERSION:
        raise FrontError(
            f"{path}: front file of version {shown(content.get('version'))}, "
            f"where this release reads version {VERSION}"
        )
    networks = content.get("networks")
    if not isinstance(networks, list):
        raise FrontError(f'{path}: no list "networks"')
    for number, record in enumerate(networks, start=1):
        _check(record, f"{path}: network {number}")
    return networks


def _check(record: object, where: str) -> None:
    if not isinstance(record, dict):
        raise FrontError(f"{where}: not a JSON object")
    if "architecture" not in record:
        raise FrontError(f'{where}: no "architecture"')
    try:
        Architecture.parse(record["architecture"])
    except ArchitectureError as error:
        raise FrontError(f"{where}: {error}") from None
    for key in _NUMBERS:
        if key in record:
            NUMBER(f"{where}: {key}", record[key], FrontError)


class FrontFile:
    """The networks of one front file, as a family."""

    def __init__(self, path: str) -> None:
        self.name = path

    @staticmethod
    def owns(name: str) -> bool:
        """Whether a model's name is one of a front file's: FILE.json#NUMBER."""
        file, hash_, _ = name.rpartition("#")
        return bool(hash_) and file.endswith(".json")

    @classmethod
    def of(cls, name: str) -> FrontFile:
        """The front file of a model's name."""
        return cls(name.rpartition("#")[0])

    def models(self) -> Mapping[str, ModelInfo]:
        """Every network by its name, in the file's order; parameters and MACs as if it had 1000 classes."""
        infos = {}
        for number, record in enumerate(read_front(self.name), start=1):
            architecture = Architecture.parse(record["architecture"])
            name = f"{self.name}#{number}"
            infos[name] = ModelInfo(
                name,
                self.name,
                str(architecture),
                architecture.parameters() / 1e6,
                architecture.macs() / 1e9,
                search_accuracy=record.get("accuracy"),
                relative_speed=record.get("relative_speed"),
            )
        return infos

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> ETNet:
        """Build a network; see `create_model`.

        A search trains its networks only briefly and keeps no weights of them.
        """
        return create_et_net(info, num_classes, weights)
