"""Trials that are carried out by copies of a process that has loaded all they need."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from nni_nasoa.plugin import warm_start

OPTIONS = ("--input-size", "16", "--epochs", "1", "--speed-repeats", "3", "--device", "cpu")
SMALL, OTHER, LONG = ({"architecture": encoding} for encoding in ("2-_8_1-2-2", "0-_8_1-2-2", "1-_8_1-2-2"))
WRONG = {"architecture": "9-_8_1-2"}


@pytest.fixture
def warm(trials_of, short):
    """Trials with a warm process of their own, which is there."""
    trials = trials_of("nni_nasoa.plugin.search_trial", *OPTIONS)
    environment = {"NASOA_WARM": "1", "TMPDIR": str(short)}

    class Warm:
        metrics = trials.metrics

        def start(self, *arguments, **more):
            return trials.start(*arguments, **{**environment, **more})

        def run(self, *arguments, **more):
            return trials.run(*arguments, **{**environment, **more})

        def sockets(self):
            return list(short.glob("nasoa-warm-*/*.sock"))

        def processes(self):
            """The warm process, and its copies."""
            return [one for one in psutil.process_iter(["cmdline"]) if str(short) in str(one.info["cmdline"])]

        def copies(self):
            return [
                one for one in self.processes() if one.ppid() in [other.pid for other in self.processes()]
            ]

        def wait(self, condition, seconds=90):
            deadline = time.monotonic() + seconds
            while not (found := condition()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            return found

    made = Warm()
    yield made
    for process in made.processes():
        process.kill()


@pytest.mark.slow
def test_later_trials_are_copies_of_a_warm_process(warm):
    done, metrics = warm.run("first", SMALL)
    assert done.returncode == 0, done.stderr
    assert [kind for kind, _ in metrics] == ["PERIODICAL", "FINAL"]
    warm.wait(warm.sockets)

    # Two at once, each with its own parameters, arguments, environment and streams; one of them fails.
    trials = [warm.start("second", OTHER, "--epochs", "2"), warm.start("third", WRONG)]
    warm.wait(warm.copies)
    (_, error), (_, second_error) = (trial.communicate() for trial in trials)
    assert [trial.returncode for trial in trials] == [0, 1], error
    assert second_error.startswith("search_trial: block layer 1: op '9' is not one of 0-6")
    assert [kind for kind, _ in warm.metrics("second")] == ["PERIODICAL"] * 2 + ["FINAL"]
    assert warm.metrics("second")[-1][1]["architecture"] == OTHER["architecture"]
    assert warm.metrics("third") == [] and not warm.copies()

    # A signal reaches the copy; and it ends with what NNI has started, however that ends.
    for number in (signal.SIGTERM, signal.SIGKILL):
        trial = warm.start(f"signal {number}", LONG, "--epochs", "100000")
        (copy,) = warm.wait(warm.copies)
        trial.send_signal(number)
        trial.communicate()
        assert trial.returncode == -number
        warm.wait(lambda copy=copy: not copy.is_running(), 5)

    # A copy that is killed, as where memory runs out, is told to NNI by the same end.
    trial = warm.start("killed", LONG, "--epochs", "100000")
    (copy,) = warm.wait(warm.copies)
    copy.kill()
    assert trial.wait() == -signal.SIGKILL

    # With the warm process goes what it carried out; a later trial runs by itself, and there is a new one.
    trial = warm.start("orphan", LONG, "--epochs", "100000")
    (copy,) = warm.wait(warm.copies)
    (process,) = [one for one in warm.processes() if one != copy]
    process.kill()
    _, error = trial.communicate()
    assert trial.returncode == 1
    assert error == "the warm process is gone, and the trial with it; NASOA_WARM=0 does without one\n"
    warm.wait(lambda: not copy.is_running() or copy.status() == psutil.STATUS_ZOMBIE, 5)
    done, metrics = warm.run("alone", SMALL | {"epochs": 1})
    assert done.returncode == 0 and [kind for kind, _ in metrics] == ["PERIODICAL", "FINAL"]
    assert warm.wait(warm.processes)[0].pid != process.pid


@pytest.mark.slow
def test_it_can_be_turned_off(warm):
    done, _ = warm.run("first", SMALL, NASOA_WARM="0")
    assert done.returncode == 0 and not warm.processes() and not warm.sockets()


@pytest.fixture
def under_nni(short, monkeypatch):
    """A process as NNI's local platform starts it."""
    monkeypatch.setenv("NNI_PLATFORM", "local")
    monkeypatch.delenv("NASOA_WARM", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    started = []
    monkeypatch.setattr(warm_start.subprocess, "Popen", lambda *arguments, **_: started.append(arguments))
    return started


def test_a_trial_without_a_warm_process_starts_one_and_runs_by_itself(under_nni):
    assert warm_start.run_warm("some.module") is None and len(under_nni) == 1


@pytest.mark.parametrize("mode", [0o755, 0o770])
def test_a_folder_that_others_may_write_to_or_read_is_not_used(under_nni, short, mode):
    (short / f"nasoa-warm-{os.getuid()}").mkdir()
    (short / f"nasoa-warm-{os.getuid()}").chmod(mode)
    assert warm_start.run_warm("some.module") is None and not under_nni


def test_a_link_in_its_place_is_not_used(under_nni, short, tmp_path):
    tmp_path.chmod(0o700)
    (short / f"nasoa-warm-{os.getuid()}").symlink_to(tmp_path)
    assert warm_start.run_warm("some.module") is None and not under_nni


def test_a_path_that_is_too_long_for_a_socket(under_nni, short, monkeypatch):
    (deep := short / ("d" * 90)).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    assert warm_start.run_warm("some.module") is None and not under_nni


@pytest.mark.parametrize("platform", ["remote", None])
def test_on_other_platforms_there_is_none(under_nni, short, monkeypatch, platform):
    monkeypatch.delenv("NNI_PLATFORM")
    if platform:
        monkeypatch.setenv("NNI_PLATFORM", platform)
    assert warm_start.run_warm("some.module") is None and not under_nni and not list(short.iterdir())


def test_a_socket_behind_which_nobody_answers_is_given_up(under_nni, short):
    warm_start.run_warm("some.module")
    key = Path(under_nni[0][0][3])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(key))
    assert warm_start.run_warm("some.module") is None and len(under_nni) == 2
