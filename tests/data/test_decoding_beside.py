"""Decoding beside other work makes way for it, and is taken over."""

from __future__ import annotations

import pickle
import time

import pytest
from fixtures.decoding import assert_whole, decoders

from nni_nasoa.data import Dataset

pytestmark = pytest.mark.filterwarnings("ignore::nni_nasoa.data.left_out.DatasetWarning")


def still(decoding):
    """How many images are there once no further one comes."""
    seen, deadline = -1, time.monotonic() + 60
    while seen != (seen := decoding.progress[0]):
        assert time.monotonic() < deadline
        time.sleep(0.4)  # longer than an image takes
    return seen


def test_while_it_is_paused_no_image_is_begun(pets, opened):
    with Dataset(pets).decoding(16) as decoding:
        assert decoding.wait(600, until=1)
        with decoding.paused():
            assert still(decoding) < 46 and decoding.running
        assert decoding.wait(600)
        assert_whole(decoding.split(), pets)


def test_a_pause_does_not_count_in_what_it_takes(pets, opened):
    with Dataset(pets).decoding(16) as decoding:
        assert decoding.wait(600, until=16)
        with decoding.paused():
            still(decoding)
            before = decoding.seconds_left
            time.sleep(2)
            during = decoding.seconds_left
        assert during == pytest.approx(before, abs=0.1)
        assert decoding.seconds_left == pytest.approx(before, rel=0.5)


def test_who_pauses_or_leaves_a_decoder_that_has_ended_does_not_fail(pets, opened):
    with Dataset(pets).decoding(16) as decoding:
        assert decoding.wait(600, until=1)
        (decoder,) = decoders()
        decoder.kill()
        decoder.wait(60)
        with decoding.paused():
            pass
    assert not decoders()


def test_decoding_under_way_is_taken_over_and_ends_with_who_took_it(pets, opened):
    dataset = Dataset(pets)
    assert dataset.decoding_under_way(16) is None
    with dataset.decoding(32) as begun:
        assert dataset.decoding_under_way(16) is dataset.decoding_under_way(32) is begun
        assert dataset.decoding_under_way(48) is None
        with dataset.decoding_under_way(16) as taken:
            assert len(decoders()) == 1 and taken.wait(600, until=5)
        assert not decoders() and dataset.decoding_under_way(16) is None
        assert begun.progress[0] >= 5
    assert not pickle.loads(pickle.dumps(dataset)).decoding_under_way(16)
