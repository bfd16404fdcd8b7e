"""Torch's settings while a run goes on, and as they were after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given, so that the clock tells the time of that."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def settings_of_run(device: torch.device, seed: int) -> Iterator[None]:
    """In this context torch's random numbers are from a seed, and a GPU's kernels chosen by trying them.

    Afterwards both are as the caller had them, and so is the number of threads, which a run may change.
    Gradients are on in the context: Ctrl-C in torch's own code may have left them off.
    """
    gpu, benchmark, threads = device.type == "cuda", torch.backends.cudnn.benchmark, torch.get_num_threads()
    random_numbers = torch.random.fork_rng(devices=[device] if gpu else [])
    with random_numbers, torch.enable_grad(), torch.cuda.device(device) if gpu else nullcontext():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed all GPUs
        if gpu:
            torch.cuda.manual_seed(seed)
            torch.backends.cudnn.benchmark = True  # nearly all batches have the same shape
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = benchmark
            if torch.get_num_threads() != threads:
                torch.set_num_threads(threads)
