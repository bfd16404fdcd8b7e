"""What is expected by probes alone: of what was probed, of networks like it, and of nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.advisor.accuracy.probe_estimate import head_figures, kind_was_probed, probe_estimates
from nni_nasoa.advisor.models import ModelFigures

LITE0, LITE2, NANO = map(ModelFigures.of_zoo, ("lite0", "lite2", "nano-c"))


def probe(linear, images=250):
    return {"linear": linear, "linear_few": linear, "images": images}


def expected(probes, figures, size, images=250, epochs=1.0, trained=0.0):
    columns = (np.array([value]) for value in (size, epochs, trained))
    size, epochs, trained = columns
    return probe_estimates(probes, figures, size, images, epochs, trained)[:, 0]


@given(
    st.floats(0, 1),
    st.integers(1, 1000),
    st.sampled_from([64, 128, 224]),
    st.integers(2, 10**6),
    st.floats(0, 1e4),
    st.floats(0, 1),
)
def test_it_is_always_an_accuracy_within_its_range(linear, seen, size, images, epochs, trained):
    mean, low, high = expected({"lite0": probe(linear, seen)}, LITE0, size, images, epochs, trained)
    assert 0 <= low < mean < high <= 1


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_a_better_probe_lets_expect_more(one, other):
    means = [expected({"lite0": probe(linear)}, LITE0, 224)[0] for linear in sorted((one, other))]
    assert means[0] <= means[1] and means[1] == pytest.approx(max(one, other), abs=0.1)


def test_larger_images_and_more_of_them_let_expect_more_up_to_a_point():
    probes = {"lite0": probe(0.5)}
    by_size = [expected(probes, LITE0, size)[0] for size in (64, 128, 224)]
    assert by_size == sorted(by_size) and by_size[0] < by_size[-1] - 0.05
    by_images = [expected(probes, LITE0, 224, images)[0] for images in (60, 250, 1000, 2000, 10**6)]
    assert by_images == sorted(by_images) and by_images[-1] == by_images[-2] < 0.8


def test_the_size_that_was_probed_counts_and_what_two_sizes_show():
    flat = {"lite0": probe(0.6), "lite0@128": probe(0.6)}
    steep = {"lite0": probe(0.6), "lite0@128": probe(0.4)}
    assert expected(flat, LITE0, 128)[0] == pytest.approx(expected(flat, LITE0, 224)[0])
    assert expected(steep, LITE0, 64)[0] < expected(steep, LITE0, 128)[0] < expected(flat, LITE0, 128)[0]
    assert expected(steep, LITE0, 64)[0] < expected(flat, LITE0, 64)[0] - 0.1


def test_another_network_of_the_kind_stands_for_one_that_was_not_probed():
    probes = {"lite0": probe(0.6)}
    own, other = expected(probes, LITE0, 224), expected(probes, LITE2, 260)
    assert own[0] < other[0] < own[0] + 0.05 and other[2] - other[1] > own[2] - own[1]
    assert kind_was_probed(probes, LITE2) and not kind_was_probed(probes, NANO)


def test_where_nobody_has_looked_the_range_is_wide_and_photographs_are_for_large_networks():
    large, small = expected({}, LITE0, 224), expected({}, NANO, 64)
    assert large[0] > small[0] + 0.15
    assert large[2] - large[1] > 0.4 and small[2] - small[1] > 0.4
    assert not kind_was_probed({}, LITE0)


def test_training_stages_pays_from_some_epochs_on():
    head, few, many = (
        expected({"lite0": probe(0.6)}, LITE0, 224, images=1000, epochs=epochs, trained=trained)[0]
        for epochs, trained in ((1, 0), (0.5, 1), (500, 1))
    )
    assert few < head < many


@pytest.mark.parametrize("trained, images, pays", [(1, 150, False), (1, 1000, True), (1 / 7, 300, True)])
def test_few_of_a_large_network_s_stages_are_trained_on_few_images(trained, images, pays):
    head, stages = (
        expected({"lite2": probe(0.6)}, LITE2, 260, images=images, epochs=500, trained=share)[0]
        for share in (0, trained)
    )
    assert (stages > head) == pays


def test_few_images_tell_little_of_what_sizes_are_worth():
    def loss(images):
        flat = {"lite0": probe(0.6, images), "lite0@128": probe(0.63, images)}
        large, small = (expected(flat, LITE0, size, images=images)[0] for size in (128, 64))
        return large - small

    assert loss(20) > loss(100) > loss(1000)


def test_a_head_s_figures_are_what_is_expected_of_one_alone_at_the_own_size():
    probes = {"lite0": probe(0.6), "lite0@128": probe(0.4), "nano-c": probe(0.3)}
    for figures in (LITE0, LITE2):
        found = head_figures(probes, figures, 500)
        alone = expected(probes, figures, figures.own_size, images=500)[0]
        assert found["head_expected"] == pytest.approx(alone)
    flat = {"lite0": probe(0.6), "lite0@128": probe(0.6)}
    assert found["doubling_gain"] > head_figures(flat, LITE0, 500)["doubling_gain"] >= 0
    assert head_figures(probes, NANO, 500) == {} == head_figures({"nano-c": probe(0.3)}, LITE0, 500)


def test_by_few_images_networks_of_a_family_are_taken_to_see_alike():
    def apart(images, *names):
        probes = {name: probe(linear, images) for name, linear in zip(names, (0.7, 0.5))}
        means = [
            expected(probes, ModelFigures.of_zoo(name), ModelFigures.of_zoo(name).own_size, images=images)[0]
            for name in names
        ]
        return means[0] - means[1]

    assert 0 < apart(50, "lite0", "lite2") < 0.6 * apart(1000, "lite0", "lite2") < 0.2
    assert apart(1000, "lite0", "lite2") > 0.1
    assert apart(50, "lite0", "resnet18") > 0.18  # of another family


def test_one_of_a_family_that_was_probed_on_small_images_is_compared_at_the_same_share_of_its_size():
    alone = expected({"lite0@128": probe(0.6)}, LITE0, 128)
    beside = expected({"lite0@128": probe(0.6), "lite2": probe(0.6)}, LITE0, 128)
    better = expected({"lite0@128": probe(0.6), "lite2": probe(0.8)}, LITE0, 128)
    assert beside[0] < alone[0] < better[0]  # as lite2 saw images of its own size, which tell more
