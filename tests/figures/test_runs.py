import dataclasses
import json
import math

import pytest

from nni_nasoa.figures.runs import RunsError, RunSettings, append_run, read_runs
from nni_nasoa.figures.series import dataset_titles, lines_of, shared
from nni_nasoa.training.regime import FineTuneRegime

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
    assert (line["model"], line["seed"], line["budget"], line["weights"]) == ("2-_8_2-1-1", 3, 10.0, "/w.pth")
    assert line["regime"]["learning_rate"] == 0.3
    assert line["evaluations"][0] == {"elapsed": 1.0, "epochs": 0.0, "val_accuracy": 0.2}


def test_what_was_not_measured_is_null(recorded, tmp_path):
    nothing = ({"elapsed": 1.0, "epochs": 0.0, "val_accuracy": math.nan, "train_loss": math.inf},)
    append_run(
        tmp_path / "runs.jsonl", dataclasses.replace(recorded(CURVE), accuracy=math.nan, evaluations=nothing)
    )
    assert "NaN" not in (tmp_path / "runs.jsonl").read_text()
    (run,) = read_runs(tmp_path / "runs.jsonl")
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
        ({"budget": 0}, '"budget" is 0, not a positive number of seconds'),
        ({"budget": True}, '"budget" is true'),
        ({"dataset": ""}, '"dataset" is ""'),
        ({"accuracy": 80}, '"accuracy" is 80, not from 0 to 1'),
        ({"regime": {"optimizer": "adam"}}, "\"regime\": optimizer: 'adam' is not one of"),
        ({"evaluations": []}, r'"evaluations" is \[\]'),
        ({"evaluations": [{"elapsed": 1, "epochs": 0, "val_accuracy": "x"}]}, '"evaluations" is'),
        ({"frozen_stages": -1}, '"frozen_stages" is -1'),
        ({"seconds": math.inf}, '"seconds" is Infinity'),
        ({"notes": [1]}, '"notes"'),
    ],
)
def test_a_record_that_is_wrong_says_where_and_what(recorded, tmp_path, change, message):
    path, run = tmp_path / "runs.jsonl", recorded(CURVE)
    path.write_text(json.dumps(run.to_json()) + "\n" + json.dumps(run.to_json() | change) + "\n")
    with pytest.raises(RunsError, match=r"runs\.jsonl, line 2: " + message) as error:
        read_runs(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"[1, 2]", "line 1: .* is not an object"),
        (b'{"dataset": "digits"}', 'line 1: no "model", the name of a model'),
        (b"\xff\xfe", "not text in UTF-8"),
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
    with pytest.raises(RunsError, match="minutes: .* is not a positive number"):
        RunSettings("digits", FineTuneRegime("nano-a", input_size=16), budget)


def test_what_a_run_says(recorded):
    run = recorded(CURVE, epoch=0.5)
    assert run.best_so_far() == [(1.0, 0.2), (4.0, 0.6), (5.0, 0.6), (9.5, 0.8)]
    assert run.seconds_to(0.55) == 4.0 and run.seconds_to(0.9) == math.inf
    assert run.seconds_per_epoch == pytest.approx(0.5)
    assert not run.head_alone and recorded(CURVE, frozen_at_end=4).head_alone
    assert not recorded(CURVE, frozen=9, frozen_at_end=4).head_alone


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
