"""Which device runs will be on, by the name that records and step times have; without torch if possible."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nni_nasoa.values import one_line, shown

from .processor import default_threads, processor_name

if TYPE_CHECKING:
    import torch

# Device nodes where torch can have a GPU: NVIDIA's, AMD's, and Windows' own.
_NODES = ("nvidia[0-9]*", "nvidiactl", "kfd", "dxg")


@dataclass(frozen=True)
class Device:
    """A device that networks are trained on.

    Parameters
    ----------
    kind
        As torch takes it: "cpu", "cuda", "cuda:1", ...
    name
        What it is called, as `measure.device_name` says and records have it.
    threads
        Of the processor, that torch computes with.
    """

    kind: str
    name: str
    threads: int

    @property
    def key(self) -> str:
        """What step times are kept under: the name, with the threads where the processor computes."""
        return processor_key(self.name, self.threads) if self.kind == "cpu" else self.name


def processor_key(name: str, threads: int) -> str:
    """The key of a processor with so many threads."""
    return one_line(f"{name}, {threads} thread{'s' * (threads > 1)}")


def possible_keys(name: str, threads: int) -> tuple[str, str]:
    """The keys that a device can have, a processor's and a GPU's, where nobody says which it is."""
    return processor_key(name, threads), name


def resolve(device: str = "auto") -> Device:
    """A device; "auto" is the GPU where there is one, else the processor.

    torch is imported only where it has to be asked.

    Raises
    ------
    ValueError
        There is no such device. The message is one line.
    """
    device = str(device)
    if device == "cpu" or (device == "auto" and not may_have_gpu()):
        return Device("cpu", one_line(processor_name()), _threads())
    found = resolve_device(device)
    kind = "cpu" if found.type == "cpu" else str(found)  # "cpu:0" is the same device
    return Device(kind, one_line(device_name(found)), _threads())


def may_have_gpu(nodes: Path = Path("/dev")) -> bool:
    """Whether torch could have a GPU here, as far as the system tells.

    Parameters
    ----------
    nodes
        The folder of the device nodes, which Linux has for every GPU whose driver is there.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    if sys.platform != "linux":
        return sys.platform != "darwin"
    return any(next(nodes.glob(name), None) for name in _NODES)


def _threads() -> int:
    torch = sys.modules.get("torch")
    return default_threads() if torch is None else torch.get_num_threads()


def resolve_device(device: str | torch.device) -> torch.device:
    """A device; "auto" is the GPU, the one of this process under torchrun, where there is one, else the CPU.

    Raises
    ------
    ValueError
        There is no such device. The message is one line.
    """
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ValueError(f"device: {shown(str(device))} is not one of auto, cpu, cuda, cuda:0, cuda:1, ...")
    device = found
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: there is no CUDA device; take cpu or auto")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise ValueError(f"device: there is no {device}, only cuda:0 to cuda:{torch.cuda.device_count() - 1}")
    return device


def device_name(device: str | torch.device = "cpu") -> str:
    """What the device is called, such as "NVIDIA H200" or the processor's model."""
    import torch

    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor_name()
