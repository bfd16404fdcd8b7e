"""The ET-NAS encoding as a value: parse, format, compare, sample and vary architectures. No torch.

`encoding` holds the value, `layout` what every block of it computes (shapes, parameters, MACs), `space` which values a
search may give it, `variation` what random sampling, mutation and crossover do with it.
"""

from .encoding import RATIOS, Architecture, ArchitectureError, Block, Macro, Skip
from .layout import OPS, BlockLayout, Conv, Op, SkipLayout, block_layouts
from .space import ArchitectureSpace
from .variation import crossover, mutate, random_architecture

__all__ = [
    "OPS",
    "RATIOS",
    "Architecture",
    "ArchitectureError",
    "ArchitectureSpace",
    "Block",
    "BlockLayout",
    "Conv",
    "Macro",
    "Op",
    "Skip",
    "SkipLayout",
    "block_layouts",
    "crossover",
    "mutate",
    "random_architecture",
]
