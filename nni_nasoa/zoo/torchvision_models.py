"""The torchvision family: ResNet, RegNet, EfficientNet, MobileNet and ConvNeXt, with torchvision's weights.

`torchvision_models.csv` holds what torchvision says of its weights, so that they can be listed and compared
without loading torch; `table` makes it again:

    python -c "from nni_nasoa.zoo.torchvision_models import table; print(table(), end='')" >
    nni_nasoa/zoo/torchvision_models.csv
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoints import download_error, load_checkpoint, torch_checkpoints
from .downloading import BYTES_A_PARAMETER, Download, DownloadError, unreachable
from .family import ModelInfo
from .light_import import imported

if TYPE_CHECKING:
    from torch import Tensor, nn

_SERVER = "https://download.pytorch.org/models"
_TABLE = Path(__file__).with_name("torchvision_models.csv")
_PREFIXES = ("resnet", "resnext", "wide_resnet", "regnet_", "efficientnet_", "mobilenet_v", "convnext_")


class TorchvisionFamily:
    """Models by torchvision's names, with the figures of their best weights.

    Top-1 accuracy is that at the weights' own input size.
    """

    name = "torchvision"

    @cached_property
    def _rows(self) -> dict[str, dict[str, str]]:
        with _TABLE.open(newline="", encoding="utf-8") as file:
            return {row["name"]: row for row in csv.DictReader(file)}

    @cached_property
    def _models(self) -> dict[str, ModelInfo]:
        return {
            name: ModelInfo(
                name,
                self.name,
                params_m=float(row["params_m"]),
                gmacs_224=float(row["gmacs_224"]),
                imagenet_top1=float(row["imagenet_top1"]),
                input_size=int(row["input_size"]),
                mean=_by_channel(row["mean"]),
                std=_by_channel(row["std"]),
            )
            for name, row in self._rows.items()
        }

    def models(self) -> Mapping[str, ModelInfo]:
        """Every model by its name, in order."""
        return self._models

    def available(self) -> list[str]:
        """The models whose weights torch has downloaded."""
        folder = torch_checkpoints()
        return [name for name, file in self.files().items() if (folder / file).is_file()]

    def download(self, info: ModelInfo) -> Download | None:
        """What torchvision would download for a model; None where it has."""
        file = self._rows[info.name]["file"]
        path = torch_checkpoints() / file
        megabytes = None if info.params_m is None else BYTES_A_PARAMETER * info.params_m
        return None if path.is_file() else Download(info.name, f"{_SERVER}/{file}", megabytes, path)

    def files(self) -> dict[str, str]:
        """Names of the files that hold the models' weights, by model."""
        return {name: row["file"] for name, row in self._rows.items()}

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> nn.Module:
        """Build a model; see `create_model`.

        "default" weights are downloaded by torchvision, into torch's own cache.
        """
        network = imported("torchvision.models").get_model(info.name, num_classes=num_classes)
        if weights == "default":
            state, head = self._published(info.name), _head(network)
            if num_classes != 1000:
                state |= {
                    name: tensor
                    for name, tensor in network.state_dict().items()
                    if name.rpartition(".")[0] == head
                }
            network.load_state_dict(state)
        elif weights is not None:
            load_checkpoint(network, weights, [_head(network)], f"torchvision's {info.name}")
        return network

    def _published(self, name: str) -> dict[str, Tensor]:
        weights = imported("torchvision.models").get_model_weights(name)[self._rows[name]["weights"]]
        try:
            missing = self.download(self._models[name])
            if missing is not None and (why := unreachable(missing.url)) is not None:
                raise DownloadError(why)
            return dict(weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
        except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
            instead = (
                f"where there is no network, put {weights.url} into {torch_checkpoints()}, "
                "or give a path as weights"
            )
            raise download_error(name, error, instead) from error


def _by_channel(text: str) -> tuple[float, float, float]:
    red, green, blue = map(float, text.split())
    return red, green, blue


def _head(network: nn.Module) -> str:
    """The name of the last linear layer."""
    from torch import nn

    return [name for name, module in network.named_modules() if isinstance(module, nn.Linear)][-1]


def table() -> str:
    """The csv of the family, from the metadata of the torchvision that is installed."""
    from torchvision import models

    names = [name for name in models.list_models(module=models) if name.startswith(_PREFIXES)]
    rows = [published_figures(name, models.get_model_weights(name).DEFAULT.name) for name in names]
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def published_figures(name: str, weights: str) -> dict[str, str]:
    """A row of the table; MACs are counted here where torchvision gives them at another size than 224."""
    from torchvision import models

    chosen = models.get_model_weights(name)[weights]
    transform, meta = chosen.transforms(), chosen.meta
    size = transform.crop_size[0]
    gmacs = meta["_ops"] if size == 224 else _gmacs_224(models.get_model(name))
    return {
        "name": name,
        "weights": weights,
        "params_m": f"{meta['num_params'] / 1e6:.3f}",
        "gmacs_224": f"{gmacs:.3f}",
        "imagenet_top1": f"{meta['_metrics']['ImageNet-1K']['acc@1']:.3f}",
        "input_size": str(size),
        "mean": " ".join(map(str, transform.mean)),
        "std": " ".join(map(str, transform.std)),
        "file": chosen.url.rpartition("/")[2],
    }


def _gmacs_224(network: nn.Module) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, 224, 224))
    return counter.get_total_flops() / 2e9


FAMILY = TorchvisionFamily()
