"""What a run needs to know about the device: which one, its precision, whether an error means that its memory is full."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import Iterator

import torch

from .results import FineTuneError

# What libraries of NVIDIA say, besides torch itself, where memory is short.
_MEMORY_FULL = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED",
                "CUDNN_STATUS_NOT_SUPPORTED", "unable to find an engine", "valid cuDNN algorithm")


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
        found = torch.device(device)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ValueError(f"device: '{device}' is not one of auto, cpu, cuda, cuda:0, cuda:1, ...")
    device = found
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
        isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY_FULL))


@contextmanager
def settings_of_run(device: torch.device, seed: int) -> Iterator[None]:
    """Torch's random numbers from a seed, and a GPU's kernels by trying them, in this context; then as the caller had them.

    So is the number of threads, which a run may change; and gradients are on, which Ctrl-C in torch's own code may leave off.
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
