"""The tuner's arguments: designs of another search, and what it says of wrong ones."""

from __future__ import annotations

import re

import pytest

from nni_nasoa.architecture import Architecture, ArchitectureSpace, Block
from nni_nasoa.plugin.evolution_tuner import EvolutionClassArgsValidator, EvolutionTuner
from nni_nasoa.search.choices import search_space
from nni_nasoa.search.front import write_front

SMALL = ArchitectureSpace(layers=(1, 2), channels=(16, 32), stages=(3,), blocks=(1, 2), doublings=(1, 2))
MACROS = ArchitectureSpace(
    block_designs=("020-",), channels=(16, 32), stages=(3,), blocks=(1, 2), doublings=(1, 2)
)
PLAIN = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}, "x": {"_type": "uniform", "_value": [0, 1]}}


# -- designs of another search --


def test_blocks_from_a_front_file_beside_the_config(checkpoint, started, new_database, record):
    new_database(checkpoint.parent, {"tuner": {"codeDirectory": str(checkpoint.parent)}})
    records = [
        record("10001-_16_11-21-21", 0.9),
        record("14441-_16_11-21-21", 0.5),
        record("2-_16_11-21-21", 0.1, relative_speed=0.1),
    ]
    write_front(checkpoint.parent / "front.json", records)
    tuner = started(search_space(MACROS), blocks_from="front.json", seed=0)
    parameters = [tuner.generate_parameters(parameter_id) for parameter_id in range(20)]
    assert {one["block"] for one in parameters} == {"10001-", "14441-"}
    assert {str(Architecture.parse(one["architecture"]).block) for one in parameters} == {"10001-", "14441-"}


def test_macros_from_a_front_file(tmp_path, started, record):
    write_front(tmp_path / "front.json", [record("10001-_16_11-21-21", 0.9)])
    space = search_space(ArchitectureSpace(layers=(1, 2), macros=("16_1-2-2",)))
    tuner = started(space, macros_from=str(tmp_path / "front.json"), seed=0)
    assert {tuner.generate_parameters(parameter_id)["macro"] for parameter_id in range(5)} == {"16_11-21-21"}


def test_blocks_from_an_experiment_by_its_id(tmp_path, monkeypatch, started, new_database, record):
    monkeypatch.setenv("HOME", str(tmp_path))
    earlier = tmp_path / "nni-experiments" / "abc12345"
    earlier.mkdir(parents=True)
    database = new_database(earlier)
    database.final("A", 0, record("021-_16_11-21-21"))
    tuner = started(search_space(MACROS), blocks_from="abc12345", seed=0)
    assert tuner.generate_parameters(0)["block"] == str(Block.parse("021-"))


# -- errors --


@pytest.mark.parametrize(
    "class_args, message",
    [
        ({"verbose": 5}, "classArgs: unknown argument 'verbose'; there are objectives, "),
        (
            {"population_sise": 5},
            "classArgs: unknown argument 'population_sise'; did you mean 'population_size'?",
        ),
        ({"population_size": 1}, "classArgs: population_size: 1 is not a whole number from 2"),
        ({"population_size": "20"}, "classArgs: population_size: '20' is not a whole number from 2"),
        ({"population_size": True}, "classArgs: population_size: True is not"),
        ({"crossover_probability": 1.5}, "classArgs: crossover_probability: 1.5 is not a number from 0 to 1"),
        ({"crossover_probability": float("nan")}, "classArgs: crossover_probability: nan is not"),
        ({"objectives": "accuracy"}, "classArgs: objectives: 'accuracy' is not a list of metrics"),
        ({"objectives": []}, "classArgs: objectives: [] is not a list of metrics"),
        (
            {"objectives": [{"name": "x", "mode": "min"}]},
            "is not a metric's name or {name: .., mode: maximize or minimize}",
        ),
        ({"objectives": ["a", {"name": "a"}]}, "classArgs: objectives: 'a' is there twice"),
        (
            {"limits": ["params_m"]},
            "classArgs: limits: ['params_m'] is not a mapping such as {params_m: {max: 5}}",
        ),
        (
            {"limits": {"params_m": 5}},
            "classArgs: limits: params_m: 5 is not {max: number}, {min: number} or both",
        ),
        ({"limits": {"params_m": {"max": "5"}}}, "classArgs: limits: params_m: {'max': '5'} is not"),
        ({"limits": {"params_m": {"max": 5, "min": 6}}}, "is not possible: min is above max"),
        ({"initial": "2-_16_1"}, "classArgs: initial: '2-_16_1' is not a list"),
        (
            {"initial": ["2-_16_1", "9-_16_1"]},
            "classArgs: initial, entry 2: block layer 1: op '9' is not one of 0-6",
        ),
        ({"blocks_from": 3}, "classArgs: blocks_from: 3 is not a front file or an experiment id"),
        ({"limits": {"params_m": {"max": 10**400}}}, "classArgs: limits: params_m: {'max': 1000"),
        ({"population_size": float("nan")}, "classArgs: population_size: nan is not a whole number from 2"),
        ({"crossover_probability": 10**400}, "classArgs: crossover_probability: 1000"),
        ({"seed": -1}, "classArgs: seed: -1 is not a whole number from 0"),
        ({"surrogate": "no"}, "classArgs: surrogate: 'no' is not a truth value"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(class_args, message):
    for check in (EvolutionTuner, EvolutionClassArgsValidator().validate_class_args):
        with pytest.raises(ValueError, match=re.escape(message)) as raised:
            check(**class_args)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "space, class_args, message",
    [
        ({}, {}, "search space: has no label"),
        (
            {"x": {"_type": "chioce", "_value": [1]}},
            {},
            "search space 'x' (chioce): the type is not one of choice, ",
        ),
        ([1], {}, "search space: expected a dict, got list"),
        (
            {**search_space(SMALL), "op2": {"_type": "choice", "_value": [0]}},
            {},
            "search space: 'op2' has [0], where the other labels",
        ),
        (
            search_space(SMALL),
            {"initial": ["020-_64_11-21-21"]},
            "classArgs: initial, entry 1: 020-_64_11-21-21: channels = 64 is not in the search space",
        ),
        (PLAIN, {"initial": [{"kind": "a"}]}, "classArgs: initial, entry 1: sample: no value for 'x'"),
        (PLAIN, {"initial": ["020-_64_11-21-21"]}, "classArgs: initial, entry 1: "),
        (
            PLAIN,
            {"blocks_from": "x"},
            "classArgs: blocks_from and macros_from need a search space of architectures",
        ),
        (
            search_space(SMALL),
            {"blocks_from": "front.json"},
            "classArgs: blocks_from needs a search space with the label 'block'",
        ),
        (search_space(MACROS), {"blocks_from": "missing.json"}, "missing.json"),
        (
            search_space(MACROS),
            {"blocks_from": "nosuchid"},
            "classArgs: blocks_from: experiment 'nosuchid': not found",
        ),
    ],
)
def test_a_search_space_that_does_not_fit_is_one_clear_line(
    tmp_path, monkeypatch, space, class_args, message
):
    monkeypatch.setenv("HOME", str(tmp_path))
    tuner = EvolutionTuner(**class_args)
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        tuner.update_search_space(space)
    assert "\n" not in str(raised.value)
