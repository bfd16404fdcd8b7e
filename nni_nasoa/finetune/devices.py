"""What a run needs to know about the device: which one, its precision, whether an error means that its memory is full."""

from __future__ import annotations

from contextlib import nullcontext

import torch


def resolve_device(device: str | torch.device) -> torch.device:
    """A device; "auto" is the GPU, the one of this process under torchrun, where there is one, else the CPU.

    Raises
    ------
    ValueError
        There is no such device. The message is one line.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device: '{device}' is not one of auto, cpu, cuda, cuda:0, cuda:1, ...") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: there is no CUDA device; take cpu or auto")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise ValueError(f"device: there is no {device}, only cuda:0 to cuda:{torch.cuda.device_count() - 1}")
    return device


def precision(device: torch.device) -> torch.dtype:
    """The type to compute in: bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def autocast(device: torch.device):
    """Context of forward passes on the device."""
    return torch.autocast("cuda", dtype=precision(device)) if device.type == "cuda" else nullcontext()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given, so that the clock tells the time of that."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device's memory is full; a smaller batch may do."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in ("out of memory", "can't allocate memory")))
