"""Running statistics of features, against numpy's, and with wild values."""

import numpy as np

from nni_nasoa.advisor.accuracy.hedge_inputs import RunningScale


def test_a_level_that_changes_with_the_task_gets_through_and_one_wild_value_does_not():
    scale = RunningScale(2)
    for value in (0.0,) * 50 + (100.0,) * 50:
        scale.observe(np.array([value, value]))
    assert np.allclose(scale.arrays["mean"], 50, rtol=0.3)
    inputs = scale.inputs(np.array([[0.0, np.nan], [100.0, 1e38]]))
    assert (
        inputs[0, 0] < -0.5
        and inputs[1, 0] > 0.5
        and inputs[0, 1] == 0
        and inputs[:, 2:].tolist() == [[0, 1], [0, 0]]
    )

    scale, rng = RunningScale(1), np.random.default_rng(0)
    for value in rng.normal(size=200):
        scale.observe(np.array([value]))
    scale.observe(np.array([1e38]))
    assert abs(scale.arrays["mean"][0]) < 0.3 and scale.arrays["squares"][0] / 201 < 3


def test_running_statistics_are_those_of_numpy():
    x = np.random.default_rng(0).normal(3, 2, size=(200, 2))
    x[::3, 1] = np.nan
    scale = RunningScale(2)
    for row in x:
        scale.observe(row)
    assert np.allclose(
        scale.inputs(x)[:, :2],
        np.clip(np.nan_to_num((x - np.nanmean(x, 0)) / np.nanstd(x, 0)), -4, 4),
        atol=1e-4,
    )


def test_features_that_never_varied_are_left_out_for_good_if_asked():
    rows = np.array([[3.0, 0.0], [3.0, 1.0], [3.0, 2.0]])
    off, on = RunningScale(2), RunningScale(2)
    for scale in (off, on):
        for row in rows:
            scale.observe(row)
    off.drop_constant_features()
    for scale in (off, on):
        scale.observe(np.array([30.0, 1.0]))
    (first, second), (other_first, other_second) = (
        off.inputs(np.array([[30.0, 2.0]]))[0, :2],
        on.inputs(np.array([[30.0, 2.0]]))[0, :2],
    )
    assert first == 0 and other_first > 1 and second == other_second > 1
