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


@pytest.mark.parametrize("scaler", [None, torch.amp.GradScaler("cpu", init_scale=2.0**8)])
def test_gradients_are_clipped_to_a_norm(blobs, shallow, scaler):
    """Of plain SGD, without what it remembers, the first step is as long as the gradient."""
    lengths = []
    for clip_grad in (0.0, 0.01, 100.0):
        torch.manual_seed(1)
        network = shallow()
        made = stepper(blobs, network, scaler=scaler, clip_grad=clip_grad, weight_decay=0.0)
        made.optimizer.nesterov, made.optimizer.learning_rate = False, 1.0
        before = [parameter.detach().clone() for parameter in network.parameters()]
        made.step(cheap=False)
        change = [(old - new).flatten() for old, new in zip(before, network.parameters())]
        lengths.append(torch.cat(change).norm().item())
    free, clipped, wide = lengths
    assert clipped == pytest.approx(0.01, rel=1e-3) and wide == pytest.approx(free, rel=1e-5) and free > 0.02


def test_batches_are_mixed_in_one_way_or_the_other(blobs, shallow):
    made = stepper(blobs, shallow(), mixup=0.4, cutmix=1.0)
    zeros, eye = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 16, 16), torch.eye(8)
    ways = set()
    for _ in range(40):
        mixed, _ = made._mixed(zeros, eye)
        ways.add(bool((mixed == mixed.round()).all()))
    assert ways == {True, False}  # cutmix leaves values as they are


def test_a_run_that_is_cut_to_its_head_mixes_no_parts_of_images(blobs, shallow):
    made = stepper(blobs, shallow(), head_only=True, cutmix=1.0)
    made.step(cheap=False)
    assert made.steps == 1
