"""A folder of so many files that there may not be the time to look at them all."""

from __future__ import annotations

import os
import pickle

import pytest

from nni_nasoa.data import Dataset
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.folder import STATS_HOLD

FILES = 10_000


@pytest.fixture
def many(tmp_path):
    """A folder of images that nobody opens, all of them unlike, which were there for a while."""
    for label in "ab":
        (tmp_path / "many" / label).mkdir(parents=True)
    for number in range(FILES):
        path = tmp_path / "many" / "ab"[number % 2] / f"{number}.ppm"
        path.write_bytes(b"P6 %d" % number)
    return tmp_path / "many"


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
        dataset.folder.look(dataset.holdout, after(looks))
    assert str(raised.value) == (
        f"{many}: the budget is too short to look at its files ({how_far}); give more minutes"
    )
    dataset.folder.look(dataset.holdout, after(10**9))  # with it, it is known all the same
    assert len(dataset.folder.split(dataset.holdout).train) == FILES * 0.8


def test_what_was_read_in_time_is_not_read_again(many, monkeypatch, old):
    opened = counted(monkeypatch, "open")
    dataset = Dataset(many)
    with pytest.raises(
        NotInTimeError, match=r"of 10000 are known\); give more minutes, or start again: what"
    ):
        dataset.folder.look(dataset.holdout, after(5 + 60))
    first = len([path for path in opened if str(path).endswith(".ppm")])
    assert 60 * 64 <= first < FILES
    opened.clear()
    again = Dataset(many)
    split = again.folder.split(again.holdout)
    rest = len([path for path in opened if str(path).endswith(".ppm")])
    assert rest <= FILES - 60 * 64
    # The same as without a stop, and from then on nothing is read.
    opened.clear()
    monkeypatch.setenv("NASOA_CACHE", os.environ["NASOA_CACHE"] + "-other")
    assert Dataset(many).folder.split(again.holdout) == split
    assert len([path for path in opened if str(path).endswith(".ppm")]) >= FILES


def test_files_that_were_just_statted_are_not_statted_for_each_use(many, monkeypatch, old):
    dataset = Dataset(many)
    dataset.folder.split(dataset.holdout)
    stats = counted(monkeypatch, "stat")
    for _ in range(3):
        dataset.folder.images(dataset.holdout)
    handed_over = pickle.loads(pickle.dumps(dataset))
    handed_over.folder.images(handed_over.holdout)
    assert len([path for path in stats if str(path).endswith(".ppm")]) == 0


def test_after_a_while_they_are_and_a_change_shows(animals, write, monkeypatch):
    import time

    dataset = Dataset(animals)
    before = dataset.folder.images(dataset.holdout).times
    write(animals / "cat" / "0.png", (9, 9, 9))
    now = time.monotonic() + 3600
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert dataset.folder.images(dataset.holdout).times != before and STATS_HOLD > 1
