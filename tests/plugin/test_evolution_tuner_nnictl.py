"""The tuner under the real nnictl."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from nni.tuner import Tuner
from nni.utils import ClassArgsValidator

from nni_nasoa.plugin import evolution_tuner


def test_the_meta_file_names_classes_that_are_there():
    metas = yaml.safe_load((Path(evolution_tuner.__file__).parent / "algorithms.yml").read_text())[
        "algorithms"
    ]
    assert [meta["builtinName"] for meta in metas] == ["NasoaEvolution", "NasoaAdvisor"]
    for meta in metas:
        assert meta["algoType"] == "tuner"
        for name, kind in (("className", Tuner), ("classArgsValidator", ClassArgsValidator)):
            module, _, found = meta[name].rpartition(".")
            assert issubclass(getattr(importlib.import_module(module), found), kind)


@pytest.mark.slow
def test_registered_under_its_name_it_runs_an_experiment(nnictl, plain_config):
    from nni_nasoa.plugin.experiments import read_status, read_trials

    registered = nnictl(
        "algo", "register", "--meta", Path(evolution_tuner.__file__).parent / "algorithms.yml"
    )
    assert "NasoaEvolution registered sucessfully!" in registered.stdout  # NNI's spelling
    assert (
        '"className": "nni_nasoa.plugin.evolution_tuner.EvolutionTuner"'
        in nnictl("algo", "show", "NasoaEvolution").stdout
    )
    class_args = {"objectives": ["score", {"name": "cost", "mode": "minimize"}], "seed": 0}
    experiment = nnictl.create(plain_config({"name": "NasoaEvolution", "classArgs": class_args}))
    experiment.wait_done()
    trials = read_trials(experiment.folder)
    assert len(trials) == 4 and all(trial.parameters["x"] == trial.metrics["x"] for trial in trials)
    assert read_status(experiment.folder)["succeeded"] == 4
    events = [
        json.loads(line)
        for line in (experiment.folder / "checkpoint" / "evolution.jsonl").read_text().splitlines()
    ]
    assert [event["event"] for event in events].count("told") == 4
    nnictl("algo", "unregister", "NasoaEvolution")


@pytest.mark.slow
@pytest.mark.parametrize(
    "class_args, changes, line",
    [
        # As where typeguard loads no plugins, so that nnictl does not look at classArgs:
        # see test_config_check.py.
        (
            {"population_size": 1},
            {},
            "EvolutionTuner: classArgs: population_size: 1 is not a whole number from 2",
        ),
        (
            {},
            {"searchSpace": {"x": {"_type": "chioce", "_value": [1]}}},
            "EvolutionTuner: search space 'x' (chioce): the type is not one of choice",
        ),
    ],
)
def test_what_the_tuner_finds_wrong_is_one_line_and_the_status_error(
    nnictl, tmp_path, plain_config, class_args, changes, line
):
    nnictl.env["TYPEGUARD_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    tuner = {
        "className": "nni_nasoa.plugin.evolution_tuner.EvolutionTuner",
        "codeDirectory": str(tmp_path),
        "classArgs": class_args,
    }
    experiment = nnictl.create(plain_config(tuner, **changes))
    manager_log, deadline = experiment.folder / "log" / "nnimanager.log", time.monotonic() + 60
    while f"Dispatcher error: {line}" not in manager_log.read_text():
        assert time.monotonic() < deadline, experiment.log()
        time.sleep(0.2)
    assert experiment.status == "ERROR"
    errors = (experiment.folder / "log" / "nnictl_stderr.log").read_text().splitlines()
    assert (
        [text for text in errors if text.startswith("EvolutionTuner")]
        == [text for text in errors if line in text]
        != []
    )
    assert not any("Traceback" in text for text in errors)


@pytest.mark.slow
def test_candidates_are_timed_before_one_is_trained(nnictl, tmp_path, reduced_config):
    config = reduced_config(
        "search.yml",
        tmp_path,
        options="--epochs 1 --input-size 16 --speed-batch-size 8 --speed-repeats 3",
        maxTrialNumber=8,
    )
    config["tuner"]["classArgs"] |= {"measure_speed": 3, "population_size": 4, "initial": []}
    experiment = nnictl.create(config)
    experiment.wait_done()
    told = (experiment.folder / "log" / "nnictl_stdout.log").read_text().splitlines()
    results = [line for line in told if line.startswith("result ")]
    timed = [int(re.search(r"; (\d+) timed beforehand in \d+ s$", line)[1]) for line in results]
    assert len(results) == 8 and timed == sorted(timed) and timed[-1] >= 3
    experiment.stop()
    deadline = time.monotonic() + 10  # the process that times ends with the tuner
    while _processes("nni_nasoa.plugin.speed_meter", nnictl):
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_brief_tries_are_left_out_of_the_report(nnictl, tmp_path, short, reduced_config):
    nnictl.env["TMPDIR"] = str(short)
    options = "--epochs 2 --input-size 16 --speed-batch-size 8 --speed-repeats 3"
    config = reduced_config("search.yml", tmp_path, options=options, maxTrialNumber=9)
    config["tuner"]["classArgs"] |= {"brief_epochs": 1, "population_size": 4, "initial": []}
    experiment = nnictl.create(config)
    experiment.wait(lambda: _copies(nnictl))  # later trials are copies of a warm process
    experiment.wait_done()
    told = (experiment.folder / "log" / "nnictl_stdout.log").read_text().splitlines()
    brief = [line for line in told if line.endswith("; a brief try")]
    results = [line for line in told if line.startswith("result ")]
    assert len(results) == 9 and 4 <= len(brief) < 9
    experiment.stop()
    command = [sys.executable, "-m", "nni_nasoa.cli", "report", experiment.id, "-o", str(tmp_path / "report")]
    shown = subprocess.run(command, env=nnictl.env, capture_output=True, text=True, check=True).stdout
    assert f"{len(brief)} trained for fewer epochs and left out: their accuracies do not compare" in shown
    front = json.loads((tmp_path / "report" / "front.json").read_text())["networks"]
    assert front and {network["epochs"] for network in front} == {2}


def _processes(module, nnictl):
    """Those of a module that an experiment in the home of an `nnictl` has started."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if module in process.cmdline() and process.environ().get("HOME") == str(nnictl.env["HOME"]):
                found.append(process)
    return found


def _copies(nnictl):
    found = {process.pid: process.ppid() for process in _processes("nni_nasoa.plugin.warm_process", nnictl)}
    return [pid for pid, parent in found.items() if parent in found]
