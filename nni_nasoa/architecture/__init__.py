"""The ET-NAS encoding as a value: parse, format, compare, sample and vary architectures. No torch.

`operations` are what blocks are made of, `parts` are an encoding's block and macro, `encoding` holds the
value, `layout` what every block of it computes (shapes, parameters, MACs), `space` which values a search may
give it, `variation` what random sampling, mutation and crossover do with it.
"""

from .encoding import Architecture
from .errors import ArchitectureError
from .layout import BlockLayout, Conv, SkipLayout, block_layouts
from .operations import OPS, Op
from .parts import RATIOS, Block, Macro, Skip
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
