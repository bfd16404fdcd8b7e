"""Take turns on a device: training pauses for whoever measures there, as long as its deadline allows.

A run has only so much patience, a share of its budget over all; then it goes on, and whoever measures has to
repeat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .lock import device_lock

PATIENCE = 0.04  # Part of the budget that a run waits for the device in all.


class Turns:
    """A run's turns on the device: it shares the lock, and has only so much patience for it.

    Parameters
    ----------
    device
        The device.
    patience
        Seconds to wait for the lock, over all turns together.
    """

    def __init__(self, device: torch.device, patience: float) -> None:
        self.device, self.patience = device, patience
        self._waiting: threading.Thread | None = None

    @classmethod
    def of_run(cls, device: torch.device, budget: float) -> Turns:
        """Those of a run of so many seconds."""
        return cls(device, PATIENCE * budget)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Share the lock in this context, or go on without it."""
        if self.patience <= 0 or (self._waiting is not None and self._waiting.is_alive()):
            yield
            return
        taken, done = threading.Event(), threading.Event()
        # A thread waits, since the lock cannot be asked for a time. It lets go at once when it gets the lock
        # too late.
        self._waiting = threading.Thread(target=self._hold, args=(taken, done, self.patience), daemon=True)
        begin = time.monotonic()
        self._waiting.start()
        taken.wait(self.patience)
        self.patience -= (
            time.monotonic() - begin if not taken.is_set() or time.monotonic() - begin > 0.01 else 0
        )
        try:
            yield
        finally:
            done.set()

    def _hold(self, taken: threading.Event, done: threading.Event, patience: float) -> None:
        with device_lock(self.device, shared=True, patience=patience):
            taken.set()
            done.wait()
