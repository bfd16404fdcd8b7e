"""The surrogate: what it expects of candidates, whatever the order, the units and the limits."""

import time

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nni_nasoa.search.problem import Limit, Objective
from nni_nasoa.search.surrogate import Surrogate

COLUMNS = 2
GROUPS = np.arange(COLUMNS)
BOTH = (Objective("quality"), Objective("seconds", maximize=False))
NONE = np.empty((0, COLUMNS))
GRID = np.stack(np.meshgrid(np.linspace(0, 1, 6), np.linspace(0, 1, 6)), axis=-1).reshape(-1, 2)


def measured(features):
    """More of the first feature is better and takes longer; the second has an optimum."""
    return [
        {"quality": x - (y - 0.6) ** 2, "seconds": float(np.exp(2 * x + y)), "size": 10 * x}
        for x, y in features.tolist()
    ]


def learned(features, metrics, objectives=BOTH, limits=(), failed=NONE, pending=NONE, groups=GROUPS):
    surrogate = Surrogate(groups, objectives, limits)
    surrogate.learn(features, metrics, failed=failed, pending=pending, rng=np.random.default_rng(0))
    return surrogate


def drawn(seed, count=12):
    features = np.random.default_rng(seed).random((count, COLUMNS))
    return features, measured(features)


seeds = st.integers(0, 2**32 - 1)
quick = settings(max_examples=15, deadline=None)


@quick
@given(seeds, st.randoms(use_true_random=False))
def test_the_order_of_results_does_not_matter(seed, random):
    features, metrics = drawn(seed)
    gains = learned(features, metrics).gains(GRID)
    order = random.sample(range(len(metrics)), len(metrics))
    again = learned(features[order], [metrics[i] for i in order]).gains(GRID)
    assert again == pytest.approx(gains, rel=0.02, abs=0.002 * gains.max())
    assert (gains >= 0).all() and np.isfinite(gains).all() and gains.max() > 0


@quick
@given(seeds, st.sampled_from([1e-3, 60.0, 1e6]))
def test_the_unit_of_an_objective_does_not_matter(seed, unit):
    features, metrics = drawn(seed)
    gains = learned(features, metrics).gains(GRID)
    scaled = [{**one, "seconds": unit * one["seconds"]} for one in metrics]
    again = learned(features, scaled).gains(GRID)
    assert again / unit == pytest.approx(gains, rel=0.02, abs=0.002 * gains.max())


@quick
@given(seeds)
def test_an_objective_turned_round_is_the_same(seed):
    features, _ = drawn(seed)
    features[:2] = [[0.05, 0.0], [1.0, 0.6]]  # one below 0 and one above: no logarithms, which have a side
    metrics = measured(features)
    turned = [{"quality": -one["quality"], "seconds": one["seconds"]} for one in metrics]
    again = learned(features, turned, (Objective("quality", maximize=False), BOTH[1])).gains(GRID)
    gains = learned(features, metrics).gains(GRID)
    assert again == pytest.approx(gains, rel=0.02, abs=0.002 * gains.max())


@quick
@given(seeds)
def test_a_candidate_outside_of_a_limit_is_never_preferred(seed):
    """With 30 results, who is outside is known; and only by what is inside can something be gained."""
    features, metrics = drawn(seed, 30)
    assume(sum(one["size"] <= 5 for one in metrics) >= 5)
    gains = learned(features, metrics, limits=[Limit("size", maximum=5)]).gains(GRID)
    inside = GRID[:, 0] <= 0.5
    assert GRID[gains.argmax(), 0] <= 0.5
    assert gains[GRID[:, 0] >= 0.8].max() < gains[inside].max() / 100


def test_where_all_are_outside_the_way_in_is_looked_for():
    features = np.random.default_rng(0).random((20, 2)) * [0.5, 1] + [0.5, 0]
    limits = [Limit("size", maximum=4)]
    gains = learned(features, measured(features), limits=limits).gains(GRID)
    assert GRID[gains.argmax(), 0] <= 0.4 and gains.max() > 0.5
    assert gains[GRID[:, 0] <= 0.2].min() > gains[GRID[:, 0] >= 0.6].max()


def test_limits_from_both_sides():
    features, metrics = drawn(1, 40)
    limits = [Limit("size", minimum=3, maximum=6), Limit("quality", minimum=0.1)]
    best = GRID[learned(features, metrics, limits=limits).gains(GRID).argmax()]
    assert best[0] == pytest.approx(0.4) or best[0] == pytest.approx(0.6)


def test_where_candidates_fail_fewer_are_tried():
    features, metrics = drawn(2, 20)
    inside = features[:, 1] < 0.5
    failed = features[~inside]
    metrics = [one for one, fine in zip(metrics, inside) if fine]
    with_failures = learned(features[inside], metrics, failed=failed).gains(GRID)
    without = learned(features[inside], metrics).gains(GRID)
    assert (with_failures <= without + 1e-12).all()
    high = GRID[:, 1] > 0.7
    assert with_failures[high].max() / with_failures.max() < without[high].max() / without.max() / 2


def left_of_the_gain(seed):
    """Which part of the largest gain is left there, once that is under way."""
    features, metrics = drawn(seed, 15)
    alone = learned(features, metrics).gains(GRID)
    best = GRID[alone.argmax()]
    beside = learned(features, metrics, pending=best[None]).gains(GRID)
    return beside[alone.argmax()] / alone.max()


@quick
@given(seeds)
def test_what_is_under_way_is_less_worth_asking_again_nearby(seed):
    assert left_of_the_gain(seed) < 0.9


def test_little_is_left_to_gain_where_something_is_under_way():
    assert np.median([left_of_the_gain(seed) for seed in range(20)]) < 0.2


def test_the_same_draws_with_the_same_seed():
    features, metrics = drawn(3)
    gains = [learned(features, metrics, pending=GRID[:3]).gains(GRID) for _ in range(2)]
    assert np.array_equal(*gains)


def test_it_finds_the_best_where_there_is_one_objective():
    features = np.random.default_rng(4).random((25, 2))
    one = [{"default": -((x - 0.4) ** 2) - (y - 0.6) ** 2} for x, y in features]
    gains = learned(features, one, (Objective("default"),)).gains(GRID)
    assert GRID[gains.argmax()] == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize(
    "metrics",
    [
        [{"quality": 1.0, "seconds": 1.0}] * 5,
        [{"quality": float("inf"), "seconds": float(i)} for i in range(5)],
        [{"quality": float("-inf") if i == 2 else i / 10, "seconds": 10.0**i} for i in range(5)],
        [{"quality": 1e300 * i, "seconds": 1e-300} for i in range(5)],
        [{"quality": -1.0, "seconds": 0.0}] * 5,
    ],
    ids=["equal", "infinite", "diverged", "huge", "zero"],
)
def test_strange_metrics_are_no_trouble(metrics):
    gains = learned(np.random.default_rng(5).random((5, 2)), metrics).gains(GRID)
    assert np.isfinite(gains).all() and (gains >= 0).all()


def test_a_thousand_results_are_cheap():
    """Less than 0.3 seconds of work for all that a proposal needs of the model, with 8 trials under way."""
    rng = np.random.default_rng(6)
    features = rng.random((1000, 40))
    metrics = measured(features[:, :2])
    surrogate = Surrogate(np.arange(40), BOTH, [Limit("size", maximum=5)])
    times = []
    for count in range(990, 1000):
        start = time.thread_time()
        surrogate.learn(
            features[:count], metrics[:count], failed=features[:20], pending=rng.random((8, 40)), rng=rng
        )
        for _ in range(3):
            surrogate.gains(rng.random((100, 40)))
        times.append(time.thread_time() - start)
    assert np.median(times) < 0.3
