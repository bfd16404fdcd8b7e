"""Figures' runs as earlier releases wrote them, and what becomes of them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.figures.runs import RecordedRun, RunsError, read_runs
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason

# A line as it was written, but that it had more evaluations.
OLD = {
    "dataset": "/photos/cats",
    "model": "2-_8_2-1-1",
    "weights": None,
    "regime": {
        "learning_rate": 0.02,
        "weight_decay": 0.0001,
        "frozen_stages": 1,
        "batch_size": 64,
        "input_size": 16,
        "augmentation": "crop-flip",
        "mixup": 0.0,
        "label_smoothing": 0.1,
        "optimizer": "sgd",
    },
    "seed": 3,
    "budget": 1.5,
    "device": "AMD EPYC, 2 threads",
    "stages": 3,
    "frozen_stages": 1,
    "accuracy": 0.75,
    "seconds": 1.39,
    "epochs": 2.5,
    "steps": 57,
    "images": 3648,
    "stopped": "budget",
    "evaluations": [
        {"kind": "start", "elapsed": 0.2, "epochs": 0.0, "val_accuracy": None, "train_loss": None},
        {"kind": "end", "elapsed": 1.38, "epochs": 2.5, "val_accuracy": 0.75, "train_loss": 1.5},
    ],
    "notes": ["evaluations are on 277 of 359 validation images, to keep them within the budget"],
    "environment": {
        "device": "AMD EPYC",
        "cpus": 2,
        "threads": 2,
        "load_average": 0.5,
        "python": "3.11.7",
        "nni-nasoa": "0.1.0",
        "torch": "2.4.0",
        "torchvision": "0.19.0",
        "date": "2026-11-27T10:00:00+00:00",
    },
}


def test_a_file_of_an_earlier_release_is_read(tmp_path):
    (tmp_path / "runs.jsonl").write_text(json.dumps(OLD) + "\n\n" + json.dumps(OLD | {"seed": 4}) + "\n")
    run, other = read_runs(tmp_path / "runs.jsonl")
    settings, record = run.settings, run.record
    assert settings.regime == FineTuneRegime(
        "2-_8_2-1-1", frozen_stages=1, input_size=16, augmentation="crop-flip"
    )
    assert (settings.dataset, settings.seed, settings.weights) == ("/photos/cats", 3, None)
    assert (settings.budget, settings.device) == (1.5, "AMD EPYC, 2 threads")
    assert (record.task, record.device, record.threads, record.status) == ("cats", "AMD EPYC", 2, "ok")
    assert (run.accuracy, run.seconds, record.epochs, record.curve) == (0.75, 1.39, 2.5, ((1.38, 0.75),))
    assert record.outcome == Outcome(StopReason.BUDGET, steps=57, images=3648)
    assert record.notes == tuple(OLD["notes"]) and record.versions["torch"] == "2.4.0"
    assert record.created == "2026-11-27T10:00:00.000000+00:00"
    assert run.evaluations == tuple(OLD["evaluations"]) and run.environment == OLD["environment"]
    assert run.seconds_per_epoch == pytest.approx((1.38 - 0.2) / 2.5) and not run.head_alone
    assert other.record.id != record.id and RecordedRun.from_json(OLD).record.id == record.id
    assert RecordedRun.from_json(json.loads(json.dumps(run.to_json()))) == run


@pytest.mark.parametrize(
    "change, outcome",
    [
        ({"frozen_stages": 3}, Outcome(StopReason.BUDGET, cut_to_head=True)),
        ({"stopped": "saturated: every validation image was right"}, Outcome(StopReason.SATURATED)),
        ({"stopped": "diverged: the loss was nan again"}, Outcome(StopReason.DIVERGED)),
        (
            {"notes": ["out of memory: batch size 32 from here on"]},
            Outcome(StopReason.BUDGET, halved_batch=32),
        ),
    ],
)
def test_what_its_words_and_numbers_told(change, outcome):
    found = RecordedRun.from_json(OLD | change).record.outcome
    assert found == Outcome.from_json(outcome.to_json() | {"steps": 57, "images": 3648})


def test_one_of_which_nothing_was_measured():
    run = RecordedRun.from_json(OLD | {"accuracy": None, "evaluations": OLD["evaluations"][:1]})
    assert math.isnan(run.accuracy) and run.record.status == "failed" and run.best_so_far() == []


def test_a_device_without_threads():
    record = RecordedRun.from_json(OLD | {"device": "NVIDIA H100"}).record
    assert (record.device, record.threads) == ("NVIDIA H100", 1)
    assert RecordedRun.from_json(OLD | {"device": ""}).settings.device == ""


@pytest.mark.parametrize(
    "change, words",
    [
        ({"budget": 0}, "budget_seconds: 0 is not a number of seconds above 0"),
        ({"accuracy": 80}, "accuracy: 80 is not a number from 0 to 1"),
        ({"regime": {"optimizer": "adam"}}, "regime: optimizer: 'adam' is not one of"),
        ({"model": None}, "model: None is not a text"),
        ({"regime": None}, "regime: "),
        ({"evaluations": []}, r"evaluations: \[\] is not a list of one or more"),
        ({"evaluations": [5]}, "evaluations, entry 1: 5 is not an object"),
        ({"images": -1}, "outcome: images: -1 is not a whole number"),
        ({"environment": 5}, "environment: 5 is not an object"),
    ],
)
def test_what_was_wrong_stays_wrong(change, words):
    with pytest.raises(RunsError, match=f"^{words}"):
        RecordedRun.from_json(OLD | change)


_JSON = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=5)
    | st.lists(st.none(), max_size=2)
)


@given(
    field=st.sampled_from(sorted(OLD)), value=_JSON | st.dictionaries(st.text(max_size=5), _JSON, max_size=2)
)
def test_anything_else_is_read_or_refused_in_one_line(field, value):
    try:
        run = RecordedRun.from_json(OLD | {field: value})
    except RunsError as error:
        message = str(error)
    else:
        message = ""
        assert RecordedRun.from_json(json.loads(json.dumps(run.to_json()))).record == run.record
    assert "\n" not in message
