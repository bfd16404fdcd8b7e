"""What the C library does with freed memory, as the system counts pages: each in a process of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

FAULTS = """
import json, resource, sys
from nni_nasoa.device.allocation import keep_freed_memory
kept = sys.argv[1] == "kept" and keep_freed_memory() and keep_freed_memory()
import torch

def layers():
    x = torch.ones(32, 48, 112, 112)
    for _ in range(4):
        x = x + 1
    return x

for _ in range(10):  # until the heap has its size
    layers()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    layers()
print(json.dumps([kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before]))
"""


def faults(how, **environment):
    """Whether memory is kept, and pages that three passes of a few layers got from the system."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_layers_get_the_memory_of_those_before_them():
    kept, few = faults("kept")
    plain, many = faults("plain")
    assert kept and not plain
    assert many > 50_000 and few < many / 50


@pytest.mark.parametrize(
    "setting",
    [{"MALLOC_TRIM_THRESHOLD_": "131072"}, {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=131072"}],
)
def test_what_the_user_has_set_stays(setting):
    kept, many = faults("kept", **setting)
    assert not kept and many > 50_000
