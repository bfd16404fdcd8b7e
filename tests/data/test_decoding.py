"""Decoding in a process of its own: what was decoded is of use at once, and is never thrown away."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from fixtures.decoding import assert_whole, decoders, directly
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.cache import cache_limit, make_room
from nni_nasoa.data.decode import to_array
from nni_nasoa.data.growing import Growing, Shape, growing_entry
from nni_nasoa.device.processor import allowed_processors

pytestmark = pytest.mark.filterwarnings("ignore::nni_nasoa.data.left_out.DatasetWarning")

LONG_AGO = 1_000_000_000


# -- what is there can be used --


def test_it_decodes_all_in_the_order_of_the_listing(pets, entries):
    dataset = Dataset(pets)
    with dataset.decoding(16) as decoding:
        assert decoding.wait(600) and decoding.complete and decoding.progress == (46, 46)
        split = decoding.split()
    assert_whole(split, pets)
    assert isinstance(split.train.images, np.memmap) and len(split.left_out.bad) == 1
    assert split.train.labels.tolist() == sorted(split.train.labels) and len(entries()) == 1
    assert not decoders() and dataset.open(16).train.images.tolist() == split.train.images.tolist()


def test_what_is_there_can_be_used_meanwhile(pets, opened):
    dataset = Dataset(pets)
    with dataset.decoding(16) as decoding:
        assert decoding.done("train").size == 0 or decoding.running
        assert decoding.images("train").shape == (37, 3, 16, 16)
        with pytest.raises(NotInTimeError, match="too short"):
            decoding.split()
        assert decoding.wait(600, until=12)
        first = decoding.done("train")
        assert not decoding.complete and 12 <= decoding.progress[0] < 46 and len(decoding.done("val")) >= 2
        split, names = decoding.split(), [sample.name for sample in decoding.source.train]
        assert set(split.train.labels) == {0, 1, 2} and 8 <= len(split.train) < 37
        for index in first:
            with Image.open(pets / names[index]) as image:
                np.testing.assert_array_equal(decoding.images("train")[index], to_array(image, 16))
        assert [names[index][0] for index in first] == ["abc"[i] for i in decoding.labels("train")[first]]
        assert decoding.wait(600)
        whole = decoding.done("train")
        assert whole[: len(first)].tolist() == first.tolist() and len(set(whole)) == 37 - (
            "a/broken.png" in names
        )
        mapped = decoding.images("train")  # has another name by now
        assert mapped[whole].mean() == pytest.approx(decoding.split().train.images.mean(), abs=1)


def test_a_complete_entry_needs_no_process(pets, later):
    Dataset(pets).open(16)
    with Dataset(pets).decoding(16) as decoding:
        assert decoding.wait(0) and decoding.progress == (46, 46) and not decoding.running
        done = [decoding.done(part) for part in ("train", "val")]
        assert len(done[0]) + len(done[1]) == 45 and set(decoding.labels("train")[done[0][:6]]) == {0, 1, 2}
        assert (decoding.images("val")[np.sort(done[1])] == decoding.split().val.images).all()


def test_what_cannot_be_used_is_said(animals, cache, monkeypatch):
    with pytest.raises(DatasetError, match="'digits' is given as a name, which has no files"):
        Dataset("digits").decoding(16)
    (cache / "file").write_text("")
    monkeypatch.setenv("NASOA_CACHE", str(cache / "file"))
    with Dataset(animals).decoding(8) as decoding:
        with pytest.raises(DatasetError, match="image cache: cannot write to"):
            decoding.wait(600)
        assert not decoding.running and not decoding.wait(0)


def test_an_image_that_is_far_larger_than_the_others_comes_last(animals, write, cache):
    write(animals / "cat" / "0.png", size=(3000, 3000))
    write(animals / "cat" / "1.png", size=(3200, 3200))
    Dataset(animals).sample(8, 600)
    (folder,) = (cache / "images").glob("*.growing")
    slots = Growing.found(folder, Shape(12, 3, 8)).records()
    source = Dataset(animals).decoding(8).source
    names = [(*source.train, *source.val)[slot].name for slot in slots]
    assert len(names) == 15 and set(names[-2:]) == {"cat/0.png", "cat/1.png"}


# -- nothing is thrown away --


def test_leaving_ends_the_process_and_the_next_one_goes_on(pets, opened):
    dataset = Dataset(pets)
    with dataset.decoding(16) as decoding:
        assert decoding.wait(600, until=10)
    assert not decoders()
    with dataset.decoding(16) as decoding:
        assert decoding.progress[0] >= 10 and decoding.wait(600)
        assert_whole(decoding.split(), pets)
    counts = opened()
    assert len(counts) == 46 and counts.total() <= 46 + len(allowed_processors())


def test_a_killed_decoder_takes_nothing_with_it(pets, opened):
    dataset = Dataset(pets)
    for until in (5, 15, 25):
        with dataset.decoding(16) as decoding:
            assert decoding.wait(600, until=until)
            (decoder,) = decoders()
            decoder.kill()
            assert not decoding.wait(600) and not decoding.running and decoding.progress[0] >= until
            assert len(decoding.split().train) >= until // 2
    assert_whole(dataset.open(16), pets)
    assert opened().total() <= 46 + 3 * len(allowed_processors())


PARENT = """
    import psutil, sys, time
    from nni_nasoa.data import Dataset

    now = time.time
    time.time = lambda: now() + 60  # else its files would have been written just now
    with Dataset(sys.argv[1]).decoding(16) as decoding:
        decoding.wait(600, until=10)
        print(psutil.Process().children()[0].pid, flush=True)
        time.sleep(600)
"""


def test_a_decoder_ends_when_its_parent_is_killed_and_another_goes_on(pets, opened, later):
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(pets)], stdout=subprocess.PIPE, text=True
    )
    decoder = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 60
    while psutil.pid_exists(decoder):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with Dataset(pets).decoding(16) as decoding:
        assert decoding.progress[0] >= 10 and decoding.wait(600)
        assert_whole(decoding.split(), pets)
    assert opened().total() <= 46 + len(allowed_processors())


def test_of_two_at_once_one_decodes_and_the_other_takes_over(pets, opened):
    dataset = Dataset(pets)
    with dataset.decoding(16) as first:
        assert first.wait(600, until=1)
        (decoder,) = decoders()
        with dataset.decoding(16) as second:
            assert second.wait(600, until=10) and second.running
            decoder.kill()
            assert second.wait(600)
            assert_whole(second.split(), pets)
    assert opened().total() <= 46 + len(allowed_processors())


def test_of_two_at_once_the_second_finds_what_the_first_has_finished(pets, opened):
    dataset = Dataset(pets)
    with dataset.decoding(16) as first:
        assert first.wait(600, until=1)
        with dataset.decoding(16) as second:
            assert first.wait(600) and second.wait(600)
            assert_whole(second.split(), pets)
    assert opened().total() == 46


def test_opening_and_sampling_go_on_with_what_another_process_decodes(pets, opened):
    dataset = Dataset(pets)
    with dataset.decoding(16) as decoding:
        assert decoding.wait(600, until=1)
        sample = dataset.sample(16, 600, most=12)
        assert len(sample.train) + len(sample.val) + len(sample.left_out.bad) == 12
        assert_whole(dataset.open(16), pets)
        assert decoding.wait(600)
    assert max(opened().values()) == 1


def test_a_sample_is_not_decoded_again_by_what_comes_after_it(pets, images_opened):
    dataset = Dataset(pets)
    dataset.sample(16, 600, most=20)
    assert images_opened.total() == 20
    dataset.sample(16, 600, most=20), dataset.sample(12, 600, most=15)
    assert images_opened.total() == 20
    dataset.sample(12, 600, most=30)  # decoded at 16 pixels, too
    assert images_opened.total() == 30
    other = Dataset(pets, seed=1)
    for size in (8, 16, 12):
        assert len(other.sample(size, 600, most=20, decode_size=16).train) >= 14
    assert images_opened.total() == 50
    images_opened.clear()
    split = dataset.open(16)
    assert len(split.train) + len(split.val) == 45 and images_opened.total() == 16


# -- smaller ones are made of larger ones --


@pytest.mark.parametrize("whole", [True, False])
def test_smaller_images_are_made_of_larger_ones(pets, open_no_images, later, whole):
    dataset = Dataset(pets)
    if whole:
        dataset.open(64)
        assert dataset.decoded((16, 48, 64, 65)) == {16, 48, 64}
    else:
        dataset.sample(64, 600)
    assert dataset.decoded((65,)) == set()
    expected = {size: [*directly(dataset.files, size)] for size in (48, 16)}
    open_no_images()
    for size, parts in expected.items():
        split = dataset.open(size)
        assert len(split.left_out.bad) == 1 and split.classes == ("a", "b", "c")
        for part, images in zip((split.train, split.val), parts):
            assert np.abs(part.images.astype(int) - images).mean((1, 2, 3)).max() < 2


# -- what goes wrong --


def test_a_class_of_bad_files_is_none_and_its_other_part_goes(animals, tmp_path, write):
    (tmp_path / "set").mkdir()
    animals.rename(tmp_path / "set" / "train")
    for name in ("cat", "dog", "bat"):
        write(tmp_path / "set" / "val" / name / "0.png", (7, 7, 7))
    (tmp_path / "set" / "train" / "bat").mkdir()
    (tmp_path / "set" / "train" / "bat" / "0.png").write_bytes(b"")
    with Dataset(tmp_path / "set").decoding(8) as decoding:
        assert decoding.wait(600)
        split = Dataset(tmp_path / "set", max_bad=0.2).open(8)
    assert split.classes == ("cat", "dog") and split.left_out.empty_classes == ("bat",)
    assert dict(split.left_out.bad) == {
        "train/bat/0.png": "the file is empty",
        "val/bat/0.png": "of its class no image for training can be read",
    }


def test_where_the_cache_cannot_be_written_a_sample_is_decoded_into_memory(pets, cache, monkeypatch):
    expected = Dataset(pets).sample(16, 600, most=20)
    (cache / "file").write_text("")
    monkeypatch.setenv("NASOA_CACHE", str(cache / "file"))
    sample = Dataset(pets).sample(16, 600, most=20)
    np.testing.assert_array_equal(sample.train.images, expected.train.images)
    with pytest.raises(DatasetError, match="image cache: cannot write to"):
        Dataset(pets).open(16)


def test_a_full_disk_is_one_clear_line_and_takes_nothing(pets, monkeypatch, images_opened):
    pwrite, written = os.pwrite, []

    def fill_up(*arguments):
        written.append(arguments)
        if len(written) > 10:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(*arguments)

    dataset = Dataset(pets)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", fill_up)
        with pytest.raises(DatasetError, match=r"cannot write to .* left on device") as error:
            dataset.open(16)
        assert "\n" not in str(error.value)
        sample = dataset.sample(16, 600)
        assert len(sample.train) + len(sample.val) == 45
    assert images_opened.total() <= 46 + 2 * len(allowed_processors()) + 2  # the ten were not decoded again
    assert_whole(dataset.open(16), pets)


def test_images_from_before_the_machine_was_started_are_not_trusted(pets, cache, images_opened):
    dataset = Dataset(pets)
    dataset.sample(16, 600, most=20)
    (about,) = (cache / "images").glob("*.growing/about.json")
    about.write_text(json.dumps({**json.loads(about.read_text()), "boot": "another one"}))
    images_opened.clear()
    dataset.open(16)
    assert images_opened.total() == 46


def test_a_file_that_changes_meanwhile_is_not_taken_for_what_it_was(animals, write):
    dataset, image = Dataset(animals), animals / "cat" / "0.png"
    dataset.sample(8, 600)
    write(image, (0, 200, 0))
    for split in (dataset.open(8), Dataset(animals).open(8)):
        assert max(split.train.images[:, 1].max(), split.val.images[:, 1].max()) == 200


def test_growing_entries_make_room_but_for_those_in_use(pets, cache):
    dataset = Dataset(pets)
    dataset.sample(16, 600, most=20)
    (folder,) = (cache / "images").glob("*.growing")
    os.utime(folder, (LONG_AGO, LONG_AGO))
    growing = Growing.found(folder, Shape(37, 9, 16))
    os.utime(folder, (LONG_AGO, LONG_AGO))
    make_room(cache_limit())
    assert folder.exists()
    growing.close()
    make_room(cache_limit())
    assert not folder.exists()
    assert_whole(dataset.open(16), pets)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 9), st.one_of(st.integers(0, 255), st.text(min_size=1))),
            st.sampled_from(["again", "torn"]),
        ),
        max_size=20,
    )
)
def test_what_was_put_is_there_however_often_it_ended(steps):
    shape, expected, reasons = Shape(6, 4, 2), {}, {}
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASOA_CACHE", name)
        (Path(name) / "images").mkdir()
        folder = Path(name) / "images" / "0.growing"
        entry = growing_entry(folder, shape, 10)
        growing, writer = entry.__enter__()
        for step in steps:
            if isinstance(step, str):
                entry.__exit__(None, None, None)
                if step == "torn":
                    with open(folder / "done", "ab") as file:
                        file.write(b"\1\0")
                entry = growing_entry(folder, shape, 10)
                growing, writer = entry.__enter__()
            elif step[0] not in expected:
                slot, result = step
                expected[slot] = result
                writer.put(slot, result if isinstance(result, str) else bytes([result] * 12))
                reasons |= {slot: result} if isinstance(result, str) else {}
        records = growing.records()
        assert np.where(records < 0, ~records, records).tolist() == [*expected]
        assert growing.reasons() == reasons and growing.number == len(expected)
        for slot, result in expected.items():
            assert (slot in reasons) or (growing.pixels(slot) == result).all()
        entry.__exit__(None, None, None)


def test_what_lies_decoded_is_opened_without_a_process(pets, slow_processes):
    """Of few files the contents are read at once, where these are too new to be known by their times."""
    before = Dataset(pets, max_bad=0.5).open(8)
    (pets / "a" / "broken.png").touch()
    dataset = Dataset(pets, max_bad=0.5)
    assert dataset.decode_in_time(8, 10) and not decoders()
    with dataset.decoding(8) as decoding:
        assert decoding.complete and not decoders()
    np.testing.assert_array_equal(dataset.open(8).train.images, before.train.images)
