"""Dimensions against NNI's own random tuner, and the rules of variation."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni.algorithms.hpo.random_tuner import suggest
from nni.common.hpo_utils import deformat_parameters, format_search_space
from scipy import stats

from nni_nasoa.search.dimensions import (
    Categorical,
    Distribution,
    Integer,
    Multiple,
    Nested,
    Normal,
    Uniform,
    crossover_sample,
    decode_sample,
    dimensions_from_search_space,
    encode_sample,
    mutate_sample,
    random_sample,
)

SPECS = {
    "choice": {"_type": "choice", "_value": ["sgd", "adam", 3, 0.5]},
    "randint": {"_type": "randint", "_value": [-2, 5]},
    "uniform": {"_type": "uniform", "_value": [-1, 2]},
    "quniform": {"_type": "quniform", "_value": [0.4, 3, 1]},  # the bound 0.4 is no multiple of 1
    "loguniform": {"_type": "loguniform", "_value": [1e-4, 1]},
    "qloguniform": {"_type": "qloguniform", "_value": [1, 100, 5]},
    "normal": {"_type": "normal", "_value": [3, 2]},
    "qnormal": {"_type": "qnormal", "_value": [3, 2, 0.5]},
    "lognormal": {"_type": "lognormal", "_value": [0, 1]},
    "qlognormal": {"_type": "qlognormal", "_value": [0, 1, 0.25]},
    "nested": {
        "_type": "choice",
        "_value": [
            {"_name": "empty"},
            {
                "_name": "conv",
                "kernel": {"_type": "choice", "_value": [1, 3, 5]},
                "width": {"_type": "quniform", "_value": [8, 64, 8]},
            },
            {"_name": "pool", "stride": {"_type": "randint", "_value": [1, 3]}},
        ],
    },
}
DISCRETE = ("choice", "randint", "quniform", "qloguniform", "nested")
TYPES = sorted(SPECS)


def nni_values(spec, count, seed=0):
    """What NNI's random tuner draws."""
    space = format_search_space({"x": spec})
    rng = np.random.default_rng(seed)
    return [deformat_parameters(suggest(rng, space), space)["x"] for _ in range(count)]


def text(value):
    return json.dumps(value, sort_keys=True)


def walk(dimension, count, seed=0):
    """Random values and the mutants and children of the values so far."""
    rng = np.random.default_rng(seed)
    values = [dimension.random(rng)]
    for _ in range(count):
        kind = rng.integers(3)
        value, other = (values[rng.integers(len(values))] for _ in range(2))
        values.append(
            dimension.random(rng)
            if kind == 0
            else dimension.mutate(value, rng)
            if kind == 1
            else dimension.crossover(value, other, rng)
        )
    return values


@pytest.mark.parametrize("name", TYPES)
def test_random_values_are_distributed_as_nni_draws_them(name):
    dimension = dimensions_from_search_space({"x": SPECS[name]})["x"]
    rng = np.random.default_rng(1)
    ours, theirs = [dimension.random(rng) for _ in range(3000)], nni_values(SPECS[name], 3000)
    assert {type(value) for value in ours} == {type(value) for value in theirs}
    if name in ("choice", "nested"):
        kinds = sorted(set(map(text, theirs)))
        counts = [[list(map(text, values)).count(kind) for kind in kinds] for values in (ours, theirs)]
        assert stats.chi2_contingency(counts).pvalue > 1e-4
    else:
        assert stats.ks_2samp(ours, theirs).pvalue > 1e-4


@pytest.mark.parametrize("name", DISCRETE)
def test_all_values_of_nni_and_no_others_are_reached(name):
    dimension = dimensions_from_search_space({"x": SPECS[name]})["x"]
    assert set(map(text, walk(dimension, 3000))) == set(map(text, nni_values(SPECS[name], 5000)))


@pytest.mark.parametrize("name", TYPES)
def test_variation_stays_in_the_space(name):
    spec = SPECS[name]
    for value in walk(dimensions_from_search_space({"x": spec})["x"], 500):
        if name in ("choice", "nested"):
            continue  # told apart value by value in the test above
        low, high, *_ = spec["_value"]
        if "normal" not in name:
            assert low <= value <= high
        if name.startswith("q"):
            quantum = spec["_value"][2]
            assert (value in (low, high) and "normal" not in name) or value == round(
                value / quantum
            ) * quantum
        if "log" in name:
            assert value >= 0
        assert type(value) is (int if name == "randint" else float)


@pytest.mark.parametrize("name", TYPES)
def test_mutation_changes_the_value(name):
    dimension = dimensions_from_search_space({"x": SPECS[name]})["x"]
    rng = np.random.default_rng(2)
    for _ in range(300):
        value = dimension.random(rng)
        before = text(value)
        assert text(dimension.mutate(value, rng)) != before
        assert text(value) == before  # the parent stays as it is


@pytest.mark.parametrize(
    "dimension",
    [
        Categorical([7]),
        Integer(3, 4),
        Uniform(2.0, 2.0),
        Uniform(2.0, 2.0, log=True),
        Uniform(4.0, 6.0, quantum=100.0),
        Normal(1.0, 0.0),
        Multiple(["a", "b"], chosen=2),
        Nested({"only": {}}),
    ],
    ids=repr,
)
def test_a_single_value_mutates_into_itself(dimension):
    rng = np.random.default_rng(0)
    value = dimension.random(rng)
    if dimension == Uniform(4.0, 6.0, quantum=100.0):
        assert value in (4.0, 6.0)
    else:
        assert dimension.mutate(value, rng) == value == dimension.random(rng)


def test_numeric_steps_are_short_and_long():
    rng = np.random.default_rng(0)
    steps = [abs(Uniform(0, 1).mutate(0.5, rng) - 0.5) for _ in range(2000)]
    assert np.quantile(steps, 0.25) < 0.06 and np.quantile(steps, 0.95) > 0.25
    assert (
        np.median([abs(math.log10(Uniform(1e-6, 1, log=True).mutate(1e-3, rng)) + 3) for _ in range(500)])
        > 0.1
    )


def test_a_distribution_of_scipy():
    dimension = Distribution(stats.beta(2, 5), quantum=0.1)
    values = walk(dimension, 1000)
    assert {round(value, 9) for value in values} <= {round(k * 0.1, 9) for k in range(11)} and len(
        set(values)
    ) > 7
    rng = np.random.default_rng(3)
    drawn = [Distribution(stats.beta(2, 5)).random(rng) for _ in range(1000)]
    assert stats.kstest(drawn, stats.beta(2, 5).cdf).pvalue > 1e-4


@pytest.mark.parametrize("chosen", [None, 1, 2, 4])
def test_multiple_takes_subsets_in_order(chosen):
    values = ("a", "b", "c", "d")
    seen = {tuple(value) for value in walk(Multiple(values, chosen), 1000)}
    assert all(
        list(value) == sorted(set(value)) and (chosen is None or len(value) == chosen) for value in seen
    )
    assert len(seen) == (16 if chosen is None else math.comb(4, chosen))


def test_multiple_respects_weights_and_keeps_what_both_parents_have():
    rng = np.random.default_rng(0)
    one = Multiple("abc", 1, weights=(0.8, 0.1, 0.1))
    assert 0.7 < sum(one.random(rng) == ["a"] for _ in range(1000)) / 1000 < 0.9
    some = Multiple("abc", weights=(0.0, 1.0, 0.5))
    drawn = [some.random(rng) for _ in range(200)]
    assert (
        all("a" not in value and "b" in value for value in drawn)
        and 60 < sum("c" in value for value in drawn) < 140
    )
    pairs = Multiple("abcd", 2)
    assert all("a" in pairs.crossover(["a", "b"], ["c", "a"], rng) for _ in range(50))


def test_weights_of_a_choice():
    rng = np.random.default_rng(0)
    assert 0.85 < sum(Categorical("ab", (0.9, 0.1)).random(rng) == "a" for _ in range(1000)) / 1000 < 0.95


def test_encoding_tells_values_apart_and_round_trips():
    mixed = Categorical((True, 1, 1.5, "1", None, (2, 3), False))
    codes = [mixed.encode(value) for value in mixed.values]
    assert codes == list(range(7)) and [mixed.decode(code) for code in codes] == list(mixed.values)
    assert Uniform(0, 2).encode(1) == Uniform(0, 2).encode(1.0) and str(Normal(0, 1).encode(-0.0)) == "0.0"
    assert Multiple("abc").encode(["c", "a"]) == [0, 2]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_samples_of_all_types_round_trip_and_vary(seed):
    dimensions = dimensions_from_search_space(SPECS)
    rng = np.random.default_rng(seed)
    a, b = random_sample(dimensions, rng), random_sample(dimensions, rng)
    mutated, child = mutate_sample(a, dimensions, rng), crossover_sample(a, b, dimensions, rng)
    for sample in (a, b, mutated, child):
        encoded = json.loads(json.dumps(encode_sample(sample, dimensions)))
        assert decode_sample(encoded, dimensions) == sample == json.loads(json.dumps(sample))
    assert mutated != a
    assert all(child[label] in (a[label], b[label]) for label in SPECS if label != "nested")


def test_choices_in_choices_in_choices():
    """NNI's own random tuner fails on these (a KeyError), so the values are counted out here."""
    deep = {
        "_type": "choice",
        "_value": [
            {"_name": "off"},
            {
                "_name": "on",
                "kind": {
                    "_type": "choice",
                    "_value": [{"_name": "a", "x": {"_type": "randint", "_value": [0, 3]}}, {"_name": "b"}],
                },
            },
        ],
    }
    dimension = dimensions_from_search_space({"x": deep})["x"]
    kinds = [*({"_name": "a", "x": x} for x in range(3)), {"_name": "b"}]
    assert set(map(text, walk(dimension, 500))) == {
        text({"_name": "off"}),
        *(text({"_name": "on", "kind": kind}) for kind in kinds),
    }


def test_crossover_inside_the_same_branch():
    nested = dimensions_from_search_space({"x": SPECS["nested"]})["x"]
    a, b = {"_name": "conv", "kernel": 1, "width": 8.0}, {"_name": "conv", "kernel": 5, "width": 64.0}
    rng = np.random.default_rng(0)
    assert {text(nested.crossover(a, b, rng)) for _ in range(100)} == {
        text({"_name": "conv", "kernel": kernel, "width": width})
        for kernel in (1, 5)
        for width in (8.0, 64.0)
    }
    assert {text(nested.crossover(a, {"_name": "empty"}, rng)) for _ in range(50)} == {
        text(a),
        text({"_name": "empty"}),
    }


@pytest.mark.parametrize(
    "space, message",
    [
        ([], "search space: expected a dict, got list"),
        ({"lr": 3}, "search space 'lr': expected a dict with _type and _value"),
        (
            {"lr": {"_type": "gauss", "_value": [0, 1]}},
            r"search space 'lr' \(gauss\): the type is not one of choice, randint, uniform",
        ),
        ({"lr": {"_type": ["choice"], "_value": [0, 1]}}, "search space 'lr'"),
        (
            {"lr": {"_type": "choice", "_value": []}},
            r"search space 'lr' \(choice\): _value is not a list with values",
        ),
        ({"lr": {"_type": "choice", "_value": "abc"}}, r"'lr' \(choice\): _value is not a list"),
        (
            {"lr": {"_type": "uniform", "_value": [0]}},
            r"'lr' \(uniform\): expected 2 numbers \[low, high\], got \[0\]",
        ),
        ({"lr": {"_type": "uniform", "_value": [0, "1"]}}, r"'lr' \(uniform\): expected 2 numbers"),
        ({"lr": {"_type": "uniform", "_value": [0, math.nan]}}, r"'lr' \(uniform\): expected 2 numbers"),
        ({"lr": {"_type": "uniform", "_value": [0, 10**400]}}, r"'lr' \(uniform\): expected 2 numbers"),
        ({"lr": {"_type": "uniform", "_value": [False, True]}}, r"'lr' \(uniform\): expected 2 numbers"),
        (
            {"lr": {"_type": "quniform", "_value": [0, 1]}},
            r"'lr' \(quniform\): expected 3 numbers \[low, high, q\]",
        ),
        ({"lr": {"_type": "quniform", "_value": [0, 1, 0]}}, r"'lr' \(quniform\): q must be above 0"),
        ({"lr": {"_type": "uniform", "_value": [1, 0]}}, r"'lr' \(uniform\): high must not be below low"),
        ({"lr": {"_type": "loguniform", "_value": [0, 1]}}, r"'lr' \(loguniform\): low must be above 0"),
        ({"lr": {"_type": "randint", "_value": [3, 3]}}, r"'lr' \(randint\): high must be above low"),
        ({"lr": {"_type": "normal", "_value": [0, -1]}}, r"'lr' \(normal\): sigma must not be negative"),
        (
            {"op": {"_type": "choice", "_value": [{"_name": "a"}, {"_name": "a"}]}},
            r"'op' \(choice\): a _name stands twice",
        ),
        (
            {"op": {"_type": "choice", "_value": [{"_name": "a", "k": {"_type": "int", "_value": [1]}}]}},
            r"'op' \(choice\): search space 'k' \(int\)",
        ),
    ],
)
def test_a_bad_search_space_gets_one_clear_line(space, message):
    with pytest.raises(ValueError, match=message) as raised:
        dimensions_from_search_space(space)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "sample, message",
    [
        ({}, "sample: no value for 'choice'"),
        ({"choice": "rmsprop"}, "sample: 'choice': 'rmsprop' is not one of"),
        ({"choice": 3, "nested": {"_name": "dense"}}, "sample: 'nested': .* has a _name that is not one of"),
        (
            {"choice": 3, "nested": {"_name": "conv", "kernel": 3}},
            "sample: 'nested': sample: no value for 'width'",
        ),
        (
            {"choice": 3, "nested": {"_name": "empty"}, "normal": "much"},
            "sample: 'normal': 'much' is not a number",
        ),
        (
            {"choice": 3, "nested": {"_name": "empty"}, "normal": 10**400},
            r"sample: 'normal': 10+\.\.\. is not a number",
        ),
    ],
)
def test_a_sample_of_another_space_is_refused(sample, message):
    dimensions = dimensions_from_search_space({name: SPECS[name] for name in ("choice", "nested", "normal")})
    with pytest.raises(ValueError, match=message):
        encode_sample(sample, dimensions)


@pytest.mark.parametrize(
    "spec, value, message",
    [
        ({"_type": "uniform", "_value": [0, 0.5]}, 0.7, "0.7 is not a number from 0 to 0.5"),
        ({"_type": "loguniform", "_value": [0.1, 10]}, 0.01, "0.01 is not a number from 0.1 to 10"),
        ({"_type": "randint", "_value": [1, 4]}, 4, "4 is not a whole number from 1 to 3"),
        ({"_type": "randint", "_value": [1, 4]}, 0, "0 is not a number from 1 to 4"),
        ({"_type": "randint", "_value": [1, 4]}, 1.5, "1.5 is not a whole number from 1 to 3"),
    ],
)
def test_a_number_outside_of_the_space_is_refused(spec, value, message):
    """Else a result of an earlier, wider space would hand it on to what is bred from it."""
    with pytest.raises(ValueError, match=f"^sample: 'x': {message}$"):
        encode_sample({"x": value}, dimensions_from_search_space({"x": spec}))
