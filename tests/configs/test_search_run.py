from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from nni_nasoa.architecture import Architecture
from nni_nasoa.plugin.experiments import read_results, read_status
from nni_nasoa.search.choices import architecture_space

pytestmark = pytest.mark.slow


def check(results, config):
    """Whether results are records of different networks of the config's space."""
    candidates = architecture_space(config["searchSpace"])
    architectures = [Architecture.parse(result["architecture"]) for result in results]
    assert len(set(architectures)) == len(architectures)
    for architecture, result in zip(architectures, results):
        assert candidates.block_designs or candidates.contains(architecture)
        assert 0 <= result["accuracy"] <= 1 and result["relative_speed"] > 0 and result["step_time_ms"] > 0
        assert result["params_m"] == architecture.parameters(10) / 1e6
        score = 10_000 * result["accuracy"] * result["relative_speed"] ** 0.07
        assert math.isclose(result["default"], score, abs_tol=0.06)
        assert result["dataset"] == "digits" and result["device"]


def report(nnictl, source, folder):
    """`nasoa report`, as a user runs it."""
    command = [
        sys.executable,
        "-c",
        "from nni_nasoa.cli import main; main()",
        "report",
        source,
        "--output",
        str(folder),
    ]
    done = subprocess.run(command, env=nnictl.env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "front.json").read_text())


def test_the_quick_start_runs_to_its_end(nnictl, reduced_config, tmp_path):
    config = reduced_config("search.yml", tmp_path, maxTrialNumber=5)
    experiment = nnictl.create(config)
    experiment.wait_done(300)
    results = read_results(experiment.folder)
    check(results, config)
    assert len(results) == 5 and read_status(experiment.folder)["succeeded"] == 5
    assert {str(Architecture.parse(result["architecture"]).block) for result in results} >= {
        "020-",
        "10001-",
        "14441-",
    }
    # What the tuner knows is what NNI stored, in spite of trials that swap their parameters.
    events = [
        json.loads(line)
        for line in (experiment.folder / "checkpoint" / "evolution.jsonl").read_text().splitlines()
    ]
    told = {
        event["parameters"]["architecture"]: event["metrics"]["accuracy"]
        for event in events
        if event["event"] == "told"
    }
    assert told == {result["architecture"]: result["accuracy"] for result in results}


def test_macro_search_after_block_search(nnictl, reduced_config, tmp_path):
    configs = tmp_path / "configs"
    configs.mkdir()
    config = reduced_config("search_block.yml", configs, maxTrialNumber=3)
    experiment = nnictl.create(config)
    experiment.wait_done(300)
    results = read_results(experiment.folder)
    check(results, config)
    assert {str(Architecture.parse(result["architecture"]).macro) for result in results} == {"16_11-21-21"}

    experiment.stop()
    front = report(nnictl, "latest", tmp_path / "block-search")
    assert front["experiment"] == experiment.id
    blocks = {str(Architecture.parse(network["architecture"]).block) for network in front["networks"]}

    config = reduced_config("search_macro.yml", configs, maxTrialNumber=3)
    experiment = nnictl.create(config)
    experiment.wait_done(300)
    results = read_results(experiment.folder)
    check(results, config)
    assert (
        len(results) == 3
        and {str(Architecture.parse(result["architecture"]).block) for result in results} <= blocks
    )
