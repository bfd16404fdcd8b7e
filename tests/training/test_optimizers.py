from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from nni_nasoa.training.optimizers import Optimizer


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5))


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_agrees_with_torchs_class(kind):
    ours, theirs = network(), network()
    optimizer = Optimizer(kind, ours.parameters(), 0.01)
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in theirs.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    reference = (
        torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
        if kind == "sgd"
        else torch.optim.AdamW(groups, lr=0.1)
    )
    for step in range(5):
        x, y = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(step)), torch.arange(8) % 5
        rate = 0.1 / (step + 1)
        for net in (ours, theirs):
            nn.functional.cross_entropy(net(x), y).backward()
        optimizer.learning_rate = reference.param_groups[0]["lr"] = reference.param_groups[1]["lr"] = rate
        optimizer.step()
        optimizer.zero_grad()
        reference.step()
        reference.zero_grad()
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_frozen_parameters_and_missing_gradients_are_left_alone(kind):
    net = network()
    net[0].requires_grad_(False)
    before = copy.deepcopy(net.state_dict())
    optimizer = Optimizer(kind, net.parameters(), 0.1)
    optimizer.learning_rate = 0.1
    net[4].weight.grad = torch.ones_like(net[4].weight)
    optimizer.step()
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"4.weight"}


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_reset_forgets(kind):
    def after_two_steps(reset):
        net = network()
        optimizer = Optimizer(kind, net.parameters(), 0.0)
        optimizer.learning_rate = 0.1
        for scale in (1.0, -3.0):
            for p in net.parameters():
                p.grad = scale * torch.ones_like(p)
            optimizer.step()
            if reset:
                optimizer.reset()
        return net[4].bias.detach()

    assert not torch.allclose(after_two_steps(True), after_two_steps(False))


def test_a_gradient_scaler_can_step_it():
    net = network()
    optimizer = Optimizer("sgd", net.parameters(), 0.0)
    optimizer.learning_rate = 0.1
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    before = net[4].bias.detach().clone()
    scaler.scale(net[4].bias.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    torch.testing.assert_close(net[4].bias, before - 0.1 * 1.9)
    net[4].bias.grad = torch.full_like(net[4].bias, torch.inf)
    scaler.step(optimizer)
    torch.testing.assert_close(net[4].bias, before - 0.1 * 1.9)


def test_torch_dynamo_is_not_imported():
    code = (
        "import sys, torch\nfrom nni_nasoa.training.optimizers import Optimizer\n"
        "for kind in ('sgd', 'adamw'):\n p = torch.nn.Parameter(torch.ones(2, 2)); o = Optimizer(kind, "
        "[p], 0.1); "
        "p.grad = torch.ones(2, 2); o.learning_rate = 0.1; o.step()\nsys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_parameters_step_at_their_own_share_of_the_rate(kind):
    slow, fast = (torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    optimizer = Optimizer(kind, [slow, fast], 0.0, relative_rates={slow: 0.25})
    optimizer.learning_rate = 0.1
    for _ in range(3):
        for parameter in (slow, fast):
            parameter.grad = torch.full_like(parameter, 0.3)
        optimizer.step()
    assert torch.allclose(1 - slow, 0.25 * (1 - fast)) and (fast < 1).all()


def test_without_shares_groups_are_the_decayed_and_the_others():
    weight, bias = torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.ones(3))
    groups = Optimizer("sgd", [bias, weight], 0.01).param_groups
    assert [(group["weight_decay"], group["rate"]) for group in groups] == [(0.01, 1.0), (0.0, 1.0)]
    assert groups[0]["params"][0] is weight and groups[1]["params"][0] is bias
