"""Put off Ctrl-C and other signals while code runs that must not be cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Call handlers of signals, which may raise, at the end of this context only.

    They are those of SIGINT, SIGTERM, SIGHUP and SIGALRM. Each is called once, however often its signal came.
    Outside the main thread, where Python handles none, do nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
        if callable(handler := signal.getsignal(number))
    }
    came: list[int] = []
    try:
        for deferred in handlers:
            signal.signal(deferred, lambda number, _frame: came.append(number))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for signal_number in dict.fromkeys(came):
            signal.raise_signal(signal_number)
