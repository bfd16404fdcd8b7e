"""A lock for each device, across processes: measurements hold off training, and each other."""

from __future__ import annotations

import fcntl
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nni_nasoa.files import take_lock

if TYPE_CHECKING:
    import torch


class _Held(threading.local):
    """The locks that this thread holds, and for each whether it shares it."""

    def __init__(self) -> None:
        self.shared: dict[str, bool] = {}


_held = _Held()


@contextmanager
def device_lock(
    device: str | torch.device, shared: bool = False, patience: float | None = None
) -> Iterator[None]:
    """Hold the device's lock, across all processes of this machine.

    Measurements take it exclusively; training loops take it `shared` around each batch, and so pause while
    somebody measures. A measurement that waits is let in before any batch that asks later. The lock of a
    killed process is free.

    Parameters
    ----------
    device
        A GPU's lock goes by its UUID, so CUDA_VISIBLE_DEVICES makes no difference. "cpu" is the whole host.
    shared
        Whether others may share it. Within a lock that this thread already has, the same or a shared one is
        granted at once.
    patience
        Seconds to wait for it, after which this goes on without; None waits for as long as it takes.

    Raises
    ------
    RuntimeError
        This thread shares the lock already and now wants it exclusively, for which it would wait forever.
    """
    name = _lock_name(device)
    if name in _held.shared:
        if _held.shared[name] and not shared:
            raise RuntimeError(
                f"device_lock: this thread shares the lock of {name}; "
                "leave that block before measuring on the device"
            )
        yield
        return
    # Whoever wants the lock passes the turnstile. Batches leave it at once; a measurement stays in it from
    # when it waits until it is done, and keeps out whoever comes later.
    deadline = None if patience is None else time.monotonic() + patience
    turnstile, lock = (_open_lock(name, part) for part in ("turnstile", "lock"))
    try:
        if take_lock(turnstile, patience=patience):
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if take_lock(lock, shared=shared, patience=left):
                _held.shared[name] = shared
            if shared or name not in _held.shared:
                fcntl.flock(turnstile, fcntl.LOCK_UN)
        yield
    finally:
        _held.shared.pop(name, None)
        for file in (lock, turnstile):
            fcntl.flock(file, fcntl.LOCK_UN)  # a forked worker process may still have the file open
            os.close(file)


def _lock_name(device: str | torch.device) -> str:
    if str(device).partition(":")[0] == "cpu":
        return "cpu"
    import torch

    # Where torch is too old to tell the UUID, all GPUs have one lock.
    return f"cuda-{getattr(torch.cuda.get_device_properties(device), 'uuid', 'any')}"


def _open_lock(name: str, part: str) -> int:
    """Open a lock file, which whoever was first has made: who may read it can lock it."""
    path = os.path.join(tempfile.gettempdir(), f"nni_nasoa-{name}.{part}")
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
    while True:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            pass
        try:
            file = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            continue
        os.fchmod(file, 0o644)  # whatever the umask
        return file
