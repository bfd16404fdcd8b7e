from __future__ import annotations

import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.data.arrays import NotInTimeError
from nni_nasoa.data.sample import LEAST_TRIED, decoding_order, patience


@pytest.fixture
def pets(tmp_path):
    """45 images of three classes, and one that is broken."""
    rng = np.random.default_rng(0)
    for label, n in (("a", 30), ("b", 12), ("c", 3)):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(n):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(
                tmp_path / "pets" / label / f"{i}.png"
            )
    (tmp_path / "pets" / "a" / "broken.png").write_bytes(b"no image")
    return tmp_path / "pets"


def test_a_sample_has_every_class_in_turn_and_the_parts_of_the_split(pets, open_quietly):
    whole = Dataset(pets).sample(16, 600)
    expected = {image.tobytes() for image in open_quietly(pets, input_size=16).train.images}
    assert {image.tobytes() for image in whole.train.images} == expected
    assert np.bincount(whole.train.labels[:6], minlength=3).tolist() == [2, 2, 2]
    short = Dataset(pets).sample(20, 0)
    assert len(set(short.train.labels)) >= 2 and len(short.val) >= 1 and len(short.train) < 20
    few = Dataset(pets).sample(24, 600, most=8)
    assert len(few.train) + len(few.val) + len(few.left_out.bad) == 8 and set(few.train.labels) == {0, 1, 2}
    assert few.name == "pets" and few.classes == ("a", "b", "c")


def test_a_sample_too_knows_the_share_that_may_be_bad(pets):
    with pytest.raises(
        DatasetError, match="pets: 1 of 46 images cannot be read, more than the 1% that max_bad"
    ):
        Dataset(pets, max_bad=0.01).sample(16, 600)
    for image in pets.glob("*/*.png"):
        image.write_bytes(b"no image")
    with pytest.raises(
        DatasetError, match=r"pets: \d+ of 46 images cannot be read, more than the 10% that max_bad"
    ):
        Dataset(pets).sample(16, 0)
    with pytest.raises(DatasetError, match="46 of 46 images cannot be read, which leaves too few for two"):
        Dataset(pets, max_bad=1).sample(16, 600)


def test_where_there_is_not_even_time_for_two_classes_it_says_so(pets, slow_images):
    begin = time.monotonic()
    with pytest.raises(
        NotInTimeError, match="too short to decode an image of two classes; give more minutes"
    ):
        Dataset(pets).sample(16, 0)
    assert time.monotonic() - begin < 60  # nobody waits for an image that is in the middle


def test_the_first_images_are_tried_whatever_came_before(pets, monkeypatch):
    scandir = os.scandir
    monkeypatch.setattr("os.scandir", lambda folder: time.sleep(0.3) or scandir(folder))  # four folders
    assert len(Dataset(pets).sample(16, 0).train) >= 2


def test_the_images_of_a_sample_depend_on_how_many_alone(pets):
    """Not on threads, on what was decoded before, nor on the size that it is made of."""
    first = Dataset(pets).sample(16, 600, most=20)
    Dataset(pets).sample(24, 600, most=30)
    again, smaller = Dataset(pets).sample(16, 600, most=20), Dataset(pets).sample(8, 600, most=20)
    for part in ("train", "val"):
        one, two, three = (getattr(sample, part) for sample in (first, again, smaller))
        np.testing.assert_array_equal(one.labels, two.labels)
        np.testing.assert_array_equal(one.labels, three.labels)
        np.testing.assert_allclose(one.images, two.images, atol=60)  # of noise, once resized from 24 pixels


def test_a_sample_of_what_lies_decoded_is_checked_as_any_other(pets, open_quietly, later):
    assert len(open_quietly(pets, input_size=16).train) == len(Dataset(pets).sample(16, 0).train)
    with pytest.raises(DatasetError, match="1 of 46 images cannot be read, more than the 1%"):
        Dataset(pets, max_bad=0.01).sample(16, 0)
    for image in pets.glob("[bc]/*.png"):
        image.write_bytes(b"no image")
    with pytest.raises(DatasetError, match="two classes needed"):
        open_quietly(pets, input_size=16, max_bad=1)
    with pytest.raises(DatasetError, match="16 of 46 images cannot be read, which leaves too few"):
        Dataset(pets, max_bad=1).sample(16, 0)


def test_a_large_sample_is_kept_in_a_file_and_not_in_memory(pets, cache, monkeypatch):
    small = Dataset(pets).sample(16, 600)
    # There would have to be a gigabyte of them.
    monkeypatch.setattr("nni_nasoa.data.sample.MOST_IN_MEMORY", 3 * 16 * 16 * 20)
    large = Dataset(pets).sample(16, 600)
    assert isinstance(large.train.images, np.memmap) and not isinstance(large.val.images, np.memmap)
    np.testing.assert_array_equal(large.train.images, small.train.images)
    large.train.images[0] = 7  # as torch asks for
    assert {path.name for path in cache.iterdir()} <= {"folders", "images"}


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.integers(0, 9),
)
def test_images_are_decoded_in_an_order_whose_beginnings_are_fair(train, val, seed):
    order = decoding_order(train, val, seed)
    assert sorted(order) == list(range(len(train) + len(val)))
    labels = np.array(train)[order[order < len(train)]]
    for end in range(1, len(labels) + 1):
        counts = np.bincount(labels[:end], minlength=5)
        left = np.bincount(train, minlength=5) - counts
        assert counts.max() - counts[left > 0].min(initial=counts.max()) <= 1
    for end in range(4, 4 * min(len(train) // 3, len(val)) + 1, 4):
        assert (order[:end] >= len(train)).sum() == end // 4


def test_however_short_the_time_some_images_are_tried():
    """On a busy machine the libraries alone that decode take longer than half a second to be loaded."""
    tried = 0
    left = patience(-1, lambda: False, lambda: tried)
    assert left() > 0
    time.sleep(0.6)
    assert left() > 1
    tried = LEAST_TRIED
    assert left() <= 0


def test_what_cannot_be_read_is_said_though_the_time_was_too_short_for_all(tmp_path):
    """A machine that is fast enough tries them all."""
    for label in "ab":
        (tmp_path / label).mkdir()
        for number in range(3000):
            (tmp_path / label / f"{number}.jpg").touch()
    words = r"(none of the \d+ images for which there was time can|6000 of 6000 images cannot) be read"
    with pytest.raises(DatasetError, match=words) as error:
        Dataset(tmp_path, max_bad=1).sample(8, 0.0)
    assert "(the file is empty)" in str(error.value) and "\n" not in str(error.value)
