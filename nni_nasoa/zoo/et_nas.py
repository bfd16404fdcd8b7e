"""The ET-NAS family: the twelve networks that the paper published (NASOA, arXiv 2108.03434).

The checkpoints are not part of this package. Put a downloaded one under its upstream file name into the
folder that the environment variable NASOA_WEIGHTS names (default: ~/.cache/nni_nasoa/weights), and
`weights="default"` finds it.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nni_nasoa.files import weights_folder

from .family import ModelInfo, create_et_net

if TYPE_CHECKING:
    from nni_nasoa.networks import ETNet

_TABLE = Path(__file__).with_name("et_nas.csv")
_FIGURES = ("params_m", "gmacs_224", "imagenet_top1", "infer_ms_v100_bs64", "train_step_ms_v100_bs64")


class ETNASFamily:
    """`et-nas-a` .. `et-nas-l`, smallest first, with the published figures."""

    name = "et-nas"

    @cached_property
    def _rows(self) -> dict[str, dict[str, str]]:
        with _TABLE.open(newline="", encoding="utf-8") as file:
            return {row["name"].lower(): row for row in csv.DictReader(file)}

    @cached_property
    def _models(self) -> dict[str, ModelInfo]:
        return {
            name: ModelInfo(name, self.name, row["encoding"], **_figures(row))
            for name, row in self._rows.items()
        }

    def models(self) -> Mapping[str, ModelInfo]:
        """Every model by its name, in order."""
        return self._models

    def available(self) -> list[str]:
        """The models whose checkpoints are in the weights folder."""
        return [name for name in self._models if any(path.is_file() for path in self._places(name))]

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> ETNet:
        """Build a model; see `create_model`."""
        if weights == "default":
            weights = self._checkpoint(info.name)
        return create_et_net(info, num_classes, weights)

    def _checkpoint(self, name: str) -> Path:
        """The model's checkpoint in the weights folder, with or without its upstream folder."""
        from nni_nasoa.networks import WeightsError

        upstream = PurePosixPath(self._rows[name]["upstream_checkpoint_file"])
        for path in self._places(name):
            if path.is_file():
                return path
        raise WeightsError(
            f"{name}: no file {weights_folder() / upstream.name}; "
            f"download the published ET-NAS checkpoint {upstream} and put it there "
            "(NASOA_WEIGHTS names another folder), or give its path as weights"
        )

    def _places(self, name: str) -> tuple[Path, Path]:
        upstream = PurePosixPath(self._rows[name]["upstream_checkpoint_file"])
        return weights_folder() / upstream.name, weights_folder() / upstream


def _figures(row: Mapping[str, str]) -> dict[str, Any]:
    return {figure: float(row[figure]) for figure in _FIGURES}


FAMILY = ETNASFamily()
