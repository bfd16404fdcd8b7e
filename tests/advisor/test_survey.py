"""What is found out before an advice."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.survey import Survey, SurveyError, survey
from nni_nasoa.advisor.time.step_kinds import ROUGH
from nni_nasoa.data import Dataset, DatasetError, open_dataset
from nni_nasoa.device.device import resolve
from nni_nasoa.device.processor import allowed_processors
from nni_nasoa.zoo import get


def found(dataset, store, *models, **options):
    return survey(Dataset(dataset), [get(model) for model in models], resolve("cpu"), store, **options)


# -- what is found --


def test_all_that_is_asked_for_is_found_and_the_store_has_it(measured, split):
    made = found(split, measured, "nano-a", "nano-c")
    assert made.models == ("nano-a", "nano-c") and made.device == resolve("cpu") and made.notes == ()
    assert made.profile.dataset.classes == 3 and set(made.profile.probes) == {"nano-a", "nano-c"}
    assert {step.model for step in made.step_times} == {"nano-a", "nano-c"}
    assert made.decoded == frozenset() and made.processors == len(allowed_processors())
    assert found(split, measured, "nano-a", "nano-c") == made


def test_what_there_is_no_time_for_stays_unknown(measured, split):
    made = found(split, measured, "nano-a", "nano-f", seconds=0.0)
    assert made.profile.probes == {}
    assert {step.model for step in made.step_times} == {"nano-a", "nano-f"}  # which the store has


AGAIN = """
import sys
from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.survey import survey
from nni_nasoa.data import Dataset
from nni_nasoa.device.device import Device
from nni_nasoa.zoo import get
models, device = [get("nano-a"), get("lite0")], Device("cpu", sys.argv[2], int(sys.argv[3]))
found = survey(Dataset("digits"), models, device, ExperienceStore(sys.argv[1]), seconds=0.5)
print({step.mode[:6] for step in found.step_times if step.model == "lite0"}, "torch" in sys.modules)
"""


def test_who_asks_again_waits_for_nothing_that_there_was_no_time_for(measured):
    """Neither for a look at the images, nor for step times of networks that there are none of."""
    here = resolve("cpu")
    found("digits", measured, "nano-a", "lite0", seconds=0.5)
    run = subprocess.run(
        [sys.executable, "-c", AGAIN, measured.location, here.name, str(here.threads)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "{'rough:'} False\n"


def test_what_computes_is_entered_quietly(measured, split):
    entered = []

    @contextmanager
    def quiet():
        entered.append("in")
        yield
        entered.append("out")

    found(split, measured, "nano-a", quiet=quiet)
    assert entered[:2] == ["in", "out"] and entered.count("in") == entered.count("out") >= 2


def test_networks_whose_weights_cannot_be_had_are_left_out(measured, split, tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_WEIGHTS", str(tmp_path))
    made = found(split, measured, "nano-b", "et-nas-a")
    assert made.models == ("nano-b",) and set(made.profile.probes) == {"nano-a", "nano-b"}
    (note,) = made.notes
    assert note.startswith("left out, as their weights are not there: et-nas-a (")
    for models in (["et-nas-a"], ["et-nas-a", "et-nas-b"]):
        with pytest.raises(ValueError, match=r"et-nas-.: no file"):
            found(split, measured, *models)


def test_a_dataset_that_is_none_is_told_so_though_weights_are_missing(measured, tmp_path):
    with pytest.raises(DatasetError, match="neither a folder nor a known name"):
        found(tmp_path / "none", measured, "nano-a", "nano-b")


def test_what_lies_decoded_in_the_cache_is_found(measured, photos, later):
    assert found(photos, measured, "nano-a", seconds=0.0).decoded == frozenset()
    open_dataset(photos, input_size=65)  # is no size of a candidate, and smaller ones are made of it
    assert found(photos, measured, "nano-a", "nano-b", seconds=0.0).decoded == {32, 48, 64}


# -- as JSON --


@pytest.fixture
def made(known_survey):
    return replace(
        known_survey(Dataset("digits")), decoded=frozenset({96, 48}), processors=5, notes=("a note",)
    )


def test_there_and_back(made):
    data = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert Survey.from_json(data) == made and data["decoded"] == [48, 96]


def test_one_of_an_earlier_release_tells_nothing_of_decoding(made):
    data = made.to_json()
    del data["decoded"], data["processors"]
    assert Survey.from_json(data) == replace(made, decoded=frozenset(), processors=None)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"profile": {}}, "profile: "),
        ({"models": ["nano-x"]}, "no model 'nano-x'"),
        ({"models": 7}, "models: 7 is not a list of models"),
        ({"models": [7]}, "models, entry 1: 7 is not"),
        ({"device": {"kind": "cpu"}}, "device: {'kind': 'cpu'} is not an object of kind, name, threads"),
        ({"device": None}, "device: None is not"),
        ({"device": {"kind": "cpu", "name": "x", "threads": 0}}, "device, threads: 0 is not a whole number"),
        ({"step_times": [{"seconds": 1}]}, "step_times, entry 1: "),
        ({"step_times": [7]}, "step_times, entry 1: 7 is not a step time"),
        ({"decoded": 48}, "decoded: 48 is not a list of sizes"),
        ({"decoded": [48, 0.5]}, "decoded, entry 2: 0.5 is not a whole number"),
        ({"processors": 0}, "processors: 0 is not a whole number from 1, or null"),
        ({"notes": [7]}, "notes, entry 1: 7 is not a text"),
        ({"more": 1}, "no field 'more'; did you mean 'models'?"),
        (None, "None is not an object of profile, "),
        (7, "7 is not an object"),
    ],
)
def test_rubbish_is_no_survey(made, change, words):
    data = {**made.to_json(), **change} if isinstance(change, dict) else change
    with pytest.raises(SurveyError) as raised:
        Survey.from_json(data)
    assert str(raised.value).startswith("survey: ") and words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["profile", "models", "device", "step_times", "notes"])
def test_what_is_missing_is_named(made, name):
    data = made.to_json()
    del data[name]
    with pytest.raises(SurveyError, match=f"survey: {name}: is missing; it is "):
        Survey.from_json(data)


def test_what_was_found_elsewhere_is_kept_but_no_estimates(made, tmp_path):
    store = ExperienceStore(tmp_path / "store.db")
    rough = [replace(step, model="nano-f", mode=ROUGH + step.mode) for step in made.step_times]
    replace(made, step_times=(*made.step_times, *rough)).keep(store)
    assert len(store.step_times()) == len(made.step_times) and store.step_times(model="nano-f") == []
    assert store.profile("fingerprint of digits") == made.profile.to_json()
