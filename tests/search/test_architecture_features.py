"""Values as numbers: the same shape for all of a space, bounds where the space has them, logarithms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import expon

from nni_nasoa.architecture import ArchitectureSpace
from nni_nasoa.search.dimensions import (
    Categorical,
    Distribution,
    Integer,
    Multiple,
    Nested,
    Normal,
    Uniform,
)
from nni_nasoa.search.features import sample_features, value_features
from nni_nasoa.search.operators import ArchitectureOperators, SampleOperators

EVERYTHING = {
    "kind": Categorical(("a", "b", "c")),
    "width": Categorical((16, 64, 32)),
    "some": Multiple(("x", "y", "z")),
    "n": Integer(2, 7),
    "x": Uniform(-1.0, 3.0),
    "rate": Uniform(1e-4, 1e-1, log=True),
    "rounded": Uniform(1.0, 10.0, log=True, quantum=3.0),
    "normal": Normal(5.0, 2.0),
    "lognormal": Normal(0.0, 1.0, log=True, quantum=1.0),
    "other": Distribution(expon(), 0.0),
    "branch": Nested({"left": {"deep": Uniform(0, 1), "many": Integer(0, 3)}, "right": {}}),
}

NETWORKS = ArchitectureOperators(
    ArchitectureSpace(layers=(2,), skips=("none",), channels=(16,), blocks=(1, 2))
)


def only(dimension, value):
    ((number,),) = value_features(dimension, value)
    return number


@pytest.mark.parametrize(
    "dimension, value, expected",
    [
        (Uniform(-1.0, 3.0), 0.0, 0.25),
        (Uniform(1e-4, 1e-1, log=True), 1e-3, 1 / 3),
        (Uniform(2.0, 2.0), 2.0, 0.0),
        (Integer(2, 7), 6, 1.0),
        (Integer(2, 3), 2, 0.0),
        (Normal(5.0, 2.0), 5.0, 0.5),
        (Normal(0.0, 1.0, log=True), math.e, 0.75),
        (Normal(0.0, 1.0, log=True, quantum=1.0), 0.0, -0.5),
        (Normal(1.0, 0.0), 1.0, 0.0),
        (Distribution(expon()), math.log(2), 0.5),
    ],
)
def test_numbers_lie_between_their_bounds(dimension, value, expected):
    assert only(dimension, value) == pytest.approx(expected)


def test_categories_are_equally_far_apart_and_numbers_among_them_in_order():
    kinds = [np.array(value_features(EVERYTHING["kind"], kind)[0]) for kind in "abc"]
    assert {round(float(np.linalg.norm(a - b)), 9) for a in kinds for b in kinds} == {0.0, 1.0}
    assert [value_features(EVERYTHING["width"], width)[1] for width in (16, 32, 64)] == [[0], [0.5], [1]]
    assert len(value_features(Categorical((True, False)), True)) == 1
    assert len(value_features(Categorical(("1", 2, 3)), 2)) == 1


def test_several_chosen_values():
    assert value_features(EVERYTHING["some"], ["x", "z"]) == [[1.0], [0.0], [1.0]]


def test_a_branch_that_is_not_taken_is_neither_low_nor_high():
    branch = EVERYTHING["branch"]
    left = value_features(branch, {"_name": "left", "deep": 0.25, "many": 2})
    right = value_features(branch, {"_name": "right"})
    assert left[1:] == [[0.25], [1.0]] and right[1:] == [[0.5], [0.5]] and left[0] != right[0]


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_all_samples_have_the_same_groups_and_different_ones_differ(seed):
    operators, rng = SampleOperators(EVERYTHING), np.random.default_rng(seed)
    one, other = operators.random(rng), operators.random(rng)
    groups = [list(map(len, sample_features(sample, EVERYTHING))) for sample in (one, other)]
    assert groups[0] == groups[1] == np.bincount(operators.groups).tolist()
    features = operators.features(one)
    assert features.shape == operators.groups.shape and np.isfinite(features).all()
    assert not np.array_equal(features, operators.features(other))
    assert operators.from_key(operators.key(one)) == one


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_architectures_lie_about_between_0_and_1_by_what_varies(seed):
    operators = NETWORKS
    candidate = operators.random(np.random.default_rng(seed))
    features = operators.features(candidate)
    assert features.shape == operators.groups.shape
    assert -1 < features.min() <= features.max() < 2
    assert operators.from_key(operators.key(candidate)) == candidate
    # The operations of two layers are two groups; what is the same in the whole space is left out.
    sizes = sorted(np.bincount(operators.groups).tolist())
    assert sizes[-3] == 1 and 5 <= sizes[-2] <= sizes[-1] <= 7
    assert len(operators.groups) < len(candidate.features) - 15
