"""A folder of so many files that there may not be the time to look at them all."""

from __future__ import annotations

import os
import pickle

import pytest

from nni_nasoa.data import Dataset
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.image_files import STATS_HOLD

FILES = 10_000


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of images that nobody opens, all of them unlike, which were there for a while."""
    folder = tmp_path_factory.mktemp("large") / "many"
    for label in "ab":
        (folder / label).mkdir(parents=True)
    for number in range(FILES):
        path = folder / "ab"[number % 2] / f"{number}.ppm"
        path.write_bytes(b"P6 %d" % number)
    return folder


@pytest.fixture
def old(monkeypatch):
    """Files are as if nothing had changed for an hour."""
    import time

    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)


def counted(monkeypatch, name):
    calls, function = [], getattr(os, name)
    monkeypatch.setattr(os, name, lambda *given, **more: calls.append(given[0]) or function(*given, **more))
    return calls


def after(looks):
    """Seconds that are left, until so many have asked."""
    asked = iter(range(looks))
    return lambda: 1.0 if next(asked, None) is not None else 0.0


@pytest.mark.parametrize(
    "looks, how_far",
    [(0, "0 of 2 classes are listed"), (2, "0 of 10000 were statted"), (4, "8192 of 10000 were statted")],
)
def test_without_time_it_is_one_line_how_far_it_came(many, looks, how_far):
    dataset = Dataset(many)
    with pytest.raises(NotInTimeError) as raised:
        dataset.files.look(dataset.holdout, after(looks))
    assert str(raised.value) == (
        f"{many}: the budget is too short to look at its files ({how_far}); give more minutes"
    )
    dataset.files.look(dataset.holdout, after(10**9))  # with it, it is known all the same
    assert len(dataset.files.split(dataset.holdout).train) == FILES * 0.8


def test_so_it_is_with_a_list(many, tmp_path):
    rows = [f"{path},{path.parent.name}" for path in sorted(many.glob("*/*"))]
    table = tmp_path / "labels.csv"
    table.write_text("\n".join(["path,label", *rows]))
    dataset = Dataset(table)
    with pytest.raises(NotInTimeError) as raised:
        dataset.files.look(dataset.holdout, after(1))
    assert str(raised.value) == (
        f"{table}: the budget is too short to look at its files (4096 of 10000 were statted); "
        "give more minutes"
    )
    assert len(dataset.files.split(dataset.holdout).train) == FILES * 0.8


def test_what_was_read_in_time_is_not_read_again(many, monkeypatch, old):
    opened = counted(monkeypatch, "open")
    dataset = Dataset(many)
    with pytest.raises(
        NotInTimeError, match=r"of 10000 are known\); give more minutes, or start again: what"
    ):
        dataset.files.look(dataset.holdout, after(5 + 60))
    first = len([path for path in opened if str(path).endswith(".ppm")])
    assert 60 * 64 <= first < FILES
    opened.clear()
    again = Dataset(many)
    split = again.files.split(again.holdout)
    rest = len([path for path in opened if str(path).endswith(".ppm")])
    assert rest <= FILES - 60 * 64
    # The same as without a stop, and from then on nothing is read.
    opened.clear()
    monkeypatch.setenv("NASOA_CACHE", os.environ["NASOA_CACHE"] + "-other")
    assert Dataset(many).files.split(again.holdout) == split
    assert len([path for path in opened if str(path).endswith(".ppm")]) >= FILES


def test_files_that_were_just_statted_are_not_statted_for_each_use(many, monkeypatch, old):
    dataset = Dataset(many)
    dataset.files.rendering(None)  # for which some are opened, once
    stats = counted(monkeypatch, "stat")
    for _ in range(3):
        dataset.files.images(dataset.holdout, None)
    handed_over = pickle.loads(pickle.dumps(dataset))
    handed_over.files.images(handed_over.holdout, None)
    assert len([path for path in stats if str(path).endswith(".ppm")]) == 0


def test_after_a_while_they_are_and_a_change_shows(animals, write, monkeypatch):
    import time

    dataset = Dataset(animals)
    before = dataset.files.images(dataset.holdout, None).times
    write(animals / "cat" / "0.png", (9, 9, 9))
    now = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: now)
    changed = dataset.files.images(dataset.holdout, None).times
    assert changed != before and STATS_HOLD > 1
    assert dataset.files.images(dataset.holdout, None).times == changed  # which holds again for a while
