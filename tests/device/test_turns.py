from __future__ import annotations

import threading
import time

import torch

from nni_nasoa.device.lock import device_lock
from nni_nasoa.device.turns import Turns

CPU = torch.device("cpu")


def measuring(seconds_or_event):
    """A thread that has the device's lock to itself."""
    has_it, done = threading.Event(), seconds_or_event

    def hold():
        with device_lock(CPU):
            has_it.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    assert has_it.wait(30)
    return thread


def test_a_turn_shares_the_lock():
    turns = Turns(CPU, 30)
    measured = threading.Event()

    def measure():
        with device_lock(CPU):
            measured.set()

    with turns.turn():
        thread = threading.Thread(target=measure)
        thread.start()
        assert not measured.wait(0.2)
    assert measured.wait(30)
    thread.join()


def test_patience_ends_and_then_nobody_is_waited_for():
    done = threading.Event()
    thread = measuring(done)
    try:
        turns, taken, begin = Turns(CPU, 0.2), 0, time.monotonic()
        for _ in range(100):
            with turns.turn():
                taken += 1
        assert taken == 100 and turns.patience <= 0
        assert 0.2 <= time.monotonic() - begin < 15  # a hundred turns' patience would be 20
    finally:
        done.set()
        thread.join()
    with device_lock(CPU):  # a turn that got the lock too late has let go of it
        pass
