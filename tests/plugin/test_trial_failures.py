"""Why trials failed, found in what they wrote, in a line for each reason."""

from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nni_nasoa.plugin.trial_failures import (
    ErrorFiles,
    TrialFailure,
    failure_lines,
    no_service_line,
    read_failures,
    reason_in,
)

MISSING = "has no module '{}' there; install the package for it, or name another Python in trialCommand"


@pytest.mark.parametrize(
    "written, reason",
    [
        ("", "it wrote nothing"),
        ("search_trial: 0-_8_1-2: out of memory\n", "search_trial: 0-_8_1-2: out of memory"),
        ("search_trial: x\nsys:1: ResourceWarning: unclosed file\n", "search_trial: x"),
        ("Traceback ...\n  File 'a'\nValueError: no\n\n", "ValueError: no"),
        (
            "Traceback ...\nModuleNotFoundError: No module named 'torch'\n",
            f"/opt/nasoa/bin/python3.11 {MISSING.format('torch')}",
        ),
        ("bash: /opt/python: No such file or directory", "bash: /opt/python: No such file or directory"),
    ],
)
def test_the_line_that_says_why(written, reason):
    assert reason_in(written, "CUDA=0 /opt/nasoa/bin/python3.11 -m nni_nasoa.plugin.search_trial") == reason


def test_what_python_itself_says_of_a_missing_package():
    done = subprocess.run(
        [sys.executable, "-m", "nni_nasoa_of_nobody.trial"], capture_output=True, text=True, check=False
    )
    assert reason_in(done.stderr) == f"its Python {MISSING.format('nni_nasoa_of_nobody')}"


@pytest.fixture
def experiment(tmp_path, new_database):
    (tmp_path / "e").mkdir()
    return new_database(tmp_path / "e", {"trialCommand": "python -m nni_nasoa.plugin.search_trial"})


def end(experiment, trial, event="FAILED", *, host=None, wrote=None):
    place = f"{host}:~/trials/{trial}" if host else f"/home/u/trials/{trial}"
    experiment.event(trial, "WAITING", 0, {}, place=place)
    experiment.event(trial, event, place=place)
    if wrote is not None:
        folder = experiment.folder / ("trials" if host else "environments/local-env/trials") / trial
        folder.mkdir(parents=True)
        (folder / "trial.stderr").write_text(wrote)


def test_alike_reasons_are_one_line_and_the_most_frequent_comes_first(experiment):
    end(experiment, "A", wrote="search_trial: 0-_8_1: the reason\n")
    for trial, network in (("B", "2-_8_1"), ("C", "3-_8_1")):
        end(experiment, trial, host="10.0.0.5", wrote=f"search_trial: {network}: dataset: nowhere\n")
    end(experiment, "D", host="10.0.0.5")
    end(experiment, "E", "USER_CANCELED", host="10.0.0.5")
    end(experiment, "F", "USER_CANCELED")
    end(experiment, "G", "SUCCEEDED")
    assert failure_lines(experiment.folder) == [
        "2 trials failed on 10.0.0.5; the first: search_trial: 2-_8_1: dataset: nowhere",
        "1 trial failed: search_trial: 0-_8_1: the reason",
        "1 trial failed on 10.0.0.5: what it wrote lies where it ran, and could not be fetched",
        "1 trial on 10.0.0.5 ended in the middle: the machine went down, or somebody killed the process",
        "1 trial ended in the middle: somebody killed the process",
    ]
    assert read_failures(experiment.folder)[0] == TrialFailure("A", None, "search_trial: 0-_8_1: the reason")


def test_many_reasons_are_few_lines(experiment):
    for number in range(9):
        end(experiment, f"T{number}", wrote=f"reason {number}\n")
    lines = failure_lines(experiment.folder)
    assert len(lines) == 6 and lines[-1] == "4 trials failed for other reasons"


def test_where_nni_could_not_begin(experiment):
    assert no_service_line(experiment.folder) is None
    (experiment.folder / "log").mkdir()
    (experiment.folder / "log" / "nnimanager.log").write_text(
        "[2026] ERROR Training srevice initialize failed: Error: SSH command failed: pip install\n    at x\n"
    )
    assert no_service_line(experiment.folder) == (
        "NNI could not begin on a machine: Error: SSH command failed: pip install"
    )


def test_a_manager_is_asked_once_for_what_failed_elsewhere(experiment, monkeypatch):
    asked = []

    class Manager(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if "A" in self.path else 500)
            self.end_headers()

        def log_message(self, *args):
            pass

    end(experiment, "A", host="10.0.0.5")
    end(experiment, "B", host="10.0.0.5")
    end(experiment, "C", host="10.0.0.5", wrote="there")
    end(experiment, "D", "USER_CANCELED", host="10.0.0.5")
    end(experiment, "E")
    files = ErrorFiles(experiment.folder)
    files.fetch()
    assert not asked  # this is no dispatcher
    with ThreadingHTTPServer(("localhost", 0), Manager) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("SDK_PROCESS", "dispatcher")
        monkeypatch.setenv("NNI_TUNER_COMMAND_CHANNEL", f"ws://localhost:{server.server_port}/prefix/tuner")
        files = ErrorFiles(experiment.folder)
        for _ in range(2):
            files.fetch()
        ErrorFiles(None).fetch()
        server.shutdown()
    assert asked == [f"/prefix/api/v1/nni/trial-file/{trial}/stderr" for trial in "AB"]
