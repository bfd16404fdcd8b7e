"""Work that may take longer than there is time for, in a process that can be ended at any moment.

Such a process ends with the one that has started it, however that ends.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable

LONGEST = 20 * 86400.0  # seconds: poll(2) counts milliseconds in 31 bits
END_SECONDS = 0.5  # a process has so long to end by itself
WATCH_SECONDS = 0.5  # between two looks at whether the parent lives
_WATCH = f"from {__name__} import end_with; end_with(int(sys.argv[1]))"
_RUN = f"import pickle, sys; {_WATCH}; pickle.load(sys.stdin.buffer)()"
_RUN_FROM_FILE = f"import pickle, sys; {_WATCH}; pickle.load(open(int(sys.argv[2]), 'rb'))()"


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
        [sys.executable, "-W", "ignore", "-c", _RUN, str(os.getpid())],
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
            [sys.executable, "-W", "ignore", "-c", _RUN_FROM_FILE, str(os.getpid()), str(file.fileno())],
            bufsize=0,  # What is written to it arrives, or fails, at once, and not when it is closed.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(file.fileno(),),
        )


def end_with(parent: int) -> None:
    """End this process soon after a parent, whose number is given, has ended; to be called as it begins.

    By that time it may have ended softly, as its stdin has ended, too. But that is not so where a process
    that the parent has forked holds the other end, nor is it noticed in the midst of a long piece of work.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        time.sleep(END_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End a process that `start_process` gave: softly, and by force where that takes too long."""
    with process:
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
