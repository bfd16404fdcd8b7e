from __future__ import annotations

import multiprocessing
import time

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nni_nasoa.device.threads import Threads, Usage, one_thread
from nni_nasoa.finetune import FineTuneRegime, finetune


class Machine:
    """A machine on which others, and this process, use so many cores."""

    def __init__(self):
        self.seconds, self.all, self.own = 100.0, 5000.0, 7.0

    def work(self, seconds, others, own):
        self.seconds += seconds
        self.all += seconds * (others + own)
        self.own += seconds * own

    def usage(self):
        return Usage(self.seconds, self.all, self.own)


@given(
    others=st.floats(0, 20),
    own=st.floats(0, 16),
    most=st.integers(1, 16),
    cores=st.integers(1, 16),
    seconds=st.floats(0.2, 100),
)
def test_threads_are_as_many_as_free_cores(others, own, most, cores, seconds):
    machine = Machine()
    threads = Threads(most, cores, machine.usage)
    machine.work(seconds, others, own)
    free = threads.free()
    assert 1 <= free <= most
    assert free == most if cores - others >= most else free == 1 or abs(free - (cores - others)) <= 0.5 + 1e-6


def test_only_what_happened_since_the_last_look_counts_and_a_short_while_is_waited_for():
    machine = Machine()
    threads = Threads(4, 4, machine.usage, sleep=lambda seconds: machine.work(seconds, 0, 0))
    machine.work(10, 3, 1)
    assert threads.free() == 1
    begin = machine.seconds
    assert threads.free(0.5) == 4 and machine.seconds == pytest.approx(begin + 0.5)


def test_there_is_nothing_to_choose_with_one_thread_or_on_a_gpu():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert Threads.of_run(torch.device("cpu")) is None
        torch.set_num_threads(2)
        assert Threads.of_run(torch.device("cuda")) is None and Threads.of_run(torch.device("cpu")).most == 2
    finally:
        torch.set_num_threads(before)


def _burn():
    while True:
        pass


def test_what_other_processes_take_is_seen():
    threads = Threads(1000, 1000)
    other = multiprocessing.get_context("spawn").Process(target=_burn)
    other.start()
    try:
        deadline = time.monotonic() + 60  # until it has begun
        while (free := threads.free(1.0)) == 1000 and time.monotonic() < deadline:
            pass
    finally:
        other.kill()
        other.join()
    assert free < 1000


def test_a_run_that_has_one_core_takes_one_thread_and_leaves_the_callers_number(blobs, shallow, monkeypatch):
    before, seen = torch.get_num_threads(), []
    monkeypatch.setattr(psutil, "cpu_count", lambda: 1)
    try:
        torch.set_num_threads(2)
        network = shallow()
        for module in network.modules():
            module.register_forward_hook(
                lambda module, *_: seen.append(torch.get_num_threads()) if module.training else None
            )
        finetune(blobs, FineTuneRegime("shallow"), 2 / 60, network=network, device="cpu")
        assert set(seen) == {1} and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_little_work_has_one_thread_and_the_callers_come_back():
    before, seen = torch.get_num_threads(), []

    @one_thread()
    def work():
        seen.append(torch.get_num_threads())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        work()
    assert seen == [1] and torch.get_num_threads() == before
