"""Candidates of a search, and random sampling, mutation and crossover among them."""

import numpy as np
import pytest
from hypothesis import given, settings
from spaces import SPACES, drawn, seeds, spaces

from nni_nasoa.architecture import (
    RATIOS,
    Architecture,
    ArchitectureError,
    ArchitectureSpace,
    block_layouts,
    crossover,
    mutate,
    random_architecture,
)


@settings(max_examples=150, deadline=None)
@given(spaces, seeds)
def test_sampling_and_variation_stay_in_the_candidates(name, seed):
    candidates, rng = SPACES[name], np.random.default_rng(seed)
    a, b = random_architecture(rng, candidates), random_architecture(rng, candidates)
    for _ in range(5):
        a, b = mutate(a, rng, candidates), crossover(a, b, rng, candidates)
        for one in (a, b):
            assert candidates.contains(one) and Architecture.parse(str(one)) == one
            list(block_layouts(one))  # every block can be laid out


@settings(max_examples=100, deadline=None)
@given(spaces, seeds)
def test_mutation_changes_the_network(name, seed):
    architecture = drawn(name, seed)
    mutant = mutate(architecture, np.random.default_rng(seed), SPACES[name])
    assert (mutant != architecture) or name == "a single one"


def test_mutation_reaches_every_part():
    candidates, rng = ArchitectureSpace(layers=(1, 2, 3), blocks=(1, 2, 3)), np.random.default_rng(0)
    parent = Architecture.parse("02020-a02_32_12-21-1")
    mutants = [mutate(parent, rng, candidates) for _ in range(500)]
    parts = {
        "ops": lambda one: one.block.ops,
        "ratios": lambda one: one.block.ratios,
        "skips": lambda one: one.block.skips,
        "layers": lambda one: len(one.block.ops),
        "channels": lambda one: one.macro.channels,
        "stages": lambda one: len(one.macro.stages),
        "depth": lambda one: [len(stage) for stage in one.macro.stages][:3],
        "doublings": lambda one: one.macro.stages,
    }
    for name, part in parts.items():
        assert any(part(mutant) != part(parent) for mutant in mutants), name
    assert all(
        mutant.block == parent.block or mutant.macro == parent.macro for mutant in mutants
    )  # one thing at a time


def test_crossover_takes_from_both():
    a, b = Architecture.parse("02020-a02_32_12-21-1"), Architecture.parse("10001-_64_1-2-22")
    rng = np.random.default_rng(0)
    children = {crossover(a, b, rng, ArchitectureSpace(blocks=(1, 2))) for _ in range(200)}
    assert Architecture(a.block, b.macro) in children and Architecture(b.block, a.macro) in children
    assert len(children) > 10
    for child in children:
        assert all(
            op in (x, y) or op in a.block.ops + b.block.ops
            for op, x, y in zip(child.block.ops, a.block.ops, b.block.ops)
        )
        assert child.macro.channels in (32, 64) and set(child.macro.stages) <= {
            *a.macro.stages,
            *b.macro.stages,
        }


@settings(max_examples=20, deadline=None)
@given(spaces, seeds)
def test_the_same_generator_gives_the_same_networks(name, seed):
    def run():
        rng = np.random.default_rng(seed)
        a, b = random_architecture(rng, SPACES[name]), random_architecture(rng, SPACES[name])
        return a, mutate(a, rng, SPACES[name]), crossover(a, b, rng, SPACES[name])

    assert run() == run()


def test_sampling_covers_the_space():
    rng = np.random.default_rng(0)
    networks = [random_architecture(rng, ArchitectureSpace()) for _ in range(600)]
    assert {len(one.block.ops) for one in networks} == {1, 2, 3}
    assert {op for one in networks for op in one.block.ops} == set(range(7))
    assert {ratio for one in networks for ratio in one.block.ratios} == set(range(len(RATIOS)))
    assert {skip.kind for one in networks for skip in one.block.skips} == {"a", "c"}
    assert {one.macro.channels for one in networks} == {32, 64} and {
        len(one.macro.stages) for one in networks
    } == {3, 4}
    assert {len(stage) for one in networks for stage in one.macro.stages} == set(range(1, 11))
    assert len(set(networks)) > 590


def test_candidates_that_allow_nothing():
    with pytest.raises(ArchitectureError, match="no valid architecture"):
        random_architecture(
            np.random.default_rng(0), ArchitectureSpace(ops=(5,), channels=(16,), doublings=(0,))
        )


def test_candidates_with_equal_networks_can_be_searched():
    """At 32 channels throughout, groups of width 32 are one group: the same as operation
    0, which is no candidate.
    """
    candidates, rng = (
        ArchitectureSpace(ops=(5,), channels=(32,), doublings=(0,), layers=(1,), skips=("none",)),
        np.random.default_rng(0),
    )
    a, b = random_architecture(rng, candidates), random_architecture(rng, candidates)
    assert mutate(a, rng, candidates) != a
    assert crossover(a, b, rng, candidates).block.ops == (0,)
    assert candidates.contains(a)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(layers=()), "layers: no candidate"),
        (dict(ops=(7,)), "ops: candidate 7"),
        (dict(ratios=(5,)), "ratios: candidate 5"),
        (dict(skips=("none", "mul")), "skips: candidate 'mul'"),
        (dict(skips=("add",)), "skips: 'none' must"),
        (dict(channels=(31,)), "channels: candidate 31"),
        (dict(stages=(0,)), "stages: candidate 0"),
        (dict(blocks=(0,)), "blocks: candidate 0"),
        (dict(ops=(1, 1)), "ops: a candidate stands twice"),
        (dict(block_designs=("9-",)), "block layer 1: op '9'"),
        (dict(macros=("32",)), "macro: '32' is not CHANNELS_MACRO"),
        (dict(ops=(0.0, 1.0)), "ops: candidate 0.0"),
        (dict(ops=([],)), r"ops: candidate \[\]"),
        (dict(ops=5), "ops: '5' is not a list"),
        (dict(block_designs="2-"), "block_designs: '2-' is not a list"),
        (dict(macros=(5,)), "macro: '5' is not"),
        (dict(layers=(True,)), "layers: candidate True"),
    ],
)
def test_candidates_are_checked(arguments, message):
    with pytest.raises(ArchitectureError, match=f"^{message}"):
        ArchitectureSpace(**arguments)
