import os
import shutil
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import numpy as np
import pytest

from nni_nasoa.data import DatasetError, open_dataset
from nni_nasoa.data.cache import cache_limit, make_room, map_array, open_entry

LONG_AGO = 1_000_000_000


def cached_entry(key, build):
    """The entry's folder."""
    return open_entry(key, build, lambda entry: entry)


def build(size):
    def fill(folder):
        make_room(size)
        np.save(folder / "data.npy", np.zeros(size - 128, np.uint8))  # with its header, `size` bytes

    return fill


def load(entry):
    return map_array(entry / "data.npy")


@pytest.fixture(autouse=True)
def small_limit(monkeypatch):
    """Room for which there is on any disk."""
    monkeypatch.setenv("NASOA_CACHE_LIMIT", "100MB")


@pytest.fixture
def old(cache):
    """A function that makes an entry that was last used long ago."""

    def old(name, size=1000, used=LONG_AGO):
        entry = cached_entry({"name": name}, build(size))
        os.utime(entry, (used, used))
        return entry

    return old


@pytest.mark.parametrize(
    "text, size",
    [
        ("0", 0),
        ("12345", 12345),
        ("20GB", 20 * 10**9),
        ("20 gb", 20 * 10**9),
        ("1.5T", 15 * 10**11),
        ("512MiB", 512 * 2**20),
        ("7b", 7),
        ("", 20 * 10**9),
        (" 3K ", 3000),
        ("9" * 400 + "TB", 2**62),
    ],
)
def test_the_limit_is_the_environments(monkeypatch, text, size):
    monkeypatch.setenv("NASOA_CACHE_LIMIT", text)
    assert cache_limit() == size


@pytest.mark.parametrize("text", ["much", "-1GB", "20XB", "GB", "1e9", "nan", "10 GB 5", "3iB", "1,5GB"])
def test_a_limit_that_is_no_size_is_one_clear_line(animals, monkeypatch, text):
    monkeypatch.setenv("NASOA_CACHE_LIMIT", text)
    with pytest.raises(DatasetError, match=r"NASOA_CACHE_LIMIT: '.*' is not a size; give bytes, or") as error:
        open_dataset(animals, input_size=8)
    assert "\n" not in str(error.value)


def test_what_was_not_used_for_longest_goes_first(old, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE_LIMIT", "3000")
    first, second, third = (old(name, used=LONG_AGO + i) for i, name in enumerate("abc"))
    assert cached_entry({"name": "a"}, build(1000)) == first  # used again
    os.utime(first, (LONG_AGO + 9, LONG_AGO + 9))
    fourth = old("d")
    assert [entry.exists() for entry in (first, second, third, fourth)] == [True, False, True, True]
    make_room(3000)
    assert not any(entry.exists() for entry in (first, second, third, fourth))
    assert list(first.parent.glob("*.partial")) == []


def test_room_is_made_for_what_was_not_announced_too(old, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE_LIMIT", "1500")
    first = old("a")
    entry = cached_entry({"name": "b"}, lambda folder: np.save(folder / "data.npy", np.zeros(872, np.uint8)))
    assert entry.exists() and not first.exists()


def test_an_entry_above_the_limit_is_one_clear_line(animals, monkeypatch, old, entries):
    kept = old("a", size=500)
    monkeypatch.setenv("NASOA_CACHE_LIMIT", "2KB")
    with pytest.raises(
        DatasetError, match=r"the decoded images take 2\.88 kB, the limit is 2 kB; set NASOA_CACHE_LIMIT"
    ) as error:
        open_dataset(animals, input_size=8)
    assert "\n" not in str(error.value) and entries() == [kept.name]


def test_a_disk_without_room_is_one_clear_line(animals, monkeypatch, old, entries):
    old("a")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    with pytest.raises(
        DatasetError, match=r"the decoded images take .* left; set NASOA_CACHE to a folder with room"
    ):
        open_dataset(animals, input_size=8)
    assert entries() == []  # the old one was deleted to make room, which was not enough


def test_an_entry_that_is_mapped_stays(old, monkeypatch):
    entry = old("a")
    mapped = map_array(entry / "data.npy")
    view = mapped[10:20]
    del mapped
    make_room(cache_limit())
    assert entry.exists() and view.sum() == 0
    del view
    make_room(cache_limit())
    assert not entry.exists()


def test_a_clock_that_was_set_back_keeps_nothing_for_ever(old, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE_LIMIT", "2000")
    before, now = old("a", used=time.time() + 10**6), old("b", used=time.time() - 1000)
    later = old("c")
    assert [entry.exists() for entry in (before, now, later)] == [False, True, True]


def test_an_entry_that_was_just_asked_for_stays(old):
    entry = old("a")
    cached_entry({"name": "a"}, build(1000))
    make_room(cache_limit())
    assert entry.exists()


def test_an_entry_that_another_process_has_mapped_stays(animals, cache, entries):
    code = (
        "import sys; from nni_nasoa.data import open_dataset; "
        "split = open_dataset(sys.argv[1], input_size=8); "
        "print('open', flush=True); sys.stdin.read(); print(int(split.train.images.sum()))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(animals)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "open\n"
        (entry,) = (cache / "images" / name for name in entries())
        os.utime(entry, (LONG_AGO, LONG_AGO))
        make_room(cache_limit())
        assert entry.exists()
        expected = open_dataset(animals, input_size=8).train.images.sum()
        shutil.rmtree(entry)  # as where there are no locks: the mapped file stays
        assert process.communicate("", timeout=60)[0] == f"{expected}\n"
    finally:
        process.kill()
        process.wait()


def test_what_a_killed_process_left_goes(cache, old):
    entry = old("a")
    partial = entry.with_name("0123.abcd.partial")
    partial.mkdir()
    (partial / "train_images.npy").write_bytes(bytes(1000))
    make_room(cache_limit() - 1)
    assert not partial.exists() and not entry.exists()


def test_what_is_being_built_stays(old, monkeypatch):
    """Nothing of the folder is deleted that the function that makes room is called from."""

    def fill(folder):
        (folder / "data").write_bytes(bytes(100))
        make_room(cache_limit())
        assert (folder / "data").exists()

    assert cached_entry({"name": "b"}, fill).exists()


def test_an_entry_that_goes_before_it_is_opened_is_made_again(old):
    entry, loads = old("a"), []

    def load_late(folder):
        loads.append(folder)
        if len(loads) == 1:  # another process makes room
            os.utime(folder, (LONG_AGO, LONG_AGO))
            make_room(cache_limit())
            assert not entry.exists()
        return load(folder)

    assert len(open_entry({"name": "a"}, build(1000), load_late)) == 872 and loads == [entry, entry]


@pytest.mark.parametrize(
    "damage",
    [
        lambda entry: (entry / "train_images.npy").unlink(),
        lambda entry: (entry / "about.json").write_text("{"),
        lambda entry: os.truncate(entry / "train_images.npy", 300),
        lambda entry: os.truncate(entry / "val_labels.npy", 0),
        lambda entry: (entry / "bad_files.jsonl").unlink(),
        lambda entry: (entry / "bad_files.jsonl").write_text("[1]\n"),
        lambda entry: (entry / "about.json").write_text("{}"),
        lambda entry: (entry / "about.json").write_text("[]"),
    ],
)
def test_a_damaged_entry_is_made_again(animals, cache, entries, damage):
    before = open_dataset(animals, input_size=8).train.images.copy()
    damage(cache / "images" / entries()[0])
    np.testing.assert_array_equal(open_dataset(animals, input_size=8).train.images, before)


def test_what_stays_broken_is_one_clear_line():
    with pytest.raises(DatasetError, match=r"image cache: cannot write to .*No such file") as error:
        open_entry({"name": "a"}, lambda folder: None, load)
    assert "\n" not in str(error.value)


CROWD = """
    import sys, random
    from nni_nasoa.data import open_dataset

    random = random.Random(int(sys.argv[2]))
    for _ in range(30):
        split, size = None, random.randint(6, 16)
        split = open_dataset(sys.argv[1], input_size=size)
        assert split.train.images.shape == (12, 3, size, size) and (split.train.images[:, 1:] < 10).all()
    print("done")
"""


def test_processes_that_crowd_a_small_cache_all_get_their_images(animals, monkeypatch):
    """Each entry is deleted again and again while others look for it."""
    monkeypatch.setenv("NASOA_CACHE_LIMIT", "15KB")  # one of the larger ones, or a few of the smaller
    code = "from nni_nasoa.data import cache; cache.JUST_USED = 0\n" + textwrap.dedent(CROWD)
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code, str(animals), str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    for process in processes:
        assert process.communicate(timeout=300) == ("done\n", "")


KILLED = """
    import os, random, signal, sys, time
    from nni_nasoa.data import open_dataset
    random = random.Random(0)
    for size in (62, 63):  # so that a kill hits the work and not the imports
        begin = time.monotonic()
        open_dataset(sys.argv[1], input_size=size)
    takes = time.monotonic() - begin
    for number in range(20):
        child = os.fork()
        if not child:
            for seed in range(1000):
                open_dataset(sys.argv[1], input_size=64, seed=seed)
        time.sleep(5 * takes * random.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
"""


@pytest.mark.slow
def test_kills_at_any_moment_leave_whole_entries_or_none(animals, cache, entries):
    subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), str(animals)], check=True, timeout=300)
    whole = [name for name in entries() if "." not in name]
    before = time.time()
    for seed in range(max(3, len(whole) - 2)):  # those that are there, or some that are not
        split = open_dataset(animals, input_size=64, seed=seed)
        assert len(split.train) == 12 and len(split.val) == 3
        red = np.concatenate([part.images[:, 0].reshape(len(part), -1) for part in (split.train, split.val)])
        assert (red.min(1) == red.max(1)).all() and len(set(red[:, 0])) == 15
    assert all(
        (cache / "images" / name / "about.json").stat().st_mtime < before for name in whole
    )  # none was made again
    make_room(cache_limit())
    assert list((cache / "images").glob("*.partial")) == []
