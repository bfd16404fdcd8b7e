"""Errors of fine-tuning, in one line each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nni_nasoa.device.out_of_memory import is_out_of_memory
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.values import reason


class ClassifierError(ValueError):
    """A classifier that cannot be loaded, saved or used. The message is one line."""


@contextmanager
def memory_errors(device: torch.device) -> Iterator[None]:
    """Say in one line that the memory is full where no smaller batch can help."""
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        full = reason(error)
    else:
        return
    raise FineTuneError(f"{device}: out of memory ({full}); give a smaller model or input size")
