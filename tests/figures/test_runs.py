import json
import math
from types import SimpleNamespace

import pytest

from nni_nasoa.experience.records import RunRecord
from nni_nasoa.figures.runs import RecordedRun, RunsError, RunSettings, append_run, read_runs
from nni_nasoa.figures.series import dataset_titles, lines_of, shared
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason

CURVE = [(1.0, 0.2), (4.0, 0.6), (5.0, 0.5), (9.5, 0.8)]


def test_records_round_trip(recorded, tmp_path):
    runs = [
        recorded(CURVE),
        recorded(CURVE, model="2-_8_2-1-1", seed=3, weights="/w.pth", frozen=2, learning_rate=0.3),
    ]
    for run in runs:
        append_run(tmp_path / "runs.jsonl", run)
    assert read_runs(tmp_path / "runs.jsonl") == runs
    line = json.loads((tmp_path / "runs.jsonl").read_text().splitlines()[1])
    record = line["record"]
    assert (record["model"], line["seed"], record["budget_seconds"]) == ("2-_8_2-1-1", 3, 10.0)
    assert line["weights"] == "/w.pth" and record["regime"]["learning_rate"] == 0.3
    assert RunRecord.from_json(record) == runs[1].record
    assert line["evaluations"][0] == {"elapsed": 1.0, "epochs": 0.0, "val_accuracy": 0.2}


def test_what_was_not_measured_is_null(recorded, tmp_path):
    """Of a result of which hardly anything came."""
    settings = recorded(CURVE).settings
    nothing = {"elapsed": 1.0, "epochs": 0.0, "val_accuracy": math.nan, "train_loss": math.inf}
    about = {"dataset": "digits", "encoding": None, "versions": {}}
    result = SimpleNamespace(
        classifier=SimpleNamespace(about=about, device="cpu"),
        regime=settings.regime,
        accuracy=math.nan,
        budget=10.000000001,
        seconds=9.0,
        epochs=0.0,
        outcome=Outcome(StopReason.BUDGET),
        evaluations=(nothing,),
        notes=(),
    )
    append_run(tmp_path / "runs.jsonl", RecordedRun.of(settings, result, 4))
    assert "NaN" not in (tmp_path / "runs.jsonl").read_text()
    (run,) = read_runs(tmp_path / "runs.jsonl")
    assert run.settings == settings and run.record.status == "failed" and run.seconds == 1.0
    assert math.isnan(run.accuracy) and run.best_so_far() == []
    assert math.isnan(run.seconds_per_epoch) and run.seconds_to(0.1) == math.inf


def test_a_line_that_was_not_ended_stays_alone(recorded, tmp_path):
    path = tmp_path / "runs.jsonl"
    append_run(path, recorded(CURVE))
    path.write_text(path.read_text().rstrip("\n") + "\n\n" + '{"dataset": "dig')
    append_run(path, recorded(CURVE, seed=1))
    with pytest.raises(RunsError, match=r"runs\.jsonl, line 3: not JSON .*mend the line"):
        read_runs(path)
    path.write_text("\n".join(line for line in path.read_text().split("\n") if not line.endswith("dig")))
    assert [run.settings.seed for run in read_runs(path)] == [0, 1]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"record": {"budget_seconds": 0}}, "budget_seconds: 0 is not a number of seconds above 0"),
        ({"record": {"budget_seconds": True}}, "budget_seconds: True is not"),
        ({"dataset": ""}, "dataset: '' is not the name of a dataset"),
        ({"record": {"accuracy": 80}}, "accuracy: 80 is not a number from 0 to 1"),
        (
            {"record": {"regime": {"model": "m", "optimizer": "adam"}}},
            "regime: optimizer: 'adam' is not one of",
        ),
        ({"evaluations": []}, r"evaluations: \[\] is not a list of one or more evaluations"),
        (
            {"evaluations": [{"elapsed": 1, "epochs": 0, "val_accuracy": "x"}]},
            "evaluations, entry 1: {'elapsed'",
        ),
        ({"stages": -1}, "stages: -1 is not a whole number from 0"),
        ({"seed": 0.5}, "seed: 0.5 is not a whole number"),
        ({"record": {"seconds": math.inf}}, "seconds: inf is not a number of seconds"),
        ({"record": {"notes": [1]}}, "notes, entry 1: 1 is not a text"),
        ({"record": {"outcome": {"reason": "late"}}}, "outcome: reason: 'late' is not one of budget"),
        ({"record": "none"}, "record: 'none' is not an object"),
    ],
)
def test_a_record_that_is_wrong_says_where_and_what(recorded, tmp_path, change, message):
    path, run = tmp_path / "runs.jsonl", recorded(CURVE)
    wrong = run.to_json() | change
    if isinstance(change.get("record"), dict):
        wrong["record"] = run.to_json()["record"] | change["record"]
    path.write_text(json.dumps(run.to_json()) + "\n" + json.dumps(wrong) + "\n")
    with pytest.raises(RunsError, match=r"runs\.jsonl, line 2: " + message) as error:
        read_runs(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"[1, 2]", "line 1: .* is not an object"),
        (b'{"dataset": "digits"}', "line 1: no 'seed', a whole number"),
        (b"\xff\xfe", "line 1: not text in UTF-8"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b"PNG", "line 1: not JSON"),
    ],
)
def test_a_file_of_something_else(tmp_path, content, message):
    (tmp_path / "x.jsonl").write_bytes(content)
    with pytest.raises(RunsError, match=message):
        read_runs(tmp_path / "x.jsonl")


def test_no_file(tmp_path):
    with pytest.raises(RunsError, match="cannot be read"):
        read_runs(tmp_path / "none.jsonl")


@pytest.mark.parametrize("budget", [0, -1, math.nan, math.inf])
def test_budgets_are_positive(budget):
    with pytest.raises(RunsError, match=r"minutes: .* is not a positive number"):
        RunSettings("digits", FineTuneRegime("nano-a", input_size=16), budget)


def test_what_a_run_says(recorded):
    run = recorded(CURVE, epoch=0.5)
    assert run.best_so_far() == [(1.0, 0.2), (4.0, 0.6), (5.0, 0.6), (9.5, 0.8)]
    assert run.seconds_to(0.55) == 4.0 and run.seconds_to(0.9) == math.inf
    assert run.seconds_per_epoch == pytest.approx(0.5)
    assert not run.head_alone and recorded(CURVE, cut_to_head=True).head_alone


def test_labels_say_what_tells_lines_apart(recorded):
    runs = [
        recorded(CURVE),
        recorded(CURVE, seed=1),
        recorded(CURVE, dataset="shapes"),
        recorded(CURVE, frozen=2),
        recorded(CURVE, frozen=2, learning_rate=0.3),
        recorded(CURVE, model="/home/x/front.json#1", input_size=32),
    ]
    lines = lines_of(runs, ("budget",))
    assert {label: len(of_line) for label, of_line in lines.items()} == {
        "nano-a, learning rate 0.02, frozen stages 0": 3,
        "nano-a, learning rate 0.02, frozen stages 2": 1,
        "nano-a, learning rate 0.3, frozen stages 2": 1,
        "front.json#1": 1,
    }
    assert list(lines_of(runs[:4], ("frozen_stages",))) == ["nano-a"]
    assert shared(runs, "model", "weights", "budget") == ["from scratch", "10 s"]


def test_folders_are_called_by_their_last_part_where_that_says_which(recorded):
    titles = dataset_titles(
        [recorded(CURVE, dataset=name) for name in ("digits", "/a/cats", "/b/dogs", "/c/dogs", "digits")]
    )
    assert titles == {"digits": "digits", "/a/cats": "cats", "/b/dogs": "/b/dogs", "/c/dogs": "/c/dogs"}
