from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from nni_nasoa.device import device as devices
from nni_nasoa.device import processor
from nni_nasoa.device.device import Device, device_name, possible_keys, processor_key, resolve

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
        f"processor\t: {number}\nmodel name\t: A Processor @ 1GHz\nphysical id\t: {number // 4}\ncore id\t\t: {number % 4 // 2}\n"
        for number in range(8)
    ]
    (tmp_path / "cpuinfo").write_text("\n".join(blocks))
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    assert processor.processor_name() == "A Processor @ 1GHz"
    assert processor._cores(set(range(8))) == 4
    assert processor._cores({0, 1, 2}) == 2
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "nothing")
    assert processor._cores({0, 1}) == 0
    assert processor.processor_name()
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    assert processor.default_threads() == 7  # nobody knows better


def test_auto_asks_torch_only_where_a_gpu_can_be(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "nni_nasoa.device.device.resolve_device", lambda device: asked.append(device) or torch.device("cpu")
    )
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: False)
    assert resolve("auto").kind == "cpu" and asked == []
    monkeypatch.setattr(devices, "_may_have_gpu", lambda: True)
    assert resolve("auto").kind == "cpu" and asked == ["auto"]


def test_hidden_gpus_are_none(monkeypatch):
    monkeypatch.setattr(devices, "_NODES", ("null",))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert devices._may_have_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not devices._may_have_gpu()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not devices._may_have_gpu()


def test_a_device_that_there_is_not_gets_one_line():
    with pytest.raises(ValueError, match="^device: 'gpux' is not one of auto, cpu, cuda") as error:
        resolve("gpux")
    assert "\n" not in str(error.value)
