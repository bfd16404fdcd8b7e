import os
import shutil

import numpy as np
import pytest

from nni_nasoa.data import open_dataset
from nni_nasoa.data.content import content_digest as digest_of
from nni_nasoa.data.place import Place


@pytest.fixture
def folder(tmp_path):
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(name.encode())
    return tmp_path / "set"


@pytest.fixture
def reads(folder, monkeypatch):
    """The files of the folder that are opened for reading."""
    paths, open_ = [], open

    def noted(path, *arguments, **options):
        if str(path).startswith(str(folder)):
            paths.append(path)
        return open_(path, *arguments, **options)

    monkeypatch.setattr("builtins.open", noted)
    return paths


FILES = ["a/0.png", "a/1.png", "b/0.png"]


def content_digest(folder, files):
    return digest_of(Place(folder), files)


def test_files_are_read_once(folder, reads, later):
    first = content_digest(folder, FILES)
    assert len(reads) == 3 and content_digest(folder, FILES) == first and len(reads) == 3


def test_a_touched_file_is_read_again_and_the_digest_stays(folder, reads, later):
    first = content_digest(folder, FILES)
    os.utime(folder / "a" / "0.png", ns=(1, 1))
    assert content_digest(folder, FILES) == first and len(reads) == 6


@pytest.mark.parametrize("in_place", [True, False])
def test_a_change_shows_though_size_and_time_are_the_same(folder, later, in_place):
    first, path = content_digest(folder, FILES), folder / "a" / "0.png"
    stat = path.stat()
    if not in_place:
        path.unlink()
    path.write_bytes(b"A/0.png")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert content_digest(folder, FILES) != first


def test_names_count_and_so_does_what_cannot_be_read(folder, tmp_path):
    first = content_digest(folder, FILES)
    (folder / "a" / "1.png").rename(folder / "a" / "2.png")
    renamed = content_digest(folder, ["a/0.png", "a/2.png", "b/0.png"])
    missing = content_digest(folder, FILES)
    (folder / "a" / "1.png").write_bytes(b"")
    assert len({first, renamed, missing, content_digest(folder, FILES)}) == 4


def test_a_folder_that_changed_just_now_is_not_trusted(folder, reads):
    """A file that changes twice within the clock's precision has the times of the first change."""
    for count in (3, 6):
        content_digest(folder, FILES)
        assert len(reads) == count


def test_a_file_that_could_not_be_read_is_tried_again(folder, reads, later, monkeypatch):
    def fail(path, *arguments, **options):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as context:
        context.setattr("builtins.open", fail)
        failed = content_digest(folder, FILES)
    assert content_digest(folder, FILES) != failed and len(reads) == 3


def test_a_broken_or_unwritable_memo_does_no_harm(folder, later, cache):
    first = content_digest(folder, FILES)
    (memo,) = (cache / "folders").iterdir()
    for text in ("", "[]", "{}", "{"):
        memo.write_text(text)
        assert content_digest(folder, FILES) == first
    shutil.rmtree(cache / "folders")
    (cache / "folders").write_text("")
    assert content_digest(folder, FILES) == first


def test_a_copied_moved_or_touched_folder_is_not_decoded_again(animals, tmp_path, entries, open_no_images):
    first = open_dataset(animals, input_size=8)
    open_no_images()
    shutil.copytree(animals, tmp_path / "copy")
    for path in animals.rglob("*.png"):
        path.touch()
    animals.rename(tmp_path / "moved")
    for name in ("copy", "moved"):
        split = open_dataset(tmp_path / name, input_size=8)
        assert split.name == name
        np.testing.assert_array_equal(split.train.images, first.train.images)
    assert len(entries()) == 1


def test_a_seed_is_of_no_account_where_the_parts_are_given(animals, tmp_path, write, entries):
    (tmp_path / "set").mkdir()
    animals.rename(tmp_path / "set" / "train")
    write(tmp_path / "set" / "val" / "dog" / "one.png")
    for seed in (0, 1):
        open_dataset(tmp_path / "set", input_size=8, seed=seed)
    assert len(entries()) == 1
