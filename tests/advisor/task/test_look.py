from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib import import_module

import pytest
from fixtures.looks import FOUND

from nni_nasoa.advisor.task.landmarks import HIGH_RATE, RATE
from nni_nasoa.advisor.task.look import Instruments, task_profile
from nni_nasoa.advisor.task.plan import LANDMARKS, PROBE_MODEL, sized_probes
from nni_nasoa.advisor.task.probing import FEW, IMAGES
from nni_nasoa.advisor.task.profiles import TaskProfile
from nni_nasoa.data import Dataset, DatasetError, open_dataset
from nni_nasoa.data.profile import DatasetProfile, ProfileError
from nni_nasoa.experience.records import figures_of
from nni_nasoa.zoo import list_models

ALWAYS = (PROBE_MODEL, *sized_probes())
B = ("nano-b", "nano-b@96")
COLD = """
import sys
from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.task.look import task_profile
from nni_nasoa.data import Dataset
found = task_profile(Dataset(sys.argv[2]), ExperienceStore(sys.argv[1]), ["nano-b"])
print(found.flat()["separability_nearest_mean"], found.model_figures("nano-b").stages)
print({"torch", "PIL", "nni"} & {*sys.modules})
"""


def test_what_is_found_is_kept_and_opens_nothing_the_next_time(folder, store, open_no_images):
    first = task_profile(Dataset(folder), store, ["nano-b"])
    assert set(first.probes) == {*ALWAYS, *B} and first.dataset.pixels_read == 9
    assert all(found["images"] == 9 and 0 <= found["nearest_mean"] <= 1 for found in first.probes.values())
    assert set(first.landmarks) == {*LANDMARKS} and all(0 <= found <= 1 for found in first.landmarks.values())
    open_no_images()
    assert task_profile(Dataset(folder), store, ["nano-b"]) == first
    run = subprocess.run(
        [sys.executable, "-c", COLD, store.location, folder], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"{first.probes[PROBE_MODEL]['nearest_mean']} 4\nset()\n"


def test_the_sample_is_opened_once_for_all_models_of_a_size(folder, store, look):
    look(Dataset(folder), store, ["nano-b", "nano-c", "nano-b"])
    assert [(model, split.input_size) for model, split in look.probed] == [
        (PROBE_MODEL, 48),
        ("nano-b", 48),
        ("nano-c", 48),
        (PROBE_MODEL, 32),
        (PROBE_MODEL, 96),
        ("nano-b", 96),
        ("nano-c", 96),
    ]
    sample, larger = look.probed[0][1], look.probed[4][1]
    assert look.probed[1][1] is look.probed[2][1] is sample and len(sample.train) + len(sample.val) == 9
    assert look.probed[5][1] is look.probed[6][1] is larger


def test_only_what_is_missing_is_found(folder, store, look):
    look(Dataset(folder), store)
    look.having(profile=lambda *_, **__: pytest.fail("the profile is known"))
    found = look(Dataset(folder), store, ["nano-b"])
    assert [model for model, _ in look.probed] == [PROBE_MODEL] * 3 + ["nano-b"] * 2 and set(
        found.probes
    ) == {
        *ALWAYS,
        *B,
    }
    assert look(Dataset(folder), store) == found and len(look.probed) == 5


def test_a_changed_dataset_is_another(folder, store, look):
    before = look(Dataset(folder), store)
    (folder / "b" / "0.png").unlink()
    after = look(Dataset(folder), store)
    assert (before.dataset.images, after.dataset.images, len(look.probed)) == (10, 9, 6)
    assert look(Dataset(folder, val_fraction=0.4), store).dataset.val_images > after.dataset.val_images


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: {},
        lambda kept: {"version": 0} | kept["dataset"],
        lambda kept: kept | {"version": 99},
        lambda kept: kept | {"dataset": kept["dataset"] | {"images": "many"}},
        lambda kept: kept | {"dataset": None},
        lambda kept: kept | {"probes": {PROBE_MODEL: {}}},
        lambda kept: kept | {"probes": [PROBE_MODEL]},
        lambda kept: kept | {"probes": {PROBE_MODEL: {**FOUND, "nearest_mean": 7}}},
        lambda kept: kept | {"probes": {PROBE_MODEL: {**FOUND, "log_me": "high"}}},
        lambda kept: kept | {"landmarks": {"landmark": 1.5}},
        lambda kept: kept | {"landmarks": None},
        lambda kept: {name: part for name, part in kept.items() if name != "landmarks"} | {"version": 2},
    ],
)
def test_what_is_damaged_in_the_store_is_found_anew(folder, store, look, damage):
    good = look(Dataset(folder), store)
    store.set_profile(good.dataset.fingerprint, damage(good.to_json()))
    again = look(Dataset(folder), store)
    assert len(look.probed) == 6 and (again.dataset.images, again.probes) == (
        good.dataset.images,
        good.probes,
    )
    assert TaskProfile.from_json(store.profile(good.dataset.fingerprint)) == again


def test_what_is_no_json_in_the_store_is_found_anew(folder, store, look):
    good = look(Dataset(folder), store)
    with closing(sqlite3.connect(store.location)) as database, database:
        assert database.execute("UPDATE nasoa_profiles SET profile = '{'").rowcount == 1
    assert look(Dataset(folder), store).probes == good.probes and len(look.probed) == 6


def test_without_time_nothing_is_claimed_and_it_is_found_later(folder, store, look):
    short = look(Dataset(folder), store, seconds=0)
    assert short.dataset.images == 10 and short.dataset.width is short.dataset.red_mean is None
    assert not short.probes and not look.probed and not short.landmarks
    flat = short.flat()
    assert (
        flat["separability_nearest_mean"]
        is flat["distance"]
        is flat["landmark"]
        is flat["landmark_large"]
        is short.model_figures("nano-a").known["probe_log_me"]
        is None
    )
    assert look(Dataset(folder), store).dataset.width == 24 and len(look.probed) == 3
    named = look(Dataset("fractals"), store, seconds=0)
    assert (named.dataset.name, named.dataset.images, named.probes) == ("fractals", None, {})


@pytest.fixture
def watch():
    """Probes that take their time by a clock of their own.

    A function that looks at the digits for some seconds, and what it took.
    """
    import_module("torch")  # else three seconds are kept for that
    now = [0.0]

    def probe(split, model, *, device, seconds, images):
        each = (
            2e-4
            * (figures_of(model)["gmacs"] / figures_of("nano-a")["gmacs"]) ** 0.5
            * (split.input_size / 48) ** 2
        )
        network = 250 * each
        seen = images if seconds is None else int(min(images, max(0.0, seconds - network) / each))
        now[0] += network + seen * each
        return FOUND | {"images": seen}

    instruments = Instruments(probe=probe, landmark=lambda *_, **__: None, clock=lambda: now[0])

    def look(seconds):
        begin = now[0]
        found = task_profile(
            Dataset("digits"), None, list_models("nano"), seconds=seconds, instruments=instruments
        )
        return {name: probe["images"] for name, probe in found.probes.items()}, now[0] - begin

    return look


def test_in_little_time_some_probes_are_made_well_and_the_others_not_at_all(watch):
    names = [*list_models("nano"), *sized_probes(list_models("nano"))]
    before = 0
    for seconds in (0.3, 0.6, 1.2, 2.4):
        seen, took = watch(seconds)
        assert list(seen) == [name for name in names if name in seen] and next(iter(seen)) == PROBE_MODEL
        assert all(images >= FEW for images in seen.values()) and took <= 1.05 * seconds
        assert len(seen) >= before
        before = len(seen)
    assert 6 <= before < len(names)
    for seconds in (60, None):
        seen, _ = watch(seconds)
        assert seen == {name: FEW if "@" in name else IMAGES for name in names}
    assert watch(0.1)[0] == {}


def test_a_probe_of_fewer_images_is_compared_by_those_that_both_have_seen():
    base = FOUND | {"linear": 0.9, "linear_few": 0.8, "images": 1000}
    other = FOUND | {"linear": 0.85, "linear_few": 0.85, "images": 250}
    known = TaskProfile(
        DatasetProfile("pets", "pets"),
        {
            PROBE_MODEL: base,
            "nano-b": other,
            "nano-c": other | {"images": 1000},
            "nano-d": other | {"linear_few": None, "linear": None},
        },
    )
    linear = {
        model: known.model_figures(model).probed
        for model in (PROBE_MODEL, "nano-b", "nano-c", "nano-d", "nano-e")
    }
    odds = 9 * (0.85 / 0.15) / 4  # those of the first on all, by how much the other does better on few
    assert linear == {
        PROBE_MODEL: 0.9,
        "nano-b": pytest.approx(odds / (1 + odds)),
        "nano-c": 0.85,
        "nano-d": None,
        "nano-e": None,
    }


def test_a_probe_that_was_cut_short_is_made_again(folder, store, look):
    nothing = {**dict.fromkeys(FOUND), "images": 2, "stages": 4}
    look.having(probe=lambda *_, **__: nothing)
    assert look(Dataset(folder), store, seconds=900).probes == {}
    look.having(probe=lambda *_, **__: {**nothing, "images": 9})  # all were seen: it has no value
    assert look(Dataset(folder), store).probes == {key: {**nothing, "images": 9} for key in ALWAYS}


def test_a_landmark_that_there_was_no_time_for_is_looked_for_again(folder, store, look):
    reached = {(48, RATE): 0.6, (48, HIGH_RATE): 0.5, (96, RATE): None}
    look.having(landmark=lambda split, model, rate, **_: reached[split.input_size, rate])
    assert look(Dataset(folder), store, seconds=900).landmarks == {
        "landmark": 0.6,
        "landmark_high_rate": 0.5,
    }
    reached[48, RATE] = 0.1  # is known
    whole = {
        "landmark": 0.6,
        "landmark_high_rate": 0.5,
        "landmark_large": None,
    }  # with all the time, the last has no value
    assert look(Dataset(folder), store).landmarks == whole
    reached[96, RATE] = 0.7
    assert look(Dataset(folder), store, seconds=900).landmarks == whole and len(look.probed) == 3
    opened = look(Dataset(open_dataset("digits", input_size=48)), store)
    assert opened.landmarks == {"landmark": 0.1, "landmark_high_rate": 0.5}  # arrays come in one size


def test_what_there_was_no_time_for_is_looked_for_again_with_much_more_of_it(folder, store, look):
    cut_short = {**dict.fromkeys(FOUND), "images": 2, "stages": 4}
    look.having(probe=lambda split, model, **_: look.probed.append((model, split)) or cut_short)
    first = look(Dataset(folder), store, seconds=100)
    tried = len(look.probed)
    assert tried and first.probes == {} and first.looked_for == {PROBE_MODEL: 100}
    for seconds in (1, 100, 150):
        assert look(Dataset(folder), store, seconds=seconds) == first and len(look.probed) == tried
    assert look(Dataset(folder), store, seconds=200).looked_for == {PROBE_MODEL: 200}
    assert len(look.probed) == 2 * tried
    # Of another network nothing was looked for yet.
    assert set(look(Dataset(folder), store, ["nano-b"], seconds=1).looked_for) == {PROBE_MODEL, "nano-b"}


def test_probes_of_another_process_are_kept(folder, store, look):
    def probe(split, model, *, device, seconds, images):
        if model == PROBE_MODEL:
            other = TaskProfile(
                DatasetProfile("pets", own, pixels_read=9), {"nano-f": FOUND}, {"landmark_new": 0.25}
            )
            store.set_profile(own, other.to_json())
        return dict(FOUND)

    own = Dataset(folder).fingerprint
    look.having(probe=probe)
    look(Dataset(folder), store, ["nano-b"])
    assert set(store.profile(own)["probes"]) == {*ALWAYS, *B, "nano-f"}
    assert set(store.profile(own)["landmarks"]) == {*LANDMARKS, "landmark_new"}


def test_names_and_open_datasets(store, look):
    digits = open_dataset("digits", input_size=16)
    named, opened = look(Dataset("digits"), store), look(Dataset(digits), store)
    assert (
        named.dataset.images == opened.dataset.images == 1797
        and named.dataset.fingerprint != opened.dataset.fingerprint
    )
    assert [split.input_size for _, split in look.probed[:3]] == [48, 32, 96] and look.probed[3][1] is digits
    assert set(opened.probes) == {PROBE_MODEL}  # arrays come in one size
    assert (
        look(Dataset("digits"), store) == named
        and look(Dataset(digits), store) == opened
        and len(look.probed) == 4
    )
    assert look(Dataset("digits"), None).probes == named.probes and len(look.probed) == 7


def test_named_datasets_are_opened_in_time(store, look, tmp_path):
    found = look(Dataset("digits"), store, seconds=900)
    assert found.dataset.images == 1797 and set(found.probes) == {*ALWAYS}


def test_errors_are_one_line_before_work_starts(folder, store, tmp_path, open_no_images):
    open_no_images()
    with pytest.raises(ValueError, match=r"^zoo: no model 'nano-x'; .*$"):
        task_profile(Dataset(folder), store, ["nano-x"])
    with pytest.raises(DatasetError, match="neither a folder nor a known name"):
        task_profile(Dataset(tmp_path / "none"), store)
    assert store.profile(Dataset(folder).fingerprint) is None


def test_flat_and_figures_are_scalars_for_a_record(folder, store, look, make_record):
    found = look(Dataset(folder), store, ["nano-a"])
    record = make_record(profile=found.flat(), model_figures=found.model_figures("nano-a").of_run())
    assert record.profile == found.dataset.to_json() | {
        "separability_nearest_mean": 0.5,
        "separability_nearest_neighbour": 0.25,
        "separability_linear": 0.75,
        "separability_linear_few": 0.625,
        "separability_log_me": -0.1,
        "separability_small": 0.75,
        "separability_large": 0.75,
        "distance": 0.2,
        "landmark": 48 / 128 + RATE / 10,
        "landmark_high_rate": 48 / 128 + HIGH_RATE / 10,
        "landmark_large": 96 / 128 + RATE / 10,
    }
    figures = dict(record.model_figures)
    assert (figures["family"], figures["stages"]) == ("nano", 4)
    assert [
        figures[f"probe_{name}"] for name in ("nearest_mean", "linear", "linear_few", "large", "log_me")
    ] == [0.5, 0.75, 0.625, 0.75, -0.1]
    unknown = found.model_figures("nano-f").known
    assert (unknown["stages"], unknown["probe_nearest_neighbour"]) == (3, None) and set(unknown) == set(
        figures
    )
    assert unknown["probe_large"] is None and set(sized_probes(["resnet18"])) == set(
        sized_probes()
    )  # there are no larger candidates
    assert (
        found.model_figures("resnet18").counted_stages is None
        and found.model_figures("no such model").counted_stages is None
    )


def test_a_profile_survives_json(folder, look):
    found = look(Dataset(folder), None, ["nano-a"])
    assert TaskProfile.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    good = found.to_json()
    for wrong in (
        None,
        [],
        good | {"version": 4},  # whose probes were made otherwise
        good | {"more": 1},
        good | {"probes": {"nano-a": {**FOUND, "images": -1}}},
    ):
        with pytest.raises(ProfileError) as error:
            TaskProfile.from_json(wrong)
        assert "\n" not in str(error.value)
    assert issubclass(ProfileError, ValueError)


def test_nothing_heavy_is_imported():
    code = (
        "import sys, nni_nasoa.advisor.task.look; "
        "print({'torch', 'torchvision', 'nni', 'sqlalchemy', 'PIL'} & {*sys.modules})"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
