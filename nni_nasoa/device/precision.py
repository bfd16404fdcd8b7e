"""The type that a device computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def precision(device: torch.device) -> torch.dtype:
    """The type to compute in: bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """The context in which forward passes on the device are computed."""
    return torch.autocast("cuda", dtype=precision(device)) if device.type == "cuda" else nullcontext()
