"""Work that may take longer than there is time for, in a process that can be ended at any moment."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable

LONGEST = 20 * 86400.0  # seconds: poll(2) counts milliseconds in 31 bits
END_SECONDS = 0.5  # a process has so long to end by itself
_RUN = "import pickle, sys; pickle.load(sys.stdin.buffer)()"
_RUN_FROM_FILE = "import pickle, sys; pickle.load(open(int(sys.argv[1]), 'rb'))()"


def over_in_time(call: Callable[[], object], seconds: float, *, quiet: bool = True) -> bool:
    """Whether a call is over in time, in a process of its own that is ended when the time is.

    Parameters
    ----------
    call
        Can be pickled, as a partial of a function of a module can. That it raises an error is an end, too.
    seconds
        Until the process is ended; its start counts.
    quiet
        Whether what the process writes to stderr is dropped.
    """
    if seconds <= 0:
        return False
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _RUN],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
    ) as process:
        try:
            process.communicate(pickle.dumps(call), timeout=min(seconds, LONGEST))
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()


def start_process(call: Callable[[], object]) -> subprocess.Popen[bytes]:
    """Start a call in a process of its own, which is to end when its stdin does; nothing is waited for.

    Stdin ends when `end_process` is called, or when this process dies in any way.

    Parameters
    ----------
    call
        Can be pickled. What it writes to stdout can be read; stderr is dropped.
    """
    # A pipe would have to be waited for, where the call is long.
    with open(os.memfd_create("call"), "w+b") as file:
        pickle.dump(call, file)
        file.flush()
        file.seek(0)
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _RUN_FROM_FILE, str(file.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(file.fileno(),),
        )


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End a process that `start_process` gave: softly, and by force where that takes too long."""
    with process:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
