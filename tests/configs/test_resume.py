from __future__ import annotations

import json
import sqlite3
from collections import Counter

import psutil
import pytest

from nni_nasoa.plugin.experiments import read_results, read_status

pytestmark = pytest.mark.slow

TRIALS = 8


def trainings(folder):
    """How many trials trained each architecture to a result; one that reports a kept result again has no epochs."""
    with sqlite3.connect(folder / "db" / "nni.sqlite") as database:
        rows = database.execute("select trialJobId, type, data from MetricData").fetchall()
    trained = {trial for trial, type_, _ in rows if type_ == "PERIODICAL"}
    pairs = {(trial, json.loads(json.loads(data))["architecture"]) for trial, type_, data in rows if type_ == "FINAL"}
    return Counter(architecture for trial, architecture in pairs if trial in trained)


def test_after_kill_9_and_resume_nothing_is_lost_or_repeated(nnictl, reduced_config, tmp_path):
    config = reduced_config("search.yml", tmp_path, maxTrialNumber=TRIALS)
    assert config["trialConcurrency"] == 2
    experiment = nnictl.create(config)
    experiment.wait(lambda: len(read_results(experiment.folder)) >= 3, 300)
    dispatcher = next(child for child in experiment.manager.children(recursive=True) if "--exp_params" in child.cmdline())
    experiment.kill_manager()
    psutil.wait_procs([dispatcher], timeout=10)
    assert not dispatcher.is_running()  # else it would talk to the resumed manager
    before = {result["architecture"]: result for result in read_results(experiment.folder)}

    experiment = nnictl.resume(experiment)
    experiment.wait_done(300)
    after = {result["architecture"]: result for result in read_results(experiment.folder)}
    assert len(before) >= 3 and before.items() <= after.items()
    assert set(trainings(experiment.folder).values()) == {1}
    status = read_status(experiment.folder)
    assert (status["trials"], status["succeeded"]) == (TRIALS, TRIALS)

    events = [json.loads(line) for line in (experiment.folder / "checkpoint" / "evolution.jsonl").read_text().splitlines()]
    told = [event["parameters"]["architecture"] for event in events if event["event"] == "told"]
    assert set(told) == set(after)
    assert not [event for event in events if event["event"] == "failed" and event["parameters"]["architecture"] not in told]
