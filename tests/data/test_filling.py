from __future__ import annotations

import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.data.filling import LEAST_GIANT, USUAL_SHARE, Giants, fill
from nni_nasoa.device.processor import allowed_processors


def no_end():
    return math.inf


@given(
    st.lists(st.integers(), unique=True, max_size=50), st.dictionaries(st.integers(0, 50), st.integers(1, 9))
)
def test_all_are_decoded_once_and_those_that_may_wait_come_last(slots, pixels):
    giants, put, told = {slot: pixels[i] for i, slot in enumerate(slots) if i in pixels}, {}, []

    def decode(slot, may_wait):
        return giants[slot] if may_wait and slot in giants else str(slot)

    assert fill(slots, decode, put.setdefault, no_end, told.append)
    assert put == {slot: str(slot) for slot in slots} and sum(told) <= len(slots)
    if len(allowed_processors()) == 1:
        usual = [slot for slot in slots if slot not in giants]
        assert [*put] == usual + sorted(giants, key=lambda slot: (giants[slot], slot))


def test_nobody_waits_for_an_image_that_is_in_the_middle_and_what_comes_of_it_is_dropped():
    put, go_on = [], threading.Event()

    def decode(slot, _):
        if slot == 0:
            go_on.wait(60)
        return "why"

    begin = time.monotonic()
    assert not fill(
        range(3), decode, lambda slot, _: put.append(slot), lambda: begin + 0.5 - time.monotonic()
    )
    assert time.monotonic() - begin < 50
    before = [*put]
    go_on.set()
    time.sleep(0.2)
    assert put == before and 0 not in put


def test_the_clock_is_asked_after_each_image():
    put = []
    assert not fill(range(100), lambda *_: "why", lambda slot, _: put.append(slot), lambda: 10 - len(put))
    assert len(put) == 10
    assert not fill(range(100), lambda *_: "why", lambda slot, _: put.append(slot), lambda: 0)


def test_the_images_are_decoded_on_all_processors_at_once():
    together = threading.Barrier(len(allowed_processors()))
    slots = range(len(allowed_processors()))
    assert fill(slots, lambda *_: str(together.wait(60)), lambda *_: None, no_end)


def test_a_full_disk_is_told_to_who_waits():
    def put(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fill(range(9), lambda *_: "why", put, no_end)


@given(st.lists(st.integers(1, 10**9), max_size=100))
def test_giants_are_few_and_large(pixels):
    giants = Giants()
    told = [giants.has(one) for one in pixels]
    assert all(one > LEAST_GIANT for one, is_one in zip(pixels, told) if is_one)
    again = Giants()
    for one in pixels:
        again.has(one)
    if pixels:  # those of the largest images alone, once all are known
        usual = sorted(pixels)[int(USUAL_SHARE * (len(pixels) - 1))]
        assert not again.has(usual)


def test_one_in_a_hundred_is_a_giant_and_one_of_many_large_ones_is_none():
    few = Giants()
    assert [few.has(100_000_000 if i == 50 else 1_000_000) for i in range(100)] == [
        i == 50 for i in range(100)
    ]
    many = Giants()
    assert not any(many.has(100_000_000 if i % 2 == 0 else 1_000_000) for i in range(100))
    assert not any(Giants().has(pixels) for pixels in (1, 10**9))  # a first one is as usual as can be
