"""Random sampling, mutation and crossover of architectures, inside a given space (NASOA, section 3.1).

Every function takes a `numpy.random.Generator` and returns a valid Architecture that the space contains.
Proposals are drawn freely and redrawn until they are valid: most are, and no repair step biases the search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from numpy.random import Generator

from .encoding import Architecture
from .errors import ArchitectureError
from .parts import KINDS, LAST_RATIO, Block, Macro, Skip
from .space import ArchitectureSpace, doubling_places, parse_macro

T = TypeVar("T")

_TRIES = 1000


def macro_of(channels: int, depths: Sequence[int], doublings: Sequence[tuple[int, int]]) -> Macro:
    """Build a Macro from the blocks of each stage and the (stage, block) places where channels double.

    A place beyond the last stage, or beyond the end of one, means the last there.
    """
    factors = [[1] * depth for depth in depths]
    for stage, block in doublings:
        multipliers = factors[min(stage, len(factors) - 1)]
        multipliers[min(block, len(multipliers) - 1)] *= 2
    return Macro(channels, tuple(map(tuple, factors)))


def random_architecture(rng: Generator, space: ArchitectureSpace) -> Architecture:
    """Draw an architecture: each part uniformly from its values, until the channels fit the groups.

    Raises
    ------
    ArchitectureError
        No valid architecture was found: the space hardly allows one.
    """
    return _until_valid(lambda: Architecture(_random_block(rng, space), _random_macro(rng, space)), space)


def mutate(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    """Change one thing: a layer, a skip, the depth of a stage, where channels double, ...

    Returns
    -------
    A different architecture; the same one only where the space leaves no other within reach.
    """
    steps = [step for part, step in _MUTATIONS if not getattr(space, part)]
    if len(space.block_designs) > 1:
        steps.append(_other_block)
    if len(space.macros) > 1:
        steps.append(_other_macro)
    if not steps:
        return architecture

    def propose() -> Architecture:
        child = steps[rng.integers(len(steps))](architecture, rng, space)
        if child == architecture:
            raise ArchitectureError("nothing changed")
        return child

    return _until_valid(propose, space, fallback=architecture)


def crossover(a: Architecture, b: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    """Join two parents: one's block with the other's macro, or a mix of their layers or of their stages."""

    def propose() -> Architecture:
        first, second = (a, b) if rng.random() < 0.5 else (b, a)
        join = _CROSSOVERS[rng.integers(len(_CROSSOVERS))]
        return join(first, second, rng)

    return _until_valid(propose, space, fallback=a)


def _until_valid(
    propose: Callable[[], Architecture], space: ArchitectureSpace, fallback: Architecture | None = None
) -> Architecture:
    reason: object = "none was within the space"
    for _ in range(_TRIES):
        try:
            architecture = propose()
        except ArchitectureError as error:
            reason = error
            continue
        if space.contains(architecture):
            return architecture
    if fallback is None:
        raise ArchitectureError(
            f"no valid architecture in {_TRIES} draws from the space; the last one failed: {reason}"
        )
    return fallback


def _pick(rng: Generator, values: Sequence[T]) -> T:
    return values[int(rng.integers(len(values)))]


def _skips(kinds: dict[tuple[int, int], str]) -> tuple[Skip, ...]:
    """Skips from (source, target) -> "none", "add" or "concat"."""
    return tuple(
        Skip(kind[0], source, target)
        for (source, target), kind in sorted(kinds.items(), key=lambda item: item[0][::-1])
        if kind != "none"
    )


def skip_places(layers: int) -> list[tuple[int, int]]:
    """(source, target) of every possible extra skip in a block, by target, the residual's left out."""
    return [
        (source, target)
        for target in range(1, layers + 1)
        for source in range(target)
        if (source, target) != (0, layers)
    ]


def _random_kind(rng: Generator, space: ArchitectureSpace, target: int, layers: int) -> str:
    """A kind of skip; half of the places stay free, as most published blocks have few skips or none."""
    kinds = [kind for kind in space.skips if kind != "none" and not (kind == "concat" and target == layers)]
    return _pick(rng, kinds) if kinds and rng.random() < 0.5 else "none"


def _random_block(rng: Generator, space: ArchitectureSpace) -> Block:
    if space.block_designs:
        return Block.parse(_pick(rng, space.block_designs))
    layers = _pick(rng, space.layers)
    skips = _skips(
        {(source, target): _random_kind(rng, space, target, layers) for source, target in skip_places(layers)}
    )
    return Block(
        tuple(_pick(rng, space.ops) for _ in range(layers)),
        (*(_pick(rng, space.ratios) for _ in range(layers - 1)), LAST_RATIO),
        skips,
    )


def _random_place(rng: Generator, depths: Sequence[int]) -> tuple[int, int]:
    stage = int(rng.integers(len(depths)))
    return stage, int(rng.integers(depths[stage]))


def _random_macro(rng: Generator, space: ArchitectureSpace) -> Macro:
    if space.macros:
        return parse_macro(_pick(rng, space.macros))
    depths = [_pick(rng, space.blocks) for _ in range(_pick(rng, space.stages))]
    return macro_of(
        _pick(rng, space.channels),
        depths,
        [_random_place(rng, depths) for _ in range(_pick(rng, space.doublings))],
    )


# -- mutations: each takes (architecture, rng, space) and changes one thing --


def _with_block(
    architecture: Architecture, ops: Iterable[int], ratios: Iterable[int], skips: Iterable[Skip]
) -> Architecture:
    return Architecture(Block(tuple(ops), tuple(ratios), tuple(skips)), architecture.macro)


def _change_op(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    block = architecture.block
    ops = list(block.ops)
    ops[rng.integers(len(ops))] = _pick(rng, space.ops)
    return _with_block(architecture, ops, block.ratios, block.skips)


def _change_ratio(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    block = architecture.block
    if len(block.ops) == 1:
        return architecture
    ratios = list(block.ratios)
    ratios[rng.integers(len(ratios) - 1)] = _pick(rng, space.ratios)
    return _with_block(architecture, block.ops, ratios, block.skips)


def _change_layers(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    """Insert or remove a layer; the skips around it move along, and those that lose an end go."""
    block, n = architecture.block, len(architecture.block.ops)
    ops, ratios = list(block.ops), list(block.ratios)
    at = int(rng.integers(n))
    if rng.random() < 0.5:
        ops.insert(at, _pick(rng, space.ops))
        ratios.insert(at, _pick(rng, space.ratios))
        moved = [
            Skip(skip.kind, skip.source + (skip.source > at), skip.target + (skip.target > at))
            for skip in block.skips
        ]
    else:
        del ops[at]
        del ratios[at]
        ratios[-1:] = [LAST_RATIO]
        # The removed layer's output is place at + 1: skips from or into it are gone.
        moved = [
            Skip(skip.kind, skip.source - (skip.source > at), skip.target - (skip.target > at))
            for skip in block.skips
            if at + 1 not in (skip.source, skip.target)
        ]
    return _with_block(architecture, ops, ratios, moved)


def _change_skip(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    block, n = architecture.block, len(architecture.block.ops)
    if not skip_places(n):
        return architecture
    place = _pick(rng, skip_places(n))
    kinds = {(skip.source, skip.target): KINDS[skip.kind] for skip in block.skips}
    kinds[place] = _pick(rng, [kind for kind in space.skips if not (kind == "concat" and place[1] == n)])
    return _with_block(architecture, block.ops, block.ratios, _skips(kinds))


def _depths(macro: Macro) -> list[int]:
    return [len(stage) for stage in macro.stages]


def _change_channels(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    return Architecture(architecture.block, Macro(_pick(rng, space.channels), architecture.macro.stages))


def _change_depth(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    """Another number of blocks in one stage; doublings keep their block where it is still there."""
    macro, depths = architecture.macro, _depths(architecture.macro)
    depths[rng.integers(len(depths))] = _pick(rng, space.blocks)
    return Architecture(architecture.block, macro_of(macro.channels, depths, doubling_places(macro)))


def _change_stages(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    """Add a stage at the end, or take the last one away."""
    macro, depths = architecture.macro, _depths(architecture.macro)
    count = _pick(rng, space.stages)
    depths = depths[:count] + [_pick(rng, space.blocks) for _ in range(count - len(depths))]
    return Architecture(architecture.block, macro_of(macro.channels, depths, doubling_places(macro)))


def _change_doubling(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    """Move, add or remove one doubling of the channels."""
    macro, depths, places = (
        architecture.macro,
        _depths(architecture.macro),
        doubling_places(architecture.macro),
    )
    count = _pick(rng, [count for count in space.doublings if abs(count - len(places)) <= 1] or [len(places)])
    if places and count <= len(places):
        del places[rng.integers(len(places))]
    places += [_random_place(rng, depths) for _ in range(count - len(places))]
    return Architecture(architecture.block, macro_of(macro.channels, depths, places))


def _other_block(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    return Architecture(_random_block(rng, space), architecture.macro)


def _other_macro(architecture: Architecture, rng: Generator, space: ArchitectureSpace) -> Architecture:
    return Architecture(architecture.block, _random_macro(rng, space))


# A mutation, and the part of the space that rules it out where it is given.
_MUTATIONS = (
    ("block_designs", _change_op),
    ("block_designs", _change_ratio),
    ("block_designs", _change_layers),
    ("block_designs", _change_skip),
    ("macros", _change_channels),
    ("macros", _change_depth),
    ("macros", _change_stages),
    ("macros", _change_doubling),
)


# -- crossovers: each takes two parents and the rng --


def _join_block_and_macro(a: Architecture, b: Architecture, _rng: Generator) -> Architecture:
    return Architecture(a.block, b.macro)


def _mix_layers(a: Architecture, b: Architecture, rng: Generator) -> Architecture:
    """Layers from either parent, position by position, with the first parent's depth and skips."""
    layers = [
        pair[rng.integers(2)]
        for pair in zip(zip(a.block.ops, a.block.ratios), zip(b.block.ops, b.block.ratios))
    ]
    layers += list(zip(a.block.ops, a.block.ratios))[len(layers) :]
    return Architecture(
        Block(
            tuple(op for op, _ in layers), (*(ratio for _, ratio in layers[:-1]), LAST_RATIO), a.block.skips
        ),
        a.macro,
    )


def _mix_stages(a: Architecture, b: Architecture, rng: Generator) -> Architecture:
    """Stages from either parent, position by position, as many as the first has; channels of either."""
    stages = [pair[rng.integers(2)] for pair in zip(a.macro.stages, b.macro.stages)]
    stages += a.macro.stages[len(stages) :]
    return Architecture(a.block, Macro(_pick(rng, (a.macro.channels, b.macro.channels)), tuple(stages)))


_CROSSOVERS = (_join_block_and_macro, _mix_layers, _mix_stages)
