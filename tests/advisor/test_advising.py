"""Advice from the question to the answer: what is known is used, what is not is found out and kept."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.advisor import ExperienceStore, advising
from nni_nasoa.advisor.advice import Limits
from nni_nasoa.advisor.advising import advise, profile_for
from nni_nasoa.advisor.fitting import fitting
from nni_nasoa.advisor.models import AdviceError
from nni_nasoa.data import Dataset, DatasetError, ImageArrays, ImageSplit, folder, open_dataset
from nni_nasoa.device.device import resolve
from nni_nasoa.experience.records import StepTime
from nni_nasoa.zoo import get


@pytest.fixture
def store(tmp_path):
    return ExperienceStore(tmp_path / "experience.db")


@pytest.fixture(scope="module")
def split():
    """Three classes of a colour each, of 32 pixels."""
    rng = np.random.default_rng(0)
    parts = []
    for n in (90, 30):
        labels = np.arange(n) % 3
        images = rng.integers(0, 120, (n, 3, 32, 32))
        images[np.arange(n), labels] += 100
        parts.append(ImageArrays(images.astype(np.uint8), labels))
    return ImageSplit(*parts, ("r", "g", "b"), "colours")


@pytest.fixture
def measured(store, monkeypatch):
    """The store has profiles made, and step times as on a machine where a step of nano-a's takes 10 ms; nothing may be measured."""

    def steps(models, device, store_, *, seconds=None):
        rows = []
        for place, model in enumerate(models):
            stages = 4 if place < 3 else 3
            for size in (32, 64, 96):
                for batch in (8, 64):
                    for frozen in range(stages + 1):
                        took = 1e-4 * batch * (1 + place) * (size / 48) ** 2
                        rows.append(
                            StepTime(
                                device.key,
                                model,
                                size,
                                batch,
                                frozen,
                                "train",
                                took * (1.1 - frozen / stages),
                            )
                        )
                        rows += (
                            [
                                StepTime(
                                    device.key,
                                    model,
                                    size,
                                    batch,
                                    frozen,
                                    "features",
                                    took * frozen / stages / 3,
                                )
                            ]
                            if frozen
                            else []
                        )
        return rows

    monkeypatch.setattr("nni_nasoa.advisor.time.step_times.step_times_for", steps)
    return store


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


def test_what_was_found_out_is_not_looked_for_again(measured, split, monkeypatch):
    first = advise(split, 0.5, zoo="nano-a", device="cpu", store=measured)
    monkeypatch.setattr("nni_nasoa.advisor.task.probing.probe", lambda *_, **__: pytest.fail("probed again"))
    again = advise(split, 0.5, zoo="nano-a", device="cpu", store=measured)
    assert again.to_json() == first.to_json()
    assert measured.profile(first.profile.dataset.fingerprint) is not None


def test_the_time_that_it_takes_counts_where_the_budget_runs(measured, split):
    advice = advise(split, 0.5, zoo="nano-a", device="cpu", store=measured, started=time.monotonic() - 12)
    assert advice.budget < 18 and advice.made > 0
    with pytest.raises(AdviceError, match="minutes: 0.1 were over before the dataset was known"):
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
        ({"zoo": ""}, "zoo: give a family"),
        ({"zoo": " , "}, "zoo: ' , ' names no model"),
        ({"zoo": "nanno"}, "did you mean 'nano"),
        ({"zoo": "nano-a,nano-z"}, "no model 'nano-z'; did you mean 'nano-"),
        ({"zoo": "none.json"}, "none.json: no such file"),
        ({"zoo": "timm"}, r"zoo: \d+ models in 'timm', of which at most 60"),
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


def test_networks_whose_weights_cannot_be_had_are_left_out(measured, split, tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_WEIGHTS", str(tmp_path))
    profile, kept, notes = profile_for(
        Dataset(split), measured, [get("nano-b"), get("et-nas-a")], device="cpu"
    )
    assert [model.name for model in kept] == ["nano-b"] and "left out" in notes[0] and "et-nas-a" in notes[0]
    assert set(profile.probes) == {"nano-a", "nano-b"}
    with pytest.raises(ValueError, match="et-nas-a: no file"):
        advise(split, 1, zoo="et-nas-a", device="cpu", store=measured)
    with pytest.raises(ValueError, match="et-nas-.: no file"):
        advise(split, 1, zoo="et-nas", device="cpu", store=measured)


def test_a_dataset_that_is_none_is_told_so_though_weights_are_missing(measured, tmp_path):
    with pytest.raises(DatasetError, match="neither a folder nor a known name"):
        profile_for(Dataset(tmp_path / "none"), measured, [get("nano-a"), get("nano-b")], device="cpu")


def test_a_dataset_brings_its_own_ways(measured, split):
    given = advise(Dataset(split, seed=7), 1, device="cpu", store=measured)
    assert given.choices == advise(split, 1, device="cpu", store=measured).choices
    with pytest.raises(DatasetError, match=r"val_fraction: 0\.3 is given beside a Dataset"):
        advise(Dataset(split), 1, device="cpu", store=measured, val_fraction=0.3)


def test_images_that_lie_decoded_in_the_cache_need_no_time(measured, tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("nni_nasoa.data.content.SETTLED", -1.0)
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (600, 800, 3), dtype=np.uint8)).save(
                tmp_path / "photos" / label / f"{number}.png"
            )
    known = []
    monkeypatch.setattr(
        advising,
        "fitting",
        lambda *given, decoded, **more: known.append(decoded) or fitting(*given, decoded=decoded, **more),
    )
    advise(tmp_path / "photos", 0.2, store=measured)
    open_dataset(tmp_path / "photos", input_size=64)
    advise(tmp_path / "photos", 0.2, store=measured)
    assert known == [set(), {64}]
    listed, list_folder = [], folder.list_folder
    monkeypatch.setattr(folder, "list_folder", lambda *given: listed.append(given) or list_folder(*given))
    advise(tmp_path / "photos", 0.2, store=measured)
    assert len(listed) == 1 and known[-1] == {64}  # folders may have tens of thousands of files
