import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from nni_nasoa.advisor import RecordError, RunRecord, StepTime
from nni_nasoa.experience.records import MAX_POINTS, SAMPLED
from nni_nasoa.finetune import FineTuneRegime
from nni_nasoa.values import MAX_KEYS, MAX_TEXT, utc


def with_(data, *path_and_value):
    """The JSON data with one value, deep inside, replaced."""
    *path, last, value = path_and_value
    data = inner = json.loads(json.dumps(data))
    for key in path:
        inner = inner[key]
    inner[last] = value
    return data


def test_json_and_back(make_record):
    record = make_record()
    assert RunRecord.from_json(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record
    assert set(record.to_json()) == {field.name for field in dataclasses.fields(RunRecord)}


def test_regime_is_one_that_can_be_followed(make_record):
    assert FineTuneRegime.from_json(make_record().regime) == FineTuneRegime("nano-1")


def test_every_record_has_its_own_id_and_time_in_utc(make_record):
    first, second = make_record(), make_record()
    assert first.id != second.id and first.created <= second.created and first.created.endswith("+00:00")


def test_times_sort_as_texts():
    times = [
        "2026-01-31",
        "2026-01-31T00:00:00.5Z",
        "2026-01-31T01:30:00+01:00",
        "2026-01-31T00:30:00.000001Z",
    ]
    assert [utc(time) for time in times] == sorted(utc(time) for time in times)
    assert utc("2026-01-31T01:00:00+01:00") == utc("2026-01-31")
    assert [
        utc(text)
        for text in (
            "2026-01-31T00:00:00",
            "2026-02-30",
            "0001-01-01T00:00:00+09:00",
            "now",
            "２０26-01-31",
            3,
        )
    ] == [None] * 6


def test_numbers_of_numpy_become_plain(make_record):
    record = make_record(
        accuracy=np.float32(0.5),
        threads=np.int64(3),
        profile={"images": np.int64(5), "mean": np.float32(0.5)},
    )
    assert json.loads(json.dumps(record.to_json()))["profile"] == {"images": 5, "mean": 0.5}


@pytest.mark.parametrize(
    "path_and_value, words",
    [
        (("accuracy", math.nan), "accuracy: nan is not a number from 0 to 1"),
        (("accuracy", 1.0001), "accuracy: 1.0001 is not a number from 0 to 1"),
        (("accuracy", None), "accuracy: None in a run of status 'ok'; a number from 0 to 1 would be right"),
        (("accuracy", True), "accuracy: True is not"),
        (("accuracy", "0.5"), "accuracy: '0.5' is not"),
        (("accuracy", 10**400), "accuracy: 1000"),
        (("accuracy", 10**5000), "accuracy: something of type int is not"),
        (("seconds", math.inf), "seconds: inf is not a number of seconds, 0 or more"),
        (("seconds", -1), "seconds: -1 is not"),
        (("status", "killed"), "seconds: 29.5 in a run of status 'killed'; null would be right"),
        (("status", "done"), "status: 'done' is not one of ok, failed, killed"),
        (("status", ["ok"]), "status:"),
        (("source", "a friend"), "source: 'a friend' is not one of finetune, advise, nni, collect, import"),
        (("budget_seconds", 0), "budget_seconds: 0 is not a number of seconds above 0"),
        (("threads", 0), "threads: 0 is not a whole number from 1"),
        (("threads", 1.5), "threads: 1.5 is not a whole number"),
        (("epochs", -0.1), "epochs: -0.1 is not"),
        (("id", "7"), "id: '7' is not a UUID such as"),
        (("id", None), "id: None is not"),
        (("created", "yesterday"), "created: 'yesterday' is not a time with its zone"),
        (("created", "2026-01-31T12:00:00"), "created:"),
        (("task", ""), "task: '' is not a text of 1 to 500"),
        (("task", "x" * (MAX_TEXT + 1)), "task: 'xxx"),
        (("task", "a\x1b[2J"), "task: "),
        (("model", "\ud800"), "model: "),
        (("device", 5), "device: 5 is not a text"),
        (("profile", "mean", math.nan), "profile, 'mean': nan is not a number"),
        (("profile", []), "profile: [] is not an object of at most"),
        (("profile", {str(key): 0 for key in range(MAX_KEYS + 1)}), "profile: "),
        (("profile", "mean", [1, 2]), "profile, 'mean': [1, 2] is not"),
        (("model_figures", "params_m", 1e16), "model_figures, 'params_m': 1e+16 is not"),
        (("model_figures", "", 1), "model_figures: '' is not a text"),
        (("regime", "batch_size", 1), "regime: batch_size: 1 is not"),
        (("regime", "speed", 1), "regime: regime: no field 'speed'"),
        (("regime", {}), "regime: regime: no model is given"),
        (("regime", "model", "x" * 600), "regime, 'model': 'xxx"),
        (("predicted", "accuracy", 2), "predicted, 'accuracy': 2 is not a number from 0 to 1"),
        (("predicted", {}), "predicted: {} is not an object of"),
        (("predicted", "accuracy_low", 0.9), "predicted: {"),
        (("curve", [[0, 0.5], [1, math.nan]]), "curve, entry 2: [1, nan] is not a pair"),
        (("curve", [[1]]), "curve, entry 1: [1] is not a pair"),
        (
            ("curve", [[2, 0.1], [1, 0.1]]),
            "curve: [[2, 0.1], [1, 0.1]] is not a list of at most 1000 pairs of seconds and accuracy, in order",
        ),
        (("curve", [[0, 0]] * (MAX_POINTS + 1)), "curve: "),
        (("notes", ["two\nlines"]), "notes, entry 1: 'two\\nlines' is not a text"),
        (("notes", "a note"), "notes: 'a note' is not a list"),
        (("notes", ["a"] * 101), "notes: "),
        (("versions", "torch", 2), "versions, 'torch': 2 is not"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(make_record, path_and_value, words):
    with pytest.raises(RecordError) as caught:
        RunRecord.from_json(
            with_(make_record().to_json(), *path_and_value)
            if path_and_value[-1] != 10**5000
            else make_record().to_json() | {"accuracy": 10**5000}
        )
    message = str(caught.value)
    assert message.startswith(words) and len(message) < 500 and message.isprintable()


@pytest.mark.parametrize(
    "data, words",
    [
        ([], "record: [] is not an object with the fields of a run"),
        (None, "record: None is not"),
        ({"acuracy": 1}, "record: no field 'acuracy'; did you mean 'accuracy'?"),
        ({"id": 5}, "created: is missing; it is a time with its zone"),
        ({5: 1}, "record: no field 5; there are id, created, task"),
    ],
)
def test_what_is_no_record(data, words):
    with pytest.raises(RecordError) as caught:
        RunRecord.from_json(data)
    assert str(caught.value).startswith(words)


def test_every_field_is_needed(make_record):
    for name in make_record().to_json():
        data = make_record().to_json()
        del data[name]
        with pytest.raises(RecordError, match=f"^{name}: is missing"):
            RunRecord.from_json(data)


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(field=st.sampled_from([field.name for field in dataclasses.fields(RunRecord)]), value=_JSON)
def test_anything_else_is_refused_or_can_be_stored(field, value):
    data = {
        "id": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
        "created": "2026-01-31T12:00:00Z",
        "task": "t",
        "profile": {},
        "model": "m",
        "model_figures": {},
        "regime": {"model": "m"},
        "device": "d",
        "threads": 1,
        "budget_seconds": 1,
        "predicted": None,
        "status": "failed",
        "seconds": None,
        "accuracy": None,
        "epochs": None,
        "curve": [],
        "versions": {},
        "source": "import",
        "notes": [],
    }
    try:
        record = RunRecord.from_json(data | {field: value})
    except RecordError as error:
        assert "\n" not in str(error)
    else:
        text = json.dumps(record.to_json(), allow_nan=False)
        assert RunRecord.from_json(json.loads(text)) == record


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
        stopped="budget",
        epochs=1.5,
        notes=("note\nof two lines " + 600 * "x",),
        evaluations=(*evaluations, {"elapsed": 299.0, "val_accuracy": math.nan}),
    )
    return SimpleNamespace(**{**fields, **changes})


def test_record_of_a_run():
    record = RunRecord.of_run(result(), profile={"images": 5}, source="advise", device="a GPU", threads=3)
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
    record = RunRecord.of_run(result, profile={"classes": 2, "train_images": 4800, "val_images": 1200})
    assert any(SAMPLED in note for note in record.notes)
    assert (
        record.profile["classes"] == 2
        and 2 <= record.profile["train_images"] <= 48
        and 1 <= record.profile["val_images"] <= 12
    )
    assert record.epochs == pytest.approx(result.images / record.profile["train_images"])
    whole = RunRecord.of_run(
        dataclasses.replace(result, notes=()), profile={"train_images": 4800, "val_images": 1200}
    )
    assert whole.profile == {"train_images": 4800, "val_images": 1200}


def test_record_names_the_device_and_threads_that_it_is_not_told():
    import torch

    from nni_nasoa.device.device import device_name

    record = RunRecord.of_run(result())
    assert (record.device, record.threads) == (device_name("cpu"), torch.get_num_threads())


@pytest.mark.parametrize(
    "changes, status",
    [
        ({"stopped": "interrupted: by Ctrl-C"}, "killed"),
        ({"accuracy": math.nan}, "failed"),
        ({"stopped": "saturated: all right"}, "ok"),
    ],
)
def test_only_whole_runs_are_measured(changes, status):
    record = RunRecord.of_run(result(**changes), device="cpu", threads=1)
    assert (
        record.status == status
        and record.curve
        and (record.accuracy is None) == (status != "ok") == (record.seconds is None)
    )
    assert "stopped" not in changes or record.notes[0] == f"stopped: {changes['stopped']}"


def test_step_time_is_checked():
    assert StepTime("cpu", "nano-1", 32, 8, 0, "train", np.float64(0.1)).seconds == 0.1
    with pytest.raises(RecordError, match="^seconds: nan is not a number of seconds above 0$"):
        StepTime("cpu", "nano-1", 32, 8, 0, "train", math.nan)
