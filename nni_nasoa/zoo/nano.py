"""The nano family: small ET-NAS networks from a search's front, pretrained on fractals, with weights.

`nano.csv` lists them, and what the search measured of them; examples/nano_family/choose.py writes it from a
front file. `nano_weights` in this package holds the weights, and beside each a card that says how they were
made; `nasoa zoo pretrain` makes them again.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_nasoa.files import read_json

from .family import ModelInfo, create_et_net

if TYPE_CHECKING:
    from nni_nasoa.networks import ETNet

_HERE = Path(__file__).parent
_FIGURES = ("params_m", "gmacs_224", "search_accuracy", "relative_speed")


class NanoFamily:
    """`nano-a`, `nano-b`, ..., smallest first.

    Parameters
    ----------
    table
        CSV file with the columns name, encoding, params_m, gmacs_224, search_accuracy, relative_speed.
    weights
        Folder with NAME.safetensors and the card NAME.json of each, as `finetune.pretrain` writes them.
    """

    name = "nano"

    def __init__(self, table: Path = _HERE / "nano.csv", weights: Path = _HERE / "nano_weights") -> None:
        self.table, self.weights = table, weights

    @cached_property
    def _models(self) -> dict[str, ModelInfo]:
        with self.table.open(newline="", encoding="utf-8") as file:
            return {row["name"]: self._info(row) for row in csv.DictReader(file)}

    def _info(self, row: Mapping[str, str]) -> ModelInfo:
        card = self.card(row["name"]) or {}
        known: dict[str, Any] = {key: float(row[key]) for key in _FIGURES}
        known |= {key: tuple(card[key]) for key in ("mean", "std") if key in card}
        known |= {key: card[key] for key in ("input_size",) if key in card}
        return ModelInfo(row["name"], self.name, row["encoding"], **known)

    def models(self) -> Mapping[str, ModelInfo]:
        """Every model by its name, in order."""
        return self._models

    def available(self) -> list[str]:
        """The models whose weights are in the folder."""
        return [name for name in self._models if (self.weights / f"{name}.safetensors").is_file()]

    def card(self, name: str) -> dict[str, Any] | None:
        """How a model was pretrained: recipe, accuracy on unseen fractals, versions; None without weights."""
        try:
            return read_json(self.weights / f"{name}.json")
        except FileNotFoundError:
            return None

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> ETNet:
        """Build a model; see `create_model`.

        "default" weights have no head: it is a fresh one, for any number of classes.
        """
        if weights == "default":
            weights = self.weights / f"{info.name}.safetensors"
        return create_et_net(info, num_classes, weights)


FAMILY = NanoFamily()
