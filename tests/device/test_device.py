from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from nni_nasoa.device.device import (
    Device,
    device_name,
    may_have_gpu,
    possible_keys,
    processor_key,
    resolve,
)
from nni_nasoa.device.processor import count_cores, default_threads, processor_name

THREADS = """
from nni_nasoa.device.device import resolve
import sys
device = resolve("cpu")
assert "torch" not in sys.modules, "torch was imported"
import torch
print(device.threads, torch.get_num_threads())
"""


def test_the_processor_is_called_as_records_call_it(make_record):
    device = resolve("cpu")
    assert (device.kind, device.name, device.threads) == ("cpu", device_name("cpu"), torch.get_num_threads())
    record = make_record(device=device.name, threads=device.threads)
    assert device.key in possible_keys(record.device, record.threads)
    assert device.key not in possible_keys(record.device, record.threads + 1)


def test_a_gpu_goes_by_its_name_alone(make_record):
    device = Device("cuda", "NVIDIA H100", 8)
    assert device.key == "NVIDIA H100"
    record = make_record(device="NVIDIA H100", threads=3)
    assert device.key in possible_keys(record.device, record.threads)


def test_keys_count_threads():
    assert (processor_key("A", 1), processor_key("A", 2)) == ("A, 1 thread", "A, 2 threads")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "1,4"},
        {"OMP_NUM_THREADS": "0x"},
        {"OMP_NUM_THREADS": "10000"},
        {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "1"},
    ],
    ids=str,
)
def test_threads_are_those_that_torch_will_take(settings):
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    }
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env={**clean, **settings}, capture_output=True, text=True, check=True
    )
    ours, its = done.stdout.split()
    assert ours == its


def test_cores_are_counted_once_and_only_those_allowed(tmp_path, monkeypatch):
    blocks = [
        f"processor\t: {number}\nmodel name\t: A Processor @ 1GHz\nphysical id\t: "
        f"{number // 4}\ncore id\t\t: {number % 4 // 2}\n"
        for number in range(8)
    ]
    (tmp_path / "cpuinfo").write_text("\n".join(blocks))
    assert processor_name(tmp_path / "cpuinfo") == "A Processor @ 1GHz"
    assert count_cores(set(range(8)), tmp_path / "cpuinfo") == 4
    assert count_cores({0, 1, 2}, tmp_path / "cpuinfo") == 2
    nothing = tmp_path / "nothing"
    assert count_cores({0, 1}, nothing) == 0
    assert processor_name(nothing)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    assert default_threads(nothing) == 7  # nobody knows better


def test_auto_asks_torch_only_where_a_gpu_can_be(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(asked.append("torch")))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert resolve("auto").kind == "cpu" and asked == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(sys, "platform", "win32")  # where nobody but torch can tell
    assert resolve("auto").kind == "cpu" and asked == ["torch"]


def test_a_gpu_has_a_node_unless_it_is_hidden(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "null").touch()
    assert not may_have_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert may_have_gpu(tmp_path)
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not may_have_gpu(tmp_path)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not may_have_gpu(tmp_path)


def test_a_device_that_there_is_not_gets_one_line():
    with pytest.raises(ValueError, match=r"^device: 'gpux' is not one of auto, cpu, cuda") as error:
        resolve("gpux")
    assert "\n" not in str(error.value)
