"""What has to be known before an advice."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.time.step_kinds import ROUGH
from nni_nasoa.data import Dataset
from nni_nasoa.plugin.advisor_args import TaskArgs
from nni_nasoa.plugin.assignment import Assignment
from nni_nasoa.plugin.experiment_state import Progress
from nni_nasoa.plugin.journal import Journal
from nni_nasoa.plugin.run_ledger import RunLedger
from nni_nasoa.plugin.survey import Survey, look


def test_there_and_back(known_survey):
    survey = known_survey(Dataset("digits"))
    assert Survey.from_json(json.loads(json.dumps(survey.to_json()))) == survey


@pytest.mark.parametrize(
    "change",
    [
        {"profile": {}},
        {"models": ["nano-x"]},
        {"models": 7},
        {"device": {"kind": "cpu"}},
        {"device": None},
        {"step_times": [{"seconds": 1}]},
        {"step_times": [7]},
        {"more": 1},
        None,
        7,
    ],
)
def test_rubbish_is_no_survey(known_survey, change):
    data = {**known_survey(Dataset("digits")).to_json(), **change} if isinstance(change, dict) else change
    with pytest.raises(ValueError) as raised:
        Survey.from_json(data)
    assert "\n" not in str(raised.value)


def test_what_was_found_elsewhere_is_kept_but_no_estimates(known_survey, tmp_path):
    store, survey = ExperienceStore(tmp_path / "store.db"), known_survey(Dataset("digits"))
    rough = [replace(step, model="nano-f", mode=ROUGH + step.mode) for step in survey.step_times]
    replace(survey, step_times=(*survey.step_times, *rough)).keep(store)
    assert len(store.step_times()) == len(survey.step_times) and store.step_times(model="nano-f") == []
    assert store.profile("fingerprint of digits") == survey.profile.to_json()


def test_its_candidates_are_those_of_its_device_and_budget(known_survey, tmp_path):
    from nni_nasoa.advisor.advice import Limits

    store = ExperienceStore(tmp_path / "store.db")
    survey = known_survey(Dataset("digits"), store=store)
    short, long = (survey.scored(store, budget, Limits()) for budget in (10.0, 100.0))
    assert set(short.regimes.models) == set(survey.models) and len(short.regimes) > 1000
    assert long.epochs.max() > 5 * short.epochs.max()


def test_a_look_finds_profile_probes_and_times_and_the_store_has_them(tmp_path):
    store = ExperienceStore(tmp_path / "store.db")
    survey = look(Dataset("digits"), ["nano-a"], budget=30.0, device="cpu", threads=1, store=store)
    assert (
        survey.models == ("nano-a",)
        and survey.profile.dataset.classes == 10
        and "nano-a" in survey.profile.probes
    )
    assert survey.device.threads == 1 and {step.device for step in survey.step_times} == {survey.device.key}
    again = look(Dataset("digits"), ["nano-a"], budget=30.0, device="cpu", threads=1, store=store)
    assert again.profile.dataset == survey.profile.dataset and set(again.step_times) == set(survey.step_times)


def test_a_trial_surveys_where_it_runs(trials_of, tmp_path):
    trials = trials_of("nni_nasoa.plugin.finetune_trial")
    assignment = Assignment("1-digits-survey-1", "digits", 0.5, survey=("nano-a",), device="cpu", threads=1)
    done, metrics = trials.run("first", assignment.to_parameters(), NASOA_STORE=str(tmp_path / "there.db"))
    assert done.returncode == 0, done.stderr
    ((kind, result),) = metrics
    assert (kind, result["default"], result["run"]) == ("FINAL", 0.0, "1-digits-survey-1")
    here = ExperienceStore(tmp_path / "here.db")
    runs = RunLedger([TaskArgs("digits", 0.5)], 1)
    progress = Progress(runs, Journal(None), None)
    progress.store = here
    progress.asked(0, assignment, None)
    progress.result(result)
    assert progress.surveys[0].profile.dataset.classes == 10 and not runs.open() and not runs.failed
    assert here.step_times() == ExperienceStore(tmp_path / "there.db").step_times() != []


def test_a_dataset_that_is_not_there_is_one_line(trials_of, tmp_path):
    assignment = Assignment("1-x-survey-1", str(tmp_path / "nowhere"), 0.5, survey=("nano-a",), device="cpu")
    done, metrics = trials_of("nni_nasoa.plugin.finetune_trial").run("first", assignment.to_parameters())
    assert (done.returncode, metrics) == (1, [])
    assert done.stderr.startswith("finetune_trial: 1-x-survey-1: dataset: ") and done.stderr.count("\n") == 1
