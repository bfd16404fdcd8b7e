from __future__ import annotations

import functools
import threading
import time

import pytest
import torch
from torch import nn

from nni_nasoa.device.interruption import Interruption
from nni_nasoa.device.turns import Turns
from nni_nasoa.finetune import FineTuneRegime, Resources, finetune
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.finetune.compiling import compiled_in_time
from nni_nasoa.finetune.context import RunContext
from nni_nasoa.networks import ETNet
from nni_nasoa.training.distributed import Alone
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.inputs import Inputs
from nni_nasoa.training.stepping import Stepper
from nni_nasoa.training.trainable import Trainable
from nni_nasoa.zoo.staged import staged

CPU, SECONDS = torch.device("cpu"), 1 / 60


@pytest.fixture
def make(blobs, tiny):
    """A stepper, and the module that it is to compile."""

    def make(frozen=0, augmentation="crop", batch_size=16, now=time.monotonic):
        torch.manual_seed(0)
        view = staged(ETNet(tiny, 2)).freeze(frozen).to(memory_format=torch.channels_last)
        images = Images(
            blobs.train,
            torch.device("cpu"),
            Normalization.of((0.5,) * 3, (0.25,) * 3),
            augmentation,
            generator=torch.Generator().manual_seed(0),
        )
        module = Trainable(view, frozen)
        regime = FineTuneRegime(tiny, batch_size=batch_size, augmentation=augmentation)
        inputs = Inputs(images, view, frozen, now=now)
        return Stepper(module, 2, inputs, regime, Alone(), 0), module

    return make


def compile_it(made, seconds=6000.0):
    stepper, module = made
    return compiled_in_time(stepper, module, RunContext(Clock(seconds), CPU, Turns(CPU, 0)))


@pytest.fixture
def compiler(monkeypatch):
    """A function that puts another compiler in the place of torch's: one that is quick, slow or fails."""
    return lambda compile_: monkeypatch.setattr(torch, "compile", compile_)


@pytest.fixture
def counted(compiler):
    """Compile without generating code, which is quick; how many graphs were made."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    compiler(functools.partial(torch.compile, backend=backend))
    return graphs


@pytest.mark.parametrize("frozen", [0, 1])
def test_one_graph_for_all_steps(make, counted, frozen):
    """No graph breaks; and fresh features, kept ones and renewed ones do not make it compile again."""
    now = [0.0]
    stepper, module = made = make(frozen, now=lambda: now[0])
    before = [buffer.clone() for buffer in module.buffers()]
    assert compile_it(made) == "" and stepper.module is not module
    assert len(counted) == 1 and stepper.steps == 0
    assert all(torch.equal(a, b) for a, b in zip(before, module.buffers())) and all(
        p.grad is None for p in module.parameters()
    )
    for step in range(24):
        now[0] = float(step % 2)  # a renewal is due, or it is not
        stepper.step(cheap=False)
    assert len(counted) == 1


@pytest.mark.slow
def test_compiled_gradients_are_the_same(make, blobs):
    # In batches of all images, so that their order makes no difference.
    both = [make(augmentation="none", batch_size=len(blobs.train)) for _ in range(2)]
    (plain, module), (compiled, _) = both
    assert compile_it(both[1]) == ""
    module.train()
    losses = [each.gradients(cheap=False) for each in (plain, compiled)]
    torch.testing.assert_close(*losses)
    for a, b in zip(plain.optimizer.parameters(), compiled.optimizer.parameters()):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-4, rtol=1e-3)


SLEEP = 60  # seconds


class Sleeping(nn.Module):
    """What is never compiled in time."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        for _ in range(100 * SLEEP):
            threading.Event().wait(0.01)
        return self.module(x)


def test_compiling_that_takes_too_long_is_given_up(make, compiler):
    compiler(Sleeping)
    stepper, module = made = make()
    assert "torch.compile was not done after" in compile_it(made, 1.0)
    assert stepper.module is module


def test_an_interruption_ends_compiling(make, compiler):
    compiler(Sleeping)
    stepper, module = make()
    interruption = Interruption()
    threading.Timer(0.3, lambda: setattr(interruption, "number", 15)).start()
    clock = Clock(10000)
    assert compiled_in_time(stepper, module, RunContext(clock, CPU, Turns(CPU, 0), interruption=interruption))
    assert stepper.module is module and clock.elapsed < SLEEP


@pytest.mark.alone
def test_a_run_goes_on_without(blobs, shallow, compiler):
    compiler(Sleeping)
    regime = FineTuneRegime("m", 0.05, batch_size=16, augmentation="none")
    result = finetune(
        blobs, regime, 4 * SECONDS, network=shallow(), device="cpu", resources=Resources(compile=True)
    )
    assert result.seconds < SLEEP / 2 and result.steps > 0 and result.accuracy > 0.9
    assert any("torch.compile was not done" in note for note in result.notes)


def test_a_compiler_that_fails_is_told_and_not_needed(make, compiler):
    class Failing(nn.Module):
        def __init__(self, module):
            super().__init__()

        def forward(self, x):
            raise RuntimeError("no C++ compiler\nwas found")

    compiler(Failing)
    stepper, module = made = make()
    assert compile_it(made) == "torch.compile failed (no C++ compiler was found): trained without it"
    assert stepper.module is module and torch.isfinite(stepper.step(cheap=False))


@pytest.mark.alone
def test_a_compiled_run_trains(blobs, tiny, counted):
    regime = FineTuneRegime(tiny, 0.05, batch_size=16, augmentation="crop")
    torch.manual_seed(0)
    result = finetune(
        blobs, regime, 20 * SECONDS, network=ETNet(tiny, 2), device="cpu", resources=Resources(compile=True)
    )
    assert (
        counted
        and not [note for note in result.notes if "compile" in note]
        and result.accuracy > 0.75
        and result.steps > 5
    )
