"""How unlike regimes are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nni_nasoa.advisor.candidates import Candidates
from nni_nasoa.advisor.distances import distances
from nni_nasoa.finetune import FineTuneRegime

BASE = FineTuneRegime("nano-a", learning_rate=0.03, batch_size=32, input_size=48)


@pytest.mark.parametrize(
    "field, value, distance",
    [
        ("model", "nano-b", 1),
        ("learning_rate", 0.3, 1),
        ("input_size", 96, 1),
        ("batch_size", 128, 1),
        ("frozen_stages", 2, 1),
        ("augmentation", "none", 1),
    ],
)
def test_a_distance_of_one(field, value, distance):
    other = FineTuneRegime(**{**BASE.to_json(), field: value})
    found = distances(Candidates.of_regimes([BASE, other], {}), Candidates.of_regimes([BASE], {}))
    assert found == pytest.approx([0, distance])


def test_rates_of_the_two_optimizers_are_compared_by_what_they_do():
    regimes = [FineTuneRegime("nano-a", optimizer="adamw", learning_rate=rate) for rate in (0.001, 0.03)]
    near, far = distances(
        Candidates.of_regimes(regimes, {}),
        Candidates.of_regimes([FineTuneRegime("nano-a", learning_rate=0.03)], {}),
    )
    assert near == pytest.approx(1) and far > 1.5


def test_the_closest_counts():
    regimes = [replace(BASE, learning_rate=rate) for rate in (0.003, 0.03, 0.3)]
    found = distances(Candidates.of_regimes(regimes, {}), Candidates.of_regimes([BASE, regimes[2]], {}))
    assert found == pytest.approx([1, 0, 0])
