"""What has to be known before the first advice of a tuner."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fixtures.surveys import Known
from PIL import Image

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.survey import Survey
from nni_nasoa.data import Dataset, open_dataset
from nni_nasoa.device.device import resolve
from nni_nasoa.device.processor import allowed_processors
from nni_nasoa.plugin.advisor_args import TaskArgs
from nni_nasoa.plugin.assignment import Assignment
from nni_nasoa.plugin.experiment_state import Progress
from nni_nasoa.plugin.journal import Journal
from nni_nasoa.plugin.result_context import with_context
from nni_nasoa.plugin.run_ledger import RunLedger
from nni_nasoa.plugin.surveys import look, models_here, names_of, survey_by_trial
from nni_nasoa.zoo import add_model, list_models, nano, remove_model
from nni_nasoa.zoo.available import available_models


@pytest.mark.slow
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


def test_elsewhere_auto_is_what_is_there_and_what_the_tuner_knows(tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_ZOO", str(tmp_path / "zoo"))
    add_model("mine", nano.FAMILY.weights / "nano-a.safetensors")
    assert names_of("auto", here=True) == tuple(available_models()) and "mine" in available_models()
    assert names_of("nano", here=False) == tuple(list_models("nano"))
    assert names_of("nano-b, auto", here=False) == ("auto", "mine", "nano-b")

    def looked_at(*names):
        return sorted(model.name for model in models_here(names))

    with_mine, without = looked_at("auto", "mine", "nano-b"), looked_at("auto")
    remove_model("mine")
    theirs = available_models()
    assert with_mine == sorted([*theirs, "mine"])
    assert without == looked_at("auto", "mine") == sorted(theirs)


@pytest.mark.slow
def test_a_trial_surveys_where_it_runs(trials_of, tmp_path):
    trials = trials_of("nni_nasoa.plugin.finetune_trial")
    assignment = Assignment("1-digits-survey-1", "digits", 0.5, survey=("nano-a",), device="cpu", threads=1)
    done, metrics = trials.run("first", assignment.to_parameters(), NASOA_STORE=str(tmp_path / "there.db"))
    assert done.returncode == 0, done.stderr
    (_, told), (kind, final) = metrics
    assert (kind, final) == ("FINAL", {"default": 0.0, "run": "1-digits-survey-1"})
    result = with_context(final, [told])
    here = ExperienceStore(tmp_path / "here.db")
    runs = RunLedger([TaskArgs("digits", 0.5)], 1)
    progress = Progress(runs, Journal(None), None)
    progress.store = here
    progress.asked(0, assignment, None)
    progress.result(result)
    assert progress.surveys[0].profile.dataset.classes == 10 and not runs.open() and not runs.failed
    assert here.step_times() == ExperienceStore(tmp_path / "there.db").step_times() != []


def test_what_lies_decoded_where_a_trial_runs_is_known_to_the_tuner(tmp_path, later, monkeypatch):
    monkeypatch.setenv("NASOA_STORE", str(tmp_path / "there.db"))
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    rng, photos, device = np.random.default_rng(0), tmp_path / "photos", resolve("cpu")
    for label in ("a", "b"):
        (photos / label).mkdir(parents=True)
        for number in range(20):
            image = Image.fromarray(rng.integers(0, 256, (80, 100, 3), dtype=np.uint8))
            image.save(photos / label / f"{number}.png")
    ExperienceStore().set_step_times(Known().step_times(device))
    open_dataset(photos, input_size=64)
    assignment = Assignment("1-photos-survey-1", str(photos), 0.5, survey=("nano-a",), device="cpu")
    result = survey_by_trial(assignment, Dataset(photos), device="cpu", threads=0)
    found = Survey.from_json(json.loads(result["survey"]))
    assert (
        found.decoded == {32, 48, 64}
        and found.processors == len(allowed_processors())
        and found.device == device
    )


def test_a_dataset_that_is_not_there_is_one_line(trials_of, tmp_path):
    assignment = Assignment("1-x-survey-1", str(tmp_path / "nowhere"), 0.5, survey=("nano-a",), device="cpu")
    done, metrics = trials_of("nni_nasoa.plugin.finetune_trial").run("first", assignment.to_parameters())
    assert (done.returncode, metrics) == (1, [])
    assert done.stderr.startswith("finetune_trial: 1-x-survey-1: dataset: ") and done.stderr.count("\n") == 1
