"""What NNI's own tests (test/ut/sdk/test_builtin_tuners.py) ask of its tuners, asked of the project's."""

from __future__ import annotations

import random

import nni
import pytest
from nni.tuner import Tuner

from nni_nasoa.plugin.evolution_tuner import EvolutionTuner

ROUNDS, EACH = 3, 20

SPACES = {
    "texts": {"_type": "choice", "_value": ["cat", "dog", "elephant", "cow", "sheep", "panda"]},
    "numbers": {"_type": "choice", "_value": [10, 20.5, 30]},
    "mixed": {"_type": "choice", "_value": ["a", 1, None, True, 2.5]},
    "single": {"_type": "choice", "_value": [7]},
    "nested": {
        "_type": "choice",
        "_value": [
            {"_name": "empty"},
            {"_name": "conv", "kernel": {"_type": "choice", "_value": [1, 3, 5]}},
            {
                "_name": "pool",
                "size": {"_type": "randint", "_value": [1, 4]},
                "inner": {
                    "_type": "choice",
                    "_value": [{"_name": "x"}, {"_name": "y", "w": {"_type": "uniform", "_value": [0, 1]}}],
                },
            },
        ],
    },
    "randint": {"_type": "randint", "_value": [-3, 40]},
    "randint of one": {"_type": "randint", "_value": [5, 6]},
    "uniform": {"_type": "uniform", "_value": [-1.0, 1.5]},
    "quniform": {"_type": "quniform", "_value": [0.0, 10.0, 2.5]},
    "quniform with ends between": {"_type": "quniform", "_value": [2.0, 10.0, 5.0]},
    "loguniform": {"_type": "loguniform", "_value": [0.001, 100.0]},
    "qloguniform": {"_type": "qloguniform", "_value": [1.0, 100.0, 7.0]},
    "normal": {"_type": "normal", "_value": [2.0, 0.5]},
    "qnormal": {"_type": "qnormal", "_value": [2.0, 5.0, 0.5]},
    "lognormal": {"_type": "lognormal", "_value": [0.0, 1.0]},
    "qlognormal": {"_type": "qlognormal", "_value": [3.0, 1.0, 2.0]},
}
FINITE = {
    "texts": 6,
    "numbers": 3,
    "mixed": 5,
    "single": 1,
    "randint of one": 1,
    "quniform": 5,
    "quniform with ends between": 3,
}
NUMERIC = ("uniform", "quniform", "loguniform", "qloguniform", "normal", "qnormal")


def fits(spec, value) -> bool:
    """Whether a value is one of a specification, by NNI's mutables where there is one."""
    kind, given = spec["_type"], spec["_value"]
    if kind == "choice" and isinstance(value, dict):
        (branch,) = [one for one in given if one["_name"] == value["_name"]]
        inside = {name: one for name, one in branch.items() if name != "_name"}
        return value.keys() - {"_name"} == inside.keys() and all(
            fits(inside[name], value[name]) for name in inside
        )
    if kind == "choice":
        return any(value is one or (type(value) is type(one) and value == one) for one in given)
    if kind == "randint":
        return isinstance(value, int) and given[0] <= value < given[1]
    if kind in NUMERIC:
        return (
            isinstance(value, float) and getattr(nni, kind)("x", *given).check_contains({"x": value}) is None
        )
    assert kind in ("lognormal", "qlognormal")
    return (
        isinstance(value, float)
        and value >= 0
        and (kind == "lognormal" or value / given[2] == round(value / given[2]))
    )


def rounds(tuner, space, first=0):
    """What a tuner proposes in some rounds, of which each has results."""
    rng, sent, found = random.Random(0), [], []
    for number in range(ROUNDS):
        ids = list(range(first + EACH * number, first + EACH * (number + 1)))
        proposed = tuner.generate_multiple_parameters(ids, st_callback=lambda *given: sent.append(given))
        for parameter_id, parameters in [*zip(ids, proposed), *sent]:
            tuner.receive_trial_result(parameter_id, parameters, rng.uniform(-100, 100))
            tuner.trial_end(parameter_id, True)
            found.append(parameters)
        sent.clear()
    return found


@pytest.mark.parametrize("name", SPACES)
def test_a_search_space_of_one_type(name):
    tuner = EvolutionTuner(population_size=8, seed=0, surrogate=False)
    assert isinstance(tuner, Tuner)
    tuner.update_search_space({"it": SPACES[name]})
    found = rounds(tuner, SPACES[name])
    assert all(parameters.keys() == {"it"} and fits(SPACES[name], parameters["it"]) for parameters in found)
    assert len(found) == len({repr(one) for one in found}) and len(found) == len(tuner.evolution.evaluated)
    if name in FINITE:
        assert len(found) == FINITE[name]
    elif name not in ("nested", "randint", "qloguniform", "qnormal", "qlognormal"):
        assert len(found) == ROUNDS * EACH


@pytest.mark.parametrize("surrogate", [True, False])
def test_a_search_space_of_all_types_at_once(surrogate):
    tuner = EvolutionTuner(population_size=8, seed=0, surrogate=surrogate)
    tuner.update_search_space(SPACES)
    found = rounds(tuner, SPACES)
    assert len(found) == ROUNDS * EACH == len(tuner.evolution.evaluated) and tuner.evolution.pending == 0
    for parameters in found:
        assert parameters.keys() == SPACES.keys()
        assert all(fits(SPACES[name], value) for name, value in parameters.items())


@pytest.mark.parametrize(
    "spec",
    [
        {"_type": "choices", "_value": [1]},
        {"_type": "choice", "_value": []},
        {"_type": "uniform", "_value": [1]},
        {"_type": "quniform", "_value": [0, 1]},
        {"_type": "loguniform", "_value": [0, 1]},
        {"_type": "randint", "_value": [3, 3]},
        {"_type": "layer_choice", "_value": ["a"]},
        {"_value": [1, 2]},
        5,
    ],
)
def test_a_specification_that_nni_has_not_is_refused(spec):
    with pytest.raises(ValueError, match="it") as raised:
        EvolutionTuner().update_search_space({"it": spec})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("spec", [SPACES["texts"], SPACES["numbers"] | {"_value": [10, 20, 30, 40, 50, 60]}])
def test_results_of_elsewhere_at_the_start_and_on_the_way(spec):
    a, b, c = spec["_value"][:3]
    tuner = EvolutionTuner(seed=0)
    tuner.update_search_space({"it": spec})
    data = [
        {"parameter": {"it": a}, "value": 1.1},
        {"parameter": {"it": b}, "value": {"default": 1.2, "other": 2}},
    ]
    tuner.import_data(data)
    found = tuner.generate_multiple_parameters([0, 1, 2])
    for number, parameters in enumerate(found):
        tuner.receive_trial_result(number, parameters, float(number))
    tuner.import_data(
        [*data, {"parameter": {"it": c}, "value": 1.3}, {"parameter": {"it": "of nobody"}, "value": 1}]
    )
    rest = tuner.generate_multiple_parameters([3, 4, 5, 6])
    known = {individual.candidate["it"] for individual in tuner.evolution.evaluated}
    assert {a, b, c} <= known and not {one["it"] for one in rest} & known
    assert {one["it"] for one in found} & {a, b} == set()
    assert len(known) + len(rest) == 6  # and then there are none


def test_a_space_that_changes_on_the_way():
    tuner = EvolutionTuner(seed=0, population_size=8, surrogate=False)
    tuner.update_search_space({"it": SPACES["uniform"]})
    rounds(tuner, SPACES["uniform"])
    smaller = {"_type": "uniform", "_value": [0.0, 0.5]}
    tuner.update_search_space({"it": smaller})
    kept = len(tuner.evolution.evaluated)
    assert 0 < kept < ROUNDS * EACH
    assert all(fits(smaller, one["it"]) for one in rounds(tuner, smaller, first=1000))
    assert len(tuner.evolution.evaluated) == kept + ROUNDS * EACH


# -- both tuners, and what NNI's dispatcher may send them --


@pytest.fixture(params=["evolution", "advisor"])
def tuner(request, advisor):
    if request.param == "advisor":
        tuner = advisor(dataset="digits", minutes=0.5, alternatives=2)
        tuner.generate_parameters(-1)  # waits for what it has to know of the dataset
        return tuner
    tuner = EvolutionTuner(seed=0)
    tuner.update_search_space({"it": {"_type": "choice", "_value": [1, 2, 3]}})
    tuner.generate_parameters(-1)
    return tuner


def test_a_tuner_survives_what_is_not_its_own(tuner):
    assert isinstance(tuner, Tuner)
    (first,) = tuner.generate_multiple_parameters([0], st_callback=lambda *given: None)
    for rubbish in (0.5, {}, {"default": "x"}, None, {"default": float("nan")}, [1], {"run": 5}):
        tuner.receive_trial_result(77, {"it": "x"}, rubbish)  # of a trial that a user has added
        tuner.import_data([{"parameter": {"y": 1}, "value": rubbish}])
    tuner.trial_end(77, True)
    tuner.trial_end(78, False)
    tuner.save_checkpoint()
    tuner.trial_end(0, False)
    (second,) = tuner.generate_multiple_parameters([1], st_callback=lambda *given: None)
    assert second != first


def test_a_tuner_without_more_trials_says_so(tuner):
    """The dispatcher tells the manager where it gets fewer than it has asked for."""
    found = tuner.generate_multiple_parameters(list(range(10)), st_callback=lambda *given: None)
    assert len(found) == 2
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(10)
