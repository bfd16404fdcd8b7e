"""Sorting, crowding and hypervolume against pymoo, on random and degenerate points."""

import statistics
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pymoo.indicators.hv import HV
from pymoo.operators.survival.rank_and_crowding.metrics import get_crowding_function
from pymoo.util.nds.fast_non_dominated_sort import fast_non_dominated_sort
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting, rank_from_fronts

from nni_nasoa.search.nsga2 import crowding_distances, hypervolume, non_dominated_ranks

INF = float("inf")
few_values = st.sampled_from([0.0, -0.0, 1.0, 2.0, 3.0])  # duplicates and equal columns come by themselves
with_infinities = st.sampled_from([-INF, -1.0, 0.0, 0.5, 1.0, INF])
any_finite = st.floats(-1e6, 1e6)


def points(values, most=40, objectives=4):
    shapes = st.tuples(st.integers(1, most), st.integers(1, objectives))
    return shapes.flatmap(lambda shape: arrays(np.float64, shape, elements=values))


any_points = st.one_of(points(few_values), points(with_infinities), points(any_finite))


def pymoo_ranks(array):
    if (
        array.shape[1] > 2 and not np.isfinite(array).all()
    ):  # pymoo 0.6.2's compiled sorter aborts there; its own python does not
        return rank_from_fronts(list(map(list, fast_non_dominated_sort(-array))), len(array))
    return NonDominatedSorting().do(-array, return_rank=True)[1]


def pymoo_crowding(array):
    with np.errstate(all="ignore"):
        return get_crowding_function("cd").do(-array)


@settings(max_examples=300, deadline=None)
@given(any_points)
def test_ranks_agree_with_pymoo(array):
    assert non_dominated_ranks(array).tolist() == pymoo_ranks(array).tolist()


@settings(max_examples=100, deadline=None)
@given(any_points)
def test_ranks_follow_the_definition(array):
    """Rank 0 is dominated by nobody; rank r by somebody of rank r - 1, and by nobody of its rank or above."""
    ranks = non_dominated_ranks(array)
    for i, point in enumerate(array):
        dominators = [
            ranks[j] for j, other in enumerate(array) if (other >= point).all() and (other > point).any()
        ]
        assert ranks[i] == max(dominators, default=-1) + 1


@settings(max_examples=300, deadline=None)
@given(any_points)
def test_crowding_agrees_with_pymoo(array):
    np.testing.assert_allclose(crowding_distances(array), pymoo_crowding(array), rtol=1e-9, atol=1e-12)


def test_many_random_points_agree_with_pymoo():
    rng = np.random.default_rng(0)
    for objectives in (2, 3):
        array = rng.random((1000, objectives)).round(2)
        assert non_dominated_ranks(array).tolist() == pymoo_ranks(array).tolist()
        np.testing.assert_allclose(crowding_distances(array), pymoo_crowding(array))


@pytest.mark.parametrize("function", [non_dominated_ranks, crowding_distances])
def test_no_points(function):
    assert function(np.empty((0, 2))).shape == (0,)


def test_deb_example():
    """The boundary gets infinity, an inner point the mean relative gap between its neighbours."""
    assert crowding_distances([[0, 4], [1, 2], [4, 0]]).tolist() == [INF, 1.0, INF]
    assert non_dominated_ranks([[0, 4], [1, 2], [1, 1], [0, 0], [1, 2]]).tolist() == [0, 0, 1, 2, 0]


@pytest.mark.parametrize(
    "function", [non_dominated_ranks, crowding_distances, lambda array: hypervolume(array, [0, 0])]
)
def test_nan_and_wrong_shapes_are_refused(function):
    with pytest.raises(ValueError, match="row 1 contains NaN"):
        function([[1, 2], [np.nan, 1]])
    with pytest.raises(ValueError, match="expected shape"):
        function([1.0, 2.0])


@settings(max_examples=150, deadline=None)
@given(st.one_of(points(few_values, most=12), points(st.floats(-1, 5), most=12)))
def test_hypervolume_agrees_with_pymoo(array):
    reference = np.zeros(array.shape[1])
    assert hypervolume(array, reference) == pytest.approx(
        HV(ref_point=reference)(-array), rel=1e-9, abs=1e-12
    )


def test_hypervolume_of_known_shapes():
    assert hypervolume([[2, 1], [1, 2]], [0, 0]) == 3
    assert hypervolume([[2, 1], [1, 2], [1, 1], [-5, 9]], [0, 0]) == 3
    assert hypervolume([[1, 2, 3], [3, 2, 1]], [0, 0, 0]) == 10
    assert hypervolume([], [0, 0]) == 0
    assert hypervolume([[INF, 1], [INF, 2]], [0, 0]) == INF
    with pytest.raises(ValueError, match="reference"):
        hypervolume([[1, 2]], [0, 0, 0])
    with pytest.raises(ValueError, match="finite"):
        hypervolume([[1, 2]], [0, -INF])


def ours(array):
    ranks = non_dominated_ranks(array)
    return [crowding_distances(array[ranks == rank]) for rank in range(ranks.max() + 1)]


def pymoos(array):
    crowding = get_crowding_function("cd")
    return [crowding.do(array[front]) for front in NonDominatedSorting().do(array)]


def median_ratio(first, second, repeats=60):
    """Time the two in turns, so that load on the machine meets both."""
    times = ([], [])
    for _ in range(repeats):
        for function, spent in zip((first, second), times):
            start = time.perf_counter()
            function()
            spent.append(time.perf_counter() - start)
    return statistics.median(times[0]) / statistics.median(times[1])


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["random", "few fronts", "with duplicates"])
def test_1000_points_take_no_longer_than_with_pymoo(kind):
    array = np.random.default_rng(1).random((1000, 2))
    if kind == "few fronts":
        array[:, 1] = 1 - array[:, 0] + 0.01 * array[:, 1]
    elif kind == "with duplicates":
        array = array.round(2)
    losses = -array
    assert median_ratio(lambda: ours(array), lambda: pymoos(losses)) <= 1
