"""What an architecture computes, block by block: convolutions, strides, groups, projections, and their cost.

Everything that has to know shapes reads them here: validation, the torch network, parameter and MAC counts,
drawings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from .errors import ArchitectureError
from .operations import OPS, POINTWISE
from .parts import Block, Macro, Skip


class Stacked(Protocol):
    """What has one block design and a macro: an `Architecture`, which is made with the help of this file."""

    @property
    def block(self) -> Block:
        """The design that all blocks share."""

    @property
    def macro(self) -> Macro:
        """How the blocks are stacked."""


@dataclass(frozen=True)
class Conv:
    """One operation at its place: a bias-free convolution with padding kernel // 2, then BatchNorm.

    With `separable`, a depthwise kernel x kernel convolution carries the stride and a 1x1 one changes the
    channels.
    """

    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    separable: bool = False

    @property
    def weights(self) -> int:
        """Elements of the convolution's weight tensors."""
        if self.separable:
            return self.in_channels * (self.kernel**2 + self.out_channels)
        return self.kernel**2 * self.in_channels * self.out_channels // self.groups


@dataclass(frozen=True)
class SkipLayout:
    """A skip connection at its place; `projection` is None where the source already fits."""

    kind: str
    source: int
    target: int
    projection: Conv | None


@dataclass(frozen=True)
class BlockLayout:
    """One block: its operations in order, and its skips, the residual last, as they are applied in order."""

    in_channels: int
    out_channels: int
    stride: int
    convs: tuple[Conv, ...]
    skips: tuple[SkipLayout, ...]

    def all_convs(self) -> Iterator[Conv]:
        """Yield the operations, then the projections of the skips."""
        yield from self.convs
        yield from (skip.projection for skip in self.skips if skip.projection is not None)


def op_width(block_out: int, ratio: int) -> int:
    """Channels after an operation whose ratio code, 0..4, is for 1/4, 1/2, 1, 2 or 4 times the block's."""
    return block_out * 2**ratio // 4


def stride_position(ops: Sequence[int]) -> int:
    """Index of the operation that carries the stride: the first that is not 1x1, or the last."""
    return next((i for i, op in enumerate(ops[:-1]) if op != POINTWISE), len(ops) - 1)


def block_layout(
    ops: Sequence[int],
    ratios: Sequence[int],
    skips: Sequence[Skip],
    in_channels: int,
    multiplier: int,
    stride: int,
) -> BlockLayout:
    """Lay out one block.

    Parameters
    ----------
    ops, ratios
        Operation and ratio codes, one each a layer (the last ratio is always 2).
    skips
        Written skips, sorted by target.
    in_channels, multiplier, stride
        The block's input channels, its channel multiplier (1, 2, 4) and its stride (1, 2).

    Raises
    ------
    ArchitectureError
        An operation's channels do not divide into its groups.
    """
    out_channels = in_channels * multiplier
    strided = stride_position(ops)
    channels = [in_channels]  # what every place has after the skips into it
    strides = [1]  # what lies between the block's input and every place
    convs, laid_skips = [], []
    written = [(skip.kind, skip.source, skip.target) for skip in skips]
    for i, (op, ratio) in enumerate(zip(ops, ratios), start=1):
        width = op_width(out_channels, ratio)
        groups = OPS[op].groups(channels[-1])
        if width < 1 or groups < 1 or channels[-1] % groups or width % groups:
            raise ArchitectureError(
                f"block layer {i}: op '{op}' ({OPS[op].name}) "
                f"cannot turn {channels[-1]} channels into {width}"
            )
        convs.append(
            Conv(
                channels[-1],
                width,
                OPS[op].kernel,
                stride if i - 1 == strided else 1,
                groups,
                OPS[op].separable,
            )
        )
        channels.append(width)
        strides.append(stride if i > strided else 1)
        into = [skip for skip in written if skip[2] == i]
        for kind, source, target in into + ([("a", 0, i)] if i == len(ops) else []):
            step = strides[target] // strides[source]
            wanted = channels[target] if kind == "a" else channels[source]
            fits = step == 1 and wanted == channels[source]
            laid_skips.append(
                SkipLayout(
                    kind, source, target, None if fits else Conv(channels[source], wanted, stride=step)
                )
            )
            if kind == "c":
                channels[target] += channels[source]
    return BlockLayout(in_channels, out_channels, stride, tuple(convs), tuple(laid_skips))


def block_layouts(architecture: Stacked) -> Iterator[tuple[int, BlockLayout]]:
    """Yield (stage index, layout) of every block of an Architecture, in order."""
    block, channels = architecture.block, architecture.macro.channels
    known: dict[tuple[int, int, int], BlockLayout] = {}
    for stage, multipliers in enumerate(architecture.macro.stages):
        for position, multiplier in enumerate(multipliers):
            key = (channels, multiplier, 2 if stage and not position else 1)
            try:
                if key not in known:
                    known[key] = block_layout(block.ops, block.ratios, block.skips, *key)
            except ArchitectureError as error:
                raise ArchitectureError(
                    f"{error} (at macro stage {stage + 1} block {position + 1})"
                ) from None
            yield stage, known[key]
            channels *= multiplier


def stem_convs(channels: int) -> tuple[Conv, ...]:
    """The stem's three 3x3 convolutions, from RGB to `channels` at a quarter of the resolution."""
    half = channels // 2
    return Conv(3, half, 3, stride=2), Conv(half, half, 3), Conv(half, channels, 3, stride=2)


def count_parameters(architecture: Stacked, num_classes: int = 1000) -> int:
    """Trainable parameters of the network with a head of `num_classes`."""
    convs = list(stem_convs(architecture.macro.channels))
    for _, layout in block_layouts(architecture):
        convs.extend(layout.all_convs())
    return (
        sum(conv.weights + 2 * conv.out_channels for conv in convs)
        + (architecture.macro.out_channels + 1) * num_classes
    )


def count_macs(architecture: Stacked, input_size: int = 224, num_classes: int = 1000) -> int:
    """Multiply-accumulate operations of one forward pass on an `input_size` x `input_size` RGB image.

    Convolutions and the head count; normalisation, activations and pooling do not, as is usual in published
    tables.
    """

    def conv_macs(conv: Conv, size: int) -> int:
        out = -(-size // conv.stride)
        return conv.weights * out * out

    total, size = 0, input_size
    for conv in stem_convs(architecture.macro.channels):
        total += conv_macs(conv, size)
        size = -(-size // conv.stride)
    for _, layout in block_layouts(architecture):
        sizes = [size]
        for conv in layout.convs:
            total += conv_macs(conv, sizes[-1])
            sizes.append(-(-sizes[-1] // conv.stride))
        total += sum(
            conv_macs(skip.projection, sizes[skip.source])
            for skip in layout.skips
            if skip.projection is not None
        )
        size = sizes[-1]
    return total + architecture.macro.out_channels * num_classes
