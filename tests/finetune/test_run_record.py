"""Records of runs, made of what `finetune` gives back."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.experience.records import MAX_POINTS
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason, record_of
from nni_nasoa.values import MAX_TEXT


def result(**changes):
    """What `finetune` gives back, as far as a record needs it."""
    about = {"dataset": "a\nfolder", "encoding": None, "versions": {"torch": "2.4.0"}}
    evaluations = [{"elapsed": 0.1 * number, "val_accuracy": number / 5000} for number in range(2500)]
    fields = dict(
        classifier=SimpleNamespace(about=about, device="cpu"),
        regime=FineTuneRegime("et-nas-a"),
        accuracy=0.75,
        budget=300.0,
        seconds=299.0,
        outcome=Outcome(StopReason.BUDGET, train_images=100, val_images=20),
        epochs=1.5,
        notes=("note\nof two lines " + 600 * "x",),
        evaluations=(*evaluations, {"elapsed": 299.0, "val_accuracy": math.nan}),
    )
    return SimpleNamespace(**{**fields, **changes})


def test_record_of_a_run():
    record = record_of(result(), profile={"images": 5}, source="advise", device="a GPU", threads=3)
    assert (record.status, record.accuracy, record.seconds, record.budget_seconds) == (
        "ok",
        0.75,
        299.0,
        300.0,
    )
    assert (record.task, record.model, record.device, record.threads, record.source) == (
        "a folder",
        "et-nas-a",
        "a GPU",
        3,
        "advise",
    )
    assert (
        record.model_figures["family"] == "et-nas"
        and record.model_figures["params_m"] > 1
        and record.profile == {"images": 5}
    )
    assert len(record.curve) <= MAX_POINTS and record.curve[-1] == (pytest.approx(249.9), 2499 / 5000)
    assert record.notes[0].startswith("note of two lines") and len(record.notes[0]) == MAX_TEXT


def test_a_run_on_a_sample_is_recorded_with_the_images_that_it_had(tmp_path, monkeypatch, slow_processes):
    """A folder whose decoding takes too long, and a run of it, as it is."""
    from nni_nasoa.finetune import finetune

    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for label in ("dark", "light"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 128, (24, 24, 3), dtype=np.uint8) + (128 if label == "light" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / label / f"{number}.png")
    result = finetune(tmp_path / "photos", FineTuneRegime("nano-a", input_size=32), 0.1, device="cpu")
    record = record_of(result, profile={"classes": 2, "train_images": 4800, "val_images": 1200})
    assert record.outcome.sampled and record.outcome == result.outcome
    assert (
        record.profile["classes"] == 2
        and 2 <= record.profile["train_images"] <= 48
        and 1 <= record.profile["val_images"] <= 12
    )
    assert record.epochs == pytest.approx(result.images / record.profile["train_images"])
    whole = record_of(
        dataclasses.replace(result, outcome=dataclasses.replace(result.outcome, sampled=False)),
        profile={"train_images": 4800, "val_images": 1200},
    )
    assert whole.profile == {"train_images": 4800, "val_images": 1200}


def test_record_names_the_device_and_threads_that_it_is_not_told():
    import torch

    from nni_nasoa.device.device import device_name

    record = record_of(result())
    assert (record.device, record.threads) == (device_name("cpu"), torch.get_num_threads())


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"outcome": Outcome(StopReason.INTERRUPTED, "SIGINT")}, "killed"),
        ({"accuracy": math.nan}, "failed"),
        ({"outcome": Outcome(StopReason.SATURATED)}, "ok"),
        ({"outcome": Outcome(StopReason.DIVERGED)}, "ok"),
    ],
)
def test_only_whole_runs_are_measured(changes, status):
    run = result(**changes)
    record = record_of(run, device="cpu", threads=1)
    assert (
        record.status == status
        and record.curve
        and (record.accuracy is None) == (status != "ok") == (record.seconds is None)
    )
    assert record.outcome == run.outcome


def test_notes_are_for_people_alone():
    """Whatever they say, the rest of the record is the same; those of a caller come after the run's own."""
    plain = record_of(result(notes=()), device="cpu", threads=1)
    told = (
        "stopped: interrupted: SIGTERM",
        "only the head is trained",
        "out of memory: batch size 2 from here on",
    )
    record = record_of(result(notes=told), device="cpu", threads=1, notes=("one more",))
    assert record.notes == (*told, "one more")
    assert dataclasses.replace(record, notes=(), id=plain.id, created=plain.created) == plain
