import copy
import statistics
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from nni_nasoa.architecture import ArchitectureSpace, random_architecture
from nni_nasoa.device.lock import device_lock
from nni_nasoa.networks import ETNet
from nni_nasoa.training import speed as measure
from nni_nasoa.training.speed import (
    count_macs,
    count_parameters,
    environment,
    inference_time,
    relative_speed,
    training_step_time,
)

pytestmark = [pytest.mark.alone, pytest.mark.usefixtures("own_locks")]


class Slowed(nn.Module):
    """A network that computes its forward pass several times."""

    def __init__(self, network, times):
        super().__init__()
        self.network, self.times = network, times

    def forward(self, x):
        return sum(self.network(x) for _ in range(self.times))


def reference():
    return ETNet(measure.REFERENCE, measure.REFERENCE_CLASSES)


def test_macs_and_parameters_are_those_of_the_architecture():
    rng = np.random.default_rng(1)
    candidates = ArchitectureSpace(blocks=(1, 2))
    for size in (32, 57, 96):
        architecture = random_architecture(rng, candidates)
        network = ETNet(architecture, 10)
        assert count_macs(network, size) == architecture.macs(size, 10)
        assert count_parameters(network) == architecture.parameters(10)


@pytest.mark.parametrize("name, gmacs", [("resnet18", 1.814), ("mobilenet_v3_small", 0.057)])
def test_macs_of_any_network(name, gmacs):
    import torchvision

    network = torchvision.models.get_model(name, weights=None)
    assert count_macs(network, 224) / 1e9 == pytest.approx(gmacs, rel=0.02)
    assert network.training and next(network.parameters()).device.type == "cpu"


def test_step_times_hang_together():
    network = ETNet("2-_16_2-1", 10)
    for measured in (
        training_step_time(network, 32, 4, repeats=3),
        inference_time(network, 32, 4, repeats=3),
    ):
        assert measured.throughput == pytest.approx(4 / (measured.step_time_ms / 1e3))
        assert measured.repeats == 3 and measured.step_time_ms > 0


def test_more_work_takes_longer():
    network = ETNet("2-_16_2-1", 10)
    for measured in (training_step_time, inference_time):
        once, often = (measured(Slowed(network, times), 64, 8, repeats=7).step_time_ms for times in (1, 8))
        assert often > 2 * once


def test_bfloat16_autocast_reaches_the_network():
    seen = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            value = self.layer(x)
            seen.append((value.dtype, x.is_contiguous(memory_format=torch.channels_last), self.training))
            return value.mean((2, 3))

    training_step_time(Watched(), 8, 2, autocast=torch.bfloat16, repeats=1)
    inference_time(Watched(), 8, 2, repeats=1)
    assert set(seen) == {(torch.bfloat16, True, True), (torch.float32, True, False)}


@pytest.mark.parametrize("measured", [training_step_time, inference_time, relative_speed])
def test_measuring_changes_nothing(measured):
    network = ETNet("2-_16_2-1", 10).eval()
    network.stages[0].train()
    before = copy.deepcopy(network.state_dict())
    threads, benchmark, state = (
        torch.get_num_threads(),
        torch.backends.cudnn.benchmark,
        torch.random.get_rng_state(),
    )
    measured(network, 16, 2, repeats=1, warmup=1)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert (
        not network.training
        and network.stages[0].training
        and all(p.grad is None for p in network.parameters())
    )
    assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == (threads, benchmark)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_reference_is_as_fast_as_itself():
    measured = relative_speed(reference(), 32, 8, repeats=9)
    assert measured.relative_speed == pytest.approx(1, abs=0.15)
    assert measured.reference_step_time_ms == pytest.approx(measured.step_time_ms, rel=0.3)
    assert measured.throughput == pytest.approx(8 / (measured.step_time_ms / 1e3))


def test_faster_networks_are_above_one():
    small = relative_speed(ETNet("2-_16_1-1", 10), 32, 8, repeats=5).relative_speed
    large = relative_speed(Slowed(reference(), 3), 32, 8, repeats=5).relative_speed
    assert small > 1.5 and 0.2 < large < 0.5


def test_load_moves_the_ratio_little():
    """The full picture, with raw step times beside it, is examples/benchmarks/relative_speed.py."""
    network = ETNet("10001-_32_1-21-2", 10)

    def ratio():
        return statistics.median(relative_speed(network, 32, 8, repeats=7).relative_speed for _ in range(5))

    quiet = ratio()
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        loaded = ratio()
    finally:
        burner.kill()
        burner.wait()
    assert loaded == pytest.approx(quiet, rel=0.1)


@pytest.mark.parametrize("measured", [training_step_time, inference_time, relative_speed])
def test_measuring_waits_for_the_lock(measured):
    network, done = ETNet("2-_16_1", 10), threading.Event()

    def run():
        measured(network, 8, 2, repeats=1, warmup=0)
        done.set()

    thread = threading.Thread(target=run, daemon=True)
    with device_lock("cpu", shared=True):
        thread.start()
        time.sleep(0.5)
        assert not done.is_set()
        with pytest.raises(RuntimeError, match="shares the lock"):
            measured(network, 8, 2)
    thread.join(60)
    assert done.is_set()


def test_an_error_in_the_network_gives_the_lock_back():
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            raise torch.cuda.OutOfMemoryError("no memory")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        relative_speed(Greedy(), 8, 2)
    thread = threading.Thread(
        target=lambda: inference_time(ETNet("2-_16_1", 10), 8, 1, repeats=1), daemon=True
    )
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


def test_peak_memory_on_a_cpu():
    class Wide(nn.Module):
        def forward(self, x):
            return torch.ones(64, 2**20).sum(1)[: len(x), None].expand(-1, 10)  # 256 MiB

    peak = inference_time(Wide(), 8, 2, repeats=3).peak_memory_mib
    assert peak is None or 250 < peak < 400


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu():
    network = reference()
    train = training_step_time(network, 64, 32, "cuda", autocast=torch.bfloat16)
    infer = inference_time(network, 64, 32, "cuda:0")
    assert train.step_time_ms > infer.step_time_ms > 0
    assert train.peak_memory_mib > infer.peak_memory_mib > 4 * count_parameters(network) / 2**20 * 0.9
    assert relative_speed(network, 64, 32, "cuda").relative_speed == pytest.approx(1, abs=0.15)
    assert next(network.parameters()).device.type == "cpu"


def test_environment():
    facts = environment("cpu")
    assert (
        facts["torch"] == torch.__version__.partition("+")[0]
        and facts["date"].startswith("20")
        and facts["device"]
    )
