"""The list of an experiment's classifiers, and how one is fetched."""

from __future__ import annotations

import json
import shlex

import pytest

from nni_nasoa.finetune import Outcome, StopReason
from nni_nasoa.plugin.classifiers import LIST, add_to_list, entry_of, fetching_command, read_list
from nni_nasoa.plugin.trial_result import TrialResult

MACHINE = {"host": "127.0.0.1", "port": 2222, "user": "alice", "sshKeyFile": "/home/alice/my keys/id_rsa"}
REMOTE = {
    "trainingService": {
        "platform": "remote",
        "machineList": [{"host": "192.0.2.7", "port": 22, "user": "bob"}, MACHINE],
    }
}
OLD = {  # a line as earlier releases wrote it
    "run": "1-digits-0",
    "dataset": "digits",
    "minutes": 0.25,
    "accuracy": 0.8,
    "seconds": 9.0,
    "epochs": 3.0,
    "model": "nano-a",
    "stopped": "interrupted: SIGTERM",
    "device": "cpu",
    "classifier": "/exp/t0/classifier",
}


@pytest.fixture
def result(make_record):
    """A function that gives a trial's result, whose classifier is at a place."""

    def make(classifier="127.0.0.1:/exp/t1/classifier", **changes):
        return TrialResult("1-digits-1", "digits", 0.5, 0.9, 29.5, classifier, make_record(**changes))

    return make


def test_here_there_is_nothing_to_fetch(result):
    assert fetching_command("/exp/t1/classifier", REMOTE) is None
    assert fetching_command("/exp:2/t1/classifier", REMOTE) is None
    assert "fetch" not in entry_of(result("/exp/t1/classifier"), {})


def test_from_a_machine_of_the_experiment_with_its_user_port_and_key():
    command = shlex.split(fetching_command("127.0.0.1:/exp/t1/classifier", REMOTE))
    assert command == [
        "scp",
        "-r",
        "-P",
        "2222",
        "-i",
        "/home/alice/my keys/id_rsa",
        "alice@127.0.0.1:/exp/t1/classifier",
        "t1-classifier",
    ]
    assert shlex.split(fetching_command("192.0.2.7:/out/E/1-digits-1", REMOTE)) == [
        "scp",
        "-r",
        "bob@192.0.2.7:/out/E/1-digits-1",
        "1-digits-1",
    ]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_machine_is_known_by_its_name_too(host):
    config = {
        "trainingService": [
            {"platform": "local"},
            {"platform": "remote", "machineList": [{**MACHINE, "host": host}]},
        ]
    }
    assert "alice@127.0.0.1:" in fetching_command("127.0.0.1:/exp/c", config)


def test_from_elsewhere_and_by_ipv6():
    assert (
        fetching_command("worker-7:/exp/c", {"trainingService": {"platform": "kubeflow"}})
        == "scp -r worker-7:/exp/c c"
    )
    config = {"trainingService": {"machineList": [{"host": "::1", "user": "alice"}]}}
    assert shlex.split(fetching_command("[::1]:/exp/c", config)) == ["scp", "-r", "alice@[::1]:/exp/c", "c"]


def test_the_list_has_each_run_once_and_outlives_a_torn_line(tmp_path, result):
    add_to_list(tmp_path, entry_of(result(), REMOTE))
    add_to_list(tmp_path, {"run": "1-digits-2", "accuracy": 0.5})
    add_to_list(tmp_path, {"run": "1-digits-2", "accuracy": 0.6})
    with (tmp_path / LIST).open("a") as file:
        file.write('{"run": "1-dig')
    assert [(entry["run"], entry["accuracy"]) for entry in read_list(tmp_path)] == [
        ("1-digits-1", 0.9),
        ("1-digits-2", 0.6),
    ]
    add_to_list(tmp_path, {"run": "1-digits-3", "accuracy": 0.7})
    assert [entry["run"] for entry in read_list(tmp_path)] == ["1-digits-1", "1-digits-2", "1-digits-3"]
    assert "record" not in read_list(tmp_path)[0] and read_list(tmp_path)[0]["fetch"].startswith("scp -r ")


def test_a_line_says_what_the_run_was_and_how_it_ended(result):
    sample = Outcome(StopReason.SATURATED, sampled=True, train_images=5, val_images=2)
    entry = entry_of(result(outcome=sample, epochs=3.0), {})
    assert (entry["dataset"], entry["minutes"], entry["accuracy"], entry["seconds"]) == (
        "digits",
        0.5,
        0.9,
        29.5,
    )
    assert (entry["model"], entry["device"], entry["threads"]) == ("nano-1", "a processor", 2)
    assert (entry["epochs"], entry["outcome"], entry["learning_rate"]) == (3.0, "saturated", 0.02)
    assert json.loads(json.dumps(entry)) == entry


def test_a_list_of_an_earlier_release_is_read(tmp_path, result):
    (tmp_path / LIST).write_text(json.dumps(OLD) + "\n")
    add_to_list(tmp_path, entry_of(result(), {}))
    old, new = read_list(tmp_path)
    assert old == {name: value for name, value in OLD.items() if name != "stopped"} | {
        "outcome": "interrupted"
    }
    assert new["outcome"] == "budget" and old.keys() <= new.keys()


def test_without_a_folder_there_is_no_list(tmp_path, result):
    add_to_list(None, entry_of(result(), {}))
    assert read_list(tmp_path) == []
