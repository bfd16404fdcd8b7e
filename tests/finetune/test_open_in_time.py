from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import DatasetError, open_dataset
from nni_nasoa.finetune import FineTuneError
from nni_nasoa.finetune import open_in_time as opening
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.finetune.open_in_time import open_in_time, sample_folder

SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    for label, n in (("a", 30), ("b", 12), ("c", 3)):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(
                tmp_path / "pets" / label / f"{i}.png"
            )
    (tmp_path / "pets" / "a" / "broken.png").write_bytes(b"no image")
    return tmp_path / "pets"


def test_with_time_it_is_open_dataset(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the note says it
        split, note = open_in_time(folder, Clock(600), input_size=16, seed=3)
    expected = open_quietly(folder, seed=3)
    assert note == f"pets: {expected.report.summary()}" and "1 of 46 images cannot be read" in note
    assert str(split.report.bad_list) in note and split.classes == expected.classes == ("a", "b", "c")
    assert (split.train.images == expected.train.images).all() and (
        split.val.labels == expected.val.labels
    ).all()
    (folder / "a" / "broken.png").unlink()
    assert open_in_time(folder, Clock(600), input_size=16, seed=3).note is None


def test_the_share_that_may_be_bad_is_passed_on(folder):
    with pytest.raises(DatasetError, match="1 of 46 images cannot be read, more than the 1% that max_bad"):
        open_in_time(folder, Clock(600), input_size=16, max_bad=0.01)


def test_a_dataset_that_is_open_is_taken_as_it_is(digits):
    assert open_in_time(digits, Clock(1), input_size=16).split is digits


def test_errors_are_those_of_open_dataset(tmp_path):
    (tmp_path / "one" / "class").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no images found"):
        open_in_time(tmp_path / "one", Clock(600), input_size=16)
    with pytest.raises(DatasetError, match="neither a folder nor a known name"):
        open_in_time("none", Clock(600), input_size=16)


def test_a_folder_that_takes_too_long_gives_a_sample_and_says_so(folder, monkeypatch):
    monkeypatch.setattr(opening, "_BUILD", SLEEP)
    clock = Clock(4)
    split, note = open_in_time(folder, clock, input_size=16)
    assert "decoding all images takes longer" in note and clock.elapsed < 4
    assert len(split.report.bad) == ("images cannot be read" in note) and split.report.bad_list is None
    assert (
        split.classes == ("a", "b", "c")
        and split.name == "pets"
        and split.train.images.shape[1:] == (3, 16, 16)
    )
    assert len(split.train) + len(split.val) <= 45 and set(split.val.labels) <= {0, 1, 2}


def test_a_download_that_takes_too_long_is_one_line(monkeypatch):
    monkeypatch.setattr(opening, "_BUILD", SLEEP)
    with pytest.raises(FineTuneError, match="'cifar10' could not be downloaded"):
        open_in_time("cifar10", Clock(0.5), input_size=16)


def test_the_process_that_decodes_is_ended(monkeypatch):
    monkeypatch.setattr(opening, "_BUILD", SLEEP)
    made, popen = [], opening.subprocess.Popen
    monkeypatch.setattr(opening.subprocess, "Popen", lambda *a, **k: made.append(popen(*a, **k)) or made[-1])
    assert not opening._built("x", {}, 0.1)
    assert made[0].returncode == -9


def test_a_sample_has_every_class_in_turn_and_the_parts_of_the_split(folder):
    whole = sample_folder(folder, 600, 16, 0, 0.2)
    expected = {image.tobytes() for image in open_quietly(folder).train.images}
    assert {image.tobytes() for image in whole.train.images} == expected
    assert np.bincount(whole.train.labels[:6], minlength=3).tolist() == [2, 2, 2]
    short = sample_folder(folder, 0, 16, 0, 0.2)
    assert len(set(short.train.labels)) >= 2 and len(short.val) >= 1 and len(short.train) < 20
    few = sample_folder(folder, 600, 16, 0, 0.2, most=8)
    assert len(few.train) + len(few.val) + len(few.report.bad) == 8 and set(few.train.labels) == {0, 1, 2}


def test_a_sample_too_knows_the_share_that_may_be_bad(folder, monkeypatch):
    monkeypatch.setattr(opening, "_BUILD", SLEEP)
    for image in folder.glob("*/*.png"):
        image.write_bytes(b"no image")
    with pytest.raises(
        DatasetError, match="pets: [0-9]+ of 46 images cannot be read, more than the 10% that max_bad"
    ):
        open_in_time(folder, Clock(2), input_size=16)


def open_quietly(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_dataset(folder, input_size=16, **options)
