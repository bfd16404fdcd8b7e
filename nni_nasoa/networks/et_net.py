"""ETNet: the network that an ET-NAS encoding describes (NASOA, arXiv 2108.03434, section 3.1, figure 2)."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nni_nasoa.architecture import Architecture, BlockLayout, Conv, SkipLayout, block_layouts
from nni_nasoa.architecture.layout import stem_convs
from nni_nasoa.values import whole


class ConvNorm(nn.Sequential):
    """A bias-free convolution (`conv`, or `depthwise` and `pointwise`) and its BatchNorm (`norm`)."""

    def __init__(self, conv: Conv) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if conv.separable:
            layers["depthwise"] = nn.Conv2d(
                conv.in_channels,
                conv.in_channels,
                conv.kernel,
                conv.stride,
                conv.kernel // 2,
                groups=conv.in_channels,
                bias=False,
            )
            layers["pointwise"] = nn.Conv2d(conv.in_channels, conv.out_channels, 1, bias=False)
        else:
            layers["conv"] = nn.Conv2d(
                conv.in_channels,
                conv.out_channels,
                conv.kernel,
                conv.stride,
                conv.kernel // 2,
                groups=conv.groups,
                bias=False,
            )
        layers["norm"] = nn.BatchNorm2d(conv.out_channels)
        super().__init__(layers)


class SkipConnection(nn.Module):
    """Joins an earlier place's value, through a 1x1 projection where it does not fit, to a later one's."""

    def __init__(self, layout: SkipLayout) -> None:
        super().__init__()
        self.kind, self.source = layout.kind, layout.source
        self.projection = ConvNorm(layout.projection) if layout.projection is not None else None

    def forward(self, value: Tensor, source: Tensor) -> Tensor:
        """The later place's value with the earlier one's joined to it, both (n, channels, height, width)."""
        if self.projection is not None:
            source = self.projection(source)
        if self.kind == "c":
            return torch.cat([source, value], dim=1)
        # `value` is fresh from a BatchNorm or a concatenation, whose gradients do not need it.
        return value.add_(source)

    def extra_repr(self) -> str:
        """What the connection is, as torch prints it in a network's tree."""
        return f"{'concat' if self.kind == 'c' else 'add'} from place {self.source}"


class ETBlock(nn.Module):
    """One block: operations in a row, each followed by the skips into its place and a ReLU.

    Places are numbered: 0 is the input, i the output of operation i. Adds and ReLUs work in place: they only
    ever write to a tensor that this very step has made, and a place's value is never written again after its
    ReLU.
    """

    def __init__(self, layout: BlockLayout) -> None:
        super().__init__()
        self.ops = nn.ModuleList(ConvNorm(conv) for conv in layout.convs)
        self.skips = nn.ModuleList(
            nn.ModuleList(SkipConnection(skip) for skip in layout.skips if skip.target == place)
            for place in range(1, len(layout.convs) + 1)
        )
        # Other values are let go as soon as the next operation is done with them.
        self.kept_places = frozenset(skip.source for skip in layout.skips)

    def forward(self, x: Tensor) -> Tensor:
        """Values of the last place, (n, channels, height, width), from those of the first."""
        places = {0: x}
        for place, (op, skips) in enumerate(zip(self.ops, self.skips), start=1):
            x = op(x)
            for skip in skips:  # type: ignore[attr-defined]  # torch types each entry of a list as a Module
                x = skip(x, places[skip.source])
            x = F.relu(x, inplace=True)
            if place in self.kept_places:
                places[place] = x
        return x


class ETNet(nn.Module):
    """An ET-NAS network: `stem`, `stages` (one `nn.Sequential` of blocks each), average pooling and `head`.

    Parameters
    ----------
    architecture
        An Architecture, or its encoding such as `2-_32_2-11-112-1121112`.
    num_classes
        Outputs of the linear head.

    Raises
    ------
    ArchitectureError
        The encoding does not describe a network.
    ValueError
        `num_classes` is less than 1.
    """

    def __init__(self, architecture: Architecture | str, num_classes: int = 1000) -> None:
        super().__init__()
        num_classes = whole(1)("num_classes", num_classes)
        self.architecture = (
            architecture if isinstance(architecture, Architecture) else Architecture.parse(architecture)
        )
        self.num_classes = num_classes
        self.stem = nn.Sequential(
            *(
                layer
                for conv in stem_convs(self.architecture.macro.channels)
                for layer in (ConvNorm(conv), nn.ReLU(inplace=True))
            )
        )
        stages: list[list[nn.Module]] = [[] for _ in self.architecture.macro.stages]
        for stage, layout in block_layouts(self.architecture):
            stages[stage].append(ETBlock(layout))
        self.stages = nn.ModuleList(nn.Sequential(*blocks) for blocks in stages)
        self.head = nn.Linear(self.architecture.out_channels, num_classes)
        for module in self.modules():
            # For weights on the meta device torch would load its compiler.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, x: Tensor) -> Tensor:
        """Pooled features of the last stage.

        Parameters
        ----------
        x
            Images, float, (n, 3, height, width); normalised as in training.

        Returns
        -------
        Features, (n, out_channels).
        """
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return x.mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, 3, height, width)."""
        return self.head(self.forward_features(x))
