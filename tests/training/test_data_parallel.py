from __future__ import annotations

import subprocess
import sys

import pytest

from nni_nasoa.training.data_parallel import pays

# Two processes that hold all images do all of this, step by step in the same way.
SCRIPT = """
import contextlib, copy, itertools, math, sys, weakref
import torch
from torch import nn
from torch.nn import functional as F
from nni_nasoa.data import ImageArrays
from nni_nasoa.finetune import FineTuneRegime
from nni_nasoa.training import data_parallel
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.training.distributed import processes
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.inputs import Inputs
from nni_nasoa.device.turns import Turns
from nni_nasoa.training.stepping import Stepper
from nni_nasoa.training.trainable import Trainable
from nni_nasoa.finetune.compiling import compiled_in_time
from nni_nasoa.finetune.context import RunContext
from nni_nasoa.zoo.staged import Staged

torch.set_num_threads(1)
data_parallel.BUCKET_MB = 0.0002  # so that there are several
CPU, order = torch.device("cpu"), torch.Generator().manual_seed(0)
pixels = torch.randint(0, 256, (64, 3, 16, 16), generator=order).to(torch.uint8)
part = ImageArrays(pixels.numpy(), (torch.arange(64) % 2).numpy())

class Idle(nn.Identity):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

def made(frozen=0, last=nn.Identity):
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU()), nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU()),
              nn.Sequential(nn.Conv2d(8, 8, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), last())]
    view = Staged(stages, nn.Linear(8, 2), (0.5,) * 3, (0.25,) * 3, 16).freeze(frozen)
    view = view.to(memory_format=torch.channels_last)
    inputs = Inputs(Images(part, CPU, Normalization.of(view.mean, view.std)), view, frozen)
    stepper = Stepper(Trainable(view, frozen), 2, inputs, FineTuneRegime("m", batch_size=32), group, 0)
    stepper.optimizer.learning_rate = 0.1
    return stepper, stepper.module

def step(stepper, module):
    # Take a step, whose gradients have to be those of one process on the images of both; how many buckets
    # were sent.
    rows = torch.randperm(64, generator=order)[:2 * stepper.batch].view(2, -1)
    stepper._indices = iter([rows[group.rank]])
    whole, seen, take = copy.deepcopy(module), {}, stepper.optimizer.step
    buckets = stepper._parallel and stepper._parallel._buckets
    def look():
        seen.update((name, p.grad.clone()) for name, p in module.named_parameters() if p.grad is not None)
        take()
    stepper.optimizer.step = look
    loss = stepper.step(cheap=False)
    stepper.optimizer.step = take
    if loss is None:
        assert not seen and all(p.grad is None for p in module.parameters())
        return None
    rows = rows.flatten()
    F.cross_entropy(whole(stepper.inputs.clean(rows)), stepper.inputs.labels[rows],
                    label_smoothing=stepper.regime.label_smoothing).backward()
    assert len(seen) > 2
    expected = {name: p.grad for name, p in whole.named_parameters() if p.grad is not None}
    torch.testing.assert_close(seen, expected)
    for p in module.parameters():
        twice = p.detach().clone()
        group.sum([twice])
        assert torch.equal(twice, 2 * p)
    return buckets and len(buckets.sent)

def out_of_memory(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

@contextlib.contextmanager
def trouble(stepper, module, where):
    # Memory is full before the forward pass, as a parameter gets its gradient, or after the backward pass.
    gradients = stepper.gradients
    handle = list(module.parameters())[where].register_hook(out_of_memory) if isinstance(where, int) else None
    if where == "before":
        stepper.inputs.training = out_of_memory
    elif where == "after":
        stepper.gradients = lambda cheap: out_of_memory(gradients(cheap))
    yield
    for changed, name in ((stepper.inputs, "training"), (stepper, "gradients")):
        vars(changed).pop(name, None)
    if handle:
        handle.remove()

def gradients_are_those_of_the_whole_batch():
    for frozen in (0, 1):
        stepper, module = made(frozen)
        stepper.overlap(math.inf)
        sent = [step(stepper, module) for _ in range(6)]
        assert sent[:2] == [0, 0] and min(sent[2:]) == max(sent[2:]) > 1, sent
        assert len(stepper._parallel._buckets.buffers) == sent[2], sent

def full_memory_halves_the_batch_of_all():
    owed = set()
    places = (("before", None), (None, 7), (2, None), (None, 0), ("after", None), (7, 0))
    for number, where in itertools.product((1, 2, 4), places):
        stepper, module = made()
        stepper.overlap(math.inf)
        for _ in range(number - 1):
            step(stepper, module)
        buckets, ddp = stepper._parallel._buckets, weakref.ref(stepper._parallel._ddp)
        with trouble(stepper, module, where[group.rank]):
            assert step(stepper, module) is None
        if number > 2:
            owed.add(len(buckets.buffers) - len(buckets.sent))
        assert ddp() is None  # and so are its hooks
        assert stepper.halve_batch() == 16
        stepper.overlap(math.inf)
        sent = [step(stepper, module) for _ in range(4)]
        assert sent[:2] == [0, 0] and sent[2] == sent[3] == len(stepper._parallel._buckets.buffers), sent
    assert owed & set(range(1, sent[2])), owed  # in some of the steps, others had been sent

def a_parameter_without_gradients_is_not_waited_for():
    stepper, module = made(last=Idle)
    stepper.overlap(math.inf)
    assert [step(stepper, module) for _ in range(4)] == [0, None, None, None] and stepper._parallel is None
    assert stepper.steps == 4

def scaled_gradients_overflow_in_all():
    stepper, module = made()
    stepper._scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    stepper.overlap(math.inf)
    for _ in range(4):
        step(stepper, module)
    before = [p.detach().clone() for p in module.parameters()]
    weight = module.network.head.weight
    handle = weight.register_hook(lambda gradient: gradient * math.inf) if group.rank else None
    stepper._indices = itertools.repeat(torch.arange(16))
    assert stepper.step(cheap=False) is not None and stepper._scaler.get_scale() == 128
    assert all(torch.equal(p, b) for p, b in zip(module.parameters(), before))
    if handle:
        handle.remove()
    step(stepper, module)

def a_compiled_module_is_compiled_alone_and_once():
    graphs, compile = [], torch.compile
    keep = lambda graph, inputs: graphs.append(graph) or graph
    torch.compile = lambda module: compile(module, backend=keep)
    stepper, module = made()
    context = RunContext(Clock(6000), CPU, Turns(CPU, 0), group)
    for _ in range(2):
        known, stepper._indices = len(graphs), itertools.repeat(torch.arange(stepper.batch))
        assert compiled_in_time(stepper, module, context) == "" and stepper.module is not module
        stepper.overlap(math.inf)
        assert [step(stepper, module) for _ in range(4)][2] > 1 and len(graphs) == known + 1
        with trouble(stepper, module, 2 if group.rank else None):
            assert step(stepper, module) is None
        stepper.halve_batch()

with processes(CPU, 60) as group:
    for check in sys.argv[1:]:
        globals()[check]()
        sys.stdout.write(f"done: {check} {group.rank}\\n")  # in one piece, beside the other process
"""
CHECKS = (
    "gradients_are_those_of_the_whole_batch",
    "full_memory_halves_the_batch_of_all",
    "a_parameter_without_gradients_is_not_waited_for",
    "scaled_gradients_overflow_in_all",
    "a_compiled_module_is_compiled_alone_and_once",
)


@pytest.fixture(scope="module")
def output(tmp_path_factory, two_processes):
    """What both processes print, which have done all of it one after the other: loading takes longer."""
    path = tmp_path_factory.mktemp("parallel") / "script.py"
    path.write_text(SCRIPT)
    with two_processes(path, *CHECKS) as process:
        return process.communicate(timeout=300)[0]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
def test_in_two_processes(output, check):
    assert all(f"done: {check} {rank}" in output for rank in (0, 1)), output


def test_a_short_run_does_not_wait_for_it_to_load(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch._dynamo", raising=False)
    assert pays(120) and not pays(10)
    monkeypatch.setitem(sys.modules, "torch._dynamo", sys)
    assert pays(10)


def test_one_process_loads_none_of_it():
    code = (
        "import sys, torch; from torch import nn\n"
        "from nni_nasoa.finetune import FineTuneRegime, finetune; from nni_nasoa.data import *\n"
        "import numpy as np; part = ImageArrays(np.zeros((8, 3, 16, 16), np.uint8), np.arange(8) % 2)\n"
        "regime = FineTuneRegime('2-_8_2-1-1', batch_size=4)\n"
        "result = finetune(ImageSplit(part, part, ('a', 'b'), 'n'), regime, 1 / 20, weights=None)\n"
        "heavy = {'torch._dynamo', 'nni_nasoa.training.data_parallel'}\n"
        "sys.exit(not result.steps or bool(heavy & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
