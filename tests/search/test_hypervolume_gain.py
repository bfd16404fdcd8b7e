"""The expected gain of hypervolume: against draws and pymoo's hypervolume, and what holds for any front."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymoo.indicators.hv import HV
from scipy.integrate import quad
from scipy.stats import lognorm, norm

from nni_nasoa.search.hypervolume_gain import Belief, expected_gain


def values(draws, beliefs, candidate):
    """Draws of a candidate's objectives, shape (draws, objectives)."""
    columns = []
    for belief, column in zip(beliefs, draws.T):
        size = belief.mean[candidate] + belief.std[candidate] * column
        columns.append(belief.sign * (np.exp(size) if belief.log else size))
    return np.column_stack(columns)


def drawn_gain(points, front, reference):
    """Mean gain of hypervolume over draws, by pymoo, which minimises."""
    volume = HV(ref_point=-np.asarray(reference))
    before = volume(-front) if len(front) else 0.0
    return np.array([volume(-np.vstack([front, point])) - before for point in points])


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [0, 1, 6])
def test_it_is_the_mean_over_draws(objectives, size):
    rng = np.random.default_rng(10 * objectives + size)
    kinds = [(False, 1), (True, 1), (True, -1), (False, -1)]
    beliefs = [Belief(rng.uniform(0, 1, 3), rng.uniform(0.05, 0.6, 3), *kinds[i]) for i in range(objectives)]
    # On each scale, points are where candidates are.
    front = values(rng.standard_normal((size, objectives)) * 1.5, beliefs, 0).reshape(size, objectives)
    reference = [belief.sign * (np.exp(0.6) if belief.log else 0.6) - 1 for belief in beliefs]
    exact = expected_gain(beliefs, front, reference)
    for candidate in range(3):
        points = values(rng.standard_normal((4000, objectives)), beliefs, candidate)
        gains = drawn_gain(points, front, reference)
        assert exact[candidate] == pytest.approx(gains.mean(), abs=4 * gains.std() / 4000**0.5 + 1e-9)


@pytest.mark.parametrize("log, sign", [(False, 1), (False, -1), (True, 1), (True, -1)])
def test_excess_is_the_integral(log, sign):
    mean, std = 0.3, 0.4
    distribution = lognorm(std, scale=np.exp(mean)) if log else norm(mean, std)
    thresholds = np.array([-3.0, -1.2, -0.3, 0.0, 0.4, 1.5, np.inf])
    found = Belief(np.array([mean]), np.array([std]), log, sign).excess(thresholds)[0]
    for threshold, excess in zip(thresholds[:-1], found):
        low, high = distribution.ppf(1e-12), distribution.ppf(1 - 1e-12)
        expected, _ = quad(
            lambda x, t=threshold: max(0.0, sign * x - t) * distribution.pdf(x),
            low,
            high,
            points=[x for x in (sign * threshold,) if low < x < high] or None,
            limit=200,
        )
        assert excess == pytest.approx(expected, abs=1e-7)
    assert found[-1] == 0


numbers = st.floats(-3, 3)


@st.composite
def situations(draw):
    objectives = draw(st.integers(1, 3))
    row = st.lists(numbers, min_size=objectives, max_size=objectives)
    front = np.array(draw(st.lists(row, max_size=6))).reshape(-1, objectives)
    beliefs = [
        Belief(
            np.array([draw(numbers), draw(numbers)]),
            np.array([draw(st.floats(0, 2)), draw(st.floats(1e-6, 2))]),
            draw(st.booleans()),
            draw(st.sampled_from([1, -1])),
        )
        for _ in range(objectives)
    ]
    return beliefs, front, np.array(draw(row))


@settings(deadline=None)
@given(situations())
def test_it_is_never_negative_and_more_points_leave_less_to_gain(situation):
    beliefs, front, reference = situation
    gains = expected_gain(beliefs, front, reference)
    assert gains.shape == (2,) and (gains >= 0).all() and np.isfinite(gains).all()
    fewer = expected_gain(beliefs, front[1:], reference)
    assert (gains <= fewer * (1 + 1e-9) + 1e-9).all()


@settings(deadline=None)
@given(situations(), st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_units_and_order_do_not_matter(situation, factor, random):
    beliefs, front, reference = situation
    gains = expected_gain(beliefs, front, reference)
    scale = np.append(factor, np.ones(len(reference) - 1))
    first = beliefs[0]
    scaled = (
        Belief(first.mean + np.log(factor), first.std, True, first.sign)
        if first.log
        else Belief(first.mean * factor, first.std * factor, False, first.sign)
    )
    again = expected_gain([scaled, *beliefs[1:]], front * scale, reference * scale)
    assert again == pytest.approx(gains * factor, rel=1e-6, abs=1e-9)
    order = random.sample(range(len(reference)), len(reference))
    shuffled = front[random.sample(range(len(front)), len(front))][:, order]
    swapped = expected_gain([beliefs[i] for i in order], shuffled, reference[order])
    assert swapped == pytest.approx(gains, rel=1e-6, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_a_large_front_is_thinned_to_what_can_be_computed(objectives, seed):
    """Leaving points out can only leave more to gain; what a known point dominates by far gains little."""
    rng = np.random.default_rng(seed)
    front = rng.dirichlet(np.ones(objectives), 200)
    beliefs = [Belief(np.array([1.0, 0.0]), np.array([0.1, 0.02])) for _ in range(objectives)]
    gains = expected_gain(beliefs, front, np.full(objectives, -0.1))
    assert gains[0] > 0.5 > 0.01 > gains[1] >= 0


def test_what_is_certain_is_the_hypervolume_itself():
    front, reference = np.array([[3.0, 1.0], [1.0, 3.0]]), np.zeros(2)
    certain = [Belief(np.array([2.0, 0.5]), np.zeros(2)), Belief(np.array([2.0, 0.5]), np.zeros(2))]
    assert expected_gain(certain, front, reference) == pytest.approx([1.0, 0.0], abs=1e-9)
