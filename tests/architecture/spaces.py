"""Search spaces of architectures, small and large, and strategies for hypothesis to draw from."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from nni_nasoa.architecture import ArchitectureSpace, random_architecture

SPACES = {
    "paper": ArchitectureSpace(),
    "four layers": ArchitectureSpace(layers=(1, 2, 3, 4), channels=(16, 32, 64)),
    "plain": ArchitectureSpace(skips=("none",), ops=(0, 1), ratios=(2,)),
    "deep": ArchitectureSpace(blocks=tuple(range(1, 28)), stages=(4,)),
    "narrow": ArchitectureSpace(channels=(8, 16), blocks=(1, 2), stages=(1, 2), doublings=(0, 1, 2)),
    "block level": ArchitectureSpace(macros=("32_1-1-221-11121", "64_21-211-121-11111121")),
    "macro level": ArchitectureSpace(block_designs=("2-", "031-", "10001-", "02031-a02", "23311-a02c12")),
    "a single one": ArchitectureSpace(block_designs=("2-",), macros=("32_2-11-112-1121112",)),
}
spaces = st.sampled_from(sorted(SPACES))
seeds = st.integers(0, 2**32)


def drawn(name, seed):
    """A random architecture of a space."""
    return random_architecture(np.random.default_rng(seed), SPACES[name])
