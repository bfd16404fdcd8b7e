"""NNI's mutables as dimensions: the same values, drawn and varied."""

import math

import nni
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni.mutable import (
    Categorical,
    CategoricalMultiple,
    ExpressionConstraint,
    LabeledMutable,
    MutableDict,
    Numerical,
)
from scipy import stats

from nni_nasoa.plugin.mutables import dimensions_of
from nni_nasoa.search import dimensions

MUTABLES = {
    "choice": Categorical(["a", 2, None, (3, 4)], label="x"),
    "weighted": Categorical([1, 2, 3], weights=[0.9, 0.1, 0.0], label="x"),
    "one value": Categorical([5], label="x"),
    "two of four": CategoricalMultiple([2, 3, 5, 7], n_chosen=2, label="x"),
    "any of three": CategoricalMultiple(["p", "q", "r"], label="x"),
    "all of two": CategoricalMultiple([1, 2], n_chosen=2, label="x"),
    "uniform": nni.uniform("x", -1, 3),
    "quniform": nni.quniform("x", 0.5, 9.7, 2.0),
    "loguniform": nni.loguniform("x", 1e-5, 1e-1),
    "qloguniform": nni.qloguniform("x", 1.0, 100.0, 3.0),
    "normal": nni.normal("x", 2.0, 3.0),
    "qnormal": nni.qnormal("x", 0.0, 1.0, 0.5),
    "lognormal": Numerical(mu=0.0, sigma=1.0, log_distributed=True, label="x"),
    "clipped normal": Numerical(-1.0, 1.0, mu=0.0, sigma=1.0, label="x"),
    "beta": Numerical(distribution=stats.beta(2, 5), label="x"),
    "uniform of scipy": Numerical(distribution=stats.uniform(3, 2), label="x"),
}


@pytest.mark.parametrize("name", MUTABLES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_value_is_one_of_the_mutable(name, seed):
    mutable, rng = MUTABLES[name], np.random.default_rng(seed)
    dimension = dimensions_of(mutable.simplify())["x"]
    a, b = dimension.random(rng), dimension.random(rng)
    for value in (
        a,
        b,
        dimension.mutate(a, rng),
        dimension.crossover(a, b, rng),
        dimension.decode(dimension.encode(a)),
    ):
        assert mutable.check_contains({"x": value}) is None, value


@pytest.mark.parametrize("name", [name for name in MUTABLES if isinstance(MUTABLES[name], Numerical)])
def test_numbers_have_the_distribution_of_the_mutable(name):
    mutable, rng = MUTABLES[name], np.random.default_rng(0)
    ours = [dimensions_of({"x": mutable})["x"].random(rng) for _ in range(2000)]
    theirs = [mutable.random(random_state=np.random.RandomState(seed)) for seed in range(2000)]
    assert stats.ks_2samp(ours, theirs).pvalue > 1e-4


def test_weights_and_kinds():
    rng = np.random.default_rng(0)
    drawn = [dimensions_of({"x": MUTABLES["weighted"]})["x"].random(rng) for _ in range(500)]
    assert 400 < drawn.count(1) < 490 and drawn.count(3) == 0
    assert dimensions_of({"x": MUTABLES["loguniform"]})["x"] == dimensions.Uniform(1e-5, 1e-1, log=True)
    assert dimensions_of({"x": MUTABLES["normal"]})["x"] == dimensions.Normal(
        2.0, 3.0, low=-math.inf, high=math.inf
    )
    assert isinstance(dimensions_of({"x": MUTABLES["uniform of scipy"]})["x"], dimensions.Distribution)


def test_annotations_are_no_dimensions():
    a, b = Categorical([1, 3], label="a"), Categorical([2, 4], label="b")
    space = MutableDict({"a": a, "b": b, "sum": ExpressionConstraint(a + b == 5, label="sum")})
    assert list(dimensions_of(space.simplify())) == ["a", "b"]


def test_an_unknown_mutable_is_named():
    class Strange(LabeledMutable):
        label = "odd"

    with pytest.raises(ValueError, match="'odd' is a Strange"):
        dimensions_of({"odd": Strange()})
