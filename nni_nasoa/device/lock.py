"""A lock for each device, across processes: measurements hold off training, and each other."""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nni_nasoa.files import cache_folder, open_lock, own_folder, take_lock

if TYPE_CHECKING:
    import torch


MOST_SECONDS = 600.0  # to wait for others, where nobody says how long
SILENT_SECONDS = 3.0  # a shorter wait is not worth a word

_logger = logging.getLogger(__name__)


class _Held(threading.local):
    """The locks that this thread holds, and for each whether it shares it."""

    def __init__(self) -> None:
        self.shared: dict[str, bool] = {}


_held = _Held()


@contextmanager
def device_lock(
    device: str | torch.device, shared: bool = False, patience: float | None = None
) -> Iterator[None]:
    """Hold the device's lock, across all processes of this user on this machine.

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
        Seconds to wait for it, after which this goes on without; None for MOST_SECONDS. A wait that is not
        short is told in a line of the log.

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
    wait = _Wait(name, MOST_SECONDS if patience is None else patience)
    with _opened(name, "turnstile") as turnstile, _opened(name, "lock") as lock:
        if turnstile is not None and lock is not None and wait.taken(turnstile, shared=False):
            if wait.taken(lock, shared=shared):
                _held.shared[name] = shared
            if shared or name not in _held.shared:
                fcntl.flock(turnstile, fcntl.LOCK_UN)
        try:
            yield
        finally:
            _held.shared.pop(name, None)


class _Wait:
    """Takes the locks of a device, one after the other, within some seconds in all."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name, self._seconds, self._deadline = name, seconds, time.monotonic() + seconds

    def taken(self, file: int, *, shared: bool) -> bool:
        """Whether a lock could be taken in time; a line is told where that takes a while."""
        if take_lock(file, shared=shared, patience=max(0.0, min(SILENT_SECONDS, self._left))):
            return True
        if self._left > 0:
            _tell(f"waiting for another process that uses {self._name}, {self._seconds:.0f} s at most")
        if take_lock(file, shared=shared, patience=max(0.0, self._left)):
            return True
        if self._seconds > SILENT_SECONDS:
            _tell(f"another process has not let go of {self._name}: what is measured may be disturbed by it")
        return False

    @property
    def _left(self) -> float:
        return self._deadline - time.monotonic()


@cache
def _tell(line: str) -> None:
    """Tell a line, but once in a process."""
    _logger.warning(line)


def _lock_name(device: str | torch.device) -> str:
    if str(device).partition(":")[0] == "cpu":
        return "cpu"
    import torch

    # Where torch is too old to tell the UUID, all GPUs have one lock.
    return f"cuda-{getattr(torch.cuda.get_device_properties(device), 'uuid', 'any')}"


@contextmanager
def _opened(name: str, part: str) -> Iterator[int | None]:
    """A lock file, which whoever is first makes; None where there can be none."""
    file = None
    with suppress(OSError):
        file = _open(lock_folder() / f"{name}.{part}")
    try:
        yield file
    finally:
        if file is not None:
            fcntl.flock(file, fcntl.LOCK_UN)  # a forked worker process may still have the file open
            os.close(file)


def lock_folder() -> Path:
    """The user's own folder of locks: on this machine's disk, or at home where somebody has its place there.

    Raises
    ------
    OSError
        It can be made nowhere.
    """
    local = Path(tempfile.gettempdir()) / f"nni_nasoa-{os.getuid()}"
    with suppress(OSError):
        if not local.is_symlink() and own_folder(local).stat().st_uid == os.getuid():
            return local
    # A home may be that of several machines.
    return own_folder(cache_folder() / "locks" / socket.gethostname())


def _open(path: Path) -> int:
    """Open a lock file; what is no file in the user's own folder is in the way, and goes."""
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode):
            path.unlink()
    return open_lock(path, 0o600)
