from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor
from nni_nasoa.advisor.advice import Limits
from nni_nasoa.advisor.candidates import Candidates, candidates, stages_of
from nni_nasoa.advisor.distances import distances
from nni_nasoa.advisor.models import AdviceError
from nni_nasoa.advisor.options import HABIT, Options


@pytest.fixture(autouse=True)
def small_grid(monkeypatch):
    """An eighth of the candidates are enough for most."""
    monkeypatch.setattr("nni_nasoa.advisor.options.candidates", partial(candidates, most=10_000))


@pytest.fixture
def ask(world, experienced):
    """A function that gives the options for a made dataset."""

    def options(
        number=1000,
        budget=10.0,
        cold=False,
        limits=Limits(),
        infos=None,
        time_model=world,
        decoded=(),
        **changes,
    ):
        predictor = AccuracyPredictor() if cold else AccuracyPredictor.from_bytes(experienced)
        return Options.of(
            world.profile(number, **changes),
            world.infos() if infos is None else infos,
            time_model,
            predictor,
            budget,
            limits,
            decoded=decoded,
        )

    return options


def reached(world, options, choice, number=1000):
    """What a choice would really reach."""
    return world.accuracy(world.profile(number), choice.regime, choice.epochs)


def best_of_all(world, options, number=1000, sample=600):
    rows = np.random.default_rng(0).choice(len(options.regimes), sample, replace=False)
    return np.array(
        [
            world.accuracy(world.profile(number), options.regimes.regime(row), options.epochs[row])
            for row in rows
        ]
    )


@pytest.mark.parametrize("number", [1000, 1001, 1002])
def test_the_best_is_close_to_the_best_there_is(world, ask, number):
    options = ask(number)
    (best,) = options.choices(1)
    others = best_of_all(world, options, number)
    assert reached(world, options, best, number) > np.quantile(others, 0.9)
    assert reached(world, options, best, number) > others.max() - 0.06


def test_without_experience_the_defaults_are_sound(world, ask):
    options = ask(cold=True)
    choices = options.choices(3)
    assert reached(world, options, choices[0]) > np.median(best_of_all(world, options))
    for choice in choices:
        regime = choice.regime
        assert (
            regime.optimizer == "sgd"
            and 0.02 <= regime.learning_rate <= 0.05
            and regime.batch_size == 32
            and regime.input_size == 48
        )
        assert choice.epochs >= 5 and choice.low == 0 and choice.high == 1
        assert any(line.startswith("few records") and "defaults" in line for line in choice.why)
    assert len({choice.regime.model for choice in choices}) == 3


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("budget", [3.0, 10.0, 1e7])
@pytest.mark.parametrize("counts", [(None, None, None), (None, None, 10), (3, 1, 2)])
def test_a_dataset_that_there_was_no_time_to_look_at(world, ask, counts, budget, cold):
    known = dict(zip(("train_images", "val_images", "classes"), counts))
    with np.errstate(all="raise", under="ignore"):
        options = ask(cold=cold, budget=budget, **known)
        (best, *_) = options.choices(3)
    assert (
        0 < best.epochs < math.inf
        and 0 < best.seconds <= budget
        and 0 <= best.low <= best.accuracy <= best.high <= 1
    )
    assert any("no time to look at the dataset" in note for note in options.notes) == (counts[0] is None)


def test_only_the_regimes_that_are_given(world, ask):
    every = ask()
    few = every.regimes.take(np.arange(0, len(every.regimes), 97))
    options = Options.of(every.profile, world.infos(), world, every.predictor, 10.0, regimes=few)
    regimes = {few.regime(row) for row in range(len(few))}
    assert len(options.regimes) == len(few) and {choice.regime for choice in options.choices(5)} <= regimes


def test_cold_networks_come_by_their_probes_among_those_with_enough_epochs(world, ask):
    roomy, tight = ask(cold=True, budget=200.0).choices(6), ask(cold=True, budget=1.5).choices(6)
    assert [choice.regime.model for choice in roomy] == list(
        reversed(world.models)
    )  # larger ones separate better here
    assert roomy[0].regime.frozen_stages == 0
    enough = [choice.epochs >= 5 for choice in tight]
    assert enough == sorted(enough, reverse=True) and not all(enough)
    assert "separates the classes best" in roomy[0].why[0] and "at least 5 epochs" in roomy[0].why[0]


def test_cold_stages_are_frozen_as_the_budget_asks_for(world, ask):
    whole, some = (
        next(choice for choice in ask(cold=True, budget=budget).choices(6) if choice.regime.model == "nano-f")
        for budget in (200.0, 3.5)
    )
    assert whole.regime.frozen_stages == 0 < some.regime.frozen_stages
    assert whole.regime.augmentation == "crop-flip"
    few = ask(cold=True, budget=200.0, images=60, train_images=40, classes=10).choices(1)[0]
    assert few.regime.frozen_stages == math.ceil(stages_of(few.regime.model) / 2)  # 4 images a class
    assert ask(cold=True, budget=200.0, mirrored=False).choices(1)[0].regime.augmentation == "crop"
    assert ask(cold=True, budget=1e5, images=6000, train_images=5000).choices(1)[0].regime.batch_size == 64


def test_alternatives_differ_in_the_network_or_in_what_is_frozen(ask):
    options = ask()
    choices = options.choices(12)
    assert len({(choice.regime.model, choice.regime.frozen_stages) for choice in choices}) == 12
    usual = options.regimes.take([row for row in options._defaults if row is not None])
    steps = distances(Candidates.of_regimes([choice.regime for choice in choices], options.figures), usual)
    scores = [0.9 * choice.accuracy + 0.1 * choice.low - HABIT * far for choice, far in zip(choices, steps)]
    assert scores == sorted(scores, reverse=True)
    assert choices[:3] == options.choices(3)


def test_what_does_not_fit_is_left_out(world, ask):
    options = ask()
    few = ask(limits=Limits(max_memory_mib=24))
    assert (
        0 < len(few.regimes) < len(options.regimes)
        and not (
            few.regimes.take((few.regimes.frozen_stages == 0) & (few.regimes.input_size == 96)).batch_size
            > 32
        ).any()
    )
    assert {*few.regimes.models} == {
        *options.regimes.models
    }  # of large networks, small batches or few stages
    quick = ask(limits=Limits(max_latency_ms=0.25))
    assert (1000 * world.latency("nano-b", 48) <= 0.25) and "nano-c" in {
        quick.regimes.models[place] for place in set(quick.regimes.model)
    }
    assert all(
        1000 * world.latency(quick.model(row), quick.regimes.input_size[row]) <= 0.25
        for row in range(0, len(quick.regimes), 97)
    )
    small = ask(limits=Limits(max_params_m=0.2))
    assert set(small.regimes.models) == {"nano-a", "nano-b"}
    assert all(choice.params_m <= 0.2 for choice in small.choices(5))
    tight = ask(budget=1.05)
    assert (tight.epochs > 0.05).all() and len(tight.regimes) < len(options.regimes) * 2


@pytest.mark.parametrize(
    "limits, budget, right",
    [
        (
            Limits(max_params_m=0.01),
            10.0,
            r"max_params_m: no network has 0.01 million parameters or fewer; the smallest has 0\.\d+",
        ),
        (
            Limits(max_latency_ms=1e-3),
            10.0,
            r"max_latency_ms: no network takes 0.001 ms or less here; the fastest takes 0\.\d+",
        ),
        (
            Limits(max_memory_mib=0.5),
            10.0,
            r"max_memory_mib: nothing trains in 0.5 MiB; the least that is needed is \d",
        ),
        (
            Limits(max_params_m=1, max_memory_mib=99),
            0.5,
            "minutes: nothing can be trained in 0.5 s here within max_params_m 1, max_memory_mib 99",
        ),
        (Limits(), 0.5, "minutes: nothing can be trained in 0.5 s here"),
    ],
)
def test_where_nothing_fits_one_line_says_why(ask, limits, budget, right):
    with pytest.raises(AdviceError, match=right) as error:
        ask(limits=limits, budget=budget)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "5"])
def test_limits_are_positive_numbers(value):
    with pytest.raises(AdviceError, match="max_latency_ms: .* is not a positive number"):
        Limits(max_latency_ms=value)


def test_a_folder_that_takes_long_to_decode_is_trained_on_in_part_and_a_note_says_from_when_on_as_a_whole(
    ask, monkeypatch
):
    counts = {
        "images": 5000,
        "train_images": 4000,
        "val_images": 1000,
        "decode_seconds": 0.002,
    }  # 10 s for all
    monkeypatch.setattr("nni_nasoa.advisor.options.allowed_processors", lambda: {0, 1})
    short, long, at_once = (
        ask(budget=10.0, **counts),
        ask(budget=30.0, **counts),
        ask(budget=10.0, **{**counts, "decode_seconds": None}),
    )
    (note,) = (note for note in short.notes if "decod" in note)
    assert (
        "all 5000 images takes about 10 s here, too long for 10 s" in note
        and "some 750 of them" in note
        and "from 0.48 minutes" in note
    )
    assert not any("decod" in note for note in (*long.notes, *at_once.notes))
    assert long.epochs == pytest.approx(
        (30 - 1 - 10) / (10 - 1) * at_once.epochs
    )  # 1 s is not for training: see World
    assert short.epochs == pytest.approx(
        (10 - 1 - 5) / (10 - 1) * at_once.epochs
    )  # half of the budget is over before the sample is there
    partly, size = ask(budget=10.0, decoded={48}, **counts), short.regimes.input_size
    assert (partly.regimes.input_size == size).all() and partly.notes == short.notes
    assert np.array_equal(partly.epochs, np.where(size == 48, at_once.epochs, short.epochs))
    monkeypatch.setattr(
        "nni_nasoa.advisor.options.allowed_processors", lambda: set(range(16))
    )  # eight times as fast: 1.25 s
    fast = ask(budget=10.0, **counts)
    assert not any("decod" in note for note in fast.notes)
    assert fast.epochs == pytest.approx((10 - 1 - 1.25) / (10 - 1) * at_once.epochs)


def test_networks_that_were_not_timed_are_left_out_with_a_note(world, ask):
    class Some:
        estimate, latency, start_up = world.estimate, world.latency, world.start_up

        @staticmethod
        def knows(model):
            return model in ("nano-b", "nano-c")

    options = ask(time_model=Some())
    assert options.regimes.models == ("nano-b", "nano-c") and "nano-a, nano-d" in options.notes[0]

    class Nothing(Some):
        @staticmethod
        def knows(model):
            return False

    with pytest.raises(AdviceError, match="no time to measure"):
        ask(time_model=Nothing())


def test_on_data_of_no_known_kind_only_sound_rates_are_taken(ask):
    options = ask(
        classes=500,
        images=200_000,
        train_images=160_000,
        class_min=4,
        class_std=900.0,
        mirrored=False,
        grey_share=1.0,
        red_mean=0.0,
    )
    assert not options.familiarity.known_data and options.learned
    for choice in options.choices(10):
        low, high = (0.01, 0.07) if choice.regime.optimizer == "sgd" else (0.0004, 0.0025)
        assert low <= choice.regime.learning_rate <= high
        assert any("no records of such data" in line for line in choice.why)
        assert (
            choice.low <= options.figures[choice.regime.model]["probe_linear"]
            and choice.low <= choice.accuracy <= choice.high
        )


def test_networks_of_sizes_that_were_never_run_are_not_predicted(world, ask):
    class Any:
        estimate = staticmethod(lambda model, **options: world.estimate("nano-f", **options))
        knows = staticmethod(lambda model: True)
        latency = staticmethod(lambda model, size: world.latency("nano-f", size))
        start_up = world.start_up

    from nni_nasoa.zoo import get

    options = ask(infos=[get("resnet18"), get("resnet50")], time_model=Any(), budget=2000.0)
    assert not options.learned
    best = options.choices(2)[0]
    assert (
        best.regime.learning_rate == 0.03
        and best.regime.input_size == 224
        and any("no records of such networks" in line for line in best.why)
    )
    mixed = ask(infos=[get("resnet18"), get("nano-c")], time_model=Any(), budget=2000.0)
    assert {choice.regime.model for choice in mixed.choices(5)} == {"nano-c"} and "resnet18" in mixed.notes[0]


def test_similar_runs_are_counted(world, ask):
    known, other = ask(3), ask(1000)
    assert known.familiarity.similar >= 5  # runs on this very dataset are among them
    assert known.familiarity.runs == other.familiarity.runs == 250
    assert any(
        f"{known.familiarity.similar} of 250 runs were on similar data" == line
        for line in known.choices(1)[0].why
    )


def test_a_run_on_images_of_another_size_makes_earlier_ones_no_less_similar(world, experienced):
    """All runs so far were on arrays, whose size is not known."""
    predictor, profile = (
        AccuracyPredictor.from_bytes(experienced),
        world.profile(3, width=640.0, height=480.0),
    )

    def similar():
        return Options.of(profile, world.infos(), world, predictor, 10.0).familiarity.similar

    before = similar()
    assert before >= 5 and predictor.learn(world.record(0, 3, profile=profile.flat()))
    assert similar() == before + 1


def test_figures_of_choices_are_those_of_their_candidates(world, ask):
    options = ask()
    for choice in options.choices(5):
        epochs = world.estimate(
            choice.regime.model,
            frozen_stages=[choice.regime.frozen_stages],
            batch_size=[1],
            budget=10.0,
            input_size=[choice.regime.input_size],
            train_images=world.profile(1000).dataset.train_images,
            val_images=0,
        ).epochs[0]
        assert choice.epochs == pytest.approx(epochs) and choice.seconds == 10.0
        assert 0 <= choice.low <= choice.accuracy <= choice.high <= 1
        assert choice.predicted == {
            "seconds": 10.0,
            "accuracy": choice.accuracy,
            "accuracy_low": choice.low,
            "accuracy_high": choice.high,
        }
        assert choice.weights == "default" and choice.stages == stages_of(choice.regime.model)
    assert options.choices(1)[0].to_json()["regime"]["model"] == options.choices(1)[0].regime.model


def test_what_freezing_gains_is_told(ask):
    frozen = next(
        choice for choice in ask(budget=3.0).choices(20) if 0 < choice.regime.frozen_stages < choice.stages
    )
    (line,) = [line for line in frozen.why if "stages frozen" in line]
    k, n, epochs, whole = line.split()[0], line.split()[2], float(line.split()[5]), float(line.split()[9])
    assert (
        (int(k), int(n)) == (frozen.regime.frozen_stages, frozen.stages)
        and epochs > whole
        and epochs == pytest.approx(frozen.epochs, rel=0.01)
    )
