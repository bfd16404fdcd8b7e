"""A store that fails, or hangs, is done without."""

import sqlite3
import time
from contextlib import closing

import pytest

from nni_nasoa.advisor import ExperienceStore, StepTime, StoreError
from nni_nasoa.advisor.store_in_time import StoreInTime
from nni_nasoa.experience.store import State

STEP = StepTime("cpu", "nano-1", 32, 8, 0, "train", 0.5)


@pytest.fixture
def path(tmp_path):
    store = ExperienceStore(tmp_path / "store.db")
    store.set_profile("abc", {"images": 5})
    store.set_step_times([STEP])
    store.commit([], {"predictor": State(b"one", 0)})
    return tmp_path / "store.db"


def test_it_is_a_store_as_any_other(path, make_record):
    store = StoreInTime(path, 60)
    store.set_profile("def", {"images": 6})
    assert store.profile("abc") == {"images": 5} and store.profile("def") == {"images": 6}
    assert store.step_times("cpu") == [STEP] and store.state("predictor").data == b"one"
    assert store.add(make_record()) and store.failure == ""


def test_one_that_does_not_answer_is_empty_from_then_on(path):
    store = StoreInTime(path, 0.5)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        begin = time.monotonic()
        store.set_profile("def", {"images": 6})
        for _ in range(100):
            store.set_step_times([STEP])
        assert store.profile("abc") is None and store.step_times() == [] and store.state("predictor") is None
        assert time.monotonic() - begin < 5 and "has not answered in 0.5 s" in store.failure
        other.execute("ROLLBACK")


def test_one_that_is_damaged_is_said_to_be(path):
    store = StoreInTime(path, 60)
    path.write_bytes(b"damaged" * 2000)
    assert store.profile("abc") is None and "store.db" in store.failure
    with pytest.raises(StoreError, match="is not an SQLite database"):
        StoreInTime(path, 60)
