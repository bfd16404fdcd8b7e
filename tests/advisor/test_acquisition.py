"""Which regime is tried next."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from nni_nasoa.advisor.acquisition import next_choice, next_row, worths
from nni_nasoa.advisor.alternatives import choices
from nni_nasoa.advisor.candidates import Candidates
from nni_nasoa.finetune import FineTuneRegime

BASE = FineTuneRegime("nano-a", learning_rate=0.03, batch_size=32, input_size=48)
OTHERS = [
    FineTuneRegime("nano-a", learning_rate=0.065, batch_size=32, input_size=48),
    FineTuneRegime(
        "nano-a", learning_rate=0.3, batch_size=128, input_size=96, frozen_stages=2, augmentation="full"
    ),
    FineTuneRegime("nano-c", learning_rate=0.03, batch_size=32, input_size=48),
]


def scored(mean, high, learned=True, score=None):
    """BASE and OTHERS with scores, as far as an acquisition looks at them."""
    regimes = [BASE, *OTHERS]
    mean, high = np.array(mean), np.array(high)
    made = SimpleNamespace(
        regimes=Candidates.of_regimes(regimes, {}),
        figures={},
        mean=mean,
        high=high,
        learned=learned,
        score=mean if score is None else np.array(score),
    )
    made.order = lambda top: np.argsort(-made.score, kind="stable")[:top].tolist()
    return made


def chosen(candidates, *args):
    row = next_row(candidates, *args)
    return None if row is None else candidates.regimes.regime(row)


def test_first_the_advice_then_whatever_else_may_be_best():
    known = scored([0.9, 0.89, 0.6, 0.85], [0.91, 0.92, 0.7, 0.95])
    assert chosen(known, []) == BASE
    assert (
        chosen(known, [BASE]) == OTHERS[2]
    )  # less is expected of it than of OTHERS[0], but it is another network, and may be more
    assert chosen(known, [BASE, OTHERS[2]]) == OTHERS[0]
    assert chosen(known, [BASE, *OTHERS]) is None


def test_what_cannot_be_the_best_is_not_tried():
    known = scored([0.9, 0.8, 0.1, 0.7], [0.91, 0.85, 0.86, 0.88])
    assert chosen(known, [BASE], 0.87) == OTHERS[2]
    assert (
        chosen(known, [BASE], 0.99) == OTHERS[1]
    )  # nothing reaches that, so all count, and of this least is known


def test_what_may_not_be_advised_is_not_tried():
    known = scored([0.9, 0.89, 0.6, 0.85], [0.91, 0.92, 0.7, 0.95], score=[0.9, 0.89, -np.inf, -np.inf])
    assert chosen(known, [BASE]) == OTHERS[0]
    assert chosen(known, [BASE, OTHERS[0]]) is None


def test_following_defaults_it_goes_from_choice_to_choice():
    known = scored([0.2, 0.9, 0.3, 0.4], [1, 1, 1, 1], learned=False, score=[4, 1, 2, 3])
    order = []  # OTHERS[1], whose rate is high, is a default here all the same
    while (regime := chosen(known, order)) is not None:
        order.append(regime)
    assert order == [BASE, OTHERS[2], OTHERS[1], OTHERS[0]]


def test_the_same_twice_is_worth_nothing_and_the_uncertain_more():
    mean, high, allowed = np.full(3, 0.8), np.array([0.9, 0.9, 0.85]), np.ones(3, bool)
    worth = worths(mean, high, np.array([0.0, 2.0, 2.0]), 0.8, allowed)
    assert worth[0] == -np.inf and worth[1] > worth[2] > 0.8


def test_after_the_defaults_rates_stay_sound():
    known = scored([0.5] * 4, [1] * 4, learned=False)
    known.order = lambda top: [0]
    order = []
    while (regime := chosen(known, order)) is not None:
        order.append(regime)
    assert order[0] == BASE and {*order} == {BASE, OTHERS[0], OTHERS[2]}  # OTHERS[1] has a rate of 0.3


def test_the_next_choice_is_the_candidate_with_what_is_expected_of_it(ask):
    found = ask()
    first = next_choice(found, [])
    assert first == choices(found, 1)[0] and first.why
    second = next_choice(found, [first.regime], 0.5)
    row = next_row(found, [first.regime], 0.5)
    assert second.regime == found.regimes.regime(row) != first.regime
    assert second.accuracy == found.mean[row] and second.epochs == found.epochs[row]
