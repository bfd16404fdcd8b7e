from __future__ import annotations

import io
import json
import sys

import pytest

from nni_nasoa.finetune import FineTuneError
from nni_nasoa.finetune.progress import LiveBar, watching

RECORD = {"elapsed": 1.5, "val_accuracy": 0.5, "val_loss": 1.0, "train_loss": None, "learning_rate": 0.1}


def test_evaluations_are_there_as_soon_as_they_are_made(tmp_path):
    (tmp_path / "evaluations.jsonl").write_text("of an earlier run\n")
    with watching(10, tmp_path, False, None) as watcher:
        watcher.evaluation(RECORD)
        assert json.loads((tmp_path / "evaluations.jsonl").read_text()) == RECORD
        watcher.evaluation(RECORD)
    assert len((tmp_path / "evaluations.jsonl").read_text().splitlines()) == 2


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_shows_time_loss_accuracy_and_notes(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with watching(90, None, None, None) as watcher:
        watcher.step(12.34, 0.4567, 0.875)
        watcher.note("out of memory")
        watcher.step(12.35, 9.9, None)  # too soon to be shown
    shown = terminal.getvalue()
    assert "0:12.3 / 1:30.0" in shown and "loss 0.457" in shown and "val 87.50%" in shown and "out of memory" in shown
    assert "9.900" not in shown


def test_there_is_no_bar_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with watching(90, None, None, None) as watcher:
        assert not any(isinstance(w, LiveBar) for w in watcher.watchers)
        watcher.step(1, 1, 1)


def test_tensorboard_missing_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(FineTuneError, match="pip install tensorboard"):
        with watching(10, tmp_path, False, tmp_path / "log"):
            pass


def test_watchers_are_closed_when_a_run_fails(tmp_path):
    with pytest.raises(KeyError):
        with watching(10, tmp_path, False, None) as watcher:
            raise KeyError
    with pytest.raises(ValueError):
        watcher.evaluation(RECORD)
