"""What a network costs on the device at hand: step times, images per second, memory, parameters, MACs.

Shared machines are noisy and clusters are mixed, so a search compares networks by `relative_speed`, the ratio
to a small reference network that is timed in turns with the network, under a lock of the device
(`device_lock`).
"""

from __future__ import annotations

import copy
import datetime
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nni_nasoa.device.device import device_name
from nni_nasoa.device.precision import autocast_to
from nni_nasoa.networks import ETNet

from .optimizers import Optimizer
from .sampling import Step, memory_watch, repeated, seconds_of_step, undisturbed, wall_clock, warm_up
from .supervised import train_step

REFERENCE = "2-_32_2-11-112-1121112"  # ET-NAS-A, the smallest published network
REFERENCE_CLASSES = 10
WEIGHT_DECAY = 1e-4
# Seconds of a sample at least, so that launches run ahead of the device within it, as they do in training.
_MIN_SAMPLE_SECONDS = {"cuda": 0.02}


@dataclass(frozen=True)
class Measurement:
    """Time and memory of one step.

    Parameters
    ----------
    step_time_ms
        Median time of a step, in milliseconds.
    throughput
        Images per second.
    peak_memory_mib
        Memory that the step needs at most, the network's own included, in MiB: on a GPU what torch allocates;
        on a CPU the growth of the process's resident set, to some 10 MiB, where Linux tells it, else None.
    repeats
        Number of samples behind the median.
    """

    step_time_ms: float
    throughput: float
    peak_memory_mib: float | None
    repeats: int


@dataclass(frozen=True)
class RelativeSpeed:
    """Training speed beside the reference network's.

    Parameters
    ----------
    relative_speed
        Reference's step time over the network's: above 1, the network trains faster. The median of the ratios
        of samples taken right after each other, so it may differ a little from the ratio of the two medians
        below.
    step_time_ms, reference_step_time_ms
        Median times of a training step, in milliseconds; on a CPU, processor time of one thread.
    throughput
        Training images per second, by `step_time_ms`.
    """

    relative_speed: float
    step_time_ms: float
    reference_step_time_ms: float
    throughput: float


def training_step_time(
    network: nn.Module,
    input_size: int,
    batch_size: int,
    device: str | torch.device = "cpu",
    *,
    autocast: torch.dtype | None = None,
    repeats: int = 20,
    warmup: int = 3,
    max_seconds: float = 30.0,
) -> Measurement:
    """Time training steps: forward, cross-entropy, backward, SGD with momentum, on random images.

    Parameters
    ----------
    network
        Any image classifier. It stays as it is, wherever it is: a copy on `device` is measured.
    input_size, batch_size
        Images are (batch_size, 3, input_size, input_size), in channels_last order.
    device
        The device to measure on, taken under its exclusive `device_lock`.
    autocast
        The type of automatic mixed precision, such as torch.bfloat16; None for float32.
    repeats, warmup
        Samples behind the median, and steps that come before them.
    max_seconds
        When this much time has gone by, the samples taken so far (three at least) will do.

    Raises
    ------
    torch.cuda.OutOfMemoryError
        The device's memory does not suffice.
    """
    return _step_time(
        _training_step, network, input_size, batch_size, device, autocast, repeats, warmup, max_seconds
    )


def inference_time(
    network: nn.Module,
    input_size: int,
    batch_size: int,
    device: str | torch.device = "cpu",
    *,
    autocast: torch.dtype | None = None,
    repeats: int = 20,
    warmup: int = 3,
    max_seconds: float = 30.0,
) -> Measurement:
    """Time inference in eval mode; parameters as in `training_step_time`."""
    return _step_time(
        _inference_step, network, input_size, batch_size, device, autocast, repeats, warmup, max_seconds
    )


def relative_speed(
    network: nn.Module,
    input_size: int,
    batch_size: int,
    device: str | torch.device = "cpu",
    *,
    autocast: torch.dtype | None = None,
    repeats: int = 15,
    warmup: int = 3,
    max_seconds: float = 30.0,
) -> RelativeSpeed:
    """Training speed of a network, relative to that of ET-NAS-A with 10 classes.

    Parameters are as in `training_step_time`. Steps of the two take turns, so that whatever else slows the
    device slows both. On a CPU, one thread is measured and its processor time counts: several threads that
    wait for each other lose far more to another process than the time it takes.
    """
    device = _resolve(device)
    with undisturbed(device, threads=1):
        clock = time.thread_time if device.type == "cpu" else wall_clock(device)
        networks = network, ETNet(REFERENCE, REFERENCE_CLASSES)
        pair = [_training_step(each, input_size, batch_size, device, autocast) for each in networks]
        once = [warm_up(step, warmup, clock) for step in pair]
        # Samples of equal length meet equal disturbance.
        target = max(*once, _MIN_SAMPLE_SECONDS.get(device.type, 0.0))
        counts = [max(1, round(target / seconds)) for seconds in once]
        samples = repeated(
            lambda: [seconds_of_step(step, count, clock) for step, count in zip(pair, counts)],
            repeats,
            max_seconds,
        )
    step_time, reference_time = (statistics.median(column) for column in zip(*samples))
    ratio = statistics.median(reference / own for own, reference in samples)
    return RelativeSpeed(ratio, 1e3 * step_time, 1e3 * reference_time, batch_size / step_time)


def count_parameters(network: nn.Module) -> int:
    """Trainable and frozen parameters, without buffers."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module, input_size: int = 224) -> int:
    """Multiply-accumulates of one image of this size in pixels, in convolutions and matrix products.

    Any image classifier will do; nothing is computed, as the network runs on torch's meta device.
    """
    from torch.utils.flop_counter import FlopCounterMode

    network = copy.deepcopy(network).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, input_size, input_size, device="meta"))
    return counter.get_total_flops() // 2


def environment(device: str | torch.device = "cpu") -> dict[str, str | int | float]:
    """What a file of measurements should say about where they come from: device, load, versions, date."""
    versions = {
        package: importlib.metadata.version(package) for package in ("nni-nasoa", "torch", "torchvision")
    }
    date = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {
        "device": device_name(device),
        "cpus": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        **versions,
        "date": date,
    }


# -- steps --


def _resolve(device: str | torch.device) -> torch.device:
    device = torch.device(device)
    return (
        torch.device("cuda", torch.cuda.current_device())
        if device.type == "cuda" and device.index is None
        else device
    )


def _training_step(
    network: nn.Module,
    input_size: int,
    batch_size: int,
    device: torch.device,
    autocast: torch.dtype | None,
) -> Step:
    network = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).train()
    images, labels = _batch(input_size, batch_size, device)
    # The learning rate stays 0, which costs what any other does, and random labels cannot drive the weights
    # off to where floats are slow. The variant of SGD is that by which all speeds on record were measured.
    optimizer = Optimizer("sgd", network.parameters(), WEIGHT_DECAY, nesterov=False, decay_all=True)
    return lambda: train_step(network, optimizer, images, labels, dtype=autocast)


def _inference_step(
    network: nn.Module,
    input_size: int,
    batch_size: int,
    device: torch.device,
    autocast: torch.dtype | None,
) -> Step:
    network = copy.deepcopy(network).to(device).to(memory_format=torch.channels_last).eval()
    images, _ = _batch(input_size, batch_size, device)

    def step() -> None:
        with torch.inference_mode(), autocast_to(device, autocast):
            network(images)

    return step


def _batch(input_size: int, batch_size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    images = torch.randn(batch_size, 3, input_size, input_size, device=device)
    return images.contiguous(memory_format=torch.channels_last), torch.zeros(
        batch_size, dtype=torch.long, device=device
    )


def _step_time(
    make_step: Callable[[nn.Module, int, int, torch.device, torch.dtype | None], Step],
    network: nn.Module,
    input_size: int,
    batch_size: int,
    device: str | torch.device,
    autocast: torch.dtype | None,
    repeats: int,
    warmup: int,
    max_seconds: float,
) -> Measurement:
    device = _resolve(device)
    with undisturbed(device):
        peak_mib = memory_watch(device)
        step, clock = make_step(network, input_size, batch_size, device, autocast), wall_clock(device)
        once = warm_up(step, warmup, clock)
        count = max(1, round(_MIN_SAMPLE_SECONDS.get(device.type, 0.0) / once))
        samples = repeated(lambda: seconds_of_step(step, count, clock), repeats, max_seconds)
        memory = peak_mib()
    seconds = statistics.median(samples)
    return Measurement(1e3 * seconds, batch_size / seconds, memory, len(samples))
