"""The hedge predictor: what it learns, how sure it says it is, what it refuses, and its state."""

import io
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nni_nasoa.advisor.accuracy.hedge import HedgeRegressor

FEATURES = 3
SMALL = {"depth": 2, "width": 8, "steps": 2, "batch": 8}

known = st.floats(-(2.0**100), 2.0**100, width=32)
streams = st.integers(0, 25).flatmap(
    lambda n: st.tuples(
        arrays(np.float32, (n, FEATURES), elements=st.one_of(known, st.sampled_from([np.nan, 0.0, 1.0]))),
        arrays(np.float64, (n,), elements=st.floats(0, 1)),
    )
)


def logistic(z):
    return 1 / (1 + np.exp(-z))


def linear(x):
    return logistic(1.5 * x[:, 0] - x[:, 1])


def bent(x):
    """Nothing in it is linear: a logistic regression can do no better than a constant."""
    return logistic(4 * np.abs(x[:, 0]) - 4 * np.abs(x[:, 1]) + 3 * np.sign(x[:, 0] * x[:, 2]))


def stream(rule, n, seed=0, noise=0.02):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, FEATURES))
    return x, np.clip(rule(x) + rng.normal(0, noise, n), 0, 1)


def walk(predictor, x, y):
    """Predict each record before learning from it: mean, low and high, shape (3, n), and
    the weights of the heads.
    """
    predictions, weights = [], []
    for i in range(len(y)):
        predictions.append([values[0] for values in predictor.predict(x[i : i + 1])])
        predictor.update(x[i : i + 1], y[i : i + 1])
        weights.append(predictor.weights)
    return np.array(predictions).T, np.array(weights)


def same(first, second):
    return all(np.array_equal(array, second[name], equal_nan=True) for name, array in first.items()) and set(
        first
    ) == set(second)


@settings(max_examples=25, deadline=None)
@given(streams, st.floats(0, 1), st.floats(0.01, 1), st.integers(-1, FEATURES - 1))
def test_weights_stay_a_distribution_above_the_floor_and_predictions_in_range(
    records, smoothing, beta, guess
):
    x, y = records
    predictor = HedgeRegressor(FEATURES, guess=guess, smoothing=smoothing, beta=beta, **SMALL)
    (mean, low, high), weights = walk(predictor, x, y) if len(y) else (predictor.predict(x), np.empty((0, 3)))
    assert np.allclose(weights.sum(axis=1), 1) and (weights >= smoothing / (1 + smoothing) / 3 - 1e-12).all()
    assert ((low >= 0) & (low <= mean) & (mean <= high) & (high <= 1)).all()
    assert predictor.seen == len(y)


@settings(max_examples=12, deadline=None)
@given(streams, streams)
def test_a_saved_predictor_goes_on_equally(before, after):
    first = HedgeRegressor(
        FEATURES, replay=16, **SMALL
    )  # fewer than the records, so that the sample's choice counts
    first.update(*before)
    second = HedgeRegressor.from_bytes(first.to_bytes())
    third = HedgeRegressor(FEATURES, replay=16, **SMALL)
    third.load_state_dict(first.state_dict())
    for predictor in (first, second, third):
        predictor.update(*after)
    assert same(first.state_dict(), second.state_dict()) and same(first.state_dict(), third.state_dict())
    assert first.to_bytes() == second.to_bytes()


def test_records_at_once_are_records_one_after_another_and_the_seed_counts():
    x, y = stream(bent, 30)
    at_once, one_by_one, other = (HedgeRegressor(FEATURES, seed=seed, **SMALL) for seed in (1, 1, 2))
    at_once.update(x, y)
    other.update(x, y)
    walk(one_by_one, x, y)
    assert same(at_once.state_dict(), one_by_one.state_dict())
    assert not np.array_equal(at_once.predict(x)[0], other.predict(x)[0])


def test_one_that_has_learned_nothing_predicts_the_guess():
    guesses = np.array([-2.0, 0.5, np.nan])
    x = np.stack([np.ones(3), guesses, np.zeros(3)], axis=1)
    mean, low, high = HedgeRegressor(FEATURES, guess=1, **SMALL).predict(x)
    assert np.allclose(mean, logistic(np.nan_to_num(guesses)), atol=1e-6)
    assert (low == 0).all() and (high == 1).all()


def test_by_how_much_a_guess_is_wrong_is_learned_from_few_records_and_holds_far_from_them():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, FEATURES))
    y = logistic(x[:, 1] + 0.6)
    guessing, plain = (HedgeRegressor(FEATURES, guess=guess, weight_decay=0.0) for guess in (1, -1))
    for predictor in (guessing, plain):
        predictor.update(x, y)
    far = np.array([[0.0, -5.0, 0.0], [0.0, 4.5, 0.0]])
    errors = [
        np.abs(predictor.predict(far)[0] - logistic(far[:, 1] + 0.6)) for predictor in (guessing, plain)
    ]
    inside = np.abs(guessing.predict(x)[0] - y).mean()
    assert inside < 0.02 and errors[0].max() < 0.02 and errors[0].max() < errors[1].max()


def test_state_dict_is_a_copy():
    predictor = HedgeRegressor(FEATURES, **SMALL)
    before = predictor.state_dict()
    predictor.update(*stream(linear, 5))
    assert before["seen"] == 0 and not before["parameters"][-1] and not same(before, predictor.state_dict())


def test_the_sample_of_past_records_is_uniform():
    n, kept = 120, 20
    x, y = np.zeros((n, 1)), np.linspace(0, 1, n)
    means = []
    for seed in range(6):
        predictor = HedgeRegressor(1, depth=0, steps=1, batch=2, replay=kept, seed=seed)
        predictor.update(x, y)
        means.append(predictor.state_dict()["replay_y"].mean())
    assert abs(np.mean(means) - 0.5) < 4 * np.sqrt(1 / 12 / (6 * kept))  # four standard errors


def test_learns_a_linear_stream():
    x, y = stream(linear, 250)
    (mean, _, _), _ = walk(HedgeRegressor(FEATURES), x, y)
    assert np.abs(mean - y)[-80:].mean() < 0.2 * np.abs(y - y.mean()).mean()


def test_learns_a_nonlinear_stream_and_deepens():
    x, y = stream(bent, 600)
    predictor = HedgeRegressor(FEATURES)
    depths = np.arange(predictor.depth + 1)
    start = predictor.weights
    (mean, _, _), weights = walk(predictor, x, y)
    assert start.argmax() == 0 and start[0] > 0.5
    assert np.abs(mean - y)[-150:].mean() < 0.4 * np.abs(y - y.mean()).mean()
    assert weights[-1] @ depths > weights[100] @ depths > start @ depths and weights[-1][0] < 0.1


def test_a_linear_stream_keeps_it_shallower_than_a_nonlinear_one():
    linear_depth, bent_depth = (
        walk(HedgeRegressor(FEATURES), *stream(rule, 150))[1][-1] @ np.arange(5) for rule in (linear, bent)
    )
    assert linear_depth < bent_depth - 0.5


def test_unknown_features_are_no_obstacle_and_their_absence_is_learned_from():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, FEATURES))
    missing = rng.uniform(size=300) < 0.5
    x[missing, 0] = np.nan
    y = np.where(missing, 0.9, 0.2)
    predictor = HedgeRegressor(FEATURES, **SMALL)
    predictor.update(x, y)
    assert np.abs(predictor.predict(x)[0] - y).mean() < 0.05


def test_outliers_among_the_records_do_little():
    x, y = stream(linear, 300)
    spoiled, rng = y.copy(), np.random.default_rng(1)
    rubbish = rng.uniform(size=len(y)) < 0.05
    spoiled[rubbish] = rng.integers(0, 2, rubbish.sum())
    clean, dirty = (HedgeRegressor(FEATURES, **SMALL) for _ in range(2))
    clean.update(x, y)
    dirty.update(x, spoiled)
    new = np.random.default_rng(2).normal(size=(500, FEATURES))
    errors = [np.abs(predictor.predict(new)[0] - linear(new)).mean() for predictor in (clean, dirty)]
    assert errors[1] < errors[0] + 0.04


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_ranges_contain_what_they_say_and_narrow(coverage):
    x, y = stream(bent, 500, noise=0.05)
    (_, low, high), _ = walk(HedgeRegressor(FEATURES, coverage=coverage, **SMALL), x, y)
    inside = (low <= y) & (y <= high)
    assert abs(inside[20:].mean() - coverage) < 0.04 and abs(inside[-200:].mean() - coverage) < 0.08
    assert (low[0], high[0]) == (0, 1) and (high - low)[-100:].mean() < 0.85 * (high - low)[30:130].mean()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.3, 0.5, 1.0]), min_size=1, max_size=120), st.sampled_from([0.5, 0.9]))
def test_misses_are_bounded_whatever_comes(values, coverage):
    y = np.array(values)
    (_, low, high), _ = walk(
        HedgeRegressor(1, depth=1, width=2, steps=1, batch=2, coverage=coverage), np.zeros((len(y), 1)), y
    )
    misses = np.cumsum((y < low) | (y > high))
    assert (misses <= (1 - coverage) * (np.arange(1, len(y) + 1) + 1 / 0.02) + 1 + 1e-9).all()


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "x, y, message",
    [
        ([[0, 1, 2]], [NAN], "y: row 0 is nan"),
        ([[0, 1, 2]] * 2, [0.5, 1.01], "y: row 1 is 1.01"),
        ([[0, 1, 2]], [-0.1], "y: row 0"),
        ([[0, 1, 2]], [INF], "y: row 0 is inf"),
        ([[0, 1, 2]] * 2, [0.5], "y: expected shape"),
        ([[0, 1, 2]], [[0.5]], "y: expected shape"),
        ([[0, 1, 2], [0, 0, INF]], [0.1, 0.2], "x: row 1, feature 2"),
        ([[0, 1, 1e300]], [0.1], "x: row 0, feature 2"),
        ([[0, 1]], [0.1], "x: expected shape"),
        ([0, 1, 2], [0.1], "x: expected shape"),
        ([["a", 1, 2]], [0.1], "x: expected an array of numbers"),
        ([[0, 1, 2]], [None], "y: row 0 is nan"),
    ],
)
def test_rubbish_is_refused_and_nothing_is_learned_from_it(x, y, message):
    predictor = HedgeRegressor(FEATURES, **SMALL)
    predictor.update(*stream(linear, 5))
    before = predictor.to_bytes()
    with pytest.raises(ValueError, match=message):
        predictor.update(x, y)
    assert predictor.to_bytes() == before


@pytest.mark.parametrize(
    "name, value",
    [
        ("features", 0),
        ("features", 2.5),
        ("guess", FEATURES),
        ("depth", -1),
        ("depth", True),
        ("width", "8"),
        ("learning_rate", 0),
        ("learning_rate", NAN),
        ("weight_decay", -1),
        ("beta", 1.5),
        ("beta", 0),
        ("smoothing", 2),
        ("coverage", 1),
        ("replay", 0),
        ("steps", 0),
        ("batch", 1),
        ("seed", -1),
        ("residual", 1),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name}: .* is not a"):
        HedgeRegressor(**{"features": FEATURES, name: value})


@pytest.fixture(scope="module")
def saved():
    predictor = HedgeRegressor(FEATURES, replay=16, **SMALL)
    predictor.update(*stream(linear, 20))
    return predictor.to_bytes()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_bytes_are_one_clear_error_or_harmless(saved, data):
    place, value = data.draw(st.integers(0, len(saved) - 1)), data.draw(st.integers(0, 255))
    damaged = saved[:place] + bytes([value]) + saved[place + 1 :]
    loaded, told = None, ""
    try:
        loaded = HedgeRegressor.from_bytes(damaged)
    except ValueError as error:
        told = str(error)
    if loaded is None:
        assert told.startswith("saved predictor: not usable (") and "\n" not in told
    else:  # some bytes of a zip archive, such as its dates, mean nothing here
        assert loaded.to_bytes() == saved
    with pytest.raises(ValueError, match="saved predictor: not usable"):
        HedgeRegressor.from_bytes(saved[:place])


def changed(saved, **arrays):
    file = io.BytesIO()
    np.savez(file, **{**np.load(io.BytesIO(saved)), **arrays})
    return file.getvalue()


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"version": np.array(1)}, "version 1, this program reads version 3"),
        ({"more": np.zeros(1)}, "more missing or unknown"),
        ({"weights": np.array([0.5, 0.5, 0.5])}, "weights has values"),
        ({"weights": np.array([1.0, 0.0, 0.0])}, "weights has values"),
        ({"weights": np.array([0.5, 0.5])}, "weights is float64"),
        ({"mean": np.full(FEATURES, NAN)}, "mean has values"),
        ({"squares": np.full(FEATURES, -1.0)}, "squares has values"),
        ({"replay_y": np.full(16, 2, np.float32)}, "replay_y has values"),
        ({"depth": np.array(3)}, "parameters is float32"),
        ({"width": np.array(0)}, "width: 0 is not"),
        ({"mean": np.array([None] * FEATURES)}, "allow_pickle"),
    ],
)
def test_a_state_that_cannot_be_is_refused(saved, arrays, message):
    with pytest.raises(ValueError, match=f"saved predictor: not usable.*{message}"):
        HedgeRegressor.from_bytes(changed(saved, **arrays))


def test_a_state_of_other_settings_is_refused_and_nothing_is_loaded(saved):
    predictor = HedgeRegressor(FEATURES, replay=16, seed=1, **SMALL)
    before = predictor.to_bytes()
    with pytest.raises(ValueError, match="its seed is 0, here it is 1"):
        predictor.load_state_dict(HedgeRegressor.from_bytes(saved).state_dict())
    assert predictor.to_bytes() == before


@pytest.mark.alone
def test_scoring_candidates_costs_little_more_than_its_matrix_products():
    """Whatever the machine: compared side by side with a plain forward pass without normalisation
    and heads, the best of five.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50_000, 40)).astype(np.float32)
    layers = [rng.normal(size=shape).astype(np.float32) for shape in ((80, 32), (32, 32), (32, 32), (32, 32))]
    predictor = HedgeRegressor(40)
    predictor.update(x[:20], np.linspace(0, 1, 20))

    def plain():
        hidden = np.concatenate([x, x], axis=1)
        for layer in layers:
            hidden = np.maximum(hidden @ layer, 0)

    def fastest(function):
        seconds = []
        for _ in range(5):
            start = time.process_time()
            function()
            seconds.append(time.process_time() - start)
        return min(seconds)

    assert fastest(lambda: predictor.predict(x)) < 8 * fastest(plain)
