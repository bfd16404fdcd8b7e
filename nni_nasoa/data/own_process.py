"""Work that may take longer than there is time for, in a process that can be ended at any moment."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable

LONGEST = 20 * 86400.0  # seconds: poll(2) counts milliseconds in 31 bits
_RUN = "import pickle, sys; pickle.load(sys.stdin.buffer)()"


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
