"""Whether an error means that a device's memory is full."""

from __future__ import annotations

import torch

# What libraries of NVIDIA say, besides torch itself, where memory is short.
_MEMORY_FULL = (
    "out of memory",
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "unable to find an engine",
    "valid cuDNN algorithm",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the device's memory is full; a smaller batch may do."""
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY_FULL)
    )
