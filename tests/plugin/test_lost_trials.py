"""What goes down with a machine is asked for once more, and nothing else is."""

from __future__ import annotations

import json

import pytest

from nni_nasoa.plugin.experiments import read_lost, read_without_result

PLAIN = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}, "x": {"_type": "uniform", "_value": [0, 1]}}


@pytest.fixture
def experiment(checkpoint, new_database):
    """The database of an experiment, and a function that tells of a trial on another machine."""
    database = new_database(checkpoint.parent)

    def event(trial, event, parameter_id=None, parameters=None, host="10.0.0.5"):
        database.event(trial, event, parameter_id, parameters, place=host and f"{host}:~/trials/{trial}")

    database.remote = event
    return database


def asked(tuner, experiment, numbers):
    """The parameters of some trials, which run on another machine."""
    found = {}
    for number in numbers:
        found[number] = tuner.generate_parameters(number)
        experiment.remote(f"T{number}", "WAITING", number, found[number])
        experiment.remote(f"T{number}", "RUNNING")
    return found


def lose(tuner, experiment, number):
    experiment.remote(f"T{number}", "USER_CANCELED")
    tuner.trial_end(number, False)


def events(checkpoint, kind):
    lines = (checkpoint / "evolution.jsonl").read_text().splitlines()
    return [event["parameters"] for event in map(json.loads, lines) if event["event"] == kind]


def test_a_lost_candidate_comes_first_once_nobody_else_is_suspect(checkpoint, experiment, started):
    tuner = started(PLAIN, seed=0)
    parameters = asked(tuner, experiment, range(2))
    lose(tuner, experiment, 0)
    assert asked(tuner, experiment, [2])[2] != parameters[0]  # T1 may be the one that ran it
    tuner.receive_trial_result(1, parameters[1], 0.5)
    tuner.trial_end(1, True)
    assert tuner.generate_parameters(3) == parameters[0]
    assert events(checkpoint, "lost") == [parameters[0]] and not events(checkpoint, "failed")
    assert (tuner.evolution.failures, tuner.evolution.pending) == (0, 2)


def test_it_is_the_right_one_where_trials_took_each_others_parameters(checkpoint, experiment, started):
    tuner = started(PLAIN, seed=0)
    parameters = asked(tuner, experiment, range(2))
    lose(tuner, experiment, 0)  # it had the parameters 1
    tuner.receive_trial_result(0, parameters[0], 0.5)
    tuner.trial_end(1, True)
    assert events(checkpoint, "lost") == [parameters[1]] and not events(checkpoint, "failed")
    assert tuner.generate_parameters(2) == parameters[1]


def test_a_candidate_that_is_lost_again_has_failed(checkpoint, experiment, started):
    tuner = started(PLAIN, seed=0)
    (first,) = asked(tuner, experiment, [0]).values()
    lose(tuner, experiment, 0)
    assert asked(tuner, experiment, [1])[1] == first
    lose(tuner, experiment, 1)
    assert events(checkpoint, "failed") == [first] and tuner.evolution.failures == 1
    assert tuner.generate_parameters(2) != first


@pytest.mark.parametrize(
    "end, host", [("FAILED", "10.0.0.5"), ("USER_CANCELED", None), ("USER_TO_CANCEL", "10.0.0.5")]
)
def test_what_failed_or_was_stopped_or_killed_here_is_not_asked_for_again(
    checkpoint, experiment, started, end, host
):
    tuner = started(PLAIN, seed=0)
    first = tuner.generate_parameters(0)
    experiment.remote("T0", "WAITING", 0, first, host=host)
    for event in ("USER_CANCELED", end) if end == "USER_TO_CANCEL" else (end,):
        experiment.remote("T0", event, host=host)
    tuner.trial_end(0, False)
    assert events(checkpoint, "failed") == [first] and tuner.evolution.failures == 1


def test_a_loss_outlives_the_process(checkpoint, experiment, started, resumed):
    tuner = started(PLAIN, seed=0)
    parameters = asked(tuner, experiment, range(2))
    lose(tuner, experiment, 0)
    again = resumed(PLAIN, seed=0)  # T1 runs
    assert (again.evolution.failures, again.evolution.pending) == (0, 1)
    assert asked(again, experiment, [2])[2] == parameters[0]
    experiment.remote("T1", "USER_CANCELED")  # NNI does not tell of the end of a trial that it ran again
    again.generate_parameters(3)
    again.receive_trial_result(2, parameters[0], 0.5)
    assert again.generate_parameters(4) == parameters[1]
    assert events(checkpoint, "lost") == [parameters[1]] and not events(checkpoint, "failed")


def test_who_lost_what(experiment):
    for number, (ends, host) in enumerate(
        [
            ("USER_CANCELED", "10.0.0.5"),
            ("FAILED", "10.0.0.6"),
            ("USER_CANCELED", None),
            ("USER_CANCELED USER_TO_CANCEL", "10.0.0.5"),
            ("SUCCEEDED", "10.0.0.5"),
            ("RUNNING", "10.0.0.5"),
        ]
    ):
        experiment.remote(f"T{number}", "WAITING", number, {"x": number}, host=host)
        for end in ends.split():
            experiment.remote(f"T{number}", end, host=host)
    folder = experiment.folder
    assert read_without_result(folder) == [
        ("T0", "USER_CANCELED", "10.0.0.5"),
        ("T1", "FAILED", "10.0.0.6"),
        ("T2", "USER_CANCELED", None),
    ]
    assert read_lost(folder) == [{"x": 0}]


def test_a_run_of_the_advisor_that_is_lost_is_no_experience(experiment, advisor, good_result, store):
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=1)
    first, second = (tuner.generate_parameters(number) for number in range(2))
    for number, parameters in enumerate((first, second)):
        experiment.remote(f"T{number}", "WAITING", number, parameters)
    experiment.remote("T0", "USER_CANCELED")
    tuner.trial_end(0, False)
    tuner.receive_trial_result(1, second, good_result(second))
    tuner.trial_end(1, True)
    third = tuner.generate_parameters(2)
    tuner.receive_trial_result(2, third, good_result(third))
    tuner.trial_end(2, True)
    tuner.generate_multiple_parameters([3], st_callback=None)
    assert [record.status for record in store.records()] == ["ok", "ok"]
    assert list(tuner.runs.failed) == [first["run"]]
