"""The type that a device computes in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def precision(device: torch.device) -> torch.dtype:
    """The type to compute in: bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """The type of automatic mixed precision for which gradients need no scaling, where the device has it."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else None


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """The context in which forward passes on the device are computed."""
    return autocast_to(device, precision(device) if device.type == "cuda" else None)


def autocast_to(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    """The context in which forward passes on the device are computed in a type; None is float32."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
