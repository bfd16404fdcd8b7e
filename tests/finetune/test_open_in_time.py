from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import psutil
import pytest
import torch
from fixtures.decoding import decoders
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError, open_dataset
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.decoding import Decoding
from nni_nasoa.device.processor import allowed_processors
from nni_nasoa.finetune import FineTuneError, FineTuneRegime
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.finetune.open_in_time import decoding_begun, look_in_time, open_in_time
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.time_shares import CACHE_SHARE


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
    dataset = Dataset(folder, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the notes say it
        split, notes, sampled, _ = open_in_time(dataset, Clock(600), input_size=16)
    assert not sampled
    expected = open_quietly(folder, seed=3)
    assert notes == tuple(f"pets: {line}" for line in expected.left_out.lines())
    (note,) = [note for note in notes if "1 of 46 images cannot be read" in note]
    assert str(split.left_out.bad_list) in note and split.classes == expected.classes == ("a", "b", "c")
    assert (split.train.images == expected.train.images).all() and (
        split.val.labels == expected.val.labels
    ).all()
    (folder / "a" / "broken.png").unlink()
    assert open_in_time(Dataset(folder, seed=3), Clock(600), input_size=16).notes == ()


def test_the_share_that_may_be_bad_is_passed_on(folder):
    with pytest.raises(DatasetError, match="1 of 46 images cannot be read, more than the 1% that max_bad"):
        open_in_time(Dataset(folder, max_bad=0.01), Clock(600), input_size=16)


def test_a_dataset_that_is_open_is_taken_as_it_is(digits):
    assert open_in_time(Dataset(digits), Clock(1), input_size=16).split is digits


def test_errors_are_those_of_open_dataset(tmp_path):
    (tmp_path / "one" / "class").mkdir(parents=True)
    with pytest.raises(DatasetError, match="no images found"):
        open_in_time(Dataset(tmp_path / "one"), Clock(600), input_size=16)
    with pytest.raises(DatasetError, match="neither a folder nor a known name"):
        open_in_time(Dataset("none"), Clock(600), input_size=16)


@pytest.mark.parametrize("augmentation, size", [("none", 16), ("full", 24)])
def test_what_was_begun_before_is_taken_over(folder, augmentation, size):
    regime = FineTuneRegime("nano-a", input_size=16, augmentation=augmentation)
    dataset = Dataset(folder)
    assert dataset.but(geometry=regime.geometry) is dataset
    with decoding_begun(dataset, regime) as begun:
        assert begun.size == size and decoders()
        opened = open_in_time(dataset, Clock(600), input_size=16, in_detail=augmentation == "full")
        assert begun.complete and not decoders() and not opened.sampled
        assert (opened.detail is None) == (augmentation == "none")
    assert opened.split.train.images.shape[2:] == (16, 16)


@pytest.mark.parametrize("source", ["digits", "cifar10"])
def test_nothing_is_begun_of_what_is_no_folder(source):
    with decoding_begun(Dataset(source), FineTuneRegime("nano-a")) as begun:
        assert begun is None


def test_nothing_is_begun_for_a_model_of_which_no_size_is_known(folder):
    with decoding_begun(Dataset(folder), FineTuneRegime("nano-1000")) as begun:
        assert begun is None and not decoders()


def test_decoding_is_begun_before_torch_is_loaded(folder):
    code = (
        "import sys\n"
        "from nni_nasoa.data import Dataset\n"
        "from nni_nasoa.finetune import FineTuneRegime\n"
        "from nni_nasoa.finetune.open_in_time import decoding_begun\n"
        f"with decoding_begun(Dataset({str(folder)!r}), FineTuneRegime('lite0')) as begun:\n"
        "    assert begun.size == 224 and begun.wait(60) and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_the_process_that_decodes_is_killed_another_one_goes_on(folder):
    def kill_one():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if children := psutil.Process().children():
                children[0].kill()
                killed.append(children[0].pid)
                return

    killed, killer = [], threading.Thread(target=kill_one)
    killer.start()
    split, _, sampled, _ = open_in_time(Dataset(folder), Clock(600), input_size=16)
    killer.join()
    assert killed and not sampled and len(split.train) + len(split.val) == 45


@pytest.mark.alone
def test_a_folder_that_takes_too_long_gives_a_sample_and_says_so(folder, slow_processes):
    clock = Clock(4)
    split, (note, *others), sampled, _ = open_in_time(Dataset(folder), clock, input_size=16)
    assert sampled and "decoding all images takes longer" in note and clock.elapsed < 4
    assert (
        len(split.left_out.bad) == any("images cannot be read" in line for line in others)
        and split.left_out.bad_list is None
    )
    assert (
        split.classes == ("a", "b", "c")
        and split.name == "pets"
        and split.train.images.shape[1:] == (3, 16, 16)
    )
    assert len(split.train) + len(split.val) <= 45 and set(split.val.labels) <= {0, 1, 2}


SLOW_IMAGES = """
import os, time
from PIL import Image

def slowly(path, open_=Image.open):
    with open(os.environ["OPENED"], "a") as file:
        file.write(str(path) + chr(10))
    time.sleep(0.2)
    return open_(path)

Image.open = slowly
"""


@pytest.mark.alone
def test_a_budget_that_is_too_short_for_all_has_all_that_was_decoded(folder, tmp_path, monkeypatch):
    (tmp_path / "slow").mkdir()
    (tmp_path / "slow" / "sitecustomize.py").write_text(SLOW_IMAGES)
    path = os.pathsep.join(filter(None, (str(tmp_path / "slow"), os.environ.get("PYTHONPATH"))))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setenv("OPENED", str(tmp_path / "opened"))
    clock = Clock(6)
    split, (note, *_), sampled, _ = open_in_time(Dataset(folder, max_bad=1), clock, input_size=16)
    opened = (tmp_path / "opened").read_text().splitlines()
    had = len(split.train) + len(split.val) + len(split.left_out.bad)
    assert sampled and "a longer run decodes all" in note and clock.elapsed < 6
    assert len(opened) - len(allowed_processors()) <= had < 46
    assert len(set(opened)) == len(opened)


def test_a_download_that_takes_too_long_is_one_line(slow_processes):
    with pytest.raises(FineTuneError, match="'CIFAR-10' could not be downloaded"):
        open_in_time(Dataset("CIFAR-10"), Clock(0.5), input_size=16)


def test_a_sample_too_knows_the_share_that_may_be_bad(folder, slow_processes):
    for image in folder.glob("*/*.png"):
        image.write_bytes(b"no image")
    with pytest.raises(
        DatasetError, match=r"pets: \d+ of 46 images cannot be read, more than the 10% that max_bad"
    ):
        open_in_time(Dataset(folder), Clock(2), input_size=16)


def test_a_budget_without_time_for_two_classes_is_an_error_of_the_run(folder, slow_images):
    with pytest.raises(FineTuneError, match="the budget is too short to decode an image of two classes"):
        open_in_time(Dataset(folder), Clock(1e-6), input_size=16)


class Late(Dataset):
    def sample(self, *_, **__):
        raise NotInTimeError("the budget is too short")


@pytest.mark.parametrize("seconds, named", [(0.9, True), (0.1, False)])
def test_a_start_that_took_much_of_the_budget_is_named(folder, slow_processes, seconds, named):
    clock = Clock(1.2, started=0.0, now=lambda: seconds)
    with pytest.raises(FineTuneError) as error:
        open_in_time(Late(folder), clock, input_size=16)
    said = " (0.9 s of 1.2 s went by before, as the program was started)"
    assert str(error.value) == "the budget is too short" + said * named


def open_quietly(folder, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_dataset(folder, input_size=16, **options)


def test_images_in_detail_are_decoded_once_for_both_sizes(folder, later):
    opened = open_in_time(Dataset(folder, seed=3), Clock(600), input_size=16, in_detail=True)
    train = opened.split.train
    assert not opened.sampled and train.images.shape[1:] == (3, 16, 16)
    assert opened.detail.shape == (len(train), 3, 24, 24)
    expected = open_in_time(Dataset(folder, seed=3), Clock(600), input_size=24).split.train
    assert (opened.detail == expected.images).all() and (train.labels == expected.labels).all()
    images = Images(
        train, torch.device("cpu"), Normalization.of((0.5,) * 3, (0.5,) * 3), "full", detail=opened.detail
    )
    assert images.augmented(torch.arange(5)).shape == (5, 3, 16, 16)
    assert images.clean(torch.arange(5)).shape == (5, 3, 16, 16)


def test_images_in_detail_are_not_waited_for_where_smaller_ones_are_there(folder, later, slow_processes):
    dataset = Dataset(folder, seed=3)
    open_quietly(folder, seed=3)
    clock = Clock(20)
    opened = open_in_time(dataset, clock, input_size=16, in_detail=True)
    assert opened.detail is None and not opened.sampled and clock.elapsed < 15


def test_a_folder_that_cannot_be_looked_at_in_its_share_of_the_budget_is_one_line(folder):
    now = [0.0]

    def clock():
        now[0] += 0.5  # whoever asks has taken so long
        return now[0]

    with pytest.raises(
        FineTuneError, match=r"/pets: the budget is too short to look at its files \("
    ) as raised:
        look_in_time(Dataset(folder), Clock(2.0, started=0.0, now=clock))
    assert "\n" not in str(raised.value) and now[0] < 2.0
    look_in_time(Dataset(folder), Clock(600))
    look_in_time(Dataset("digits"), Clock(1.0, started=-5.0))  # of which there is nothing to look at


def test_time_for_decoding_counts_from_when_it_has_begun(folder, monkeypatch):
    now, given, enter, show = [0.0], [], Decoding.__enter__, Decoding.show

    def begun_slowly(decoding):
        now[0] += 100
        return enter(decoding)

    def noted(decoding, seconds, *more):
        given.append(seconds)
        return show(decoding, seconds, *more)

    monkeypatch.setattr(Decoding, "__enter__", begun_slowly)
    monkeypatch.setattr(Decoding, "show", noted)
    clock = Clock(600, started=0.0, now=lambda: now[0])
    assert not open_in_time(Dataset(folder), clock, input_size=16).sampled
    assert given == [pytest.approx(CACHE_SHARE * 600)]
