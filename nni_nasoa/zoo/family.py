"""What a family of models is made of."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.values import INPUT_SIZE, list_of, number

if TYPE_CHECKING:
    from torch import nn

    from nni_nasoa.networks import ETNet

# What a description of a model's images says; float32 has to hold it, and what it is divided by.
IMAGE_RULES = {
    "input_size": INPUT_SIZE,
    "mean": list_of(number(-1e6, 1e6), "three numbers", 3, 3),
    "std": list_of(number(1e-6, 1e6), "three positive numbers", 3, 3),
}


@dataclass(frozen=True)
class ModelInfo:
    """What is known about a model; a figure is None where nobody has published or measured it.

    Parameters
    ----------
    name, family
        As `get` and `list_models` take them.
    encoding
        The ET-NAS encoding, None for other kinds of networks.
    params_m, gmacs_224
        Millions of parameters (1000 classes), and giga multiply-accumulates of one 224 x 224 image.
    imagenet_top1
        Top-1 accuracy on ImageNet, in percent.
    infer_ms_v100_bs64, train_step_ms_v100_bs64
        Time of one inference and of one training step on an NVIDIA V100, batch 64, in milliseconds.
    search_accuracy, relative_speed
        What the search measured that found the network: accuracy on its own dataset after brief training, 0
        to 1, and training speed over that of the reference network.
    input_size
        Height and width that the weights were trained or are evaluated at, in pixels.
    size_step
        Sizes of images other than `input_size` that it takes are multiples of this, in pixels; 0 where it
        takes no others, as networks with a position for each patch of an image do. None where it takes any.
    stages
        How many `staged` cuts it into; None where its encoding tells, or nobody has counted.
    mean, std
        What its images are normalised by, for each channel, with pixels from 0 to 1; ImageNet's by default.
    """

    name: str
    family: str
    encoding: str | None = None
    params_m: float | None = None
    gmacs_224: float | None = None
    imagenet_top1: float | None = None
    infer_ms_v100_bs64: float | None = None
    train_step_ms_v100_bs64: float | None = None
    search_accuracy: float | None = None
    relative_speed: float | None = None
    input_size: int = 224
    size_step: int | None = None
    stages: int | None = None
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Family(Protocol):
    """Models that belong together. What a family's module gives to `register_family`.

    A method `available()` may say the names of the models that need no download; those are among the ones
    that an advice chooses from by default. A method `download(info)` may say what has to be downloaded for
    another, a `Download`; it gives None where nothing has to be.
    """

    name: str

    def models(self) -> Mapping[str, ModelInfo]:
        """Every model by its name, in order."""

    def create(self, info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> nn.Module:
        """Build one of the family's models; see `create_model`."""


def create_et_net(info: ModelInfo, num_classes: int, weights: str | os.PathLike | None) -> ETNet:
    """Build the ETNet of a model that has an encoding, with the weights of a file if one is given.

    Raises
    ------
    ArchitectureError
        The encoding does not describe a network, or one for which there is no memory.
    WeightsError
        The file does not fit, or `weights` is "default", which the model does not have.
    """
    from nni_nasoa.networks import ETNet, WeightsError, load_weights

    if weights == "default":
        raise WeightsError(
            f"{info.name} has no pretrained weights: start without any (--weights none, or weights=None), "
            "give a file, or make some with 'nasoa zoo pretrain' and register them with 'nasoa zoo add'"
        )
    assert info.encoding is not None, info.name
    _check_memory(Architecture.parse(info.encoding), num_classes)
    network = ETNet(info.encoding, num_classes)
    if weights is not None:
        load_weights(network, weights)
    return network


def _check_memory(architecture: Architecture, num_classes: int) -> None:
    """Raise an ArchitectureError where a network is larger than what is free, for which Linux kills."""
    import psutil

    needed, free = 4 * architecture.parameters(num_classes), psutil.virtual_memory().available
    if needed > free:
        raise ArchitectureError(
            f"architecture: a network of {needed / 1e9:.3g} GB, where {free / 1e9:.3g} GB of memory are free"
        )
