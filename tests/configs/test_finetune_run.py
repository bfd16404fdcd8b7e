"""The advisor's experiments, run for real with short budgets and two networks."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.finetune import load_classifier
from nni_nasoa.plugin.classifiers import read_list
from nni_nasoa.plugin.experiments import read_results, read_status

pytestmark = pytest.mark.slow

ZOO = "nano-a,nano-b"


@pytest.fixture
def advised(reduced_config, tmp_path):
    """A function that gives one of the advisor's configs with short runs, and a store of its own."""

    def make(name: str, folder: Path = tmp_path, class_args=None, **changes) -> dict:
        config = reduced_config(name, folder, options="", **changes)
        known = {"zoo": ZOO, "device": "cpu", "store": str(tmp_path / "store.db"), **(class_args or {})}
        config["tuner"]["classArgs"] = {**config["tuner"]["classArgs"], **known}
        return config

    return make


def check(experiment, store: ExperienceStore, runs: int, *, killed: bool = False) -> list[dict]:
    """Whether each result is a run that is recorded, with a classifier that is listed; the runs' results.

    Where NNI's manager was killed, its database may lack a result that the advisor had already.
    """
    results = [result for result in read_results(experiment.folder) if "survey" not in result]
    records = {record.id: record for record in store.records()}
    assert len(results) == len(records) == runs
    for result in results:
        record = records[json.loads(result["record"])["id"]]
        assert (record.status, record.source, record.accuracy) == ("ok", "nni", result["default"])
        assert record.profile["classes"] and record.predicted and record.regime["model"] in ZOO
    listed = {entry["run"]: entry["classifier"] for entry in read_list(experiment.folder)}
    reported = {result["run"]: result["classifier"] for result in results}
    assert len(listed) == runs and (reported.items() <= listed.items() if killed else reported == listed)
    return results


def test_the_quick_start_runs_to_its_end(nnictl, advised, tmp_path):
    config = advised("finetune.yml", class_args={"minutes": 0.2, "alternatives": 2, "output": "classifiers"})
    experiment = nnictl.create(config)
    experiment.wait_done(500)
    store = ExperienceStore(tmp_path / "store.db")
    results = check(experiment, store, 3)
    assert {result["run"] for result in results} == {
        "1-digits-1",
        "1-digits-2",
        "1-digits-3",
    } and read_status(experiment.folder)["trials"] == 3
    for result in results:
        assert Path(result["classifier"]) == tmp_path / "classifiers" / experiment.id / result["run"]
        assert load_classifier(result["classifier"]).metrics["val_accuracy"] == result["accuracy"]
    curves = [metric for metric in experiment.rest("/metric-data") if metric["type"] == "PERIODICAL"]
    assert len({metric["trialJobId"] for metric in curves}) == 3


def test_after_kill_9_and_resume_nothing_is_lost_or_recorded_twice(nnictl, advised, tmp_path):
    config = advised("finetune.yml", class_args={"minutes": 0.2, "alternatives": 3})
    experiment = nnictl.create(config)
    experiment.wait(lambda: len(read_results(experiment.folder)) >= 1, 400)
    dispatcher = experiment.dispatcher
    experiment.kill_manager()
    psutil.wait_procs([dispatcher], timeout=10)
    assert not dispatcher.is_running()
    before = {result["run"]: result["record"] for result in read_results(experiment.folder)}

    experiment = nnictl.resume(experiment)
    experiment.wait_done(500)
    results = check(experiment, ExperienceStore(tmp_path / "store.db"), 4, killed=True)
    after = {result["run"]: result["record"] for result in results}
    assert before.items() <= after.items()
    assert {entry["run"] for entry in read_list(experiment.folder)} == {
        f"1-digits-{number}" for number in range(1, 5)
    }


def test_the_stream_takes_its_tasks_one_after_the_other(nnictl, advised, tmp_path, written):
    """One of them is a table, by a path that begins where the config is."""
    listed = f"{written('csv').relative_to(tmp_path)}?label=label"
    tasks = [{"dataset": "task:flags", "minutes": 0.5}, {"dataset": listed, "minutes": 0.25}]
    experiment = nnictl.create(advised("finetune_stream.yml", class_args={"tasks": tasks}))
    experiment.wait_done(500)
    results = check(experiment, ExperienceStore(tmp_path / "store.db"), 2)
    assert [(result["run"], result["minutes"]) for result in results] == [
        ("1-task-flags-1", 0.5),
        ("2-images.csv-label-label-1", 0.25),
    ]


def test_a_failing_dataset_ends_the_experiment_with_one_line(nnictl, advised, tmp_path):
    experiment = nnictl.create(advised("finetune.yml", class_args={"dataset": "nowhere"}))
    log = experiment.folder / "log" / "nnictl_stderr.log"
    experiment.wait(
        lambda: "OnlineAdvisor: " in log.read_text(), 120
    ) if experiment.status != "ERROR" else None
    lines = [line for line in log.read_text().splitlines() if line.startswith("OnlineAdvisor: ")]
    assert len(lines) == 1 and "task 1, nowhere: dataset: " in lines[0]


def test_trials_on_another_machine_by_ssh(nnictl, sshd, advised, tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "notes.txt").write_text("NNI does not upload an empty folder")
    config = advised(
        "finetune_remote.yml", code, {"minutes": 0.25, "alternatives": 1}, nniManagerIp="127.0.0.1"
    )
    machine = sshd.machine()
    assert {*machine} == {*config["trainingService"]["machineList"][0]}
    config["trainingService"]["machineList"] = [machine]
    experiment = nnictl.create(config)
    experiment.wait_done(500)
    results = check(experiment, ExperienceStore(tmp_path / "store.db"), 2)
    assert len([result for result in read_results(experiment.folder) if "survey" in result]) == 1
    for entry in read_list(experiment.folder):
        host, _, path = entry["classifier"].partition(":")
        assert (
            host == "127.0.0.1"
            and str(sshd.home) in path
            and load_classifier(path).metrics["val_accuracy"] == entry["accuracy"]
        )
        assert entry["fetch"].startswith(
            f"scp -r -P {sshd.port} -i {sshd.key_file} {sshd.user}@127.0.0.1:{path} "
        )
    assert {result["run"] for result in results} == {"1-digits-1", "1-digits-2"}
