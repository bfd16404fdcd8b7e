"""Samples of what a step takes: alone on the device, after a warm-up, with the memory that is needed."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch

from nni_nasoa.device.lock import device_lock
from nni_nasoa.device.settings import synchronize

T = TypeVar("T")
Step = Callable[[], object]


@contextmanager
def undisturbed(
    device: torch.device, threads: int | None = None, patience: float | None = None
) -> Iterator[None]:
    """Hold the device's lock, with so many threads on a CPU, and leave torch's state as it was.

    With `patience`, the lock is waited for so many seconds at most, and then gone without.
    """
    benchmark, all_threads = torch.backends.cudnn.benchmark, torch.get_num_threads()
    with (
        device_lock(device, patience=patience),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        torch.backends.cudnn.benchmark = True
        if threads is not None and device.type == "cpu":
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = benchmark
            torch.set_num_threads(all_threads)


def wall_clock(device: torch.device) -> Callable[[], float]:
    """A clock that tells the seconds when the device has done what it was given."""

    def clock() -> float:
        synchronize(device)
        return time.perf_counter()

    return clock


def seconds_of_step(step: Step, count: int, clock: Callable[[], float]) -> float:
    """Seconds that one of `count` steps takes."""
    start = clock()
    for _ in range(count):
        step()
    return (clock() - start) / count


def warm_up(step: Step, steps: int, clock: Callable[[], float]) -> float:
    """Seconds of a step after the first `steps`, which find kernels, allocate memory and fill caches."""
    for _ in range(steps):
        step()
    return max(seconds_of_step(step, 1, clock), 1e-9)


def repeated(
    sample: Callable[[], T], repeats: int, max_seconds: float, now: Callable[[], float] = time.monotonic
) -> list[T]:
    """Take samples: `repeats` of them, or three at least when time is up, as `now` tells it."""
    end = now() + max_seconds
    samples: list[T] = []
    while len(samples) < repeats and (len(samples) < 3 or now() < end):
        samples.append(sample())
    return samples


def memory_watch(device: torch.device) -> Callable[[], float | None]:
    """Start watching memory; what comes back tells the peak since then, in MiB above what was in use."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        return lambda: (torch.cuda.max_memory_allocated(device) - before) / 2**20
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that was freed but kept at hand would hide growth
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts afresh (proc(5))
        resident = _proc_status("VmRSS")
    except (OSError, KeyError, AttributeError):  # not Linux, not glibc
        return lambda: None
    return lambda: (_proc_status("VmHWM") - resident) / 2**10


def _proc_status(key: str) -> int:
    """A figure of /proc/self/status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)[key].split()[0])
