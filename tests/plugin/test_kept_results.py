from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nni_nasoa.architecture import Architecture
from nni_nasoa.plugin.kept_results import KeptResults
from nni_nasoa.plugin.search_trial import SearchTrialSettings, identity

SMALL = "2-_8_1-2-2"


@pytest.mark.parametrize(
    "layout, results",
    [
        (
            "nni-experiments/ID/environments/local-env/trials/T",
            "nni-experiments/ID/environments/local-env/results",
        ),
        ("nni-experiments/ID/trials/T", "nni-experiments/ID/results"),
    ],
)
def test_where_results_are_kept(tmp_path, layout, results):
    folder = tmp_path / layout
    assert (
        KeptResults.of_experiment(
            {"NNI_SYS_DIR": str(folder), "NNI_OUTPUT_DIR": str(folder / "nnioutput")}
        ).folder
        == tmp_path / results
    )
    assert KeptResults.of_experiment({"NNI_OUTPUT_DIR": str(folder)}).folder == tmp_path / results
    assert KeptResults.of_experiment({"NNI_SYS_DIR": str(tmp_path)}).folder is None
    assert KeptResults.of_experiment({}).folder is None


def test_kept_results_are_found_by_all_that_they_depend_on(tmp_path):
    kept, settings = KeptResults(tmp_path / "results"), SearchTrialSettings(epochs=3)
    wanted = identity(Architecture.parse(SMALL), settings)
    assert kept.find(wanted) is None
    record = {"default": 0.5, "accuracy": 0.5, **wanted}
    kept.keep(record)
    assert kept.find(wanted) == record and len(list(kept.folder.iterdir())) == 1
    assert kept.find(identity(Architecture.parse(SMALL), SearchTrialSettings(epochs=4))) is None
    assert kept.find(identity(Architecture.parse("2-_8_1-2-4"), settings)) is None
    for content in ("", "{", "[]", "null", "7"):
        next(kept.folder.iterdir()).write_text(content)
        assert kept.find(wanted) is None
    kept.keep(record)
    assert kept.find(wanted) == record


def test_results_that_cannot_be_kept_are_still_reported(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    KeptResults(tmp_path / "file").keep({"architecture": SMALL})
    assert "could not be kept" in capsys.readouterr().err
    KeptResults(None).keep({"architecture": SMALL})
    assert KeptResults(None).find({"architecture": SMALL}) is None


def test_one_trial_at_a_time_evaluates_an_architecture(tmp_path):
    hold = (
        "import sys\nfrom pathlib import Path\nfrom nni_nasoa.plugin.kept_results import KeptResults\n"
        f"with KeptResults(Path({str(tmp_path / 'results')!r})).claimed({SMALL!r}):\n    print('ready', "
        "flush=True)\n    sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    kept, entered = KeptResults(tmp_path / "results"), threading.Event()

    def claim():
        with kept.claimed(SMALL):
            entered.set()

    try:
        assert other.stdout.readline() == "ready\n"
        with kept.claimed("020-_8_1"):  # another one is free
            waiting = threading.Thread(target=claim, daemon=True)
            waiting.start()
            assert not entered.wait(0.5)
        other.kill()  # whoever dies leaves nothing claimed
        assert entered.wait(30)
        waiting.join(30)
    finally:
        other.kill()
        other.communicate()


def test_where_nothing_can_be_claimed_nobody_waits(tmp_path):
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file"):
        with KeptResults(folder).claimed(SMALL), KeptResults(folder).claimed(SMALL):
            pass


class Manager:
    """The channel that NNI's manager keeps for a trial; `mortal` is gone as soon as the
    trial has its parameters.
    """

    def __init__(self, mortal: bool):
        self.metrics = metrics = []
        manager = self

        class Channel(BaseHTTPRequestHandler):
            def do_GET(self):
                parameter = json.dumps({"parameter_id": 1, "parameters": {"architecture": SMALL}})
                self.answer(json.dumps({"type": "parameter", "parameter": parameter}).encode())
                if mortal:
                    threading.Thread(target=manager.close).start()

            def do_PUT(self):
                command = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if command["type"] == "metric":
                    metric = json.loads(command["metric"])
                    metrics.append((metric["type"], json.loads(metric["value"])))
                self.answer(b"")

            def answer(self, body):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Channel)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def run(self, folder):
        url = f"http://127.0.0.1:{self.server.server_port}/env/local-env/T"
        env = {
            **os.environ,
            "NNI_PLATFORM": "local",
            "NNI_EXP_ID": "E",
            "NNI_TRIAL_JOB_ID": "T",
            "NNI_TRIAL_SEQ_ID": "0",
            "OMP_NUM_THREADS": "1",
            "NNI_SYS_DIR": str(folder),
            "NNI_OUTPUT_DIR": str(folder),
            "NNI_TRIAL_COMMAND_CHANNEL": url,
        }
        options = ["--input-size", "16", "--epochs", "2", "--speed-repeats", "3", "--device", "cpu"]
        return subprocess.run(
            [sys.executable, "-m", "nni_nasoa.plugin.search_trial", *options],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )


def test_what_a_trial_works_out_after_its_manager_was_killed_is_not_lost(tmp_path):
    folder = tmp_path / "trials" / "T"
    folder.mkdir(parents=True)
    done = Manager(mortal=True).run(folder)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 2, done.stderr
    assert [line.startswith("search_trial: accuracy 0.") for line in lines] == [True, False]
    assert lines[1].startswith("search_trial: NNI's manager does not answer: ")

    resumed = Manager(mortal=False)
    try:
        done = resumed.run(folder)
    finally:
        resumed.close()
    assert done.returncode == 0, done.stderr
    # Nothing was trained again: the last epoch is told with the result.
    (_, last), (kind, record) = resumed.metrics
    assert (
        kind == "FINAL"
        and last["accuracy"] == record["accuracy"]
        and record["architecture"] == SMALL
        and record["accuracy"] > 0.1
    )
