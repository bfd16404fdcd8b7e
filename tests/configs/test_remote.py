"""Searches on machines by ssh: two of them, one that goes down, and ones on which something is missing."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import psutil
import pytest

from nni_nasoa.plugin.experiments import read_results, read_status

pytestmark = pytest.mark.slow


@pytest.fixture
def remote_search(reduced_config, tmp_path):
    """A function that gives the config of a search on some machines."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "notes.txt").write_text("NNI does not upload an empty folder")

    def make(*machines: dict, **changes) -> dict:
        config = reduced_config("search_remote.yml", code, **{"nniManagerIp": "127.0.0.1", **changes})
        assert {tuple(machine) for machine in config["trainingService"]["machineList"]} == {
            tuple(machine) for machine in machines
        }
        config["trainingService"]["machineList"] = list(machines)
        return config

    return make


@pytest.fixture
def nasoa_report(nnictl, tmp_path):
    """A function that runs `nasoa report` as a user does: its exit status, and what it printed."""

    def run() -> tuple[int, str]:
        command = [sys.executable, "-m", "nni_nasoa.cli", "report", "latest", "-o", str(tmp_path / "report")]
        done = subprocess.run(
            command,
            env=nnictl.env | {"COLUMNS": "400"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_a_search_on_two_machines_by_ssh(nnictl, sshd, remote_search):
    machines = [sshd.machine(host=host) for host in ("127.0.0.1", "localhost")]
    experiment = nnictl.create(remote_search(*machines, maxTrialNumber=4))
    experiment.wait_done(400)
    results = read_results(experiment.folder)
    assert (
        len({result["architecture"] for result in results}) == 4
        and read_status(experiment.folder)["succeeded"] == 4
    )
    workers = list((sshd.home / "nni-experiments" / experiment.id / "environments").iterdir())
    assert len(workers) == 2 and all(list((worker / "trials").iterdir()) for worker in workers)
    experiment.stop()


def test_a_machine_that_goes_down_in_the_middle_of_a_trial(nnictl, new_sshd, remote_search, nasoa_report):
    there, gone = new_sshd(), new_sshd()
    # Trials of so many epochs are still running when they are looked at, on a fast machine, too.
    config = remote_search(there.machine(), gone.machine(), maxTrialNumber=6, options="--epochs 15")
    experiment = nnictl.create(config)

    def trial_without_result():
        """A trial's process on the machine that will be gone, after the first results."""
        known = {result["trial_id"] for result in read_results(experiment.folder)}
        return len(known) >= 2 and [
            process
            for process in gone.processes()
            if "nni_nasoa.plugin.search_trial" in process.cmdline()
            and process.environ()["NNI_TRIAL_JOB_ID"] not in known
            and time.time() - process.create_time() > 4  # it has its parameters
        ]

    (trial,) = experiment.wait(trial_without_result, 300)
    lost = trial.environ()["NNI_TRIAL_JOB_ID"]
    gone.kill(hung=True)
    before = {result["architecture"]: result for result in read_results(experiment.folder)}
    experiment.wait_done(300)

    after = {result["architecture"]: result for result in read_results(experiment.folder)}
    status = read_status(experiment.folder)
    assert before.items() <= after.items()
    assert (status["trials"], status["succeeded"], status["canceled"]) == (6, 5, 1)  # as NNI counts
    events = [
        json.loads(line)
        for line in (experiment.folder / "checkpoint" / "evolution.jsonl").read_text().splitlines()
    ]

    def named(kind):
        return [event["parameters"]["architecture"] for event in events if event["event"] == kind]

    # What was lost is found, and asked for once more while there are trials left. Nothing counts as failed,
    # unless until its result comes, where trials took each other's parameters.
    assert set(named("told")) == set(after) and set(named("failed")) <= set(after)
    (lost,) = named("lost")
    assert lost in named("told") or named("asked").count(lost) == 1
    assert len(set(named("asked"))) == len(named("asked")) - (named("asked").count(lost) - 1)
    status, output = nasoa_report()
    assert status == 0 and f"{len(after)} evaluated" in output
    line = "1 trial on 127.0.0.1 ended in the middle: the machine went down, or somebody killed the process"
    assert [one.strip() for one in output.splitlines()].count(line) == 1


@pytest.fixture
def bare_python(tmp_path):
    """A Python without any packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    return tmp_path / "bare" / "bin" / "python"


def failed(experiment, nasoa_report) -> list[str]:
    """The lines on trials in the report of an experiment of which nothing came."""
    experiment.wait_done(300)
    assert read_status(experiment.folder)["failed"] == 2
    status, output = nasoa_report()
    first, *lines = output.splitlines()
    assert (
        status == 1
        and first.startswith("Error: ")
        and "no results yet (trials: 0 succeeded, 2 failed)" in first
    )
    return lines


def test_a_python_without_the_package_there(nnictl, sshd, remote_search, bare_python, nasoa_report):
    config = remote_search(sshd.machine(), sshd.machine(host="localhost"), maxTrialNumber=2)
    command = config["trialCommand"].replace(sys.executable, str(bare_python))
    config["trialCommand"] = f"env -u PYTHONPATH {command}"
    lines = failed(nnictl.create(config), nasoa_report)
    why = f"{bare_python} has no module 'nni_nasoa' there; install the package for it, or name another Python"
    why += " in trialCommand"
    assert sorted(lines) == [f"1 trial failed on 127.0.0.1: {why}", f"1 trial failed on localhost: {why}"]


def test_a_dataset_that_is_not_there(nnictl, sshd, remote_search, nasoa_report):
    config = remote_search(sshd.machine(), sshd.machine(), maxTrialNumber=2)
    config["trialCommand"] += " --dataset /data/nowhere"
    (line,) = failed(nnictl.create(config), nasoa_report)
    assert line.startswith("2 trials failed on 127.0.0.1; the first: search_trial: ")
    assert "dataset: '/data/nowhere' is neither a folder nor a known name" in line


def test_a_python_without_nni_as_the_machine_s_own(nnictl, sshd, remote_search, bare_python, nasoa_report):
    """NNI ends by itself then, before the first trial."""
    experiment = nnictl.create(
        remote_search(sshd.machine(), sshd.machine(pythonPath=str(bare_python.parent)))
    )
    psutil.wait_procs([experiment.manager], timeout=120)
    status, output = nasoa_report()
    first, line = output.splitlines()
    assert status == 1 and "no results yet" in first
    assert line.startswith("NNI could not begin on a machine: ") and "pip install nni" in line
