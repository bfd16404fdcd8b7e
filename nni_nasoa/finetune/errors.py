"""Errors of a run in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nni_nasoa.device.out_of_memory import is_out_of_memory
from nni_nasoa.training.errors import FineTuneError


@contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Say in one line that the memory is full where no smaller batch can help."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        full = " ".join(str(error).split())[:150]
    else:
        return
    raise FineTuneError(f"{device}: out of memory ({full}); give a smaller model or input size")
