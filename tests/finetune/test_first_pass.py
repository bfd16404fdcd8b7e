from __future__ import annotations

import pytest
import torch
from torch import nn

from nni_nasoa.device.turns import Turns
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.finetune.context import RunContext
from nni_nasoa.finetune.first_pass import FirstPass
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.inputs import Inputs

CPU = torch.device("cpu")


class Time:
    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def make(digits, shallow, time):
    def make(seconds_per_image=0.0, limit=10**9, frozen=0):
        class Costly(nn.Module):
            def forward(self, x):
                if len(x) > limit:
                    raise torch.OutOfMemoryError("out of memory")
                time.seconds += seconds_per_image * len(x)
                return x

        torch.manual_seed(0)
        network = shallow(classes=10, width=32)
        network.stages[0].append(Costly())
        view = network.view().eval()
        inputs = Inputs(Images(digits.train, CPU, Normalization.of((0.5,) * 3, (0.25,) * 3)), view, frozen)
        return (
            FirstPass(
                view, torch.randperm(len(inputs)), RunContext(Clock(1e6, now=time), CPU, Turns(CPU, 0))
            ),
            inputs,
            view,
        )

    return make


def test_times_an_image_and_stops_when_it_is_told_to(make):
    seen, inputs, _ = make(seconds_per_image=0.01)
    seen.run(inputs, lambda seconds: seconds < 1)
    assert (
        100 <= seen.images <= 110
        and seen.seconds_per_image == pytest.approx(0.01) == seen.least_seconds_per_image
    )


def test_a_network_that_is_slow_sees_two_small_chunks_at_least(make):
    seen, inputs, _ = make(seconds_per_image=5)
    seen.run(inputs, lambda seconds: False)
    assert seen.images == 8 and seen.seconds_per_image == pytest.approx(5)


def test_the_head_learns_and_more_images_make_it_better(make, digits):
    seen, inputs, view = make()
    labels, accuracies = torch.from_numpy(digits.train.labels), []
    for images in (60, 1438):
        seen.run(inputs, lambda _, images=images: seen.images < images)
        seen.fit_head(0.1, None)
        with torch.no_grad():
            accuracies.append(
                (view(inputs.clean(torch.arange(1438))).argmax(1) == labels).float().mean().item()
            )
    assert seen.images == 1438 and 0.3 < accuracies[0] < accuracies[1]


def test_features_are_kept_for_a_head_that_is_trained_on_them(make):
    seen, inputs, view = make()
    seen.run(inputs, lambda _: seen.images < 100)
    indices = torch.cat([indices for indices, _ in seen.kept])
    assert torch.equal(indices, seen.order[: seen.images])
    head_inputs = Inputs(inputs.images, view, 3)
    for indices, features in seen.kept:
        head_inputs.keep(indices, features)
    with torch.no_grad():
        torch.testing.assert_close(
            head_inputs.clean(seen.order[:50]), view.forward_stages(inputs.clean(seen.order[:50]))
        )
    assert head_inputs.computed == 0
    before = seen.images
    seen.run(head_inputs, lambda _: seen.images < 400)
    assert seen.images >= 400 and head_inputs.computed == seen.images - before


def test_out_of_memory_halves_the_chunk(make):
    (seen, inputs, view), sizes = make(limit=10), []
    view.stages[0].register_forward_pre_hook(lambda stage, inputs: sizes.append(len(inputs[0])))
    seen.run(inputs, lambda _: seen.images < 100)
    assert seen.images >= 100 and 10 < max(sizes) <= 16


def test_the_only_image_of_a_class_is_not_held_out(make, digits):
    """With one image a class, and one in five held out, a fifth of the classes were never predicted."""
    seen, inputs, view = make()
    labels = torch.from_numpy(digits.train.labels)
    seen.order = torch.stack([torch.nonzero(labels == label)[0, 0] for label in range(10)])
    seen.run(inputs, lambda _: True)
    seen.fit_head(0.0, None)
    with torch.no_grad():
        logits = view(inputs.clean(seen.order))
    assert (logits.argmax(1) == labels[seen.order]).all() and logits.softmax(1).amax(1).mean() < 0.95
