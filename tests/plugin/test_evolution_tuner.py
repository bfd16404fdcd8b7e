"""What the tuner proposes, and what it makes of results."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading

import nni
import numpy as np
import pytest

from nni_nasoa.architecture import Architecture, ArchitectureSpace
from nni_nasoa.search.choices import decode, search_space

SMALL = ArchitectureSpace(layers=(1, 2), channels=(16, 32), stages=(3,), blocks=(1, 2), doublings=(1, 2))
PLAIN = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}, "x": {"_type": "uniform", "_value": [0, 1]}}
TINY = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}}


def test_parameters_are_a_sample_of_the_space_and_name_their_architecture(started):
    tuner = started(search_space(SMALL), seed=0)
    for parameter_id in range(50):
        parameters = tuner.generate_parameters(parameter_id)
        encoding = parameters.pop("architecture")
        assert set(parameters) == set(search_space(SMALL))
        assert all(value in search_space(SMALL)[label]["_value"] for label, value in parameters.items())
        assert str(decode(parameters)) == encoding
        assert SMALL.contains(Architecture.parse(encoding)) or decode(parameters) == Architecture.parse(
            encoding
        )


def test_no_architecture_is_proposed_twice_and_each_can_be_told(started, record):
    tuner = started(search_space(SMALL), seed=1, population_size=6)
    encodings = []
    for parameter_id in range(60):
        parameters = tuner.generate_parameters(parameter_id)
        encodings.append(parameters["architecture"])
        tuner.receive_trial_result(
            parameter_id, parameters, record(encodings[-1], random.Random(parameter_id).random())
        )
        tuner.trial_end(parameter_id, True)
    assert len(set(encodings)) == 60
    assert [str(one.candidate) for one in tuner.evolution.evaluated] == encodings
    assert (tuner.evolution.failures, tuner.evolution.pending) == (0, 0)


def test_seeded_runs_propose_the_same(started, record):
    def run():
        tuner = started(search_space(SMALL), seed=7, population_size=5)
        for parameter_id in range(25):
            parameters = tuner.generate_parameters(parameter_id)
            tuner.receive_trial_result(
                parameter_id, parameters, record(parameters["architecture"], (parameter_id * 7 % 25) / 25)
            )
            yield parameters

    assert list(run()) == list(run())


def test_the_surrogate_learns_from_imported_results_and_can_be_left_out(started):
    space = {label: {"_type": "uniform", "_value": [0, 1]} for label in "xy"}
    best = np.array([0.3, 0.7])
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5)), axis=-1).reshape(-1, 2)
    results = [
        {"parameter": {"x": float(x), "y": float(y)}, "value": 1 - float(((x, y) - best) @ ((x, y) - best))}
        for x, y in grid
    ]

    def distance(**arguments):
        tuner = started(space, seed=0, **arguments)
        tuner.import_data(results)
        asked = [tuner.generate_parameters(parameter_id) for parameter_id in range(9)]
        return np.median([np.linalg.norm((one["x"], one["y"]) - best) for one in asked])

    assert distance() < distance(surrogate=False) / 2


def briefly(started, checkpoint, new_database, command="python -m nni_nasoa.plugin.search_trial --epochs 4"):
    new_database(checkpoint.parent, {"trialCommand": command})
    return started(search_space(SMALL), seed=0, population_size=6, brief_epochs=1)


def test_brief_tries_come_first_and_are_told_apart(started, checkpoint, new_database, record):
    tuner, epochs = briefly(started, checkpoint, new_database), {}
    for number in range(40):
        parameters = tuner.generate_parameters(number)
        epochs.setdefault(parameters["architecture"], []).append(parameters["epochs"])
        told = record(parameters["architecture"], (number * 7 % 40) / 40, epochs=parameters["epochs"])
        tuner.receive_trial_result(0, {}, told)  # whose result it is, it says itself
        tuner.trial_end(number, True)
    assert {tuple(each) for each in epochs.values()} == {(1,), (1, 4)}
    assert tuner.evolution.pending == tuner.evolution.failures == 0
    best = {str(one.candidate.candidate) for one in tuner.evolution.front()}
    assert best and best <= {name for name, each in epochs.items() if len(each) == 2}


def test_brief_tries_are_remembered_by_a_resumed_search(started, resumed, checkpoint, new_database, record):
    tuner = briefly(started, checkpoint, new_database)
    for number in range(20):
        parameters = tuner.generate_parameters(number)
        told = record(parameters["architecture"], (number * 7 % 20) / 20, epochs=parameters["epochs"])
        tuner.receive_trial_result(number, parameters, told)
    again = resumed(search_space(SMALL), seed=0, population_size=6, brief_epochs=1)
    assert again.evolution.front() == tuner.evolution.front()
    assert again.evolution.evaluated == tuner.evolution.evaluated
    assert sum(one.candidate.brief for one in again.evolution.evaluated) < 20


@pytest.mark.parametrize(
    "command, line",
    [
        (
            "python -m nni_nasoa.plugin.search_trial --epochs 1",
            "brief_epochs: 1 is not below the 1",
        ),
        ("python mine.py", "brief_epochs: needs trials of nni_nasoa.plugin.search_trial"),
        ("python -m nni_nasoa.plugin.search_trial '", "brief_epochs: trialCommand: No closing quotation"),
    ],
)
def test_brief_tries_need_trials_that_can_be_longer(started, checkpoint, new_database, command, line):
    with pytest.raises(ValueError, match=f"^classArgs: {line}"):
        briefly(started, checkpoint, new_database, command)


def test_initial_architectures_come_first(started):
    initial = ["020-_16_11-2-1", "2-_16_11-2-1"]
    tuner = started(search_space(SMALL), initial=initial, seed=0)
    assert [tuner.generate_parameters(i)["architecture"] for i in range(2)] == initial


def test_a_result_counts_for_the_architecture_that_it_names_whatever_the_parameter_id_says(started, record):
    tuner = started(search_space(SMALL), seed=0)
    first, second = tuner.generate_parameters(0), tuner.generate_parameters(1)
    tuner.receive_trial_result(0, first, record(second["architecture"], 0.9))
    tuner.receive_trial_result(1, second, record(first["architecture"], 0.1))
    told = {str(one.candidate): one.metrics["accuracy"] for one in tuner.evolution.evaluated}
    assert told == {second["architecture"]: 0.9, first["architecture"]: 0.1}


def test_a_result_of_an_unknown_architecture_is_nobodys(started, record):
    tuner = started(search_space(SMALL), seed=0)
    parameters = tuner.generate_parameters(0)
    for stranger in ("020-_64_11-21-21-21", "nonsense", None):
        tuner.receive_trial_result(0, parameters, record(stranger))
    assert not tuner.evolution.evaluated and tuner.evolution.pending == 1


def test_a_trial_that_ends_without_a_result_has_failed_until_a_result_says_otherwise(started, record):
    tuner = started(search_space(SMALL), seed=0)
    first, _ = tuner.generate_parameters(0), tuner.generate_parameters(1)
    tuner.trial_end(0, False)
    assert (tuner.evolution.failures, tuner.evolution.pending) == (1, 1)
    # NNI had named the wrong parameters: it was the second that failed.
    tuner.receive_trial_result(0, first, record(first["architecture"]))
    tuner.trial_end(1, True)
    assert (tuner.evolution.failures, tuner.evolution.pending) == (1, 0)
    tuner.trial_end(5, False)  # not one of ours
    tuner.trial_end(0, True)
    assert tuner.evolution.failures == 1 and [str(one.candidate) for one in tuner.evolution.evaluated] == [
        first["architecture"]
    ]


def test_objectives_of_any_name_either_way_over_a_plain_space(started):
    tuner = started(
        PLAIN, objectives=["score", {"name": "latency_ms", "mode": "minimize"}], seed=0, population_size=4
    )
    for parameter_id in range(12):
        parameters = tuner.generate_parameters(parameter_id)
        assert set(parameters) == set(PLAIN)
        x = parameters["x"]
        tuner.receive_trial_result(parameter_id, parameters, {"default": x, "score": 1.0, "latency_ms": x})
    best = min(one.candidate["x"] for one in tuner.evolution.evaluated)
    assert {one.candidate["x"] for one in tuner.evolution.front()} == {best}


def test_a_plain_number_is_the_default_objective(started):
    tuner = started(PLAIN, seed=0)
    for parameter_id in range(5):
        parameters = tuner.generate_parameters(parameter_id)
        tuner.receive_trial_result(parameter_id, parameters, parameters["x"])
    best = max(one.candidate["x"] for one in tuner.evolution.evaluated)
    assert {one.candidate["x"] for one in tuner.evolution.front()} == {best}


def test_limits_put_those_outside_behind(started, record):
    tuner = started(search_space(SMALL), limits={"params_m": {"max": 1}}, seed=0)
    for parameter_id, params_m in enumerate([5.0, 0.5]):
        parameters = tuner.generate_parameters(parameter_id)
        accuracy = 0.9 - 0.5 * parameter_id
        tuner.receive_trial_result(
            parameter_id, parameters, record(parameters["architecture"], accuracy, params_m=params_m)
        )
    assert [one.metrics["params_m"] for one in tuner.evolution.front()] == [0.5]


def test_all_of_nnis_types_of_parameters(started):
    space = {
        "choice": {"_type": "choice", "_value": [1, "two", 3.0, None, True]},
        "nested": {
            "_type": "choice",
            "_value": [{"_name": "conv", "k": {"_type": "choice", "_value": [1, 3]}}, {"_name": "pool"}],
        },
        "randint": {"_type": "randint", "_value": [0, 9]},
        "uniform": {"_type": "uniform", "_value": [-1, 1]},
        "quniform": {"_type": "quniform", "_value": [0, 10, 2]},
        "loguniform": {"_type": "loguniform", "_value": [1e-4, 1]},
        "qloguniform": {"_type": "qloguniform", "_value": [1, 100, 5]},
        "normal": {"_type": "normal", "_value": [0, 1]},
        "qnormal": {"_type": "qnormal", "_value": [0, 3, 1]},
        "lognormal": {"_type": "lognormal", "_value": [0, 1]},
        "qlognormal": {"_type": "qlognormal", "_value": [2, 1, 1]},
    }
    tuner = started(space, seed=0, population_size=5)
    for parameter_id in range(30):
        parameters = tuner.generate_parameters(parameter_id)
        assert json.loads(json.dumps(parameters)) == parameters and set(parameters) == set(space)
        tuner.receive_trial_result(parameter_id, parameters, parameters["uniform"])
    assert len(tuner.evolution.evaluated) == 30


def test_an_exhausted_space_ends_the_search(started):
    tuner = started(TINY, seed=0)
    assert len(tuner.generate_multiple_parameters([0, 1, 2, 3, 4])) == 3
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(5)


def test_calls_from_several_threads(started, record):
    tuner = started(search_space(SMALL), seed=0, population_size=5)

    def work(start):
        for parameter_id in range(start, start + 20):
            parameters = tuner.generate_parameters(parameter_id)
            if parameter_id % 5:
                tuner.receive_trial_result(parameter_id, parameters, record(parameters["architecture"]))
            tuner.trial_end(parameter_id, True)

    threads = [threading.Thread(target=work, args=[start]) for start in (0, 100, 200)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert (len(tuner.evolution.evaluated), tuner.evolution.failures, tuner.evolution.pending) == (48, 12, 0)


def test_the_tuner_starts_without_torch():
    code = (
        "import sys, nni_nasoa.plugin.evolution_tuner; "
        "print({'torch', 'torchvision', 'matplotlib', 'sklearn'} & set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "set()"
    )
