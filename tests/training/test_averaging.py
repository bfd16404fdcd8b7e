"""The average of weights against the sum that it stands for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nni_nasoa.training.averaging import WeightAverage
from nni_nasoa.training.trainable import Trainable
from nni_nasoa.zoo.staged import Staged


@pytest.fixture
def module():
    torch.manual_seed(0)
    stages = [
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    ]
    view = Staged(stages, nn.Linear(4, 2), (0.5,) * 3, (0.5,) * 3, 8)
    return Trainable(view.freeze(1), 1)


def drift(module, step):
    """A step of training, and statistics of normalisation that change."""
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(step + 1.0)
    module.network.train()
    module.network(torch.randn(4, 3, 8, 8))
    module.network.eval()


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_it_is_the_weighted_mean_of_what_was_there_after_each_step(module, share):
    average, states = WeightAverage(module, share), []
    for step in range(30):
        drift(module, step)
        average.update()
        states.append({name: tensor.clone() for name, tensor in module.state_dict().items()})
    weights = [1.0]
    for step in range(1, 30):
        new = 1 / (1 + share * step)
        weights = [weight * (1 - new) for weight in weights] + [new]
    assert sum(weights) == pytest.approx(1)
    last = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with average.in_place():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                assert torch.equal(tensor, last[name])
                continue
            expected = sum(weight * state[name] for weight, state in zip(weights, states))
            assert torch.allclose(tensor, expected, rtol=1e-4, atol=1e-4), name
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, last[name])


def test_without_a_step_there_is_nothing_to_put_in_place(module):
    average = WeightAverage(module, 0.1)
    drift(module, 0)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with average.in_place():
        assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    average.update()
    drift(module, 1)
    average.restart()
    drift(module, 2)
    average.update()
    with average.in_place():
        found = module.network.head.weight.clone()
    assert torch.equal(found, module.network.head.weight)
