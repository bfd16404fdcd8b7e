"""The timm family: every model of the library timm, as `timm/NAME`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from . import torchvision_models
from .checkpoints import HUB_FILES, download_error, hub_cache, hub_file, load_checkpoint, torch_checkpoints
from .downloading import BYTES_A_PARAMETER, Download, DownloadError, hub_endpoint, unreachable
from .family import ModelInfo
from .light_import import imported
from .timm_published import TimmFigures, is_resizable, published, size_step

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
        if (known := published().get(name.removeprefix(PREFIX))) is not None and name.startswith(PREFIX):
            return _info(name, known)
        if name not in self:
            raise KeyError(name)
        try:
            noted = _timm().get_pretrained_cfg(name.removeprefix(PREFIX))
        except RuntimeError:  # no such tag
            raise KeyError(name) from None
        if noted is None:
            return ModelInfo(name, FAMILY.name)
        if (known := published().get(f"{noted.architecture}.{noted.tag}")) is not None:
            return _info(name, known)
        return ModelInfo(
            name,
            FAMILY.name,
            input_size=noted.input_size[-1],
            size_step=size_step(name, bool(noted.fixed_input_size)),
            mean=tuple(noted.mean),
            std=tuple(noted.std),
        )


def _info(name: str, known: TimmFigures) -> ModelInfo:
    return ModelInfo(
        name,
        FAMILY.name,
        params_m=known.params_m,
        gmacs_224=known.gmacs_224,
        imagenet_top1=known.imagenet_top1,
        input_size=known.input_size,
        size_step=known.size_step,
        mean=known.mean,
        std=known.std,
    )


class TimmFamily:
    """Models of timm, with the figures that are published of those with pretrained weights."""

    name = "timm"

    def models(self) -> Mapping[str, ModelInfo]:
        """Every model by its name."""
        return _TimmModels()

    def available(self) -> list[str]:
        """The models with a tag whose weights lie in the cache of Hugging Face or in that of torch.

        Of the latter, those that are torchvision's, too, are left to that family.
        """
        cached = {
            path.name.removeprefix("models--").replace("--", "/") for path in hub_cache().glob("models--*")
        }
        folder = torch_checkpoints()
        files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        files -= set(torchvision_models.FAMILY.files().values())
        if not cached and not files:
            return []
        return [
            PREFIX + name
            for name, known in published().items()
            if known.repository in cached or known.file in files
            if _weights_here(name) is not None
        ]

    def download(self, info: ModelInfo) -> Download | None:
        """What timm would download for a model, from Hugging Face; None where it has."""
        tagged = _with_tag(info.name.removeprefix(PREFIX))
        if "." not in tagged or _weights_here(tagged) is not None:
            return None
        known, file = published().get(tagged), HUB_FILES[0]
        repository = f"timm/{tagged}" if known is None else known.repository
        if repository is None:
            return None
        return Download(
            info.name,
            f"{hub_endpoint()}/{repository}/resolve/main/{file}",
            None if info.params_m is None else BYTES_A_PARAMETER * info.params_m,
            repository=repository,
            name=file,
        )

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> nn.Module:
        """Build a model; see `create_model`.

        "default" weights are those in the cache of Hugging Face or of torch; where there are none, timm
        downloads them.
        """
        name = info.name.removeprefix(PREFIX)
        sizes = {"dynamic_img_size": True} if is_resizable(name) else {}
        if weights != "default":
            network = _timm().create_model(name, num_classes=num_classes, **sizes)
            if weights is not None:
                heads = (network.pretrained_cfg or {}).get("classifier") or ()
                load_checkpoint(
                    network, weights, (heads,) if isinstance(heads, str) else heads, f"timm's {name}"
                )
            return network
        here = _weights_here(_with_tag(name))
        overlay = (
            None if here is None else {"file": str(here), "custom_load": here.suffix == ".npz", "source": ""}
        )
        try:
            if here is None and (why := unreachable(hub_endpoint())) is not None:
                raise DownloadError(why)
            with _hub_in_silence():
                return _timm().create_model(
                    name, pretrained=True, num_classes=num_classes, pretrained_cfg_overlay=overlay, **sizes
                )
        except (OSError, RuntimeError) as error:  # no network, no weights of that name, files that do not fit
            raise download_error(
                info.name, error, "give the path of a file as weights, or None for a fresh network"
            ) from error


def _with_tag(name: str) -> str:
    """A name with the tag of its weights: timm's default where it has none."""
    noted = None if "." in name else _timm().get_pretrained_cfg(name)
    return name if noted is None else f"{noted.architecture}.{noted.tag}"


def _weights_here(name: str) -> Path | None:
    """The file with the weights of a model with a tag, where they were downloaded."""
    known = published().get(name)
    repository = f"timm/{name}" if known is None else known.repository
    if repository is not None and (cached := hub_file(repository)) is not None:
        return cached
    file = None if known is None or known.file is None else torch_checkpoints() / known.file
    return file if file is not None and file.is_file() else None


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
    return imported("timm")


FAMILY = TimmFamily()
