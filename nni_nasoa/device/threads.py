"""No more threads than there are free cores, on a processor that other processes use, too.

The threads of a step wait for each other, many times. Where another process is on the core of one, all of
them wait until the system takes turns, and a step with two threads can be ten times as slow as with one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import psutil

if TYPE_CHECKING:
    import torch

LEAST_SECONDS = 0.1  # Seconds to look at what others do; the system counts in hundredths.
IDLE = ("idle", "iowait", "guest", "guest_nice")  # guests are counted as user time, too


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes with one thread in this context: for what is little work, whoever else computes."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Usage(NamedTuple):
    """A time, and the seconds of processors that all processes and this one had used by then."""

    time: float
    all: float
    own: float

    @classmethod
    def now(cls) -> Usage:
        """The usage until now."""
        times = psutil.cpu_times()._asdict()
        return cls(
            time.monotonic(),
            sum(seconds for kind, seconds in times.items() if kind not in IDLE),
            time.process_time(),
        )


class Threads:
    """Chooses the number of threads again and again.

    Parameters
    ----------
    most
        Threads at most.
    cores
        Cores of the machine; found out where it is None.
    usage, sleep
        Functions that tell the usage, and that wait.
    """

    def __init__(
        self,
        most: int,
        cores: int | None = None,
        usage: Callable[[], Usage] = Usage.now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.most, self.cores = most, cores or psutil.cpu_count() or most
        self._usage, self._sleep = usage, sleep
        self._last = usage()

    @classmethod
    def of_run(cls, device: torch.device) -> Threads | None:
        """The threads of a run on a device; None where there is nothing to choose."""
        import torch  # here, as looking at what is free does without it

        threads = torch.get_num_threads()
        return cls(threads) if device.type == "cpu" and threads > 1 else None

    def forget(self) -> None:
        """Let count only what others take from now on, as some of them have just ended."""
        self._last = self._usage()

    def free(self, least_seconds: float = LEAST_SECONDS) -> int:
        """How many threads have a core of their own, by what other processes took since the last call.

        Where that is less than `least_seconds` ago, this waits until it is not.
        """
        now = self._usage()
        if (short := least_seconds - (now.time - self._last.time)) > 0:
            self._sleep(short)
            now = self._usage()
        last, self._last = self._last, now
        others = max(0.0, (now.all - last.all) - (now.own - last.own)) / max(now.time - last.time, 1e-6)
        return max(1, min(self.most, round(self.cores - others)))

    def adapt(self) -> None:
        """Have torch compute with as many."""
        import torch

        if (free := self.free()) != torch.get_num_threads():
            torch.set_num_threads(free)
