"""The ET-NAS encoding `BLOCK_CHANNELS_MACRO` as an immutable value (NASOA, ICCV 2021, arXiv 2108.03434, section 3.1).

`02031-a02_64_111-2111-21111-211` is a block of three operations with an extra add from place 0 to place 2, 64 channels
after the stem, and four stages; a digit of MACRO multiplies the channels, and every stage after the first halves the
resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, product
from numbers import Integral

import numpy as np

from .layout import OPS, ArchitectureError, block_layouts, count_macs, count_parameters

RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)
MULTIPLIERS = (1, 2, 4)
KINDS = {"a": "add", "c": "concat"}
LAST_RATIO = 2  # the last operation's ratio, 1, is not written

# Far above anything trainable; they keep hostile text from costing time or memory.
MAX_TEXT = 1024
MAX_LAYERS = 9  # a skip's places are single digits
MAX_BLOCKS = 512
MAX_WIDTH = 2**16


def _digit(text: str, allowed: int, where: str, what: str) -> int:
    """One ASCII digit below `allowed`."""
    if len(text) == 1 and text in "0123456789"[:allowed]:
        return int(text)
    raise ArchitectureError(f"{where}: {what} '{text}' is not one of 0-{allowed - 1}")


def _check_text(text, what: str) -> None:
    """Raise an ArchitectureError unless it is text that is short enough to be read, and fit to be shown."""
    if not isinstance(text, str):
        raise ArchitectureError(f"{what}: expected text, got {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise ArchitectureError(f"{what}: {len(text)} characters, where at most {MAX_TEXT} are possible")
    if not text.isprintable():
        raise ArchitectureError(f"{what}: {text[:40]!a} has characters that do not print")


def _is_code(value, allowed) -> bool:
    """Whether it is one of some whole numbers, and a whole number itself: 1.0 is equal to 1, but is not written so."""
    return isinstance(value, Integral) and value in allowed


@dataclass(frozen=True, order=True)
class Skip:
    """An extra skip connection: kind "a" (add) or "c" (concatenate) from place `source` to place `target`."""

    kind: str
    source: int
    target: int

    def __str__(self):
        return f"{self.kind}{self.source}{self.target}"


@dataclass(frozen=True)
class Block:
    """The inner design that all blocks of a network share.

    Parameters
    ----------
    ops
        Operation codes 0..6, one a layer (see `OPS`).
    ratios
        Ratio codes 0..4, one a layer; the last is always 2, which means the block's own width.
    skips
        Extra skip connections. The residual, an add from the input to the last place, is always there and not listed.
        Kept in canonical order: by target, neighbouring adds into one place (which commute) by source.

    Raises
    ------
    ArchitectureError
        A code or a place is out of range.
    """

    ops: tuple[int, ...]
    ratios: tuple[int, ...]
    skips: tuple[Skip, ...] = ()

    def __post_init__(self):
        n = len(self.ops)
        if not 1 <= n <= MAX_LAYERS:
            raise ArchitectureError(f"block: {n} layers, where 1 to {MAX_LAYERS} are possible")
        if len(self.ratios) != n or self.ratios[-1] != LAST_RATIO:
            raise ArchitectureError(
                f"block: {n} layers need {n} ratios, the last of them {LAST_RATIO}; got {self.ratios}"
            )
        for i, (op, ratio) in enumerate(zip(self.ops, self.ratios), start=1):
            if not _is_code(op, range(len(OPS))):
                raise ArchitectureError(f"block layer {i}: op '{op}' is not one of 0-{len(OPS) - 1}")
            if not _is_code(ratio, range(len(RATIOS))):
                raise ArchitectureError(f"block layer {i}: ratio '{ratio}' is not one of 0-{len(RATIOS) - 1}")
        for i, skip in enumerate(self.skips, start=1):
            if skip.kind not in KINDS:
                raise ArchitectureError(f"block skip {i}: kind '{skip.kind}' is not one of a, c")
            if not 0 <= skip.source < skip.target <= n:
                raise ArchitectureError(f"block skip {i}: '{skip}' must go forward between places 0 and {n}")
            if skip.kind == "c" and skip.target == n:
                raise ArchitectureError(
                    f"block skip {i}: '{skip}' concatenates into the last place, which must keep the block's width"
                )
        for name in ("ops", "ratios"):
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))
        object.__setattr__(self, "skips", self._canonical(self.skips))

    @staticmethod
    def _canonical(skips):
        """Sort by target (stable), then each run of neighbouring adds into one place by source."""
        by_target = sorted(skips, key=lambda skip: skip.target)
        runs = groupby(by_target, key=lambda skip: (skip.target, skip.kind))
        return tuple(skip for (_, kind), run in runs for skip in (sorted(run) if kind == "a" else run))

    @classmethod
    def parse(cls, text: str) -> Block:
        """Read `LAYERS-CONNECTIONS`."""
        _check_text(text, "block")
        layers, dash, connections = text.partition("-")
        if not dash:
            raise ArchitectureError(f"block: '{text[:40]}' has no '-' between layers and connections")
        if len(layers) % 2 == 0:
            raise ArchitectureError(
                f"block layers: '{layers[:40]}' has {len(layers)} digits, where an odd number (op, ratio, op, .., op) is needed"
            )
        if len(layers) > 2 * MAX_LAYERS - 1:
            raise ArchitectureError(
                f"block: {(len(layers) + 1) // 2} layers, where 1 to {MAX_LAYERS} are possible"
            )
        ops = tuple(_digit(c, len(OPS), f"block layer {i}", "op") for i, c in enumerate(layers[::2], start=1))
        ratios = tuple(
            _digit(c, len(RATIOS), f"block layer {i}", "ratio") for i, c in enumerate(layers[1::2], start=1)
        )
        if len(connections) % 3:
            raise ArchitectureError(
                f"block connections: '{connections[:40]}' is not a row of 3-character skips such as a02"
            )
        skips = []
        for i in range(0, len(connections), 3):
            kind, source, target = connections[i : i + 3]
            where = f"block skip {i // 3 + 1}"
            if kind not in KINDS:
                raise ArchitectureError(f"{where}: kind '{kind}' is not one of a, c")
            skips.append(Skip(kind, _digit(source, 10, where, "place"), _digit(target, 10, where, "place")))
        return cls(ops, ratios + (LAST_RATIO,), tuple(skips))

    def __str__(self):
        layers = "".join(f"{op}{ratio}" for op, ratio in zip(self.ops, self.ratios))[:-1]
        return f"{layers}-{''.join(map(str, self.skips))}"


@dataclass(frozen=True)
class Macro:
    """How blocks are stacked: `channels` after the stem, and a tuple of channel multipliers (1, 2, 4) for each stage."""

    channels: int
    stages: tuple[tuple[int, ...], ...]

    def __post_init__(self):
        if not _is_code(self.channels, range(2, MAX_WIDTH + 1, 2)):
            raise ArchitectureError(
                f"channels: '{self.channels}' is not an even number from 2 to {MAX_WIDTH}"
            )
        if not self.stages:
            raise ArchitectureError("macro: no stage")
        if (blocks := sum(map(len, self.stages))) > MAX_BLOCKS:
            raise ArchitectureError(f"macro: {blocks} blocks, where at most {MAX_BLOCKS} are possible")
        for s, stage in enumerate(self.stages, start=1):
            if not stage:
                raise ArchitectureError(f"macro stage {s}: empty, where at least one block is needed")
            for b, multiplier in enumerate(stage, start=1):
                if not _is_code(multiplier, MULTIPLIERS):
                    raise ArchitectureError(
                        f"macro stage {s} block {b}: multiplier '{multiplier}' is not one of 1, 2, 4"
                    )
        object.__setattr__(self, "channels", int(self.channels))
        object.__setattr__(self, "stages", tuple(tuple(map(int, stage)) for stage in self.stages))
        if self.out_channels > MAX_WIDTH:
            raise ArchitectureError(
                f"macro: the last block would have {self.out_channels} channels, where at most {MAX_WIDTH} are possible"
            )

    @property
    def out_channels(self) -> int:
        """Channels after the last block."""
        return self.channels * math.prod(multiplier for stage in self.stages for multiplier in stage)

    @classmethod
    def parse(cls, channels: str, stages: str) -> Macro:
        """Read `CHANNELS` and `MACRO`."""
        for text in (channels, stages):
            _check_text(text, "macro")
        if not (
            channels.isascii()
            and channels.isdigit()
            and len(channels) <= len(str(MAX_WIDTH))
            and channels[0] != "0"
        ):
            raise ArchitectureError(
                f"channels: '{channels[:40]}' is not an even number from 2 to {MAX_WIDTH}"
            )
        digits = {str(multiplier): multiplier for multiplier in MULTIPLIERS}
        # An unknown character goes through as it is, so that the constructor's message can show it.
        return cls(
            int(channels), tuple(tuple(digits.get(c, c) for c in stage) for stage in stages.split("-"))
        )

    def __str__(self):
        return f"{self.channels}_{'-'.join(''.join(map(str, stage)) for stage in self.stages)}"


@dataclass(frozen=True)
class Architecture:
    """An ET-NAS network: one block design, stacked as the macro says.

    Equal networks compare equal: skips are kept in canonical order, and an operation whose groups come out the same in
    every block as another's is written with the lower code.

    Raises
    ------
    ArchitectureError
        The operations' channels do not divide into their groups somewhere in the network.
    """

    block: Block
    macro: Macro

    def __post_init__(self):
        lowest = next(self.spellings())
        if lowest != self.block:
            object.__setattr__(self, "block", lowest)

    @cached_property
    def _op_codes(self) -> tuple[list[int], ...]:
        """Per layer, the operation codes that give the same convolutions in every block of this network, lowest first."""
        columns = zip(*(layout.convs for _, layout in block_layouts(self)))
        return tuple(
            [
                code
                for code, other in enumerate(OPS)
                if (other.kernel, other.separable) == (OPS[op].kernel, OPS[op].separable)
                and all(other.groups(conv.in_channels) == conv.groups for conv in convs)
            ]
            for op, convs in zip(self.block.ops, columns)
        )

    def spellings(self) -> Iterator[Block]:
        """Yield the blocks that make this very network: `block` first, then those with other codes for its operations."""
        return (Block(ops, self.block.ratios, self.block.skips) for ops in product(*self._op_codes))

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Read an encoding such as `2-_32_2-11-112-1121112`.

        Raises
        ------
        ArchitectureError
            One line that names the part and the position: `block layer 2: op '9' is not one of 0-6`.
        """
        _check_text(text, "architecture")
        parts = text.split("_")
        if len(parts) != 3 or not parts[1]:
            raise ArchitectureError(
                f"architecture: '{text[:40]}' is not BLOCK_CHANNELS_MACRO, such as 2-_32_2-11-112-1121112"
            )
        return cls(Block.parse(parts[0]), Macro.parse(parts[1], parts[2]))

    def __str__(self):
        return f"{self.block}_{self.macro}"

    @property
    def out_channels(self) -> int:
        """Channels of the features before the head."""
        return self.macro.out_channels

    @property
    def total_stride(self) -> int:
        """Input pixels per feature-map pixel in the last stage, in one direction."""
        return 4 * 2 ** (len(self.macro.stages) - 1)

    def parameters(self, num_classes: int = 1000) -> int:
        """Trainable parameters with a head of `num_classes`, without building the network."""
        return count_parameters(self, num_classes)

    def macs(self, input_size: int = 224, num_classes: int = 1000) -> int:
        """Multiply-accumulates of one image of `input_size` x `input_size` pixels, without building the network."""
        return count_macs(self, input_size, num_classes)

    @cached_property
    def features(self) -> np.ndarray:
        """What a performance predictor sees: a float64 vector of length `len(Architecture.FEATURES)`.

        Per layer (up to 4) the operation one-hot and log2 of its ratio; the skips by kind; the macro's depth and log2
        width stage by stage (up to 4, later stages counted into the fourth); log10 of parameters and of MACs at 224.
        """
        block, macro, values = self.block, self.macro, []
        for layer in range(4):
            there = layer < len(block.ops)
            values += [float(there and block.ops[layer] == op) for op in range(len(OPS))]
            values.append(float(block.ratios[layer] - 2) if there else 0.0)
        values += [float(sum(skip.kind == kind for skip in block.skips)) for kind in KINDS]
        width = math.log2(macro.channels)
        values.append(width)
        depths, widths = [0.0] * 4, [0.0] * 4
        for s, stage in enumerate(macro.stages):
            width += math.log2(math.prod(stage))
            depths[min(s, 3)] += len(stage)
            widths[min(s, 3)] = width
        values += [*depths, *widths, math.log10(self.parameters()), math.log10(self.macs())]
        vector = np.array(values)
        vector.flags.writeable = False  # the value is shared
        return vector

    FEATURES = (
        *(
            f"layer{layer}_{name}"
            for layer in range(1, 5)
            for name in [*(f"op{op}" for op in range(len(OPS))), "log2_ratio"]
        ),
        *(f"skips_{name}" for name in KINDS.values()),
        "log2_channels",
        *(f"stage{s}_blocks" for s in range(1, 5)),
        *(f"stage{s}_log2_width" for s in range(1, 5)),
        "log10_params",
        "log10_macs",
    )
