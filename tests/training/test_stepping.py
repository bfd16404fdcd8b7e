from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nni_nasoa.finetune import FineTuneRegime
from nni_nasoa.training.distributed import Alone
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.inputs import Inputs
from nni_nasoa.training.stepping import Stepper, head_gradients


@pytest.mark.parametrize("bias", [True, False])
def test_head_gradients_are_autograds(bias):
    torch.manual_seed(0)
    head, features = nn.Linear(6, 4, bias=bias), torch.randn(10, 6)
    targets = torch.rand(10, 4).softmax(1)
    loss = F.cross_entropy(head(features), targets)
    expected = torch.autograd.grad(loss, list(head.parameters()))
    torch.testing.assert_close(head_gradients(head, features, targets), loss.detach())
    for parameter, gradient in zip(head.parameters(), expected):
        torch.testing.assert_close(parameter.grad, gradient)


class Noting(Inputs):
    """Inputs that note which images are asked for."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.asked = []

    def training(self, indices, renew=True):
        self.asked.append(indices)
        return super().training(indices, renew)


def stepper(blobs, network, head_only=False, by_hand=True, scaler=None, **fields):
    images = Images(
        blobs.train,
        torch.device("cpu"),
        Normalization.of((0.5,) * 3, (0.25,) * 3),
        generator=torch.Generator().manual_seed(0),
    )
    view = network.view()
    frozen = len(view.stages) if head_only else 0
    view.freeze(frozen)
    module = network.head if head_only else network
    made = Stepper(
        module,
        2,
        Noting(images, view, frozen),
        FineTuneRegime("m", **fields),
        Alone(),
        0,
        network.head if head_only and by_hand else None,
        scaler,
    )
    made.optimizer.learning_rate = 0.01
    return made


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_smoothed_cross_entropy(blobs, shallow, smoothing):
    network = shallow()
    made = stepper(blobs, network, label_smoothing=smoothing, batch_size=120)
    labels = torch.from_numpy(blobs.train.labels)
    expected = F.cross_entropy(
        network(made.inputs.clean(torch.arange(120))), labels, label_smoothing=smoothing
    )
    torch.testing.assert_close(made.step(cheap=False), expected.detach())
    assert made.steps == 1 and made.images == 120 and all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("mixup", [0.0, 0.5])
def test_the_head_alone_goes_the_way_of_autograd(blobs, shallow, mixup):
    weights = []
    for by_hand in (True, False):
        torch.manual_seed(1)
        network = shallow()
        made = stepper(blobs, network, head_only=True, by_hand=by_hand, mixup=mixup)
        for _ in range(5):
            made.step(cheap=False)
        weights.append(network.head.weight.detach())
    torch.testing.assert_close(*weights)


def test_every_image_comes_once_before_one_comes_again(blobs, shallow):
    made = stepper(blobs, shallow(), batch_size=50)
    for _ in range(12):
        made.step(cheap=False)
    seen = torch.cat(made.inputs.asked)
    assert len(seen) == 600 and torch.equal(seen.bincount(minlength=120), torch.full((120,), 5))
    assert sorted(seen[:120].tolist()) == list(range(120)) and seen[:120].tolist() != list(range(120))


def test_a_batch_is_never_larger_than_the_images(blobs, shallow):
    assert stepper(blobs, shallow(), batch_size=1000).batch == 120


def test_gradient_scaling_trains(blobs, shallow):
    """The path of GPUs without bfloat16, on the CPU."""
    weights = []
    for scaler in (None, torch.amp.GradScaler("cpu", init_scale=2.0**8)):
        torch.manual_seed(1)
        network = shallow()
        made = stepper(blobs, network, scaler=scaler)
        for _ in range(20):
            made.step(cheap=False)
        weights.append(network.head.weight.detach())
    torch.testing.assert_close(*weights)


def test_a_step_whose_scaled_gradients_are_no_numbers_is_left_out(blobs, shallow):
    scaler, network = torch.amp.GradScaler("cpu", init_scale=2.0**8), shallow()
    made, before = stepper(blobs, network, scaler=scaler), network.head.weight.clone()
    handle = network.head.weight.register_hook(lambda gradient: gradient * float("inf"))
    made.step(cheap=False)
    assert torch.equal(network.head.weight, before) and scaler.get_scale() == 2.0**7
    handle.remove()
    made.step(cheap=False)
    assert not torch.equal(network.head.weight, before) and network.head.weight.isfinite().all()
