"""The processes of a run: one, or several that torchrun has started, one a GPU (or on the CPU, over gloo).

Training is data-parallel: each process has a share of the images and computes the gradients of its share of a
batch, which are averaged over the processes; on the way, see `data_parallel`, or when all have theirs.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor

# Seconds besides the budget after which a process that cannot find the others, or has lost them, gives up.
JOIN_SECONDS = 60


class Alone:
    """A run of one process."""

    rank, size = 0, 1

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors over the processes, in place."""

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over the processes, in place."""

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Put the first process's values into these tensors of all processes."""

    def from_first(self, values: list[float]) -> list[float]:
        """What the first process says, in all processes."""
        return values

    def most(self, value: float) -> float:
        """The largest of the processes' values."""
        return value


class Together:
    """A run of several processes, with what `Alone` has; all of them have to call it, in the same order.

    What concerns a few numbers goes from host to host, so that no GPU is waited for.
    """

    def __init__(self, timeout: datetime.timedelta) -> None:
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        by_host = torch.distributed.get_backend() == "gloo"
        hosts = None if by_host else torch.distributed.new_group(backend="gloo", timeout=timeout)
        self._hosts = cast("torch.distributed.ProcessGroup | None", hosts)  # all processes are members

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Add up tensors over the processes, in place."""
        for tensor in tensors:
            torch.distributed.all_reduce(tensor)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Average tensors over the processes, in place."""
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])  # one message
        torch.distributed.all_reduce(flat)
        flat /= self.size
        for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
            tensor.copy_(part.view(tensor.shape))

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Put the first process's values into these tensors of all processes."""
        for tensor in tensors:
            torch.distributed.broadcast(tensor, 0)

    def from_first(self, values: list[float]) -> list[float]:
        """What the first process says, in all processes."""
        tensor = torch.tensor(values, dtype=torch.float64)
        torch.distributed.broadcast(tensor, 0, group=self._hosts)
        return tensor.tolist()

    def most(self, value: float) -> float:
        """The largest of the processes' values."""
        tensor = torch.tensor(value, dtype=torch.float64)
        torch.distributed.all_reduce(tensor, torch.distributed.ReduceOp.MAX, group=self._hosts)
        return tensor.item()


@contextmanager
def processes(device: torch.device, budget: float) -> Iterator[Alone | Together]:
    """The processes of a run of `budget` seconds, by torchrun's environment variables, for this context."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone()
        return
    joined = not torch.distributed.is_initialized()
    timeout = datetime.timedelta(seconds=JOIN_SECONDS + budget)
    if joined:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timeout)
    try:
        yield Together(timeout)
    finally:
        if joined:
            torch.distributed.destroy_process_group()


def device_of_process(device: torch.device) -> torch.device:
    """Under torchrun each process has the GPU of its local rank, unless one is named.

    Raises
    ------
    ValueError
        There are more processes than GPUs.
    """
    if device.type != "cuda" or device.index is not None:
        return device
    number = int(os.environ.get("LOCAL_RANK", torch.cuda.current_device()))
    if number >= torch.cuda.device_count():
        raise ValueError(
            f"device: there is no GPU for process {number + 1} of this machine, "
            f"which has {torch.cuda.device_count()}; give torchrun a smaller --nproc-per-node"
        )
    return torch.device("cuda", number)
