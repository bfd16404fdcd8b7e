import numpy as np
import pytest

from nni_nasoa.data import DatasetError
from nni_nasoa.data.grouped_split import grouped_split


def numbers(n, seed=0):
    return np.random.default_rng(seed).integers(0, 2**64, n, dtype=np.uint64)


def test_every_class_has_its_share():
    labels = np.repeat([0, 1, 2, 3], [100, 10, 2, 1])
    train, val = grouped_split(labels, numbers(113), 0.2, 0)
    assert np.bincount(labels[val]).tolist() == [20, 2, 1] and np.bincount(labels[train])[3] == 1
    assert sorted([*train, *val]) == [*range(113)]


@pytest.mark.parametrize("fraction", [0.001, 0.5, 0.999])
def test_a_class_keeps_an_image_on_each_side(fraction):
    labels = np.repeat([0, 1], [50, 2])
    for part in grouped_split(labels, numbers(52), fraction, 0):
        assert set(labels[part]) == {0, 1}


def test_an_image_more_moves_one_other_at_most():
    """Of 40 that are held back 27 moved, where the split was drawn anew."""
    labels, groups = np.repeat([0, 1], 100), numbers(200)
    before = set(groups[grouped_split(labels, groups, 0.2, 3)[1]])
    moved = []
    for new in numbers(60, seed=1):
        more = np.append(groups, new)
        after = set(more[grouped_split([*labels, 1], more, 0.2, 3)[1]])
        moved.append(len(before - after))
    assert max(moved) == 1 and np.mean(moved) < 0.3


def test_a_folder_that_doubles_keeps_nearly_all_where_they_were():
    labels, groups = np.tile([0, 1], 500), numbers(1000)
    before = set(groups[:500][grouped_split(labels[:500], groups[:500], 0.2, 0)[1]])
    after = set(groups[grouped_split(labels, groups, 0.2, 0)[1]])
    assert len(before) == 100 and len(before & after) >= 90


def test_the_order_of_the_files_makes_no_difference_and_the_seed_does():
    labels, groups, order = np.tile([0, 1], 50), numbers(100), np.random.default_rng(0).permutation(100)

    def val(seed, order=slice(None)):
        return set(groups[order][grouped_split(labels[order], groups[order], 0.2, seed)[1]])

    assert val(0) == val(0, order)
    overlaps = [len(val(seed) & val(seed + 1)) for seed in range(50)]
    assert 2 < np.mean(overlaps) < 6  # of 20, of which chance gives 4


def test_groups_stay_together_also_over_classes():
    rng = np.random.default_rng(0)
    patients = rng.integers(0, 40, 600)
    labels = rng.integers(0, 3, 600)
    train, val = grouped_split(labels, numbers(40)[patients], 0.25, 0)
    assert not set(patients[train]) & set(patients[val])
    shares = np.bincount(labels[val]) / np.bincount(labels)
    assert (shares > 0.15).all() and (shares < 0.35).all()


def test_large_groups_are_held_back_where_there_are_no_others():
    labels = np.repeat([0, 1], [10, 10])
    groups = np.repeat(numbers(4), [6, 4, 9, 1])
    train, val = grouped_split(labels, groups, 0.2, 0)
    assert np.bincount(labels[val]).tolist() == [4, 1] and len(train) == 15


def test_what_cannot_be_split_is_one_line():
    with pytest.raises(DatasetError, match=r"a class needs two or more$"):
        grouped_split([0, 1], numbers(2), 0.2, 0)
    with pytest.raises(DatasetError, match="not all of them copies or of one group"):
        grouped_split([0, 0, 1, 1], np.repeat(numbers(2), 2), 0.2, 0)
