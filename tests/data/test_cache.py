import os
import signal
import stat
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError, DatasetWarning, open_dataset
from nni_nasoa.data.cache import open_entry
from nni_nasoa.files import cache_folder


def cached_entry(key, build):
    """The entry's folder."""
    return open_entry(key, build, lambda entry: entry)


@pytest.fixture
def images(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(
                tmp_path / "set" / name / f"{i}.png"
            )
    return tmp_path / "set"


def test_the_folder_is_the_environments_or_the_users(cache, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.setenv("NASOA_CACHE", "")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert str(cache_folder()) == "/home/somebody/.cache/nni_nasoa"


def test_what_is_kept_of_a_users_images_is_for_the_user_alone(images, cache):
    umask = os.umask(0)
    try:
        os.utime(images / "a" / "0.png", (0, 0))
        open_dataset(images, input_size=8)
        with Dataset(images).decoding(12):
            pass
    finally:
        os.umask(umask)
    found = [cache, *cache.rglob("*")]
    assert {path.name for path in found} >= {"images", "about.json", "train_images.npy"}
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_that_may_only_be_read_is_enough(images):
    """Whoever runs the tests as root may write to any: what was written shows in the folders' times."""
    (images / "a" / "bad.jpg").write_bytes(b"no image")
    for path in (*images.rglob("*"), images):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in (*images.rglob("*"), images)}
    dataset = Dataset(images, max_bad=0.5)
    assert dataset.fingerprint and len(dataset.sample(8, 5).train)
    with dataset.decoding(12) as decoding:
        assert decoding.wait(60)
    with pytest.warns(DatasetWarning, match="1 of 13 images cannot be read"):
        dataset.open(9)
    assert before == {path: path.stat().st_mtime_ns for path in (*images.rglob("*"), images)}


def test_images_are_decoded_once_and_mapped(images, entries, open_no_images):
    first = open_dataset(images, input_size=8)
    open_no_images()
    again = open_dataset(images, input_size=8)
    np.testing.assert_array_equal(first.train.images, again.train.images)
    np.testing.assert_array_equal(first.val.labels, again.val.labels)
    assert isinstance(again.train.images, np.memmap) and len(entries()) == 1


def test_writing_to_the_arrays_leaves_the_cache_as_it_is(images):
    first = open_dataset(images, input_size=8)
    before = first.train.images.copy()
    first.train.images[:] = 0
    np.testing.assert_array_equal(open_dataset(images, input_size=8).train.images, before)


def test_another_size_seed_or_file_is_another_entry(images, entries):
    def sums():
        return open_dataset(images, input_size=8).train.images.sum()

    before = sums()
    open_dataset(images, input_size=4)
    open_dataset(images, input_size=8, seed=1)
    assert len(entries()) == 3
    Image.new("RGB", (12, 12)).save(images / "a" / "0.png")
    os.utime(images / "a" / "0.png", ns=(1, 1))
    Image.new("RGB", (12, 12)).save(images / "a" / "1.png")
    os.utime(images / "a" / "1.png", ns=(1, 1))
    assert sums() != before and len(entries()) == 4


def test_entries_are_npy_files_that_anyone_can_read(images, cache, entries):
    split = open_dataset(images, input_size=8)
    entry = cache / "images" / entries()[0]
    np.testing.assert_array_equal(np.load(entry / "train_images.npy"), split.train.images)


def test_a_build_that_fails_leaves_nothing(entries):
    def fail(folder):
        (folder / "half").write_text("x")
        raise DatasetError("no")

    with pytest.raises(DatasetError, match="no"):
        cached_entry({"k": 1}, fail)
    assert entries() == []
    assert (cached_entry({"k": 1}, lambda folder: (folder / "whole").write_text("x")) / "whole").exists()


def test_no_permission_or_room_is_one_clear_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "file"))
    with pytest.raises(DatasetError, match=r"image cache: cannot write to .*NASOA_CACHE") as error:
        cached_entry({}, lambda folder: None)
    assert "\n" not in str(error.value)


SLOW_BUILD = """
    import sys, time
    from nni_nasoa.data.cache import open_entry

    def build(folder):
        print("building", flush=True)
        time.sleep(float(sys.argv[1]))
        (folder / "data").write_text("whole")

    print((open_entry({"k": 1}, build, lambda entry: entry) / "data").read_text(), flush=True)
"""


def start(seconds):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SLOW_BUILD), str(seconds)], stdout=subprocess.PIPE, text=True
    )


def test_processes_that_start_together_build_once():
    processes = [start(0.5) for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0].split() for process in processes]
    assert sorted(outputs) == [["building", "whole"], ["whole"], ["whole"], ["whole"]]


def test_a_killed_builder_leaves_neither_a_lock_nor_rubbish(cache):
    process = start(600)
    assert process.stdout.readline() == "building\n"
    assert len(list((cache / "images").glob("*.partial"))) == 1
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert start(0).communicate(timeout=60)[0].split() == ["building", "whole"]
    assert list((cache / "images").glob("*.partial")) == []
