"""Signals that ask a run to save what it has; the second one ends it at once.

They are Ctrl-C, SIGTERM, and SIGHUP, which comes where a terminal is closed or its connection is lost.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TICK_SECONDS, UNWINDING_SECONDS = 0.2, 2.0
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Which signal has come, by its number; 0 before."""

    number = 0

    def __bool__(self) -> bool:
        return bool(self.number)


class TimeIsUp(BaseException):
    """Raised in the midst of what takes too long; no `except Exception` on the way stops it."""


@contextmanager
def interruptions() -> Iterator[Interruption]:
    """Note signals instead of dying of them, in this context.

    A signal that is ignored, as SIGHUP is under nohup, stays so. Outside the main thread, where Python
    handles none, do nothing.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if interruption:
            raise KeyboardInterrupt
        interruption.number = number

    asking = [number for number in ASKING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in asking}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextmanager
def at_most(seconds: float, interruption: Interruption) -> Iterator[None]:
    """Raise TimeIsUp in this context when the time is over, or soon after an interruption.

    Outside the main thread, where Python handles no signals, it is never raised.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    end = time.monotonic() + seconds

    def tick(_number: int, _frame: FrameType | None) -> None:
        if interruption or time.monotonic() >= end:
            # It comes again, should somebody swallow this one.
            signal.setitimer(signal.ITIMER_REAL, UNWINDING_SECONDS, UNWINDING_SECONDS)
            raise TimeIsUp

    handler, before = signal.signal(signal.SIGALRM, tick), signal.getitimer(signal.ITIMER_REAL)
    signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, handler if handler is not None else signal.SIG_DFL)
