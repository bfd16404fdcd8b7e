from __future__ import annotations

import io
import json
from contextlib import redirect_stderr

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from nni_nasoa.finetune import Monitoring
from nni_nasoa.finetune.progress import BarInNotebook, LiveBar, Watcher, watching

RECORD = {"elapsed": 1.5, "val_accuracy": 0.5, "val_loss": 1.0, "train_loss": None, "learning_rate": 0.1}


def test_evaluations_are_there_as_soon_as_they_are_made(tmp_path):
    (tmp_path / "evaluations.jsonl").write_text("of an earlier run\n")
    with watching(10, tmp_path, Monitoring()) as watcher:
        watcher.evaluation(RECORD)
        assert json.loads((tmp_path / "evaluations.jsonl").read_text()) == RECORD
        watcher.evaluation(RECORD)
    assert len((tmp_path / "evaluations.jsonl").read_text().splitlines()) == 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_shows_time_loss_accuracy_and_notes(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    with redirect_stderr(terminal), watching(90, None, Monitoring(bar=None)) as watcher:
        watcher.step(12.34, 0.4567, 0.875)
        watcher.note("out of memory")
        watcher.step(12.35, 9.9, None)  # too soon to be shown
    shown = terminal.getvalue()
    assert (
        "0:12.3 / 1:30.0" in shown
        and "loss 0.457" in shown
        and "val 87.50%" in shown
        and "out of memory" in shown
    )
    assert "9.900" not in shown


def test_a_head_that_is_fitted_in_no_steps_is_shown_by_its_evaluation(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    with redirect_stderr(terminal), watching(90, None, Monitoring(bar=None)) as watcher:
        watcher.evaluation(RECORD)
    assert "0:01.5 / 1:30.0" in terminal.getvalue() and "val 50.00%" in terminal.getvalue()
    InteractiveShell.instance()
    with capture_output() as shown:
        bar = BarInNotebook(90)
        bar.evaluation(RECORD)
        bar.close()
    assert shown.outputs[-1].data["text/plain"] == "0:01.5 / 1:30.0  val 50.00%"


def test_there_is_no_bar_where_there_is_no_terminal():
    with redirect_stderr(io.StringIO()), watching(90, None, Monitoring(bar=None)) as watcher:
        assert not any(isinstance(w, LiveBar) for w in watcher.watchers)
        watcher.step(1, 1, 1)


def test_a_notebook_has_a_bar_of_its_own():
    InteractiveShell.instance()
    with capture_output() as shown:
        bar = BarInNotebook(90)
        bar.evaluation(RECORD)
        bar.step(12.34, 0.4567, 0.875)
        bar.close()
        bar.note("out of memory")
    assert shown.outputs[0].data["text/plain"] == "0:00.0 / 1:30.0  opening"
    assert shown.outputs[-1].data["text/plain"] == "0:12.3 / 1:30.0  loss 0.457  val 87.50%"
    assert shown.stderr == "out of memory\n"


def test_an_earlier_log_stays_until_there_is_something_new(tmp_path):
    (tmp_path / "evaluations.jsonl").write_text("of an earlier run\n")
    with watching(10, tmp_path, Monitoring()):
        pass
    assert (tmp_path / "evaluations.jsonl").read_text() == "of an earlier run\n"


def test_watchers_are_closed_when_a_run_fails(tmp_path):
    def fail():
        assert (tmp_path / "evaluations.jsonl").exists()
        raise KeyError

    with pytest.raises(KeyError), watching(10, tmp_path, Monitoring()):
        fail()
    assert not (tmp_path / "evaluations.jsonl").exists()  # which closing took away, as there is nothing in it


def test_a_run_without_an_evaluation_leaves_no_file_of_its_own(tmp_path):
    file = tmp_path / "evaluations.jsonl"
    with watching(10, tmp_path, Monitoring()):
        assert file.exists()
    assert not file.exists()
    file.write_text("of an earlier run\n")
    with watching(10, tmp_path, Monitoring()):
        pass
    assert file.read_text() == "of an earlier run\n"


class FullDisk(Watcher):
    """Can write but once."""

    name = "a log"

    def __init__(self):
        self.calls = 0

    def evaluation(self, record):
        self.calls += 1
        raise OSError(28, "No space left on device")

    note = step = evaluation


def test_one_that_can_write_no_more_costs_the_others_and_the_run_nothing(tmp_path):
    with watching(10, tmp_path, Monitoring()) as watcher:
        full = FullDisk()
        watcher.watchers.insert(0, full)
        for _ in range(3):
            watcher.evaluation(RECORD)
        assert full.calls == 1
        assert watcher.lost == ["a log cannot be written any more (No space left on device)"]
    assert len((tmp_path / "evaluations.jsonl").read_text().splitlines()) == 3
