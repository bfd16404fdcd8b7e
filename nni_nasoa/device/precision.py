"""The type that a device computes in."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

# Passes in each type, by turns, after one each that finds kernels: so many, or fewer where time is short.
TRIALS, LEAST_TRIALS = 2, 1

_found: dict[str, torch.dtype | None] = {}  # by the kind of device, what the latest measurement told


def precision(device: torch.device) -> torch.dtype:
    """The type to compute in: bfloat16 on a GPU that has it, float16 on an older one, float32 on a CPU."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """The type of automatic mixed precision for which gradients need no scaling, where the device has it."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else None


def autocast(device: torch.device, dtype: torch.dtype | None = None) -> AbstractContextManager[None]:
    """The context in which forward passes on the device are computed: in a type, or by default its own."""
    return autocast_to(device, dtype or (precision(device) if device.type == "cuda" else None))


def autocast_to(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[None]:
    """The context in which forward passes on the device are computed in a type; None is float32."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a processor has instructions for bfloat16 (AVX512-BF16 or AMX)."""
    if device.type != "cpu":
        return False
    asked = (
        getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return any(supported is not None and supported() for supported in asked)


def faster_type(
    device: torch.device, forward: Callable[[], object], *, seconds: float = math.inf
) -> torch.dtype | None:
    """The type in which a forward pass without gradients is faster here, as a measurement tells.

    Convolutions of many channels gain by bfloat16, depthwise ones may lose. Only on processors that have
    instructions for it there is anything to measure; elsewhere it is the device's own type, None for float32.

    Parameters
    ----------
    forward
        The pass, on some images.
    seconds
        What that may take. Where the first pass says that it would take longer, it is the type that was
        faster for another network, in this process, or float32.
    """
    if not computes_bfloat16(device):
        return None if device.type == "cpu" else precision(device)
    times: dict[torch.dtype | None, list[float]] = {None: [], torch.bfloat16: []}
    begun = time.perf_counter()
    with torch.no_grad():
        for trial in range(TRIALS + 1):
            for dtype, taken in times.items():
                begin = time.perf_counter()
                with autocast_to(device, dtype):
                    forward()
                taken.append(time.perf_counter() - begin)
                if len(times) * (LEAST_TRIALS + 1) * times[None][0] > seconds:
                    return _found.get(device.type)
            # One more trial would take half as long again.
            if trial >= LEAST_TRIALS and 1.5 * (time.perf_counter() - begun) > seconds:
                break
    _found[device.type] = min(times, key=lambda dtype: min(times[dtype][1:]))
    return _found[device.type]
