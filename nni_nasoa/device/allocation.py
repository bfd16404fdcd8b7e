"""Memory that is freed and soon wanted again stays with the process.

Every layer of a network allocates and frees tensors of megabytes. glibc gives back to the system at once what
is above its thresholds, and gets it anew, zeroed, page by page: with batches of 32 images of 224 pixels that
took more than half of the time of EfficientNet-Lite0 on a processor, forwards, and a quarter of a training
step (`examples/benchmarks/kept_memory.py` measures it).
"""

from __future__ import annotations

import os
import sys
from functools import cache

import psutil

# Parameters of mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
# Blocks above this size go back to the system as ever: activations of large batches are below it, and arrays
# of whole datasets, which would leave holes, above. Older glibc takes no more than half of a heap's 64 MiB.
LARGEST_KEPT, LARGEST_KEPT_EARLIER = 2**28, 2**25
# What is kept free at most: a share of the memory that is available, up to what mallopt takes.
KEPT_SHARE, MOST_KEPT = 0.25, 2**31 - 1
# A user who has set these knows better.
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


@cache
def keep_freed_memory() -> bool:
    """Have this process keep memory that it frees, up to a limit; whether it does.

    It lasts for as long as the process. Nothing is done with another C library than glibc, nor where the
    environment has settings for its malloc.
    """
    if not sys.platform.startswith("linux") or _is_set():
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    kept = int(min(MOST_KEPT, KEPT_SHARE * psutil.virtual_memory().available))
    largest = mallopt(_MMAP_THRESHOLD, LARGEST_KEPT) or mallopt(_MMAP_THRESHOLD, LARGEST_KEPT_EARLIER)
    return bool(largest and mallopt(_TRIM_THRESHOLD, kept))


def _is_set() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return "glibc.malloc" in tunables or any(name in os.environ for name in SETTINGS)
