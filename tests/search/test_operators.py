"""Operators: what the evolution relies on, for architectures and for plain samples."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nni_nasoa.architecture import Architecture, ArchitectureSpace
from nni_nasoa.search.dimensions import Categorical, Integer, Uniform
from nni_nasoa.search.operators import ArchitectureOperators, SampleOperators

SPACE = {"op": Categorical(("conv", "pool")), "width": Integer(1, 9), "rate": Uniform(1e-4, 1.0, log=True)}
OPERATORS = [
    ArchitectureOperators(ArchitectureSpace()),
    ArchitectureOperators(ArchitectureSpace(block_designs=("2-", "031-", "02031-a02"))),
    ArchitectureOperators(ArchitectureSpace(macros=("32_1-1-221-11121", "64_21-211-121-11111121"))),
    SampleOperators(SPACE),
    SampleOperators(SPACE, valid=lambda sample: sample["op"] == "conv" or sample["width"] < 5),
]
NAMES = ["joint", "macro level", "block level", "samples", "samples with a rule"]


def allowed(operators, candidate):
    if isinstance(operators, ArchitectureOperators):
        return operators.space.contains(candidate)
    return set(candidate) == set(SPACE) and (operators.valid is None or operators.valid(candidate))


@pytest.mark.parametrize("operators", OPERATORS, ids=NAMES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_all_of_it_stays_in_the_space_and_has_an_identity(operators, seed):
    rng = np.random.default_rng(seed)
    a, b = operators.random(rng), operators.random(rng)
    before = operators.key(a)
    for candidate in (a, operators.mutate(a, rng), operators.crossover(a, b, rng)):
        assert allowed(operators, candidate)
        again = operators.from_json(json.loads(json.dumps(operators.to_json(candidate))))
        assert again == candidate and operators.key(again) == operators.key(candidate)
    assert operators.key(a) == before and operators.key(operators.mutate(a, rng)) != before


@pytest.mark.parametrize("operators", OPERATORS, ids=NAMES)
def test_the_same_seed_gives_the_same_candidates(operators):
    def run():
        rng = np.random.default_rng(5)
        a, b = operators.random(rng), operators.random(rng)
        return list(map(operators.key, (a, b, operators.mutate(a, rng), operators.crossover(a, b, rng))))

    assert run() == run()


def test_equal_architectures_have_equal_keys():
    operators = ArchitectureOperators(ArchitectureSpace())
    keys = {
        operators.key(Architecture.parse(text)) for text in ("02020-a13a02_64_1-2-2", "02020-a02a13_64_1-2-2")
    }
    assert len(keys) == 1


def test_keys_of_samples_do_not_depend_on_order_or_extra_labels():
    operators = SampleOperators(SPACE)
    assert operators.key({"op": "conv", "width": 2, "rate": 1}) == operators.key(
        {"rate": 1.0, "width": 2, "op": "conv", "note": "x"}
    )
    with pytest.raises(ValueError, match="no value for 'rate'"):
        operators.key({"op": "conv", "width": 2})


def test_mutation_of_samples_reaches_one_label_and_several():
    operators, rng = SampleOperators(SPACE), np.random.default_rng(0)
    sample = {"op": "conv", "width": 4, "rate": 0.01}
    changes = [
        sum(mutant[label] != sample[label] for label in SPACE)
        for mutant in (operators.mutate(sample, rng) for _ in range(300))
    ]
    assert min(changes) == 1 and 1.0 < np.mean(changes) < 2.0 and max(changes) == 3


def test_no_valid_sample():
    operators = SampleOperators(SPACE, valid=lambda sample: False)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="none of 1000 random samples is valid"):
        operators.random(rng)
    sample = {"op": "conv", "width": 4, "rate": 0.01}
    assert operators.mutate(sample, rng) == operators.crossover(sample, sample, rng) == sample


def test_an_empty_space():
    with pytest.raises(ValueError, match="search space: has no label"):
        SampleOperators({})


def test_the_evolution_imports_no_heavy_library():
    code = (
        "import sys, nni_nasoa.search.evolution, nni_nasoa.search.operators, nni_nasoa.search.reward\n"
        "print({'torch', 'torchvision', 'nni', 'sklearn', 'matplotlib', 'scipy', "
        "'pandas'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )
