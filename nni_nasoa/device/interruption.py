"""Ctrl-C and SIGTERM: the first one asks a run to save what it has, the second ends it at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

TICK_SECONDS, UNWINDING_SECONDS = 0.2, 2.0


class Interruption:
    """Which signal has come, by its number; 0 before."""

    number = 0

    def __bool__(self):
        return bool(self.number)


class TimeIsUp(BaseException):
    """Raised in the midst of what takes too long; no `except Exception` on the way stops it."""


@contextmanager
def interruptions() -> Iterator[Interruption]:
    """Note signals instead of dying of them, in this context. Outside the main thread, where Python handles none, do nothing."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def note(number, _frame):
        if interruption:
            raise KeyboardInterrupt
        interruption.number = number

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def at_most(seconds: float, interruption: Interruption) -> Iterator[None]:
    """Raise TimeIsUp in this context when the time is over, or soon after an interruption; outside the main thread, never."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    end = time.monotonic() + seconds

    def tick(_number, _frame):
        if interruption or time.monotonic() >= end:
            signal.setitimer(
                signal.ITIMER_REAL, UNWINDING_SECONDS, UNWINDING_SECONDS
            )  # again, should somebody swallow it
            raise TimeIsUp

    handler, before = signal.signal(signal.SIGALRM, tick), signal.getitimer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, handler if handler is not None else signal.SIG_DFL)
