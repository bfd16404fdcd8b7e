"""Ctrl-C and SIGTERM: the first one asks a run to save what it has, the second ends it at once."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import Iterator


class Interruption:
    """Which signal has come; the empty string before."""

    name = ""

    def __bool__(self):
        return bool(self.name)


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
        interruption.name = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
