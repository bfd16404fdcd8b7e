import math

import pytest

from nni_nasoa.search.reward import reward, score


def test_at_the_target_the_reward_is_the_accuracy():
    assert reward(0.8, 1.0) == 0.8
    assert reward(0.8, 2.5, target=2.5) == 0.8


def test_speed_is_a_power():
    assert reward(0.8, 4.0, weight=0.5) == pytest.approx(1.6)
    assert reward(0.8, 1.0, target=4.0, weight=0.5) == pytest.approx(0.4)
    assert reward(0.8, 123.0, weight=0) == 0.8


def test_the_default_gives_five_percent_for_twice_the_speed():
    assert reward(0.8, 2.0) / reward(0.8, 1.0) == pytest.approx(1.05, abs=0.001)


@pytest.mark.parametrize(
    "arguments, named",
    [
        ((1.5, 1.0), "accuracy"),
        ((math.nan, 1.0), "accuracy"),
        ((0.5, 0.0), "relative speed"),
        ((0.5, math.inf), "relative speed"),
        ((0.5, math.nan), "relative speed"),
        ((0.5, 1.0, 0.0), "target"),
        ((0.5, 1.0, 1.0, -1.0), "weight"),
    ],
)
def test_values_out_of_range(arguments, named):
    with pytest.raises(ValueError, match=f"^{named}: "):
        reward(*arguments)


def test_the_score_orders_as_the_reward_does_and_is_too_much_for_an_accuracy():
    results = [(0.1, 0.2), (0.55, 4.0), (0.93, 0.5), (0.93, 2.0), (1.0, 1.0)]
    for target in (1.0, 2.5):
        rewards = [reward(*result, target) for result in results]
        scores = [score(*result, target) for result in results]
        assert sorted(results, key=dict(zip(results, scores)).get) == sorted(
            results, key=dict(zip(results, rewards)).get
        )
        assert scores == pytest.approx([10_000 * one for one in rewards], abs=0.05) and min(scores) > 100
    assert score(1.0, 1.0) == 10_000


def test_a_score_is_checked_as_a_reward_is():
    with pytest.raises(ValueError, match="accuracy"):
        score(1.1, 1.0)
