from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from nni_nasoa.data import ImageArrays, ImageSplit, open_dataset
from nni_nasoa.zoo.staged import Staged

TINY = "2-_8_2-1-1"  # a network that takes milliseconds a step at 16 pixels


@pytest.fixture(scope="session")
def tiny() -> str:
    """The encoding of a network that trains fast."""
    return TINY


@pytest.fixture(scope="session")
def digits() -> ImageSplit:
    """The embedded digits at 16 pixels."""
    return open_dataset("digits", input_size=16)


@pytest.fixture(scope="session")
def blobs() -> ImageSplit:
    """Two easy classes, bright and dark, for runs that are not about accuracy."""
    generator = torch.Generator().manual_seed(0)

    def part(n):
        labels = torch.arange(n) % 2
        images = (100 * labels.view(-1, 1, 1, 1) + torch.randint(0, 120, (n, 3, 16, 16), generator=generator)).to(torch.uint8)
        return ImageArrays(images.numpy(), labels.numpy())
    return ImageSplit(part(120), part(40), ("dark", "bright"), "blobs")


class Shallow(nn.Module):
    """Three small stages without normalisation, whose features are the same in train and eval mode."""

    def __init__(self, classes: int = 2, width: int = 8):
        super().__init__()
        self.stages = nn.Sequential(nn.Sequential(nn.Conv2d(3, width, 4, 4), nn.ReLU()), nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU()),
                                    nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        self.head = nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.stages(x))

    def view(self) -> Staged:
        """It as the zoo would show it."""
        return Staged(self.stages, self.head, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 16)


@pytest.fixture
def shallow():
    """The class of a network that takes no time."""
    return Shallow


@contextmanager
def under_torchrun(script, *arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # torchrun ends its workers
            process.wait(60)


@pytest.fixture(scope="session")
def two_processes():
    """A context of a script that runs in two processes under torchrun; it is ended afterwards, should it still run."""
    return under_torchrun
