"""One view of every network: stages in forward order, then a linear head.

Fine-tuning asks a network few questions: where it can be frozen, what its features and its head are, how its
images are normalised. `staged` answers them for all families, so that nothing above the zoo knows which
family it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nni_nasoa.values import whole

from .family import ModelInfo
from .registry import get
from .stage_cutting import StagedError, cut

__all__ = ["Staged", "StagedError", "staged"]


class Staged(nn.Module):
    """A network as stages and a head; see `staged`.

    Parameters
    ----------
    stages
        Modules in forward order; the first takes normalised images (n, 3, height, width), the last gives
        features (n, features).
    head
        From features to logits. It may be replaced by a layer for other classes.
    mean, std
        Of the images that the network was pretrained on, by channel, with pixels from 0 to 1.
    input_size
        Height and width that it was pretrained at, in pixels.

    Attributes
    ----------
    forward_type
        The type that passes without gradients are computed in, by autocast; None for that of the device.
    """

    def __init__(
        self,
        stages: Iterable[nn.Module],
        head: nn.Linear,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        input_size: int,
    ) -> None:
        super().__init__()
        self.stages, self.head = nn.ModuleList(stages), head
        self.mean, self.std, self.input_size = tuple(mean), tuple(std), input_size
        self.frozen_stages = 0
        self.forward_type: torch.dtype | None = None

    @property
    def features(self) -> int:
        """Width of the features before the head."""
        return self.head.in_features

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes) of normalised images (n, 3, height, width)."""
        return self.head(self.forward_stages(x))

    def forward_stages(self, x: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """Run the stages from `start` up to, not with, `stop` (None: all that follow).

        `x` is what stage `start - 1` gives, or images. With all stages run, the result is (n, features).
        """
        for stage in self.stages[start:stop]:
            x = stage(x)
        return x

    def freeze(self, count: int) -> Staged:
        """Freeze the first `count` stages, and free the others and the head.

        0 frees everything, `len(stages)` leaves the head alone free. A frozen stage gets no gradients and
        stays in eval mode, also when `train()` is called: its normalisation keeps its statistics, so what it
        computes from an image is fixed.

        Raises
        ------
        ValueError
            There are not so many stages.
        """
        stages = len(self.stages)
        right = f"a number from 0 to {stages}, the stages of this network"
        self.frozen_stages = whole(0, stages, right)("frozen stages", count)
        for number, stage in enumerate(self.stages):
            stage.requires_grad_(number >= count)
        self.head.requires_grad_(True)
        return self.train(self.training)

    def train(self, mode: bool = True) -> Staged:
        """Like `nn.Module.train`, but frozen stages stay in eval mode."""
        super().train(mode)
        for stage in self.stages[: self.frozen_stages]:
            stage.eval()
        return self


def staged(network: nn.Module, name: str | None = None) -> Staged:
    """View a network as stages and a head. Parameters are shared, logits are the network's own, bit for bit.

    - ETNet: its stages, the stem with the first of them.
    - torchvision's ResNet, ResNeXt, RegNet: their four stages. EfficientNet, MobileNetV3, ConvNeXt: cut where
      resolution falls; layers between pooling and the last linear layer belong to the last stage.
    - timm: the groups of the model's own `group_matcher`, those of plain transformers joined to four. A model
      whose graph cannot be traced, or between whose stages more than a tensor passes, is one stage. A model
      whose head is not one linear layer (distilled transformers have two) loses it, and gets a fresh linear
      head on its `pre_logits`: there alone logits differ.

    Dropout and stochastic depth work as in the network where they are modules; a functional dropout outside
    them, which only some timm models with a `drop_rate` have, is left out.

    Parameters
    ----------
    network
        Of any family, or any traceable network that ends in a linear layer.
    name
        Its name in the zoo, for its normalisation and input size. Without it they are what timm notes in the
        network, else ImageNet's at 224 pixels.

    Raises
    ------
    StagedError
        The network has no linear head, nor features to put one on.
    ValueError
        There is no model of that name.
    """
    info = get(name) if name is not None else _info_in(network)
    modes = {module: module.training for module in network.modules()}
    network.eval()  # the graph of inference
    try:
        stages, head = cut(network, info.input_size)
    finally:
        for module, mode in modes.items():
            module.training = mode
    view = Staged(stages, head, info.mean, info.std, info.input_size)
    return view.train(network.training)


def _info_in(network: nn.Module) -> ModelInfo:
    """What timm notes in its models; the defaults are ImageNet's."""
    noted: Mapping[str, Any] = getattr(network, "pretrained_cfg", None) or {}
    known: dict[str, Any] = {field: tuple(noted[field]) for field in ("mean", "std") if noted.get(field)}
    if noted.get("input_size"):
        known["input_size"] = noted["input_size"][-1]
    return ModelInfo("", "", **known)
