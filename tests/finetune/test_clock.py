from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nni_nasoa.finetune.clock import Clock, ClockSchedule, Durations


class Time:
    """A clock that tests set."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


def simulate(budget: float, step: float, evaluation: float, save: float, noise, opening: float = 0.0):
    """Run a schedule over a machine on which things take so long, times `noise()`; what
    was done, and when it ended.
    """
    time = Time()
    schedule = ClockSchedule(Clock(budget, now=time))
    shares, evaluations = [], 0

    def spend(seconds):
        seconds *= noise()
        time.seconds += seconds
        return seconds

    spend(opening)
    schedule.step.expected, schedule.evaluation.expected = step, evaluation
    schedule.evaluated(spend(evaluation))
    schedule.saving.add(spend(save))
    schedule.begin()
    training = 0.0
    while steps := schedule.steps_now():
        if schedule.evaluation_due():
            schedule.evaluated(spend(evaluation))
            evaluations += 1
            continue
        shares.append(schedule.learning_rate_share())
        taken = 0
        begin = time.seconds
        while taken < steps and (taken == 0 or schedule.window_left > 0):
            spend(step)
            taken += 1
        schedule.step.add((time.seconds - begin) / taken)
        training += time.seconds - begin
    spend(evaluation)
    spend(save)
    return shares, evaluations, time.seconds - 1000, training, schedule


@settings(deadline=None, max_examples=60)
@given(
    budget=st.floats(5, 120),
    step_share=st.floats(1e-4, 0.02),
    evaluation_share=st.floats(1e-4, 0.05),
    opening_share=st.floats(0, 0.3),
    seed=st.integers(0, 1000),
    noisiness=st.floats(0, 0.3),
)
def test_ends_by_the_deadline_and_uses_the_budget(
    budget, step_share, evaluation_share, opening_share, seed, noisiness
):
    rng = np.random.default_rng(seed)
    _, evaluations, ended, training, _ = simulate(
        budget,
        step_share * budget,
        evaluation_share * budget,
        0.002 * budget,
        lambda: rng.uniform(1 - noisiness, 1 + noisiness),
        opening_share * budget,
    )
    assert ended <= budget
    assert ended >= 0.9 * budget
    assert evaluations * evaluation_share * budget <= 0.15 * training + evaluation_share * budget


def test_a_machine_that_slows_down_to_a_third_is_followed():
    calls = iter(range(10**9))
    _, _, ended, _, _ = simulate(30, 0.05, 0.5, 0.05, lambda: 1 if next(calls) < 200 else 3)
    assert 27 <= ended <= 30


def test_spikes_do_not_cost_the_budget():
    rng = np.random.default_rng(0)
    _, _, ended, _, schedule = simulate(20, 0.01, 0.1, 0.02, lambda: 20 if rng.random() < 0.01 else 1)
    assert 18 <= ended <= 20
    assert schedule.step.upper < 0.05


def test_the_learning_rate_rises_falls_and_ends_near_zero():
    shares, *_ = simulate(10, 0.01, 0.05, 0.01, lambda: 1)
    peak = int(np.argmax(shares))
    assert 0.9 < shares[peak] <= 1 and shares[0] < 0.3 and shares[-1] < 0.02
    assert 0.02 < peak / len(shares) < 0.2
    assert all(a >= b for a, b in zip(shares[peak:], shares[peak + 1 :]))


def test_progress_never_falls_when_the_reserve_shrinks():
    time = Time()
    schedule = ClockSchedule(Clock(10, now=time))
    schedule.evaluation.expected = 4
    schedule.begin()
    time.seconds += 3
    before = schedule.progress()
    schedule.evaluated(0.1)
    assert schedule.progress() == before > 0.4


def test_no_steps_once_the_window_is_over():
    time = Time()
    schedule = ClockSchedule(Clock(10, now=time))
    schedule.step.expected = 2.0
    schedule.begin()
    assert schedule.steps_now() == 1
    time.seconds += 7.9
    assert schedule.steps_now() == 0 and schedule.clock.remaining == pytest.approx(2.1)
    time.seconds += 5
    assert schedule.steps_now() == 0 and schedule.clock.remaining < 0


@pytest.mark.parametrize("budget", [0, -1, float("nan"), float("inf")])
def test_a_budget_is_positive(budget):
    with pytest.raises(ValueError, match="budget"):
        Clock(budget)


def test_durations():
    durations = Durations(expected=3)
    assert durations.typical == durations.upper == 3
    for seconds in [1.0] * 19 + [50.0]:
        durations.add(seconds)
    assert durations.typical == durations.upper == 1


@given(
    pieces=st.lists(st.floats(0.01, 3), min_size=1, max_size=50),
    budget=st.floats(5, 50),
    kept_back=st.floats(0, 2),
)
def test_pieces_no_slower_than_the_slowest_so_far_leave_what_is_kept_back(pieces, budget, kept_back):
    time = Time()
    clock = Clock(budget, now=time)
    in_time, slowest = clock.time_for_another(kept_back), 0.0
    for seconds in pieces:
        time.seconds += seconds
        slowest = max(slowest, seconds)
        if not in_time():
            assert clock.remaining <= kept_back + slowest
            return
        time.seconds += slowest  # the next one, were it as slow
        assert clock.remaining > kept_back - 1e-9
        time.seconds -= slowest


@pytest.mark.alone
def test_how_long_a_process_waited_for_a_processor(tmp_path):
    code = (
        "import time\nfrom nni_nasoa.finetune.clock import waiting_factor\nbegin = time.monotonic()\n"
        "while time.monotonic() < begin + 1.5: pass\nprint(waiting_factor())"
    )
    one = min(os.sched_getaffinity(0))
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {one})  # which the children inherit
    try:
        crowd = [
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
    finally:
        os.sched_setaffinity(0, mine)
    factors = [float(process.communicate(timeout=60)[0]) for process in crowd]
    assert all(1 <= factor <= 10 for factor in factors) and max(factors) > 2  # they had to share one
