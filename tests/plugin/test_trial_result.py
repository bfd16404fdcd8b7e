"""What a trial reports to NNI, there and back."""

from __future__ import annotations

import json
import math
import signal
from types import SimpleNamespace

import pytest

from nni_nasoa.advisor import RunRecord
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason
from nni_nasoa.plugin.assignment import Assignment
from nni_nasoa.plugin.trial_result import TrialResult, place_of, record_in

REGIME = FineTuneRegime("nano-a", frozen_stages=9, batch_size=32, input_size=32, augmentation="none")
LONG = Assignment("1-digits-1", "digits", 5.0, REGIME, threads=1, device="cpu")
SHORT = Assignment("1-digits-1", "digits", 0.25, REGIME, threads=1, device="cpu")


def finished(accuracy=0.5, **changes):
    """What `finetune` gives back, as far as results look at it."""
    about = {"dataset": "digits", "versions": {"python": "3"}, "encoding": None}
    evaluation = {"elapsed": 1.0, "val_accuracy": accuracy}
    return SimpleNamespace(
        **{
            "classifier": SimpleNamespace(about=about, device="cpu"),
            "folder": "/out",
            "accuracy": accuracy,
            "regime": REGIME,
            "budget": 15.0,
            "seconds": 14.0,
            "outcome": Outcome(StopReason.BUDGET),
            "epochs": 2.0,
            "evaluations": (evaluation,),
            "notes": (),
            **changes,
        }
    )


def reported(accuracy=0.5, **changes):
    """What a trial reports of it."""
    return TrialResult.of(finished(accuracy, **changes), SHORT).to_metrics()


def test_a_result_carries_its_identity_and_its_record():
    result = reported()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert (result["default"], result["accuracy"], result["run"], result["model"], result["classifier"]) == (
        0.5,
        0.5,
        "1-digits-1",
        "nano-a",
        "/out",
    )
    record = TrialResult.from_metrics(result, SHORT).record
    assert record == RunRecord.from_json(json.loads(result["record"])) and (record.status, record.source) == (
        "ok",
        "nni",
    )
    assert record.curve == ((1.0, 0.5),)
    again = TrialResult.from_metrics(result, SHORT)
    assert again.to_metrics() == result and again.record == record


def test_no_field_is_deep_but_the_record():
    """NNI's web page draws by them, and shows no more than a line of each."""
    values = [value for name, value in reported().items() if name != "record"]
    assert all(isinstance(value, (str, int, float, type(None))) for value in values)


def test_a_result_that_a_trial_of_an_earlier_release_has_kept_is_read():
    result = reported()
    record = json.loads(result["record"]) | {"notes": ["out of memory: batch size 16 from here on"]}
    del record["outcome"], result["outcome"]
    result |= {"stopped": "budget", "record": json.dumps(record)}
    again = TrialResult.from_metrics(result, SHORT)
    assert again.record.outcome == Outcome(StopReason.BUDGET, halved_batch=16)
    assert again.to_metrics()["outcome"] == "budget" and "stopped" not in again.to_metrics()


def test_without_a_measured_accuracy_it_has_failed_and_there_is_no_nan():
    result = reported(math.nan)
    assert (result["default"], result["accuracy"]) == (0.0, None) and "NaN" not in json.dumps(result)
    assert TrialResult.from_metrics(result, SHORT).record.status == "failed"


def test_an_interrupted_run_was_killed():
    """It is told how accurate its classifier is, though the record does not count it."""
    result = reported(outcome=Outcome(StopReason.INTERRUPTED, "SIGTERM"))
    again = TrialResult.from_metrics(result, SHORT)
    assert (result["outcome"], result["accuracy"], result["seconds"]) == ("interrupted", 0.5, 14.0)
    assert again.record.status == "killed" and again.record.outcome.exit_status == 128 + signal.SIGTERM
    assert again.record.accuracy is None and again.accuracy == 0.5


@pytest.mark.parametrize(
    "change, message",
    [
        ({"record": None}, "the result has no record"),
        ({"record": "{"}, "Expecting"),
        ({"record": "[" * 100_000}, "nested too deeply|recursion"),
        ({"record": '{"id": 1}'}, "is missing"),
        ({"accuracy": 0.9}, "another accuracy than the result"),
        ({"accuracy": math.nan}, "another accuracy"),
        ({"seconds": -1}, "seconds: -1 is not"),
        ({"classifier": None}, "classifier: None is not the place of a classifier"),
    ],
)
def test_rubbish_is_no_result(change, message):
    with pytest.raises(ValueError, match=message):
        TrialResult.from_metrics({**reported(), **change}, SHORT)


def test_a_record_of_something_else_is_none():
    result = reported()
    for other in (
        Assignment("1-digits-1", "digits", 0.25, FineTuneRegime("nano-b")),
        LONG,
        Assignment("1-digits-1", "digits", 0.25, FineTuneRegime("nano-a", learning_rate=1.0)),
    ):
        with pytest.raises(ValueError, match="the record is of a"):
            TrialResult.from_metrics(result, other)
    open_size = FineTuneRegime(**{**REGIME.to_json(), "input_size": None})
    assert (
        TrialResult.from_metrics(result, Assignment("1-digits-1", "digits", 0.25, open_size)).record.task
        == "digits"
    )


@pytest.mark.parametrize(
    "environ, place",
    [
        ({}, "/out"),
        ({"NNI_PLATFORM": "local", "SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}, "/out"),
        ({"NNI_PLATFORM": "remote", "SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}, "10.0.0.2:/out"),
        ({"NNI_PLATFORM": "remote", "SSH_CONNECTION": "::1 5 ::1 22"}, "[::1]:/out"),
    ],
)
def test_the_place_of_a_classifier(environ, place):
    assert place_of("/out", environ) == place


def test_elsewhere_without_ssh_it_is_the_host_name(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "worker-7")
    assert place_of("/out", {"NNI_PLATFORM": "kubeflow"}) == "worker-7:/out"


def test_a_result_of_another_experiment_has_a_record(make_record):
    record = make_record()
    text = json.dumps(record.to_json())
    assert record_in({"record": text, "accuracy": record.accuracy}) == record
    with pytest.raises(ValueError, match="the record has another accuracy"):
        record_in({"record": text, "accuracy": 0.1})


def test_a_record_is_no_answer_to_a_survey():
    survey = Assignment("1-digits-1", "digits", 0.25, survey=("nano-a",))
    with pytest.raises(ValueError, match="the record is of another regime"):
        TrialResult.from_metrics(reported(), survey)
