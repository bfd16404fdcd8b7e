"""An advice that NNI carries out."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.advice import Limits
from nni_nasoa.data import Dataset
from nni_nasoa.data.columns import parsed
from nni_nasoa.finetune import load_classifier
from nni_nasoa.plugin.advice_experiment import AdviceExperimentError, experiment_config, run

REMOTE = {
    "platform": "remote",
    "machineList": [
        {"host": "192.0.2.11", "user": "alice", "sshKeyFile": "id_rsa", "pythonPath": "/opt/bin"}
    ],
}


@pytest.fixture
def made(tmp_path):
    """A function that gives the experiment of an advice, as JSON, by the config that a user gives."""

    def make(
        given, dataset="digits", minutes=2.0, zoo="nano", store=None, alternatives=0, limits=None, root=None
    ):
        (tmp_path / "config.yml").write_text(given if isinstance(given, str) else yaml.safe_dump(given))
        config = experiment_config(
            tmp_path / "config.yml",
            dataset if isinstance(dataset, Dataset) else Dataset(dataset, root=root),
            minutes,
            zoo=zoo,
            store=store,
            alternatives=alternatives,
            limits=limits,
        )
        return config.canonical_copy().json()

    return make


def test_the_training_service_is_the_users_and_the_rest_ours(made, tmp_path):
    (tmp_path / "id_rsa").touch()
    given = {
        "trainingService": REMOTE,
        "trialConcurrency": 3,
        "trialCommand": "/opt/bin/python train.py",
        "nniManagerIp": "192.0.2.1",
        "tuner": {"name": "TPE"},
        "searchSpace": {"x": {"_type": "choice", "_value": [1]}},
        "maxTrialNumber": 7,
    }
    config = made(given, "/data/flowers", limits=Limits(max_params_m=2))
    assert config["trainingService"]["machineList"][0]["host"] == "192.0.2.11"
    assert config["trainingService"]["machineList"][0]["sshKeyFile"] == str(tmp_path / "id_rsa")
    assert config["trialCommand"] == "/opt/bin/python -m nni_nasoa.plugin.finetune_trial"
    assert (config["trialConcurrency"], config["nniManagerIp"], config["searchSpace"]) == (3, "192.0.2.1", {})
    assert "maxTrialNumber" not in config or config["maxTrialNumber"] is None
    assert config["tuner"]["className"] == "nni_nasoa.plugin.advisor_tuner.OnlineAdvisor"
    assert config["tuner"]["classArgs"] == {
        "dataset": "/data/flowers",
        "minutes": 2.0,
        "zoo": "nano",
        "alternatives": 0,
        "limits": {"max_params_m": 2.0},
    }


def test_a_config_of_the_advisor_keeps_its_command_and_where_it_runs(made):
    given = yaml.safe_load((Path(__file__).parents[2] / "experiment_configs" / "finetune.yml").read_text())
    given["trialCommand"] += " --seed 3"
    given["tuner"]["classArgs"] |= {"threads": 2, "output": "mine", "device": "cpu"}
    config = made(given, "task:flags", store="s.db", alternatives=2)
    assert config["trialCommand"] == given["trialCommand"]
    assert config["tuner"]["classArgs"] == {
        "dataset": "task:flags",
        "minutes": 2.0,
        "zoo": "nano",
        "alternatives": 2,
        "store": str(Path("s.db").absolute()),
        "threads": 2,
        "output": "mine",
        "device": "cpu",
    }


def test_a_store_s_password_stands_in_no_config(made):
    config = made(
        {"trainingService": {"platform": "local"}}, "digits", store="postgresql://me:s3cret@host/runs"
    )
    assert config["tuner"]["classArgs"]["store"] == "postgresql://me@host/runs"
    assert "s3cret" not in str(config)


def test_folders_here_are_given_with_their_whole_path(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    config = made({"trainingService": {"platform": "local"}}, "images", root="data")
    assert (config["tuner"]["classArgs"]["dataset"], config["tuner"]["classArgs"]["root"]) == (
        str(tmp_path / "images"),
        str(tmp_path / "data"),
    )
    assert (
        config["trialCommand"] == "python -m nni_nasoa.plugin.finetune_trial"
        and config["trialConcurrency"] == 1
    )


def test_a_table_is_given_with_its_columns(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = Dataset("labels.csv", root="images", columns={"label": "species"})
    args = made({"trainingService": {"platform": "local"}}, dataset)["tuner"]["classArgs"]
    assert args["dataset"] == f"{tmp_path / 'labels.csv'}?label=species"
    assert args["root"] == str(tmp_path / "images")
    (path, columns) = parsed(Dataset(args["dataset"], root=args["root"]).spelled)
    assert (path, columns.label) == (str(tmp_path / "labels.csv"), "species")


@pytest.mark.parametrize(
    "given, options, message",
    [
        ("a: [", {}, "config.yml: not YAML"),
        ("[1]", {}, "config.yml: has no trainingService"),
        ({"tuner": {}}, {}, "config.yml: has no trainingService"),
        ({"trainingService": {"platform": "locale"}}, {}, "config.yml: "),
        ({"trainingService": {"platform": "local", "hosts": 3}}, {}, "config.yml: "),
        ({"trainingService": {"platform": "local"}, "trialConcurrency": "many"}, {}, "config.yml: "),
        (
            {"trainingService": {"platform": "local"}},
            {"minutes": -1},
            "classArgs: minutes: -1 is not a number of minutes above 0",
        ),
        ({"trainingService": {"platform": "local"}}, {"zoo": "nanno"}, "classArgs: zoo: "),
    ],
)
def test_what_is_wrong_is_one_line(made, given, options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        made(given, **options)
    assert "\n" not in str(raised.value)


def test_a_config_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ValueError, match=r"none.yml: cannot be read \(No such file or directory\)"):
        experiment_config(
            tmp_path / "none.yml",
            Dataset("digits"),
            1,
            zoo="nano",
            store=None,
            alternatives=0,
            limits=None,
        )


def test_a_manager_that_does_not_answer_is_one_line(tmp_path, monkeypatch):
    import requests
    from nni.experiment import Experiment

    stopped = []
    monkeypatch.setattr(Experiment, "stop", lambda self: stopped.append(True))
    (tmp_path / "config.yml").write_text(yaml.safe_dump({"trainingService": {"platform": "local"}}))
    for error in (
        requests.HTTPError("500 Server Error: Internal Server Error"),
        requests.ConnectionError("Connection refused"),
        RuntimeError("Failed to establish\nconnection"),
    ):
        monkeypatch.setattr(Experiment, "start", lambda self, port, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(AdviceExperimentError) as raised:
            run(tmp_path / "config.yml", Dataset("digits"), 1, port=1)
        assert str(raised.value) == f"could not start the experiment on NNI: {' '.join(str(error).split())}"
    assert len(stopped) == 3


# -- for real --

CODE = """
import sys
from nni_nasoa.data import Dataset
from nni_nasoa.plugin.advice_experiment import run
import nni.experiment.launcher as launcher
launcher._check_rest_server.__defaults__ = (60, None)  # on a busy machine the 3 s of NNI are too few
config, minutes, store, port = sys.argv[1:]
run(config, Dataset("digits"), float(minutes), zoo="nano-a", store=store, port=int(port))
"""


@pytest.fixture
def start(nnictl, tmp_path, find_free_port):
    """A function that starts `run` in a process of its own, with the home of `nnictl`."""
    (tmp_path / "code").mkdir()
    config = tmp_path / "code" / "config.yml"
    config.write_text(yaml.safe_dump({"trainingService": {"platform": "local"}}))

    def start_it(minutes):
        command = [
            sys.executable,
            "-c",
            CODE,
            config,
            str(minutes),
            tmp_path / "store.db",
            str(find_free_port()),
        ]
        return subprocess.Popen(
            command, env=nnictl.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )

    return start_it


def managers(nnictl):
    """Of the home's experiments, those that run."""
    return [
        pid
        for record in nnictl.manifest().values()
        if (pid := record.get("pid")) and Path(f"/proc/{pid}").exists()
    ]


@pytest.mark.slow
def test_it_runs_waits_and_tells_where_the_classifier_is(start, nnictl, tmp_path):
    process = start(0.25)
    stdout, stderr = process.communicate(timeout=400)
    assert process.returncode == 0, stderr + stdout
    (place,) = [line.rpartition(" ")[2] for line in stdout.splitlines() if "; the classifier is in " in line]
    (record,) = ExperienceStore(tmp_path / "store.db").records()
    assert load_classifier(place).metrics["val_accuracy"] == record.accuracy
    assert f"validation accuracy {100 * record.accuracy:.2f} %" in stdout and managers(nnictl) == []


@pytest.mark.slow
def test_ctrl_c_stops_the_experiment(start, nnictl):
    process = start(10)
    try:
        folders = nnictl.home / "nni-experiments"
        while not list(folders.glob("*/environments/*/trials/*")):
            assert process.poll() is None, process.communicate()
            time.sleep(0.5)
        os.kill(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode != 0 and "stopped; nnictl resume" in stderr and managers(nnictl) == []
