"""Trials that start in a process that has loaded PyTorch already: `NASOA_WARM=0` turns it off.

On NNI's local platform, the first trial of an experiment starts a warm process beside itself (see
`warm_process.py`). Later trials hand over to it: it forks, and the copy carries the trial out with their
arguments, environment, folder and standard streams. What NNI has started waits meanwhile, passes signals on,
and ends as the copy does. Where anything of that is not possible, a trial runs as if there were no such
process.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

SWITCH = "NASOA_WARM"
ANSWER_SECONDS = 10.0  # that a warm process has to fork; one that is given up forks nothing that stays
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_LONGEST_PATH = 100  # of a socket: the system's own limit is a little above
# What differs from trial to trial, and what is looked at when a trial needs it.
_OF_TRIAL = ("PWD", "OLDPWD", "SHLVL", "_", "CUDA_VISIBLE_DEVICES")


def run_warm(module: str) -> int | None:
    """Carry this process's trial out in a copy of a warm process.

    Parameters
    ----------
    module
        Whose `main` is the trial.

    Returns
    -------
    The exit status; None where there is no warm process yet, or cannot be one: the trial is to run here.
    """
    if not _possible():
        return None
    try:
        path = _folder() / f"{_key(module)}.sock"
    except OSError:
        return None
    if len(os.fsencode(path)) > _LONGEST_PATH:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.settimeout(ANSWER_SECONDS)
            connection.connect(str(path))
            _hand_over(connection)
            answers = connection.makefile("r", encoding="utf-8")
            pid = json.loads(answers.readline())["pid"]
            connection.settimeout(None)
        except (OSError, ValueError):
            with suppress(OSError):
                _start(path, module)
            return None
        with _passing_on(pid):
            line = answers.readline()
    if not line.endswith("\n"):
        with suppress(ProcessLookupError):  # nobody sees to its end any more
            os.kill(pid, signal.SIGKILL)
        sys.stderr.write(f"the warm process is gone, and the trial with it; {SWITCH}=0 does without one\n")
        return 1
    status: int = json.loads(line)["status"]
    if status < 0:  # it was killed, and so is this
        with suppress(OSError):  # SIGKILL has no handler
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _possible() -> bool:
    return (
        os.environ.get("NNI_PLATFORM") == "local"
        and os.environ.get(SWITCH) != "0"
        and hasattr(os, "pidfd_open")
        and hasattr(socket, "send_fds")
    )


def _folder() -> Path:
    """A folder that is this user's alone.

    Raises
    ------
    OSError
        There is none.
    """
    folder = Path(tempfile.gettempdir(), f"nasoa-warm-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_uid != os.getuid() or found.st_mode != 0o40700:
        raise OSError(f"{folder} is not this user's alone")
    return folder


def _key(module: str) -> str:
    """Of what trials share that a warm process can serve: interpreter, experiment, environment."""
    shared = {
        name: value
        for name, value in os.environ.items()
        if name not in _OF_TRIAL and (not name.startswith("NNI_") or name == "NNI_EXP_ID")
    }
    # The first path is the trial's own folder.
    text = json.dumps([module, sys.executable, sys.path[1:], sorted(shared.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _hand_over(connection: socket.socket) -> None:
    mask = os.umask(0)
    os.umask(mask)
    about = {
        "arguments": sys.argv,
        "path": sys.path,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": mask,
    }
    data = json.dumps(about).encode()
    socket.send_fds(connection, [len(data).to_bytes(8, "big")], [0, 1, 2])
    connection.sendall(data)


@contextmanager
def _passing_on(pid: int) -> Iterator[None]:
    """The context in which signals to this process go to another one."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    before = {number: signal.signal(number, pass_on) for number in PASSED_ON}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(path: Path, module: str) -> None:
    """Start a warm process beside this one; it sees to it that it is the only one."""
    manager = _manager()
    if manager is None:
        return
    own = {name: value for name, value in os.environ.items() if not name.startswith("NNI_")}
    subprocess.Popen(
        [sys.executable, "-m", "nni_nasoa.plugin.warm_process", str(path), module, str(manager)],
        cwd="/",
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _manager() -> int | None:
    """Of the processes that this one descends from, the one that starts trials: no shell."""
    import psutil

    for parent in psutil.Process().parents():
        if not parent.name().endswith("sh"):
            return parent.pid
    return None
