"""What the online advisor makes of runs that fail, are killed or report rubbish, and of its own
death; without NNI's manager.
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
import threading
from pathlib import Path

import nni
import pytest

from nni_nasoa.advisor.accuracy.predictor import STATE, AccuracyPredictor
from nni_nasoa.finetune import Outcome, StopReason
from nni_nasoa.plugin.assignment import Assignment
from nni_nasoa.plugin.classifiers import read_list
from nni_nasoa.plugin.result_context import context_of, without_context
from nni_nasoa.plugin.run_ledger import MAX_FAILURES

TASKS = [{"dataset": "digits", "minutes": 0.5}, {"dataset": "fractals", "minutes": 1}]


def test_failed_trials_are_recorded_as_failed_and_others_take_their_place(advisor, good_result, store):
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=0)
    first = tuner.generate_parameters(0)
    tuner.trial_end(0, False)
    second = tuner.generate_parameters(1)
    regimes = [Assignment.from_parameters(one).regime for one in (first, second)]
    assert regimes[0] != regimes[1]
    tuner.receive_trial_result(1, second, good_result(second))
    tuner.trial_end(1, True)
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(2)
    records = {record.status: record for record in store.records()}
    assert set(records) == {"ok", "failed"}
    assert records["failed"].regime == regimes[0].to_json() and records["failed"].notes == (
        "the trial ended without a result",
    )
    assert AccuracyPredictor.from_store(store).seen == AccuracyPredictor.from_prior().seen + 1


def test_it_gives_up_a_task_that_always_fails_and_goes_on_with_the_next(advisor, good_result):
    tuner = advisor(tasks=TASKS, alternatives=0)
    for number in range(MAX_FAILURES):
        assert Assignment.from_parameters(tuner.generate_parameters(number)).dataset == "digits"
        tuner.trial_end(number, False)
    assert Assignment.from_parameters(tuner.generate_parameters(9)).dataset == "fractals"


def test_a_killed_run_is_recorded_as_killed_and_teaches_nothing(advisor, good_result, store):
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=0)
    parameters = tuner.generate_parameters(0)
    tuner.receive_trial_result(0, parameters, good_result(parameters, status="killed"))
    tuner.trial_end(0, False)
    assert tuner.generate_parameters(1)["run"] == "1-digits-2"
    assert [record.status for record in store.records()] == ["killed"]
    assert store.state(STATE) is None


@pytest.mark.slow
def test_a_hundred_reports_of_rubbish_spoil_nothing(advisor, store, good_result):
    """NaN, accuracies above 1, missing fields, records of other runs: of 100 runs, none counts."""
    rng = random.Random(0)
    tasks = [{"dataset": f"set-{number}", "minutes": 0.5} for number in range(100 // MAX_FAILURES + 1)]
    # With the one network that is so small there is less to choose from, which takes most of the time.
    tuner = advisor(tasks=tasks, alternatives=0, limits={"max_params_m": 0.15})
    before = AccuracyPredictor.from_store(store).to_bytes()

    def record_with(result, **changes):
        record = json.loads(result["record"])
        record.update(changes)
        return {**result, "record": json.dumps(record)}

    rubbish = [
        lambda result: record_with(result, accuracy=math.nan),
        lambda result: record_with(result, accuracy=1.5),
        lambda result: record_with(result, accuracy=-0.1),
        lambda result: record_with(result, seconds=math.inf),
        lambda result: record_with(result, status="great"),
        lambda result: record_with(result, regime={"model": "nano-a"}),
        lambda result: record_with(result, curve=[[2, 0.5], [1, 0.4]]),
        lambda result: record_with(result, budget_seconds=1.0),
        lambda result: {**result, "accuracy": rng.random()},
        lambda result: {**result, "record": rng.choice(["", "null", "[]", "{", 7, None])},
        lambda result: {key: value for key, value in result.items() if key != "record"},
        lambda result: math.nan,
        lambda result: 7.5,
        lambda result: {"default": math.nan},
        lambda result: {"default": 1.7, "accuracy": 1.7},
        lambda result: None,
        lambda result: "done",
        lambda result: {"run": result["run"]},
        lambda result: {"run": ["a"], "record": {}},
        lambda result: record_with(
            result,
            **{rng.choice(list(json.loads(result["record"]))): rng.choice([None, {}, -1, "x" * 9, [1]])},
        ),
    ]
    for number in range(100):
        parameters = tuner.generate_parameters(number)
        result = rubbish[number % len(rubbish)](good_result(parameters))
        tuner.receive_trial_result(number, parameters, result)
        tuner.trial_end(number, rng.random() < 0.5)
    tuner.generate_parameters(100)
    assert not tuner.runs.open()[:-1] and not tuner.best
    assert AccuracyPredictor.from_store(store).to_bytes() == before
    tuner.trial_end(100, False)

    def two_good_runs():
        for number in range(101, 103):
            parameters = tuner.generate_parameters(number)
            tuner.receive_trial_result(number, parameters, good_result(parameters, 0.8))

    with pytest.raises(nni.NoMoreTrialError):
        two_good_runs()
    statuses = [record.status for record in store.records()]
    assert statuses.count("ok") == 1 and set(statuses) == {"ok", "failed"} and len(statuses) <= 102


def test_a_store_that_fails_now_and_then_loses_no_run(advisor, store, good_result, full_disk):
    tuner = advisor(dataset="digits", minutes=0.5)
    first, second = tuner.generate_parameters(0), tuner.generate_parameters(1)
    result = good_result(first, 0.7)
    with full_disk():
        tuner.receive_trial_result(0, first, result)
    assert store.count() == 0
    tuner.receive_trial_result(1, second, good_result(second, 0.8))
    assert sorted(record.accuracy for record in store.records()) == [0.7, 0.8]


# -- resume --


def test_after_a_kill_nothing_is_lost_or_recorded_twice(
    checkpoint, new_database, advisor, resumed_advisor, good_result, store
):
    tuner = advisor(tasks=TASKS, alternatives=2)
    asked = [tuner.generate_parameters(number) for number in range(3)]
    results = [good_result(parameters, 0.5 + number / 10) for number, parameters in enumerate(asked)]
    tuner.receive_trial_result(0, asked[0], results[0])
    database = new_database(checkpoint.parent)
    for number in range(2):
        database.event(f"T{number}", "WAITING", number, asked[number])
        database.event(
            f"T{number}", "SUCCEEDED" if number == 0 else "RUNNING"
        )  # number 2 was not submitted when it was killed

    again = resumed_advisor(
        [{"parameter": asked[1], "value": results[0], "trialJobId": "T0"}], tasks=TASKS, alternatives=2
    )
    assert store.count() == 1 and again.runs.open() == [asked[1]["run"], asked[2]["run"]]
    assert again.generate_parameters(0) == asked[2]
    again.import_data(
        [{"parameter": {}, "value": results[1]}]
    )  # how the result of a trial that is run again arrives
    again.receive_trial_result(0, asked[2], results[2])
    again.trial_end(0, True)
    assert again.generate_parameters(1)["run"] == "2-fractals-1"
    records = list(store.records())
    assert sorted(record.accuracy for record in records) == [0.5, 0.6, 0.7] and all(
        record.profile and record.predicted for record in records
    )
    assert AccuracyPredictor.from_store(store).seen == AccuracyPredictor.from_prior().seen + 3


def test_a_process_that_dies_between_journal_and_store_loses_no_run(
    checkpoint, advisor, resumed_advisor, store, good_result, tmp_path
):
    tuner = advisor(dataset="digits", minutes=0.5)
    parameters = tuner.generate_parameters(0)
    result = good_result(parameters)
    file = Path(store.location)
    file.rename(tmp_path / "away")
    file.mkdir()  # the store fails, and the tuner keeps the run in memory, until it dies
    tuner.receive_trial_result(0, parameters, result)
    file.rmdir()
    (tmp_path / "away").rename(file)
    assert store.count() == 0
    for _ in range(2):
        resumed_advisor(dataset="digits", minutes=0.5)
        assert store.count() == 1


def test_an_experiment_of_an_earlier_release_is_resumed(
    checkpoint, advisor, resumed_advisor, store, good_result
):
    """Its journal, and the results that its trials have kept, tell in words how runs ended."""

    def old(result):
        record = json.loads(result["record"])
        del record["outcome"], result["outcome"]
        return result | {"stopped": "budget", "record": json.dumps(record)}

    tuner = advisor(dataset="digits", minutes=0.5)
    first, second = tuner.generate_parameters(0), tuner.generate_parameters(1)
    tuner.receive_trial_result(0, first, good_result(first, 0.7))
    (journal,) = [path for path in checkpoint.iterdir() if '"told"' in path.read_text()]
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    for event in events:
        if "record" in event:
            del event["record"]["outcome"]
            event["record"]["notes"] = [
                "7.5 s are left, too short for a step of about 9 s and what has to follow"
            ]
    journal.write_text("".join(json.dumps(event) + "\n" for event in events))
    with sqlite3.connect(store.location) as connection:  # killed before the run was in the store
        connection.execute("DELETE FROM nasoa_runs")
    connection.close()

    again = resumed_advisor(dataset="digits", minutes=0.5)
    again.receive_trial_result(0, second, old(good_result(second, 0.8)))
    of_journal, of_trial = sorted(store.records(), key=lambda record: record.accuracy)
    assert of_journal.outcome == Outcome(StopReason.BUDGET, unused_seconds=7.5)
    assert of_trial.outcome == Outcome(StopReason.BUDGET)


def test_what_failed_while_nobody_looked_is_recorded_once(
    checkpoint, new_database, advisor, resumed_advisor, store
):
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=0)
    parameters = tuner.generate_parameters(0)
    database = new_database(checkpoint.parent)
    database.event("T0", "WAITING", 0, parameters)
    database.event("T0", "FAILED")
    for _ in range(2):
        again = resumed_advisor(dataset="digits", minutes=0.5, alternatives=0)
        regime = Assignment.from_parameters(parameters).regime.to_json()
        assert [record.regime for record in store.records(status="failed")] == [regime]
    assert again.generate_parameters(0)["run"] == "1-digits-2"


def test_a_trial_that_is_run_again_and_fails_is_replaced(checkpoint, new_database, advisor, resumed_advisor):
    """NNI's dispatcher does not tell the tuner of its end."""
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=0)
    parameters = tuner.generate_parameters(0)
    database = new_database(checkpoint.parent)
    database.event("T0", "WAITING", 0, parameters)
    again = resumed_advisor(dataset="digits", minutes=0.5, alternatives=0)
    with pytest.raises(nni.NoMoreTrialError):
        again.generate_parameters(1)
    database.event("T0", "FAILED")
    assert again.generate_parameters(1)["run"] == "1-digits-2"


def told_apart(result):
    """A result as a trial reports it: what is told before, and the final one."""
    return {"default": result["default"], "context": context_of(result)}, without_context(result)


def test_a_result_counts_with_the_context_that_the_database_has_of_it(
    checkpoint, new_database, advisor, resumed_advisor, good_result, store
):
    tuner = advisor(dataset="digits", minutes=0.5, alternatives=1)
    first, second = tuner.generate_parameters(0), tuner.generate_parameters(1)
    database = new_database(checkpoint.parent)
    tuner = resumed_advisor(dataset="digits", minutes=0.5, alternatives=1)  # as it begins with a database
    told, final = told_apart(good_result(first, 0.9))
    # NNI may write what was told before a moment after it has told of the result.
    later = threading.Timer(0.3, database.periodical, ("T0", 0, told))
    later.start()
    tuner.receive_trial_result(0, first, final)
    later.join()
    told, final = told_apart(good_result(second, 0.8))
    database.periodical("T1", 1, told)
    tuner.import_data([{"parameter": {}, "value": final}])
    assert sorted(record.accuracy for record in store.records()) == [0.8, 0.9]
    assert {entry["run"]: entry["classifier"] for entry in read_list(checkpoint.parent)} == {
        first["run"]: "/out",
        second["run"]: "/out",
    }


def test_a_result_of_which_nothing_was_told_before_is_of_no_use(
    checkpoint, new_database, advisor, resumed_advisor, good_result, store
):
    first = advisor(dataset="digits", minutes=0.5, alternatives=0).generate_parameters(0)
    new_database(checkpoint.parent)
    tuner = resumed_advisor(dataset="digits", minutes=0.5, alternatives=0)
    _, final = told_apart(good_result(first, 0.9))
    tuner.receive_trial_result(0, first, final)
    assert tuner.runs.failed == {first["run"]: "its result is of no use: the result has no record"}


# -- how it talks to NNI --
