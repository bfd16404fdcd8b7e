from __future__ import annotations

import math

import numpy as np
import pytest

from nni_nasoa.advisor.advice import Limits
from nni_nasoa.advisor.alternatives import choices
from nni_nasoa.advisor.models import AdviceError


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("budget", [3.0, 10.0, 1e7])
@pytest.mark.parametrize("counts", [(None, None, None), (None, None, 10), (3, 1, 2)])
def test_a_dataset_that_there_was_no_time_to_look_at(ask, counts, budget, cold):
    known = dict(zip(("train_images", "val_images", "classes"), counts))
    with np.errstate(all="raise", under="ignore"):
        found = ask(cold=cold, budget=budget, **known)
        (best, *_) = choices(found, 3)
    assert (
        0 < best.epochs < math.inf
        and 0 < best.seconds <= budget
        and 0 <= best.low <= best.accuracy <= best.high <= 1
    )
    assert any("no time to look at the dataset" in note for note in found.notes) == (counts[0] is None)


def test_only_the_regimes_that_are_given(ask):
    every = ask()
    few = every.regimes.take(np.arange(0, len(every.regimes), 97))
    found = ask(regimes=few)
    regimes = {few.regime(row) for row in range(len(few))}
    assert len(found.regimes) == len(few) and {choice.regime for choice in choices(found, 5)} <= regimes


def test_what_does_not_fit_is_left_out(world, ask):
    found = ask()
    few = ask(limits=Limits(max_memory_mib=24))
    assert (
        0 < len(few.regimes) < len(found.regimes)
        and not (
            few.regimes.take((few.regimes.frozen_stages == 0) & (few.regimes.input_size == 96)).batch_size
            > 32
        ).any()
    )
    assert {*few.regimes.models} == {*found.regimes.models}  # of large networks, small batches or few stages
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
    assert all(choice.params_m <= 0.2 for choice in choices(small, 5))
    tight = ask(budget=1.05)
    assert (tight.epochs > 0.05).all() and len(tight.regimes) < len(found.regimes) * 2


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


def test_a_folder_that_takes_long_to_decode_is_trained_on_in_part_and_a_note_says_from_when_on_as_a_whole(
    fit,
):
    counts = {
        "images": 5000,
        "train_images": 4000,
        "val_images": 1000,
        "decode_seconds": 0.002,
        "processors": 2,
    }  # 10 s for all
    short, long, at_once = (
        fit(budget=10.0, **counts),
        fit(budget=30.0, **counts),
        fit(budget=10.0, **{**counts, "decode_seconds": None}),
    )
    (note,) = (note for note in short.notes if "decod" in note)
    assert (
        "all 5000 images takes about 10 s here, too long for 10 s" in note
        and "some 3000 of them" in note
        and "from 0.28 minutes" in note
    )
    assert not any("decod" in note for note in (*long.notes, *at_once.notes))
    assert long.epochs == pytest.approx(
        (30 - 1 - 10) / (10 - 1) * at_once.epochs
    )  # 1 s is not for training: see World
    # A share of the budget is over before the run takes what is there: more where the head alone is trained.
    stages = np.array([short.figures[name].stages for name in short.regimes.models])
    head_only = short.regimes.frozen_stages >= stages[short.regimes.model]
    assert short.epochs == pytest.approx((10 - 1 - np.where(head_only, 6.0, 3.5)) / (10 - 1) * at_once.epochs)
    partly, size = fit(budget=10.0, decoded={48}, **counts), short.regimes.input_size
    assert (partly.regimes.input_size == size).all() and partly.notes == short.notes
    assert np.array_equal(partly.epochs, np.where(size == 48, at_once.epochs, short.epochs))
    fast = fit(budget=10.0, **{**counts, "processors": 16})  # eight times as fast: 1.25 s
    assert not any("decod" in note for note in fast.notes)
    assert fast.epochs == pytest.approx((10 - 1 - 1.25) / (10 - 1) * at_once.epochs)


def test_networks_that_were_not_timed_are_left_out_with_a_note(world, ask):
    class Some:
        estimate, latency, start_up = world.estimate, world.latency, world.start_up

        @staticmethod
        def knows(model):
            return model in ("nano-b", "nano-c")

    found = ask(time_model=Some())
    assert found.regimes.models == ("nano-b", "nano-c") and "nano-a, nano-d" in found.notes[0]

    class Nothing(Some):
        @staticmethod
        def knows(model):
            return False

    with pytest.raises(AdviceError, match="no time to measure"):
        ask(time_model=Nothing())
