"""The two parts of an encoding: the inner design that all blocks share, and how blocks are stacked."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass
from itertools import groupby
from numbers import Integral
from typing import Any

from nni_nasoa.values import shown

from .errors import ArchitectureError
from .operations import OPS

RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0)
MULTIPLIERS = (1, 2, 4)
KINDS = {"a": "add", "c": "concat"}
LAST_RATIO = 2  # code of the last operation's ratio, 1, which is not written

# Far above anything trainable; they keep hostile text from costing time or memory.
MAX_TEXT = 1024
MAX_LAYERS = 9  # a skip's places are single digits
MAX_BLOCKS = 512
MAX_WIDTH = 2**16


def quoted(value: object) -> str:
    """A code in a message, in quotes, shortened."""
    return shown(value if isinstance(value, str) else shown(value))


def _digit(text: str, allowed: int, where: str, what: str) -> int:
    """One ASCII digit below `allowed`."""
    if len(text) == 1 and text in "0123456789"[:allowed]:
        return int(text)
    raise ArchitectureError(f"{where}: {what} {quoted(text)} is not one of 0-{allowed - 1}")


def check_text(text: object, what: str) -> None:
    """Raise an ArchitectureError unless it is text, short enough to be read and fit to be shown."""
    if not isinstance(text, str):
        raise ArchitectureError(f"{what}: expected text, got {type(text).__name__}")
    if len(text) > MAX_TEXT:
        raise ArchitectureError(f"{what}: {len(text)} characters, where at most {MAX_TEXT} are possible")
    if not text.isprintable():
        raise ArchitectureError(f"{what}: {text[:40]!a} has characters that do not print")


def _is_code(value: object, allowed: Container[object]) -> bool:
    """Whether it is one of some whole numbers, and written as one: 1.0 is equal to 1, but is not."""
    return isinstance(value, Integral) and value in allowed


@dataclass(frozen=True, order=True)
class Skip:
    """An extra skip connection: kind "a" (add) or "c" (concatenate) from place `source` to place `target`."""

    kind: str
    source: int
    target: int

    def __str__(self) -> str:
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
        Extra skip connections. The residual, an add from the input to the last place, is always there and not
        listed. Kept in canonical order: by target, neighbouring adds into one place (which commute) by
        source.

    Raises
    ------
    ArchitectureError
        A code or a place is out of range.
    """

    ops: tuple[int, ...]
    ratios: tuple[int, ...]
    skips: tuple[Skip, ...] = ()

    def __post_init__(self) -> None:
        self._check_layers()
        self._check_skips()
        for name in ("ops", "ratios"):
            object.__setattr__(self, name, tuple(map(int, getattr(self, name))))
        object.__setattr__(self, "skips", self._canonical(self.skips))

    def _check_layers(self) -> None:
        n = len(self.ops)
        if not 1 <= n <= MAX_LAYERS:
            raise ArchitectureError(f"block: {n} layers, where 1 to {MAX_LAYERS} are possible")
        if len(self.ratios) != n or self.ratios[-1] != LAST_RATIO:
            raise ArchitectureError(
                f"block: {n} layers need {n} ratios, the last of them {LAST_RATIO}; got {shown(self.ratios)}"
            )
        for i, (op, ratio) in enumerate(zip(self.ops, self.ratios), start=1):
            if not _is_code(op, range(len(OPS))):
                raise ArchitectureError(f"block layer {i}: op {quoted(op)} is not one of 0-{len(OPS) - 1}")
            if not _is_code(ratio, range(len(RATIOS))):
                raise ArchitectureError(
                    f"block layer {i}: ratio {quoted(ratio)} is not one of 0-{len(RATIOS) - 1}"
                )

    def _check_skips(self) -> None:
        n = len(self.ops)
        for i, skip in enumerate(self.skips, start=1):
            if skip.kind not in KINDS:
                raise ArchitectureError(f"block skip {i}: kind {quoted(skip.kind)} is not one of a, c")
            if not 0 <= skip.source < skip.target <= n:
                raise ArchitectureError(f"block skip {i}: '{skip}' must go forward between places 0 and {n}")
            if skip.kind == "c" and skip.target == n:
                raise ArchitectureError(
                    f"block skip {i}: '{skip}' concatenates into the last place, "
                    "which must keep the block's width"
                )

    @staticmethod
    def _canonical(skips: Iterable[Skip]) -> tuple[Skip, ...]:
        """Sort by target (stable), then each run of neighbouring adds into one place by source."""
        by_target = sorted(skips, key=lambda skip: skip.target)
        runs = groupby(by_target, key=lambda skip: (skip.target, skip.kind))
        return tuple(skip for (_, kind), run in runs for skip in (sorted(run) if kind == "a" else run))

    @classmethod
    def parse(cls, text: str) -> Block:
        """Read `LAYERS-CONNECTIONS`."""
        check_text(text, "block")
        layers, dash, connections = text.partition("-")
        if not dash:
            raise ArchitectureError(f"block: '{text[:40]}' has no '-' between layers and connections")
        if len(layers) % 2 == 0:
            raise ArchitectureError(
                f"block layers: '{layers[:40]}' has {len(layers)} digits, "
                "where an odd number (op, ratio, op, .., op) is needed"
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
            kind, source, target = tuple(connections[i : i + 3])
            where = f"block skip {i // 3 + 1}"
            if kind not in KINDS:
                raise ArchitectureError(f"{where}: kind {quoted(kind)} is not one of a, c")
            skips.append(Skip(kind, _digit(source, 10, where, "place"), _digit(target, 10, where, "place")))
        return cls(ops, (*ratios, LAST_RATIO), tuple(skips))

    def __str__(self) -> str:
        layers = "".join(f"{op}{ratio}" for op, ratio in zip(self.ops, self.ratios))[:-1]
        return f"{layers}-{''.join(map(str, self.skips))}"


@dataclass(frozen=True)
class Macro:
    """How blocks are stacked.

    Parameters
    ----------
    channels
        Channels after the stem, an even number.
    stages
        For each stage a channel multiplier (1, 2, 4) a block.

    Raises
    ------
    ArchitectureError
        A number is out of range.
    """

    channels: int
    stages: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not _is_code(self.channels, range(2, MAX_WIDTH + 1, 2)):
            raise ArchitectureError(
                f"channels: {quoted(self.channels)} is not an even number from 2 to {MAX_WIDTH}"
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
                        f"macro stage {s} block {b}: multiplier {quoted(multiplier)} is not one of 1, 2, 4"
                    )
        object.__setattr__(self, "channels", int(self.channels))
        object.__setattr__(self, "stages", tuple(tuple(map(int, stage)) for stage in self.stages))
        if self.out_channels > MAX_WIDTH:
            raise ArchitectureError(
                f"macro: the last block would have {shown(self.out_channels)} channels, "
                f"where at most {MAX_WIDTH} are possible"
            )

    @property
    def out_channels(self) -> int:
        """Channels after the last block."""
        return self.channels * math.prod(multiplier for stage in self.stages for multiplier in stage)

    @classmethod
    def parse(cls, channels: str, stages: str) -> Macro:
        """Read `CHANNELS` and `MACRO`."""
        for text in (channels, stages):
            check_text(text, "macro")
        if not (
            channels.isascii()
            and channels.isdigit()
            and len(channels) <= len(str(MAX_WIDTH))
            and channels[0] != "0"
        ):
            raise ArchitectureError(
                f"channels: '{channels[:40]}' is not an even number from 2 to {MAX_WIDTH}"
            )
        digits: dict[str, Any] = {str(multiplier): multiplier for multiplier in MULTIPLIERS}
        # An unknown character goes through as it is, so that the constructor's message can show it.
        return cls(
            int(channels), tuple(tuple(digits.get(c, c) for c in stage) for stage in stages.split("-"))
        )

    def __str__(self) -> str:
        return f"{self.channels}_{'-'.join(''.join(map(str, stage)) for stage in self.stages)}"
