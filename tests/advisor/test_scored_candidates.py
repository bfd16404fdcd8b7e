from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor
from nni_nasoa.advisor.alternatives import choices
from nni_nasoa.advisor.candidates import Candidates
from nni_nasoa.advisor.distances import distances
from nni_nasoa.advisor.scored_candidates import HABIT, HASTE, scored
from nni_nasoa.zoo import get


class AsSlowAsNanoF:
    """A time model to which all networks are alike."""

    def __init__(self, world):
        self.world, self.start_up = world, world.start_up

    def estimate(self, model, **options):
        return self.world.estimate("nano-f", **options)

    def knows(self, model):
        return True

    def latency(self, model, size):
        return self.world.latency("nano-f", size)


def reached(world, found, choice, number=1000):
    """What a choice would really reach."""
    return world.accuracy(world.profile(number), choice.regime, choice.epochs)


def best_of_all(world, found, number=1000, sample=600):
    rows = np.random.default_rng(0).choice(len(found.regimes), sample, replace=False)
    return np.array(
        [world.accuracy(world.profile(number), found.regimes.regime(row), found.epochs[row]) for row in rows]
    )


@pytest.mark.parametrize("number", [1000, 1001, 1002])
def test_the_best_is_close_to_the_best_there_is(world, ask, number):
    found = ask(number)
    (best,) = choices(found, 1)
    others = best_of_all(world, found, number)
    assert reached(world, found, best, number) > np.quantile(others, 0.9)
    assert reached(world, found, best, number) > others.max() - 0.06


def test_without_experience_the_defaults_are_sound(world, ask):
    found = ask(cold=True)
    best = choices(found, 3)
    assert reached(world, found, best[0]) > np.median(best_of_all(world, found))
    for choice in best:
        regime = choice.regime
        assert (
            regime.optimizer == "sgd"
            and 0.02 <= regime.learning_rate <= 0.05
            and regime.batch_size == 32
            and regime.input_size == 48
        )
        probe = found.figures[regime.model].probed
        assert choice.epochs >= 5 and choice.low < probe < choice.high and choice.high - choice.low > 0.15
        assert any(line.startswith("few records") and "defaults" in line for line in choice.why)
    assert len({choice.regime.model for choice in best}) == 3


def test_cold_networks_come_by_their_probes_among_those_with_enough_epochs(world, ask):
    roomy, tight = choices(ask(cold=True, budget=200.0), 6), choices(ask(cold=True, budget=1.5), 6)
    assert [choice.regime.model for choice in roomy] == list(
        reversed(world.models)
    )  # larger ones separate better here
    assert roomy[0].regime.frozen_stages == 0
    enough = [choice.epochs >= 5 for choice in tight]
    assert enough == sorted(enough, reverse=True) and not all(enough)
    assert "separates the classes best" in roomy[0].why[0] and "at least 5 epochs" in roomy[0].why[0]


def test_cold_stages_are_frozen_as_the_budget_asks_for(world, ask):
    whole, some = (
        next(
            choice for choice in choices(ask(cold=True, budget=budget), 6) if choice.regime.model == "nano-f"
        )
        for budget in (200.0, 3.5)
    )
    assert whole.regime.frozen_stages == 0 < some.regime.frozen_stages
    assert whole.regime.augmentation == "crop-flip"
    few = choices(ask(cold=True, budget=200.0, images=60, train_images=40, classes=10), 1)[0]
    assert few.regime.frozen_stages == math.ceil(few.stages / 2)  # 4 images a class
    assert choices(ask(cold=True, budget=200.0, mirrored=False), 1)[0].regime.augmentation == "crop"
    assert choices(ask(cold=True, budget=1e5, images=6000, train_images=5000), 1)[0].regime.batch_size == 64


def test_alternatives_differ_in_the_network_or_in_what_is_frozen(ask):
    found = ask()
    best = choices(found, 12)
    assert len({(choice.regime.model, choice.regime.frozen_stages) for choice in best}) == 12
    usual = found.regimes.take([row for row in found.defaults if row is not None])
    steps = distances(Candidates.of_regimes([choice.regime for choice in best], found.figures), usual)
    scores = [
        0.9 * choice.accuracy + 0.1 * choice.low - HABIT * far - HASTE * choice.seconds / found.budget
        for choice, far in zip(best, steps)
    ]
    assert scores == sorted(scores, reverse=True)
    assert best[:3] == choices(found, 3)


def test_of_what_promises_as_much_the_sooner_is_taken(fit, experienced):
    fits, predictor = fit(), AccuracyPredictor.from_bytes(experienced)
    found = scored(fits, predictor)
    rows = found.order(20)
    leads = -np.diff(found.score[rows])
    place = int(leads.argmin())  # two that promise about as much
    assert leads[place] < HASTE / 4
    sooner = np.full_like(fits.seconds, fits.budget)
    sooner[rows[place + 1]] = fits.budget / 2
    changed = scored(replace(fits, seconds=sooner), predictor)
    assert changed.score[rows[place + 1]] > changed.score[rows[place]]
    assert (changed.mean == found.mean).all()


def test_on_data_of_no_known_kind_only_sound_rates_are_taken(ask):
    found = ask(
        classes=500,
        images=200_000,
        train_images=160_000,
        class_min=4,
        class_std=900.0,
        mirrored=False,
        grey_share=1.0,
        red_mean=0.0,
    )
    assert not found.familiarity.known_data and found.learned
    for choice in choices(found, 10):
        low, high = (0.01, 0.07) if choice.regime.optimizer == "sgd" else (0.0004, 0.0025)
        assert low <= choice.regime.learning_rate <= high
        assert any("no records of such data" in line for line in choice.why)
        assert choice.low < choice.accuracy < choice.high and choice.high - choice.low > 0.15


def test_networks_of_sizes_that_were_never_run_are_not_predicted(world, ask):
    found = ask(infos=[get("resnet18"), get("resnet50")], time_model=AsSlowAsNanoF(world), budget=2000.0)
    assert found.probed.all()
    best = choices(found, 2)[0]
    assert best.regime.learning_rate == 0.03 and any(
        "no records of such networks" in line for line in best.why
    )
    assert best.high - best.low > 0.4  # nobody has looked at the images through such a network
    mixed = ask(infos=[get("resnet18"), get("nano-c")], time_model=AsSlowAsNanoF(world), budget=2000.0)
    assert {choice.regime.model for choice in choices(mixed, 5)} == {"nano-c"}
    assert "resnet18" in mixed.notes[0]


@pytest.mark.parametrize("separated, taken", [(0.95, "resnet18"), (0.5, "nano-c")])
def test_a_network_that_was_never_run_is_taken_where_it_separates_the_classes_best(
    world, fit, experienced, separated, taken
):
    fits = fit(infos=[get("resnet18"), get("nano-c")], time_model=AsSlowAsNanoF(world), budget=2000.0)
    probe = dict(fits.profile.probes["nano-c"])
    probe["linear"] = probe["linear_few"] = separated
    profile = fits.profile.with_more({"resnet18": probe}, {})
    found = scored(replace(fits, profile=profile), AccuracyPredictor.from_bytes(experienced))
    (best,) = choices(found, 1)
    assert best.regime.model == taken
    assert any("no records of such networks" in line for line in best.why) == (taken == "resnet18")


def test_similar_runs_are_counted(world, ask):
    known, other = ask(3), ask(1000)
    assert known.familiarity.similar >= 5  # runs on this very dataset are among them
    assert known.familiarity.runs == other.familiarity.runs == 250
    assert any(
        f"{known.familiarity.similar} of 250 runs were on similar data" == line
        for line in choices(known, 1)[0].why
    )


def test_files_are_like_earlier_files_and_not_like_drawn_arrays(world, fit, experienced):
    """All runs so far were on arrays, whose size is not known: they say nothing of photographs."""
    size = {"width": 640.0, "height": 480.0}
    predictor, profile = AccuracyPredictor.from_bytes(experienced), world.profile(3, **size)

    def similar():
        return scored(fit(3, **size), predictor).familiarity.similar

    assert similar() == 0 and scored(fit(3), predictor).familiarity.similar >= 5
    assert predictor.learn(world.record(0, 3, profile=profile.flat()))
    assert similar() == 1
