"""The processes of a run: one, or several that torchrun has started, one a GPU (or on the CPU, over gloo)."""

from __future__ import annotations

import datetime
import os
from contextlib import contextmanager
from typing import Iterator, Sequence

import torch
from torch import Tensor, nn

JOIN_SECONDS = 60  # after which a process that cannot find the others, or has lost them, gives up


class Alone:
    """A run of one process."""

    rank, size = 0, 1

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors over the processes, in place."""

    def from_first(self, values: list[float]) -> list[float]:
        """What the first process says, in all processes."""
        return values

    def wrap(self, module: nn.Module) -> nn.Module:
        """A module whose backward averages gradients over the processes."""
        return module


class Together:
    """A run of several processes."""

    def __init__(self, device: torch.device):
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._device = device

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors over the processes, in place."""
        for tensor in tensors:
            torch.distributed.all_reduce(tensor)

    def from_first(self, values: list[float]) -> list[float]:
        """What the first process says, in all processes."""
        tensor = torch.tensor(values, dtype=torch.float64, device=self._device)
        torch.distributed.broadcast(tensor, 0)
        return tensor.tolist()

    def wrap(self, module: nn.Module) -> nn.Module:
        """A module whose backward averages gradients over the processes."""
        gpu = [self._device.index] if self._device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=gpu)


@contextmanager
def processes(device: torch.device) -> Iterator[Alone | Together]:
    """The processes of this run, by torchrun's environment variables; leaves their group as it ends."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield Alone()
        return
    joined = not torch.distributed.is_initialized()
    if joined:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo",
                                             timeout=datetime.timedelta(seconds=JOIN_SECONDS))
    try:
        yield Together(device)
    finally:
        if joined:
            torch.distributed.destroy_process_group()


def device_of_process(device: torch.device) -> torch.device:
    """Under torchrun each process has the GPU of its local rank, unless one is named."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", torch.cuda.current_device())))
    return device
