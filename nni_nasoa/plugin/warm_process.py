"""The process that trials are forked from, with all that they need loaded: see `warm_start.py`.

`python -m nni_nasoa.plugin.warm_process SOCKET MODULE PID` ends when the process of that number does, which
starts the trials, and when nothing has come for a while. It has a single thread, and computes nothing: no
device is touched before it forks.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import random
import selectors
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nni_nasoa.files import take_lock

IDLE_SECONDS, LOOK_SECONDS = 60.0, 1.0
REQUEST_SECONDS = 5.0  # that a trial has to say what it wants
# What a trial imports until its first training step.
NEEDED = (
    "torch",
    "nni",
    "nni_nasoa.data",
    "nni_nasoa.device.allocation",
    "nni_nasoa.device.precision",
    "nni_nasoa.networks",
    "nni_nasoa.training.proxy",
    "nni_nasoa.training.speed",
)


@dataclass
class Forked:
    """A copy that carries out a trial.

    Parameters
    ----------
    pid
        Its process.
    end
        A pidfd, readable when the process has ended.
    connection
        To the process that NNI has started; readable when that has ended.
    """

    pid: int
    end: int
    connection: socket.socket


class WarmProcess:
    """Forks trials.

    Parameters
    ----------
    listener
        Where trials ask.
    manager
        Number of the process that starts the trials.
    """

    def __init__(self, listener: socket.socket, manager: int) -> None:
        self._listener, self._manager = listener, os.pidfd_open(manager)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._manager, selectors.EVENT_READ)
        self._trials: list[Forked] = []

    def serve(self) -> bool:
        """Answer until there is nothing more to do; whether this is a copy, which is to carry out a trial."""
        idle = 0.0
        while idle < IDLE_SECONDS:
            ready = self._selector.select(LOOK_SECONDS)
            idle = 0.0 if ready or self._trials else idle + LOOK_SECONDS
            for key, _ in ready:
                if key.fileobj is self._listener:
                    if self._answer():
                        return True
                elif key.fileobj == self._manager:
                    return False
                elif (trial := key.data) in self._trials:
                    self._end(trial, killed=key.fileobj is trial.connection)
        return False

    def _answer(self) -> bool:
        """Fork for who asks; whether this is the copy."""
        connection, _ = self._listener.accept()
        streams: list[int] = []
        try:
            connection.settimeout(REQUEST_SECONDS)
            if _user_of(connection) != os.getuid():
                raise OSError("another user's")
            size, streams, _, _ = socket.recv_fds(connection, 8, 3)
            about = _received(connection, int.from_bytes(size, "big"))
            pid = os.fork()
        except (OSError, ValueError):  # that trial runs by itself
            connection.close()
            _close(streams)
            return False
        if not pid:
            self._become(about, streams, connection)
            return True
        _close(streams)
        connection.settimeout(None)
        trial = Forked(pid, os.pidfd_open(pid), connection)
        self._trials.append(trial)
        self._selector.register(trial.end, selectors.EVENT_READ, trial)
        self._selector.register(connection, selectors.EVENT_READ, trial)
        _say(connection, pid=pid)
        return False

    def _end(self, trial: Forked, *, killed: bool) -> None:
        """See to the end of a trial, or of what NNI has started for it, which the trial does not outlive."""
        if killed:
            with suppress(ProcessLookupError):
                os.kill(trial.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(trial.pid, 0)[1])
        _say(trial.connection, status=status)
        for file in (trial.end, trial.connection):
            self._selector.unregister(file)
        os.close(trial.end)
        trial.connection.close()
        self._trials.remove(trial)

    def _become(self, about: dict[str, Any], streams: list[int], connection: socket.socket) -> None:
        """Be the trial's process."""
        self._selector.close()
        self._listener.close()
        connection.close()
        for trial in self._trials:
            os.close(trial.end)
            trial.connection.close()
        os.close(self._manager)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        _close(streams)
        os.umask(about["umask"])
        os.chdir(about["folder"])
        os.environ.clear()
        os.environ.update(about["environment"])
        sys.argv[:], sys.path[:] = about["arguments"], about["path"]
        random.seed()  # else all would draw the same
        for name in [name for name in sys.modules if name == "nni" or name.startswith("nni.")]:
            del sys.modules[name]  # NNI looks for its trial when it is imported


def _user_of(connection: socket.socket) -> int:
    """The user of the process at the other end."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", told)[1]


def _received(connection: socket.socket, size: int) -> dict[str, Any]:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise OSError("it ended in the midst of its request")
        data += part
    return json.loads(data)


def _say(connection: socket.socket, **answer: int) -> None:
    with suppress(OSError):  # nobody waits for it any more
        connection.sendall(json.dumps(answer).encode() + b"\n")


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)


def main() -> None:
    """Load what trials need, then fork one for each that asks."""
    path, module, manager = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    lock = path.with_suffix(".lock").open("ab")
    if not take_lock(lock, patience=0):
        return  # there is one
    for name in (*NEEDED, module):
        importlib.import_module(name)
    logging.getLogger("nni").handlers.clear()  # a trial's NNI makes its own
    gc.collect()
    gc.freeze()  # so that memory stays shared
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        if not WarmProcess(listener, manager).serve():
            path.unlink(missing_ok=True)
            return
    lock.close()
    importlib.import_module(module).main()


if __name__ == "__main__":
    main()
