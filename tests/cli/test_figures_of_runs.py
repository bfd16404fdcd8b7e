import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from nni_nasoa.cli import main
from nni_nasoa.data import Dataset
from nni_nasoa.figures.make_runs import plan
from nni_nasoa.figures.runs import append_run, read_runs
from nni_nasoa.finetune import finetune

TINY = "2-_8_2-1-1"  # three stages
SHORT = ("--model", TINY, "--dataset", "digits", "--weights", "none", "--input-size", 16, "--device", "cpu")
CURVE = [(1.0, 0.2), (5.0, 0.6), (10.0, 0.8)]


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """Run a figure's command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(main, ["figures", *map(str, arguments)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def runs_made(monkeypatch):
    """What is fine-tuned, warm-up included: (model, frozen stages, seed, seconds)."""
    made = []

    def noted(dataset, regime, minutes, *, seed, **options):
        made.append((regime.model, regime.frozen_stages, seed, round(60 * minutes, 6)))
        return finetune(dataset, regime, minutes, seed=seed, **options)

    monkeypatch.setattr("nni_nasoa.finetune.finetune", noted)  # runs to warm up are recorded nowhere
    return made


@pytest.mark.slow
def test_freezing_makes_what_is_missing_and_draws(figures, runs_made):
    first = figures("freezing", *SHORT, "--minutes", 1.5 / 60, "--seeds", 1)
    assert first.exit_code == 0, first.output
    runs = read_runs("freezing.jsonl")
    stages = runs[0].stages
    assert runs_made == [(TINY, 0, 0, 1.0), *((TINY, k, 0, 1.5) for k in range(stages + 1))] and stages >= 2
    assert [run.settings.regime.frozen_stages for run in runs] == list(range(stages + 1))
    assert all(
        0 < run.accuracy <= 1 and run.settings.weights is None and run.environment["torch"] for run in runs
    )
    assert Image.open("freezing.png").width > 1000
    lines = first.output.splitlines()
    assert lines[0] == f"{stages + 1} runs to make, in about {1.5 * (stages + 1):g} s"
    assert lines[1].startswith(f"run 1 of {stages + 1}: {TINY} on digits, 1.5 s, seed 0: ")
    assert lines[1].endswith(f"about {1.5 * stages:g} s left")
    assert lines[-1] == f"written to freezing.png, from the {stages + 1} runs in freezing.jsonl"

    del runs_made[:]
    kept = Path("freezing.jsonl").read_text().splitlines(keepends=True)
    Path("freezing.jsonl").write_text("".join(kept[:-1]))  # interrupted before the last one
    again = figures("freezing", *SHORT, "--minutes", 1.5 / 60, "--seeds", 1)
    assert again.exit_code == 0 and "1 runs to make" in again.output
    assert runs_made == [(TINY, stages, 0, 1.0), (TINY, stages, 0, 1.5)]
    assert Path("freezing.jsonl").read_text().startswith("".join(kept[:-1]))
    assert len(read_runs("freezing.jsonl")) == stages + 1

    del runs_made[:]
    assert figures("freezing", *SHORT, "--minutes", 1.5 / 60, "--seeds", 1).exit_code == 0 and runs_made == []


def test_along_time_of_two_models(figures, runs_made):
    Path("r.yml").write_text("model: nano-a\nbatch_size: 48\nlearning_rate: 0.5\n")
    result = figures(
        "along-time",
        *SHORT,
        "--model",
        "0-_8_2-1-1",
        "--minutes",
        1.5 / 60,
        "--seeds",
        1,
        "-o",
        "x.svg",
        "--records",
        "r.jsonl",
        "--regime",
        "r.yml",
        "--learning-rate",
        0.05,
    )
    assert result.exit_code == 0, result.output
    assert {
        (run.settings.regime.batch_size, run.settings.regime.learning_rate) for run in read_runs("r.jsonl")
    } == {(48, 0.05)}
    assert [run.settings.regime.model for run in read_runs("r.jsonl")] == [TINY, "0-_8_2-1-1"]
    assert runs_made == [
        (TINY, 0, 0, 1.0),
        ("0-_8_2-1-1", 0, 0, 1.0),
        (TINY, 0, 0, 1.5),
        ("0-_8_2-1-1", 0, 0, 1.5),
    ]
    assert "<svg" in Path("x.svg").read_text()


@pytest.fixture
def records(recorded, tmp_path):
    """A file of recorded runs: two datasets, two models (one with every number of frozen stages),
    a run that is there twice.
    """
    append_run(tmp_path / "r.jsonl", recorded(CURVE))
    for dataset in ("digits", "/elsewhere/cats"):
        for frozen in range(5):
            append_run(tmp_path / "r.jsonl", recorded(CURVE, dataset=dataset, frozen=frozen))
        append_run(tmp_path / "r.jsonl", recorded(CURVE, dataset=dataset, model="nano-b", budget=20.0))
    return tmp_path / "r.jsonl"


@pytest.mark.parametrize(
    "arguments, count",
    [
        ([], 12),
        (["--dataset", "digits"], 6),
        (["--dataset", "cats"], 6),
        (["--model", "nano-a", "--dataset", "digits"], 5),
        (["--no-run", "--minutes", 10 / 60], 10),
    ],
)
@pytest.mark.parametrize("command", ["freezing", "along-time"])
def test_recorded_runs_are_drawn_without_running(figures, records, runs_made, command, arguments, count):
    result = figures(command, "--records", records, *arguments)
    assert result.exit_code == 0 and f"from the {count} runs in" in result.output, result.output
    assert runs_made == [] and Path(f"{command}.png").exists()


@pytest.mark.parametrize(
    "arguments, right",
    [
        (["--dataset", "dogs"], "no runs with --dataset dogs; there are digits, /elsewhere/cats"),
        (["--model", "nano-c"], "there are nano-a, nano-b"),
        (["--no-run", "--minutes", 1], "no runs with --minutes 1.0"),
        (["--records", "none.jsonl"], "none.jsonl: no such file"),
        (["--records", "empty.jsonl"], "empty.jsonl: there are no runs"),
        (["--records", "broken.jsonl"], "broken.jsonl, line 2: not JSON"),
        (["--model", "nano-b"], "no runs of a model with different frozen stages"),
    ],
)
def test_records_that_do_not_do_are_one_line(figures, records, arguments, right):
    Path("empty.jsonl").touch()
    Path("broken.jsonl").write_text(records.read_text().splitlines()[0] + "\n{\n")
    result = figures("freezing", "--records", records, *arguments)
    assert result.exit_code == 1 and result.output.startswith("Error: ") and right in result.output
    assert len(result.output.splitlines()) == 1 and not Path("freezing.png").exists()


@pytest.mark.parametrize(
    "arguments, right",
    [
        (["--model", "nano-zz"], "no model 'nano-zz'"),
        (["--dataset", "flower"], "neither a folder"),
        (["-o", "x.doc"], "the suffix '.doc'"),
        (["-o", "none/x.png"], "there is no folder none"),
        (["--minutes", 0], "minutes: 0 is not"),
        (["--minutes", "nan"], "minutes: nan is not"),
        (["--device", "gpu"], "device: 'gpu'"),
        (["--weights", "x.pth"], "x.pth: no such file"),
        (["--weights", "default"], "no pretrained weights"),
        (["--input-size", 2], "input size 2 is too small"),
        (["--learning-rate", -1], "learning_rate: -1.0"),
        (["--regime", "none.yml"], "none.yml: cannot be read"),
        (["--records", "broken.jsonl"], "broken.jsonl, line 1"),
        (["--records", "."], "is a directory"),
        (["--records", "none/r.jsonl"], "No such file or directory: 'none/r.jsonl'"),
        (["--seeds", 0], "0 is not in the range"),
        (["--target", 101], "101.0 is not in the range"),
    ],
)
def test_what_is_wrong_is_said_before_any_run(figures, tmp_path, arguments, right):
    (tmp_path / "broken.jsonl").write_text("{}")
    known = [*SHORT, "--minutes", 1]
    if arguments[0] in known and arguments[0] != "--minutes":  # a wrong one in place of the right one
        del known[known.index(arguments[0]) : known.index(arguments[0]) + 2]
    result = figures("freezing", *known, *arguments)
    assert result.exit_code in (1, 2) and right in result.output and "run 1 of" not in result.output
    assert result.exit_code == 2 or (
        result.output.startswith("Error: ") and len(result.output.splitlines()) == 1
    )
    assert not Path("freezing.png").exists() and not Path("freezing.jsonl").exists()


def test_runs_need_a_dataset_and_a_model(figures):
    assert "Missing option '--dataset'" in figures("along-time", "--model", TINY, "--minutes", 1).output
    assert "Missing option '--model'" in figures("along-time", "--dataset", "digits", "--minutes", 1).output


def test_ctrl_c_keeps_what_is_recorded(tmp_path):
    command = [
        sys.executable,
        "-m",
        "nni_nasoa.cli",
        "figures",
        "freezing",
        *map(str, SHORT),
        "--minutes",
        str(2 / 60),
        "--seeds",
        "1",
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    path = tmp_path / "freezing.jsonl"
    try:
        while not (path.exists() and path.stat().st_size) and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    runs = read_runs(path)
    assert process.returncode == 130 and len(runs) == 1
    last = (
        f"interrupted: 1 of {runs[0].stages + 1} runs are recorded in freezing.jsonl; "
        "the same command goes on from there"
    )
    assert output.splitlines()[-1] == last
    assert not (tmp_path / "freezing.png").exists()


def test_folders_and_front_files_are_known_by_their_path(tmp_path, monkeypatch):
    (tmp_path / "cats").mkdir()
    (tmp_path / "front.json").write_text(
        json.dumps(
            {
                "format": "nni-nasoa front",
                "version": 1,
                "networks": [{"architecture": TINY, "accuracy": 0.5, "relative_speed": 1.0}],
            }
        )
    )
    monkeypatch.chdir(tmp_path)
    from nni_nasoa.training.regime import FineTuneRegime

    (settings,) = plan(
        [Dataset("cats")], [FineTuneRegime("front.json#1")], [5.0], 1, device="cpu", weights="w.pth"
    )
    assert (
        settings.dataset == str(tmp_path / "cats")
        and settings.regime.model == str(tmp_path / "front.json") + "#1"
    )
    assert (
        settings.weights == str(tmp_path / "w.pth")
        and settings.regime.input_size == 224
        and "thread" in settings.device
    )
