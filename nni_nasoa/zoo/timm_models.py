"""The timm family: every model of the library timm, as `timm/NAME`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from .checkpoints import download_error, load_checkpoint
from .family import ModelInfo

if TYPE_CHECKING:
    from torch import nn

PREFIX = "timm/"


class _TimmModels(Mapping):
    """timm's models, described when they are asked for.

    A name may have a pretrained tag, as in `timm/resnet50.a1_in1k`.
    """

    def __iter__(self) -> Iterator[str]:
        return (PREFIX + name for name in _timm().list_models())

    def __len__(self) -> int:
        return len(_timm().list_models())

    def __contains__(self, name: object) -> bool:
        return (
            isinstance(name, str) and name.startswith(PREFIX) and _timm().is_model(name.removeprefix(PREFIX))
        )

    def __getitem__(self, name: str) -> ModelInfo:
        if name not in self:
            raise KeyError(name)
        try:
            noted = _timm().get_pretrained_cfg(name.removeprefix(PREFIX))
        except RuntimeError:  # no such tag
            raise KeyError(name) from None
        if noted is None:
            return ModelInfo(name, FAMILY.name)
        return ModelInfo(
            name, FAMILY.name, input_size=noted.input_size[-1], mean=tuple(noted.mean), std=tuple(noted.std)
        )


class TimmFamily:
    """Models of timm. Figures are None: timm tells them only of networks that are built."""

    name = "timm"

    def models(self) -> Mapping[str, ModelInfo]:
        """Every model by its name."""
        return _TimmModels()

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> nn.Module:
        """Build a model; see `create_model`. "default" weights are downloaded by timm, into its own cache."""
        name = info.name.removeprefix(PREFIX)
        if weights != "default":
            network = _timm().create_model(name, num_classes=num_classes)
            if weights is not None:
                heads = (network.pretrained_cfg or {}).get("classifier") or ()
                load_checkpoint(
                    network, weights, (heads,) if isinstance(heads, str) else heads, f"timm's {name}"
                )
            return network
        try:
            with _hub_in_silence():
                return _timm().create_model(name, pretrained=True, num_classes=num_classes)
        except (OSError, RuntimeError) as error:  # no network, no weights of that name, files that do not fit
            raise download_error(
                info.name, error, "give the path of a file as weights, or None for a fresh network"
            ) from error


@contextmanager
def _hub_in_silence() -> Iterator[None]:
    """Without the lines that Hugging Face's library logs for each try; what came of them all is one line."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _timm() -> ModuleType:
    import timm

    return timm


FAMILY = TimmFamily()
