from __future__ import annotations

import json
from collections import Counter

import psutil
import pytest

from nni_nasoa.plugin.experiments import read_results, read_status

pytestmark = pytest.mark.slow

TRIALS = 8

# The trial, with a line in a file for each architecture that it begins to evaluate.
TRIAL = """
from nni_nasoa.plugin import search_trial
evaluate = search_trial.evaluate
def counted(architecture, *args):
    with open({log!r}, "a") as file:
        file.write(f"{{architecture}}\\n")
    return evaluate(architecture, *args)
search_trial.evaluate = counted
search_trial.main()
"""


def test_after_kill_9_and_resume_nothing_is_lost_or_repeated(nnictl, reduced_config, tmp_path):
    config = reduced_config("search.yml", tmp_path, maxTrialNumber=TRIALS)
    log = tmp_path / "evaluations.txt"
    (tmp_path / "trial.py").write_text(TRIAL.format(log=str(log)))
    config["trialCommand"] = config["trialCommand"].replace("-m nni_nasoa.plugin.search_trial", "trial.py")
    assert config["trialConcurrency"] == 2 and "trial.py" in config["trialCommand"]
    experiment = nnictl.create(config)
    experiment.wait(lambda: len(read_results(experiment.folder)) >= 3, 300)
    dispatcher = experiment.dispatcher
    experiment.kill_manager()
    psutil.wait_procs([dispatcher], timeout=10)
    assert not dispatcher.is_running()  # else it would talk to the resumed manager
    before = {result["architecture"]: result for result in read_results(experiment.folder)}

    experiment = nnictl.resume(experiment)
    experiment.wait_done(300)
    after = {result["architecture"]: result for result in read_results(experiment.folder)}
    assert len(before) >= 3 and before.items() <= after.items()
    # Nor is what was under way evaluated twice: its trials outlive the manager, and those that NNI
    # runs again wait for them.
    evaluations = Counter(log.read_text().split())
    assert set(after) <= set(evaluations) and set(evaluations.values()) == {1}
    status = read_status(experiment.folder)
    assert (status["trials"], status["succeeded"]) == (TRIALS, TRIALS)

    events = [
        json.loads(line)
        for line in (experiment.folder / "checkpoint" / "evolution.jsonl").read_text().splitlines()
    ]
    told = [event["parameters"]["architecture"] for event in events if event["event"] == "told"]
    assert set(told) == set(after)
    assert not [
        event
        for event in events
        if event["event"] == "failed" and event["parameters"]["architecture"] not in told
    ]
