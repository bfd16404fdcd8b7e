"""The ET-NAS encoding `BLOCK_CHANNELS_MACRO` as an immutable value (NASOA, arXiv 2108.03434, section 3.1).

`02031-a02_64_111-2111-21111-211` is a block of three operations with an extra add from place 0 to place 2, 64
channels after the stem, and four stages; a digit of MACRO multiplies the channels, and every stage after the
first halves the resolution.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from .errors import ArchitectureError
from .layout import block_layouts, count_macs, count_parameters
from .operations import OPS
from .parts import KINDS, Block, Macro, check_text


@dataclass(frozen=True)
class Architecture:
    """An ET-NAS network: one block design, stacked as the macro says.

    Equal networks compare equal: skips are kept in canonical order, and an operation whose groups come out
    the same in every block as another's is written with the lower code.

    Raises
    ------
    ArchitectureError
        The operations' channels do not divide into their groups somewhere in the network.
    """

    block: Block
    macro: Macro

    def __post_init__(self) -> None:
        lowest = next(self.spellings())
        if lowest != self.block:
            object.__setattr__(self, "block", lowest)

    @cached_property
    def _op_codes(self) -> tuple[list[int], ...]:
        """Per layer, lowest first, the operation codes that give the same convolutions in every block."""
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
        """Yield the blocks that make this very network: `block`, then those with other operation codes."""
        return (Block(ops, self.block.ratios, self.block.skips) for ops in product(*self._op_codes))

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Read an encoding such as `2-_32_2-11-112-1121112`.

        Raises
        ------
        ArchitectureError
            One line that names the part and the position: `block layer 2: op '9' is not one of 0-6`.
        """
        check_text(text, "architecture")
        parts = text.split("_")
        if len(parts) != 3 or not parts[1]:
            raise ArchitectureError(
                f"architecture: '{text[:40]}' is not BLOCK_CHANNELS_MACRO, such as 2-_32_2-11-112-1121112"
            )
        return cls(Block.parse(parts[0]), Macro.parse(parts[1], parts[2]))

    def __str__(self) -> str:
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
        """Multiply-accumulates for `input_size` x `input_size` pixels, without building the network."""
        return count_macs(self, input_size, num_classes)

    @cached_property
    def features(self) -> np.ndarray:
        """What a performance predictor sees: a float64 vector of length `len(Architecture.FEATURES)`.

        Per layer (up to 4) the operation one-hot and log2 of its ratio; the skips by kind; the macro's depth
        and log2 width stage by stage (up to 4, later stages counted into the fourth); log10 of parameters and
        of MACs at 224.
        """
        block, macro = self.block, self.macro
        values: list[float] = []
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
