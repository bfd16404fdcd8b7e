"""The seven operations that blocks are made of (NASOA, arXiv 2108.03434, section 3.1 and figure 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Op(NamedTuple):
    """One of the operations: a convolution, or a depthwise one followed by a 1x1 one.

    Parameters
    ----------
    name
        As drawings and messages call it.
    kernel
        Pixels of the kernel in one direction.
    groups
        A function from the input channels to the number of groups.
    separable
        Whether it is a depthwise convolution followed by a 1x1 one.
    """

    name: str
    kernel: int
    groups: Callable[[int], int]
    separable: bool = False


OPS = (
    Op("conv 3x3", 3, lambda _: 1),
    Op("conv 1x1", 1, lambda _: 1),
    Op("conv 3x3, 2 groups", 3, lambda _: 2),
    Op("conv 3x3, 4 groups", 3, lambda _: 4),
    Op("conv 3x3, group width 1", 3, lambda channels: channels),
    Op("conv 3x3, group width 32", 3, lambda channels: channels // 32),
    Op("separable 3x3", 3, lambda _: 1, separable=True),
)
POINTWISE = 1
