"""Advice from the question to the answer: what is known is used, what is not is found out and kept."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from torch.nn.modules.module import register_module_forward_pre_hook

from nni_nasoa.advisor.advice import NO_LIMITS, Limits
from nni_nasoa.advisor.advising import advise, candidates_for
from nni_nasoa.advisor.models import AdviceError, models_of
from nni_nasoa.advisor.survey import survey
from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.device.device import resolve


def test_an_answer_for_arrays(measured, split):
    advice = advise(split, 0.5, zoo="nano-a,nano-c", device="cpu", store=measured, top_k=2)
    assert advice.dataset == "colours" and advice.budget == 30.0 and len(advice.choices) == 2
    assert advice.device == resolve("cpu").key
    assert {choice.regime.model for choice in advice.choices} <= {"nano-a", "nano-c"}
    assert all(choice.why and 0 < choice.seconds <= 30 for choice in advice.choices)
    data = json.loads(json.dumps(advice.to_json(), allow_nan=False))
    assert data["choices"][0]["regime"] == advice.best.regime.to_json() and data["profile"]["classes"] == 3
    about = advice.about(advice.best)
    assert about["predicted"] == advice.best.predicted and about["profile"]["train_images"] == 90
    assert (
        about["model_figures"]["probe_nearest_mean"]
        == advice.profile.probes[advice.best.regime.model]["nearest_mean"]
    )


def test_what_was_found_out_is_not_looked_for_again(measured, split):
    used = []
    with register_module_forward_pre_hook(lambda module, inputs: used.append(module)):
        first = advise(split, 0.5, zoo="nano-a", device="cpu", store=measured)
        assert used
        used.clear()
        again = advise(split, 0.5, zoo="nano-a", device="cpu", store=measured)
    assert again.to_json() == first.to_json() and used == []
    assert measured.profile(first.profile.dataset.fingerprint) is not None


def test_the_time_that_it_takes_counts_where_the_budget_runs(measured, split):
    advice = advise(split, 0.5, zoo="nano-a", device="cpu", store=measured, started=time.monotonic() - 12)
    assert advice.budget < 18 and advice.made > 0
    with pytest.raises(AdviceError, match=r"minutes: 0\.1 were over before the dataset was known"):
        advise(split, 0.1, zoo="nano-a", device="cpu", store=measured, started=time.monotonic() - 12)


def test_real_steps_are_measured_where_there_are_none(split):
    """Without a store nothing is kept, and there is an answer all the same."""
    advice = advise(split, 1, zoo="nano-a", device="cpu", started=time.monotonic() - 2, show_progress=False)
    assert advice.best.regime.model == "nano-a" and advice.best.epochs > 0


@pytest.mark.parametrize(
    "arguments, right",
    [
        ({"minutes": 0}, "minutes: 0 is not a number of minutes above 0"),
        ({"minutes": float("nan")}, "minutes: nan is not"),
        ({"minutes": True}, "minutes: True"),
        ({"top_k": 0}, "top_k: 0 is not a whole number from 1 to 50"),
        ({"zoo": ""}, "zoo: give auto, a family"),
        ({"zoo": " , "}, "zoo: ' , ' names no model"),
        ({"zoo": "nanno"}, "did you mean 'nano"),
        ({"zoo": "nano-a,nano-z"}, "no model 'nano-z'; did you mean 'nano-"),
        ({"zoo": "none.json"}, "none.json: no such file"),
        (
            {"zoo": "timm"},
            r"^timm/.*: not here, and could not be downloaded \(NASOA_OFFLINE is set",
        ),
        ({"device": "toaster"}, "toaster"),
        ({"dataset": "digit"}, "did you mean 'digits'"),
    ],
)
def test_wrong_questions_are_one_line(store, split, arguments, right):
    with pytest.raises((ValueError, RuntimeError), match=right) as error:
        advise(**{"dataset": split, "minutes": 1, "store": store, "device": "cpu"} | arguments)
    assert "\n" not in str(error.value)


def test_limits_reach_the_choice(measured, split):
    advice = advise(
        split, 0.5, zoo="nano", device="cpu", store=measured, limits=Limits(max_params_m=0.15), top_k=10
    )
    assert {choice.regime.model for choice in advice.choices} <= {"nano-a", "nano-b"}
    assert all(choice.params_m <= 0.15 for choice in advice.choices)


def test_a_front_file_is_a_zoo_of_networks_without_weights(measured, split, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    record = {
        "default": 0.9,
        "accuracy": 0.9,
        "relative_speed": 1.0,
        "architecture": "0-_16_1-11-4-1",
        "device": "cpu",
        "dataset": "digits",
    }
    (tmp_path / "front.json").write_text(
        json.dumps({"format": "nni-nasoa front", "version": 1, "networks": [record]})
    )
    advice = advise(split, 0.5, zoo="front.json", device="cpu", store=measured)
    (best,) = advice.choices
    assert best.regime.model == "front.json#1" and best.weights is None and best.regime.frozen_stages == 0
    assert advice.about(best)["model_figures"]["weights"] == "none"


def test_networks_whose_weights_cannot_be_had_are_no_answer(measured, split, tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_WEIGHTS", str(tmp_path))
    with pytest.raises(ValueError, match="et-nas-a: no file"):
        advise(split, 1, zoo="et-nas-a", device="cpu", store=measured)
    with pytest.raises(ValueError, match=r"et-nas-.: no file"):
        advise(split, 1, zoo="et-nas", device="cpu", store=measured)
    with pytest.raises(ValueError, match=r"et-nas-.: no file"):  # nor where nothing is looked at
        survey(Dataset(split), models_of("et-nas"), resolve("cpu"), measured, seconds=0)
    advice = advise(split, 1, zoo="nano-b,et-nas-a", device="cpu", store=measured)
    assert {choice.regime.model for choice in advice.choices} == {"nano-b"}
    assert "left out" in advice.notes[0] and "et-nas-a" in advice.notes[0]


def test_a_dataset_brings_its_own_ways(measured, split):
    given = advise(Dataset(split, seed=7), 1, zoo="nano", device="cpu", store=measured)
    assert given.choices == advise(split, 1, zoo="nano", device="cpu", store=measured).choices
    with pytest.raises(DatasetError, match=r"val_fraction: 0\.3 is given beside a Dataset"):
        advise(Dataset(split), 1, device="cpu", store=measured, val_fraction=0.3)


def test_what_a_survey_has_found_is_what_candidates_are_scored_by(measured, photos):
    def found(**changes):
        asked = Dataset(photos), models_of("nano-a"), resolve("cpu"), measured
        return candidates_for(
            replace(survey(*asked), **changes), measured, 12.0, NO_LIMITS, source="finetune"
        )

    slow, fast, partly = found(processors=1), found(processors=64), found(processors=1, decoded={64})
    size = slow.regimes.input_size
    trained = slow.regimes.frozen_stages < 4  # a head sees each image as often, with any time that will do
    assert (fast.epochs >= slow.epochs).all() and (fast.epochs > slow.epochs)[trained].all()
    assert (fast.regimes.input_size == size).all()
    at_64 = (size == 64) & trained
    assert (partly.epochs[at_64] > slow.epochs[at_64]).all() and at_64.any()
    assert np.array_equal(partly.epochs[size != 64], slow.epochs[size != 64])
    assert set(found().regimes.models) == {"nano-a"}


def test_candidates_are_those_of_the_survey_s_device_and_of_the_budget(known_survey, store):
    found = known_survey(Dataset("digits"), store=store)
    short, long = (candidates_for(found, store, budget, NO_LIMITS, source="nni") for budget in (10.0, 100.0))
    assert set(short.regimes.models) == set(found.models) and len(short.regimes) > 1000
    assert long.epochs.max() > 5 * short.epochs.max()
