"""The clock that drives a run: how much time is left, what the end needs, and where the schedule stands.

A budget is the whole wall clock. Training may take the window from its start to the deadline less a reserve:
the time that the last step, the last evaluation and saving will take, as far as the run has seen by then, and
a margin for what it has not. The learning rate follows elapsed time in that window, so that it is annealed
when the window ends, on any machine.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from nni_nasoa.training.schedule import warmup_cosine
from nni_nasoa.training.time_shares import (
    CHUNK_SECONDS,
    EVALUATION_RESERVE,
    EVALUATION_SHARE,
    MARGIN_SHARE,
    MAX_EVALUATIONS,
    MAX_MARGIN,
    MIN_MARGIN,
    SAVING_RESERVE,
)
from nni_nasoa.values import POSITIVE_SECONDS


class Clock:
    """A budget of seconds that runs from `started`.

    Parameters
    ----------
    budget
        In seconds.
    started
        When the budget began, as `now` tells time; None is now.
    now
        A clock that never goes back, in seconds.
    """

    def __init__(
        self, budget: float, *, started: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.budget, self.now = POSITIVE_SECONDS("budget", budget), now
        self.started = now() if started is None else started

    @property
    def elapsed(self) -> float:
        """Seconds gone."""
        return self.now() - self.started

    @property
    def remaining(self) -> float:
        """Seconds left; below 0 once the deadline has gone by."""
        return self.budget - self.elapsed

    def time_for_another(self, kept_back: float) -> Callable[[], bool]:
        """A function to be called after each of a series of like pieces of work; the first one begins now.

        It says whether one more piece is done with `kept_back` seconds left, though it be as slow as the
        slowest so far.
        """
        slowest, before = 0.0, self.now()

        def in_time() -> bool:
            nonlocal slowest, before
            now = self.now()
            slowest, before = max(slowest, now - before), now
            return self.remaining > kept_back + slowest

        return in_time


class Durations:
    """What something takes: an expectation before it was first seen, then recent experience."""

    def __init__(self, expected: float = 0.0, recent: int = 32) -> None:
        self.expected = expected
        self.recent: deque[float] = deque(maxlen=recent)

    def add(self, seconds: float) -> None:
        """One more was seen."""
        self.recent.append(seconds)

    @property
    def typical(self) -> float:
        """The median of the recent ones."""
        return statistics.median(self.recent) if self.recent else self.expected

    @property
    def upper(self) -> float:
        """What nine in ten stay below; a single spike does not count once there are ten."""
        if not self.recent:
            return self.expected
        return sorted(self.recent)[math.ceil(0.9 * len(self.recent)) - 1]


class ClockSchedule:
    """Where a training run stands, by the clock.

    Parameters
    ----------
    clock
        The run's clock.
    warmup
        Share of the window in which the learning rate rises.
    margin
        Seconds kept back besides what is known to be needed; see `default_margin`.
    """

    def __init__(self, clock: Clock, *, warmup: float = 0.08, margin: float | None = None) -> None:
        self.clock, self.warmup = clock, warmup
        self.margin = default_margin(clock.budget) if margin is None else margin
        self.step, self.evaluation, self.saving = Durations(), Durations(recent=3), Durations(recent=5)
        self._begin = clock.elapsed
        self._progress = 0.0
        self._evaluated = self._begin

    def begin(self) -> None:
        """The training window starts now."""
        self._begin = self._evaluated = self.clock.elapsed
        self._progress = 0.0

    @property
    def saving_time(self) -> float:
        """Seconds to keep back for saving."""
        return SAVING_RESERVE * self.saving.upper

    @property
    def reserve(self) -> float:
        """Seconds before the deadline at which the last step has to begin."""
        return self.step.upper + EVALUATION_RESERVE * self.evaluation.typical + self.saving_time + self.margin

    @property
    def window(self) -> float:
        """Length of the training window in seconds, as far as is known."""
        return max(1e-9, self.clock.budget - self.reserve - self._begin)

    @property
    def window_left(self) -> float:
        """Seconds of the window that are left; below 0 after it."""
        return self.clock.remaining - self.reserve

    def progress(self) -> float:
        """Share of the window that is gone, 0 to 1. It never falls, though the reserve may shrink."""
        share = (self.clock.elapsed - self._begin) / self.window
        self._progress = min(1.0, max(self._progress, share))
        return self._progress

    def learning_rate_share(self) -> float:
        """Share of the peak learning rate for the next steps: linear warm-up, then half a cosine to 0."""
        return warmup_cosine(self.progress(), self.warmup)

    def steps_now(self) -> int:
        """How many steps to take before looking at the clock again; 0 where the window is over."""
        if self.window_left <= 0:
            return 0
        return max(1, int(min(CHUNK_SECONDS, self.window_left) / max(self.step.typical, 1e-6)))

    def evaluation_due(self) -> bool:
        """Whether an evaluation now keeps all within their share of the time, and is worth it at the end."""
        interval = max(self.evaluation.typical * (1 / EVALUATION_SHARE - 1), self.window / MAX_EVALUATIONS)
        return (
            self.clock.elapsed - self._evaluated >= interval
            and self.window_left > interval / 2 + self.evaluation.typical
        )

    def evaluated(self, seconds: float) -> None:
        """An evaluation of the whole validation part has ended, and took this long."""
        self.evaluation.add(seconds)
        self._evaluated = self.clock.elapsed


def default_margin(budget: float) -> float:
    """Seconds to keep back for what a run could not foresee: 2% of the budget, from 0.1 to 1 second."""
    return min(MAX_MARGIN, max(MIN_MARGIN, MARGIN_SHARE * budget))


def process_started() -> float:
    """When this process was started, by time.monotonic(), before its imports; else now."""
    try:
        # Fields after the command's name, which may hold spaces: the 20th is the start in ticks since the
        # system's (proc(5)).
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        age = 0.0
    return time.monotonic() - max(0.0, age)


def waiting_factor() -> float:
    """How much longer than it computed this process has taken, as it waited for a processor that others had.

    1 where it never waited, or the system does not tell, and 10 at most.
    """
    try:
        # The file tells the main thread's times, in nanoseconds.
        computed, waited = map(int, Path("/proc/self/schedstat").read_text().split()[:2])
    except (OSError, ValueError):
        return 1.0
    return min(10.0, 1 + waited / max(computed, 1))
