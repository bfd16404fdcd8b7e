"""The values that each part of an architecture may take: what sampling and variation draw from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from nni_nasoa.values import shown

from .encoding import Architecture
from .errors import ArchitectureError
from .operations import OPS
from .parts import KINDS, RATIOS, Block, Macro, quoted

SKIPS = ("none", "add", "concat")


@dataclass(frozen=True)
class ArchitectureSpace:
    """The values that each part of an architecture may take: the search space of the paper's figure 2.

    Parameters
    ----------
    layers
        Numbers of operations in a block.
    ops, ratios
        Operation codes, and ratio codes of all operations but the last.
    skips
        What may join two places of a block: of "none", "add", "concat". At most one skip joins the same two
        places.
    channels
        Channels after the stem.
    stages, blocks
        Numbers of stages, and of blocks in each of them.
    doublings
        How many times in all the channels double, anywhere; at most twice at the same block.
    block_designs
        Encodings of the only blocks allowed (macro-level search); layers, ops, ratios and skips are then not
        used.
    macros
        Encodings `CHANNELS_MACRO` of the only macros allowed (block-level search); the other macro candidates
        are then not used.

    Raises
    ------
    ArchitectureError
        A candidate is not a value that the encoding knows.
    """

    layers: tuple[int, ...] = (1, 2, 3)
    ops: tuple[int, ...] = tuple(range(len(OPS)))
    ratios: tuple[int, ...] = tuple(range(len(RATIOS)))
    skips: tuple[str, ...] = SKIPS
    channels: tuple[int, ...] = (32, 64)
    stages: tuple[int, ...] = (3, 4)
    blocks: tuple[int, ...] = tuple(range(1, 11))
    doublings: tuple[int, ...] = (2, 3, 4, 5)
    block_designs: tuple[str, ...] = ()
    macros: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        rules: dict[str, Sequence[int | str]] = {
            "layers": range(1, 10),
            "ops": range(len(OPS)),
            "ratios": range(len(RATIOS)),
            "skips": SKIPS,
            "channels": range(2, 4097, 2),
            "stages": range(1, 9),
            "blocks": range(1, 65),
            "doublings": range(11),
        }
        for name, allowed in rules.items():
            values = tuple(_listed(name, getattr(self, name)))
            if not values:
                raise ArchitectureError(f"{name}: no candidate")
            for value in values:
                # 1.0 and True are equal to 1, but are not written so.
                if not isinstance(value, (Integral, str)) or isinstance(value, bool) or value not in allowed:
                    known = (
                        ", ".join(map(str, allowed))
                        if len(allowed) < 10
                        else f"{allowed[0]} to {allowed[-1]}"
                    )
                    raise ArchitectureError(f"{name}: candidate {shown(value)} is not one of {known}")
            if len(set(values)) < len(values):
                raise ArchitectureError(f"{name}: a candidate stands twice in {shown(values)}")
            object.__setattr__(
                self, name, tuple(value if isinstance(value, str) else int(value) for value in values)
            )
        if "none" not in self.skips:
            raise ArchitectureError("skips: 'none' must be a candidate")
        object.__setattr__(
            self, "block_designs", _distinct(Block.parse, _listed("block_designs", self.block_designs))
        )
        object.__setattr__(self, "macros", _distinct(parse_macro, _listed("macros", self.macros)))

    def contains(self, architecture: Architecture) -> bool:
        """Whether each part is one of the candidates, or comes to the same as one of them in this network."""
        return self._contains_macro(architecture.macro) and any(
            map(self.contains_block, architecture.spellings())
        )

    def contains_block(self, block: Block) -> bool:
        """Whether the block, as it is written, is one of the candidates."""
        if self.block_designs:
            return str(block) in self.block_designs
        pairs = [(skip.source, skip.target) for skip in block.skips]
        return (
            len(block.ops) in self.layers
            and set(block.ops) <= set(self.ops)
            and set(block.ratios[:-1]) <= set(self.ratios)
            and {KINDS[skip.kind] for skip in block.skips} <= set(self.skips)
            and len(set(pairs)) == len(pairs)
            and (0, len(block.ops)) not in pairs
            and pairs == sorted(pairs, key=lambda p: (p[1], p[0]))
        )

    def _contains_macro(self, macro: Macro) -> bool:
        if self.macros:
            return str(macro) in self.macros
        return (
            macro.channels in self.channels
            and len(macro.stages) in self.stages
            and all(len(stage) in self.blocks for stage in macro.stages)
            and len(doubling_places(macro)) in self.doublings
        )


def _listed(name: str, values: object) -> Iterable[Any]:
    """The values, unless they are a single one: text is iterable, too."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ArchitectureError(f"{name}: {str(values)[:40]!r} is not a list of candidates")
    return values


def _distinct(parse: Callable[[str], Block | Macro], texts: Iterable[str]) -> tuple[str, ...]:
    """The texts in canonical form, each once."""
    return tuple(dict.fromkeys(str(parse(text)) for text in texts))


def parse_macro(text: str) -> Macro:
    """Read `CHANNELS_MACRO`, the second and third part of an encoding."""
    channels, _, stages = text.partition("_") if isinstance(text, str) else ("", "", "")
    if not channels or not stages:
        raise ArchitectureError(f"macro: {quoted(text)} is not CHANNELS_MACRO, such as 32_1-1-221-11121")
    return Macro.parse(channels, stages)


def doubling_places(macro: Macro) -> list[tuple[int, int]]:
    """(stage, block) of every doubling of the channels, in order; a multiplier of 4 is two doublings."""
    return [
        (s, b)
        for s, stage in enumerate(macro.stages)
        for b, digit in enumerate(stage)
        for _ in range(digit.bit_length() - 1)
    ]
