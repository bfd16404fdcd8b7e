"""What is known of the processor without torch: its name, what this process may use, torch's threads."""

from __future__ import annotations

import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")  # what Linux tells of the processors


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """What the processor is called, such as "AMD EPYC 9654"."""
    names = (line.partition(":")[2].strip() for line in _lines(cpuinfo) if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def allowed_processors() -> set[int]:
    """Numbers of the logical processors that this process may use."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def default_threads(cpuinfo: Path = CPUINFO) -> int:
    """How many threads torch computes with, unless told: one for each core that this process may use.

    MKL_NUM_THREADS and OMP_NUM_THREADS, the first of them that is a number, say how many; MKL never takes
    more than the cores.
    """
    allowed = allowed_processors()
    cores = count_cores(allowed, cpuinfo)
    for name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(name, "").partition(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            return min(int(text), cores) if cores else int(text)
    return cores or len(allowed)


def count_cores(allowed: set[int], cpuinfo: Path = CPUINFO) -> int:
    """How many cores the allowed processors lie on; 0 where the system does not tell, as on ARM."""
    cores, processor = set(), {}
    for line in [*_lines(cpuinfo), ""]:  # an empty line ends what is said of one
        key, _, value = line.partition(":")
        processor[key.strip()] = value.strip()
        if not line.strip():
            number = processor.get("processor", "")
            if number.isdecimal() and int(number) in allowed and "core id" in processor:
                cores.add((processor.get("physical id"), processor["core id"]))
            processor = {}
    return len(cores)


def _lines(cpuinfo: Path) -> list[str]:
    try:
        return cpuinfo.read_text().splitlines()
    except OSError:
        return []
