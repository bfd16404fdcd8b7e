from __future__ import annotations

import json
import math
import sqlite3
import time
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from nni_nasoa.advisor import ExperienceStore, RecordError, StepTime, StoreError
from nni_nasoa.advisor.accuracy.predictor import STATE, AccuracyPredictor
from nni_nasoa.advisor.recording import Recorder, import_results, known_before, record_result
from nni_nasoa.advisor.time.time_model import TimeModel
from nni_nasoa.data import Dataset
from nni_nasoa.experience.store import State
from nni_nasoa.finetune import FineTuneError, FineTuneRegime, FineTuneResult, Outcome, StopReason


@pytest.fixture
def store(tmp_path):
    """A store with a predictor that has learned from nothing, not even from the prior."""
    store = ExperienceStore(tmp_path / "experience.db")
    store.commit([], {STATE: State(AccuracyPredictor().to_bytes(), 0)})
    return store


def states(store):
    return [store.state(name) for name in (STATE, "time: a processor, 1 thread")]


def test_a_run_is_kept_and_learned_from_once(store, world):
    record = world.record(0, 0)
    assert record_result(store, record) and list(store.records()) == [record]
    assert AccuracyPredictor.from_store(store).seen == 1
    assert not record_result(store, record)
    assert AccuracyPredictor.from_store(store).seen == 1 and store.count() == 1
    assert (
        record_result(store, world.record(1, 0).to_json()) and AccuracyPredictor.from_store(store).seen == 2
    )


def test_runs_of_others_are_learned_from_once_when_they_are_imported(store, world, tmp_path):
    theirs = ExperienceStore(tmp_path / "theirs.db")
    for number in range(5):
        theirs.add(world.record(number, 0))
    theirs.add(world.record(5, 0, status="failed", accuracy=None, seconds=None))
    assert theirs.export(tmp_path / "runs.jsonl") == 6
    record_result(store, world.record(7, 0))
    assert import_results(store, tmp_path / "runs.jsonl") == 6
    assert store.count() == 7 and AccuracyPredictor.from_store(store).seen == 6
    before = states(store)
    assert import_results(store, tmp_path / "runs.jsonl") == 0 and states(store) == before
    fresh = ExperienceStore(tmp_path / "fresh.db")  # whose predictor begins with the prior
    assert import_results(fresh, tmp_path / "runs.jsonl") == 6
    assert AccuracyPredictor.from_store(fresh).seen == AccuracyPredictor.from_prior().seen + 5


RUBBISH = (
    lambda data: data | {"accuracy": math.nan},
    lambda data: data | {"accuracy": 1.7},
    lambda data: data | {"accuracy": -0.1},
    lambda data: data | {"accuracy": "high"},
    lambda data: data | {"seconds": math.inf},
    lambda data: data | {"epochs": -3},
    lambda data: {key: value for key, value in data.items() if key != "accuracy"},
    lambda data: {},
    lambda data: [],
    lambda data: None,
    lambda data: data | {"regime": {}},
    lambda data: data | {"regime": data["regime"] | {"learning_rate": math.nan}},
    lambda data: data | {"status": "splendid"},
    lambda data: data | {"profile": {"classes": [3]}},
    lambda data: data | {"id": "me"},
    lambda data: data | {"curve": [[3, 0.2], [1, 0.1]]},
    lambda data: data | {"x": 1},
    lambda data: data | {"accuracy": None},
)


def test_a_hundred_runs_of_rubbish_spoil_nothing(store, world):
    good = [world.record(number, 0) for number in range(20)]
    for record in good:
        record_result(store, record)
    before, x = states(store), np.concatenate([AccuracyPredictor.from_store(store).runs()])
    predicted = AccuracyPredictor.from_store(store).predict(x)
    for number in range(100):
        record = world.record(1000 + number, 0)
        if number % 3 == 0:
            record_result(
                store,
                world.record(
                    1000 + number, 0, status=("failed", "killed")[number % 2], accuracy=None, seconds=None
                ),
            )
        else:
            with pytest.raises(RecordError) as error:
                record_result(store, RUBBISH[number % len(RUBBISH)](record.to_json()))
            assert "\n" not in str(error.value)
    assert states(store) == before
    assert store.count(status="ok") == 20 and store.count() == 54
    assert all(
        (first == second).all()
        for first, second in zip(predicted, AccuracyPredictor.from_store(store).predict(x))
    )


def test_runs_that_end_at_once_in_several_processes_are_all_learned(store, world, in_processes, tmp_path):
    for number in range(12):
        (tmp_path / f"{number}.json").write_text(json.dumps(world.record(number, 0).to_json()))
    code = """
import json
from pathlib import Path
from nni_nasoa.advisor.recording import record_result
for number in {numbers}:
    assert record_result(store, json.loads((Path({folder!r}) / f"{{number}}.json").read_text()))
"""
    processes = in_processes(
        tmp_path / "experience.db",
        *(code.format(folder=str(tmp_path), numbers=list(range(start, 12, 3))) for start in range(3)),
    )
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert store.count() == 12 and AccuracyPredictor.from_store(store).seen == 12


def test_one_that_is_killed_leaves_a_run_with_what_was_learned_from_it_or_neither(
    store, world, in_processes, tmp_path
):
    for number in range(500):
        (tmp_path / f"{number}.json").write_text(json.dumps(world.record(number, 0).to_json()))
    code = f"""
import json
from pathlib import Path
from nni_nasoa.advisor.recording import record_result
for number in range(store.count(), 500):
    record_result(store, json.loads((Path({str(tmp_path)!r}) / f"{{number}}.json").read_text()))
    print(number, flush=True)
"""
    for time_left in (0.0, 0.02, 0.05, 0.08):
        (doomed,) = in_processes(tmp_path / "experience.db", code)
        doomed.stdout.readline()
        time.sleep(time_left)
        doomed.kill()
        doomed.wait()
        assert AccuracyPredictor.from_store(store).seen == store.count() > 0


def test_a_store_that_fails_takes_neither_a_run_nor_what_was_learned(store, world):
    record_result(store, world.record(0, 0))
    before = states(store)
    with closing(sqlite3.connect(store.location)) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE UPDATE ON nasoa_states BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    with pytest.raises(StoreError, match="disk is full"):
        record_result(store, world.record(1, 0))
    assert states(store) == before and store.count() == 1


def steps_of(model, device):
    """Step times: two sizes of batches, four stages."""
    for batch in (8, 64):
        for frozen in range(5):
            yield StepTime(device, model, 96, batch, frozen, "train", 0.005 + 1e-4 * batch * (5 - frozen))
            if frozen:
                yield StepTime(device, model, 96, batch, frozen, "features", 1e-4 * batch * frozen)


def test_the_time_models_of_devices_that_were_timed_learn_too(store, world, tmp_path):
    theirs = ExperienceStore(tmp_path / "theirs.db")
    for threads in (1, 2, 3):
        for number in range(threads):
            record = world.record(number, 0, threads=threads, curve=((1.0, 0.3), (4.0, 0.5)))
            theirs.add(record)
    theirs.export(tmp_path / "runs.jsonl")
    assert import_results(store, tmp_path / "runs.jsonl") == 6
    assert states(store)[1] is None
    two = "a processor, 2 threads"
    store.set_step_times(step for model in world.models for step in steps_of(model, two))
    assert record_result(store, world.record(7, 0, threads=2, curve=((1.0, 0.3), (4.0, 0.5))))
    assert (
        TimeModel.from_store(store, store.step_times(two), two).seen == 3 and states(store)[1] is None
    )  # those that were there already, too


def test_a_recorder_knows_before_the_run_what_the_store_knows_of_the_dataset(store, world):
    own = Dataset("digits").fingerprint
    assert known_before(store, Dataset("digits"), "nano-a")["profile"] == {}
    profile = world.profile(0, name="digits", fingerprint=own)
    store.set_profile(own, profile.to_json())
    known = known_before(store, Dataset("digits"), "nano-a")
    assert known == {"profile": profile.flat(), "model_figures": profile.model_figures("nano-a").of_run()}
    assert (
        known_before(store, Dataset("digits"), "nano-a", weights=None)["model_figures"]["weights"] == "none"
    )
    assert (
        known_before(store, Dataset("digits"), "nano-a", weights="x.pth")["model_figures"]["weights"]
        == "a file"
    )
    assert (
        known_before(store, Dataset("digits", val_fraction=0.5), "nano-a")["profile"] == {}
    )  # split otherwise
    store.set_profile(own, {"damaged": True})
    assert known_before(store, Dataset("digits"), "nano-a")["profile"] == {}
    assert known_before(store, Dataset("no such folder"), "nano-a")["profile"] == {}


def test_a_store_that_fails_is_a_line_and_no_error(tmp_path):
    (tmp_path / "experience.db").write_text("this is not a database, and never was one")
    line = Recorder.open(tmp_path / "experience.db", Dataset("digits"), "nano-a").record(object())
    assert line.startswith("the run is not recorded (") and "experience.db" in line and "\n" not in line
    assert "is a folder" in Recorder.open(tmp_path, Dataset("digits"), "nano-a").record(object())


def test_a_store_that_fails_at_the_end_is_a_line_too(tmp_path):
    classifier = SimpleNamespace(about={"dataset": "digits", "versions": {"torch": "2"}}, device="cpu")
    result = FineTuneResult(
        classifier,
        folder=None,
        accuracy=0.9,
        regime=FineTuneRegime("nano-a", input_size=48),
        frozen_stages=0,
        budget=30.0,
        seconds=29.0,
        outcome=Outcome(StopReason.BUDGET),
        epochs=2.0,
        evaluations=(),
    )
    recorder = Recorder.open(tmp_path / "experience.db", Dataset("digits"), "nano-a")
    assert recorder.record(result) == ""
    (tmp_path / "experience.db").write_bytes(b"damaged" * 2000)
    assert recorder.record(result).startswith("the run is not recorded (")


def test_a_run_without_a_classifier_is_recorded_and_not_learned_from(store, world, monkeypatch, tmp_path):
    before = states(store)
    profile = world.profile(0, name="digits", fingerprint=Dataset("digits").fingerprint)
    store.set_profile(profile.dataset.fingerprint, profile.to_json())
    regime, error = (
        FineTuneRegime("nano-a"),
        FineTuneError("the memory of the device is full, even with a batch of 1"),
    )
    assert (
        Recorder.open(store.location, Dataset("digits"), "nano-a").record_failure(
            error, Dataset("digits"), regime, 30.0, "cpu", source="advise"
        )
        == ""
    )
    (record,) = store.records()
    assert (record.task, record.status, record.notes, record.budget_seconds, record.source) == (
        "digits",
        "failed",
        (str(error),),
        30.0,
        "advise",
    )
    assert record.profile == profile.flat() and record.accuracy is None and states(store) == before
    monkeypatch.setenv("RANK", "1")
    Recorder.open(store.location, Dataset("digits"), "nano-a").record_failure(
        error, Dataset(tmp_path / "flowers"), regime, 30.0, "cpu"
    )
    assert store.count() == 1
    monkeypatch.setenv("RANK", "0")
    Recorder.open(store.location, Dataset("digits"), "nano-a").record_failure(
        error, Dataset(tmp_path / "flowers"), regime, 30.0, "cpu"
    )
    assert store.count(task="flowers") == 1
