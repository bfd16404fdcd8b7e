"""How much memory training needs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from nni_nasoa.advisor.time.memory import BACKWARD, MIB, step_memory
from nni_nasoa.training.regime import OPTIMIZERS
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.staged import staged

SGD, ADAMW = OPTIMIZERS.index("sgd"), OPTIMIZERS.index("adamw")


def saved_by_a_step(view, images):
    """Bytes that a real forward pass leaves for the backward pass, weights not counted."""
    weights = {weight.untyped_storage().data_ptr() for weight in view.parameters()}
    found = {}

    def save(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with saved_tensors_hooks(save, lambda tensor: tensor):
        loss = view(images).sum()  # noqa: F841  (which keeps what was saved)
    return sum(found.values()), max(found.values())


@pytest.mark.parametrize("model", ["nano-b", "nano-e", "mobilenet_v3_small"])
@pytest.mark.parametrize("frozen", [0, 2])
def test_it_is_what_a_step_saves(model, frozen):
    view = staged(create_model(model, num_classes=7), model).freeze(frozen).train()
    with torch.no_grad():
        x = view.forward_stages(torch.rand(8, 3, 64, 64), stop=frozen)
    real, largest = saved_by_a_step(Rest(view, frozen), x)
    counted = step_memory(model, [64], 7)
    weights = sum(weight.nbytes for weight in view.parameters())
    trained = sum(weight.nbytes for weight in view.parameters() if weight.requires_grad)
    assert counted.weights == weights and counted.trained[frozen] == trained
    (mib,) = counted.mib(np.array([frozen]), np.array([8]), np.array([64]), np.array([SGD]))
    images = mib * MIB - weights - 2 * trained
    assert images >= 0.97 * (real + BACKWARD * largest)
    if not frozen:  # else frozen stages may need more for a moment
        assert images == pytest.approx(real + BACKWARD * largest, rel=0.03)


class Rest(torch.nn.Module):
    def __init__(self, view, frozen):
        super().__init__()
        self.view, self.frozen = view, frozen

    def forward(self, x):
        return self.view.head(self.view.forward_stages(x, start=self.frozen))


def test_it_grows_with_what_is_trained_and_with_images():
    counted = step_memory("nano-d", (32, 48, 96), 10)

    def of(*settings):
        return counted.mib(*map(np.atleast_1d, settings))

    by_frozen = of(np.arange(len(counted.trained)), 32, 48, SGD)
    assert (np.diff(by_frozen) < 0).all()
    assert of(9, 32, 48, SGD) == by_frozen[-1]  # more than there are: all of them
    assert of(0, 64, 48, SGD)[0] - of(0, 32, 48, SGD)[0] == pytest.approx(32 * counted.image[48][0] / MIB)
    assert 3.5 < counted.image[96][0] / counted.image[48][0] < 4.5
    assert of(0, 32, 48, ADAMW)[0] - of(0, 32, 48, SGD)[0] == pytest.approx(counted.weights / MIB)


def test_no_memory_is_taken_to_count_it():
    code = (
        "import resource\nimport torchvision\nfrom nni_nasoa.advisor.time.memory import "
        "step_memory\nstep_memory('resnet18', [32], 10)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\ncounted = step_memory('resnet50', "
        "[224], 10)\n"
        "print(counted.image[224][0] / 2**20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - "
        "before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    image, taken = map(float, done.stdout.split())
    assert image > 50 and taken < 60
