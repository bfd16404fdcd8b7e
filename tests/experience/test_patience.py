"""Whoever has a deadline does not wait for a store past it."""

import threading
import time

import pytest

from nni_nasoa.advisor import StoreError
from nni_nasoa.experience.patience import answered


@pytest.mark.parametrize("seconds", [None, 60])
def test_what_a_call_gives_or_raises(seconds):
    assert answered(lambda: 7, seconds) == 7
    with pytest.raises(ZeroDivisionError):
        answered(lambda: 1 / 0, seconds)


@pytest.mark.parametrize("seconds", [0.2, -1])
def test_one_that_does_not_end_is_given_up(seconds):
    begin, never = time.monotonic(), threading.Event()
    with pytest.raises(StoreError, match="the store has not answered in"):
        answered(never.wait, seconds)
    assert time.monotonic() - begin < 10
    never.set()
