"""An average of the weights that training goes through, which is often better than where it ends.

The latest steps count most, and how many they are grows with the number of steps, as a run by the clock does
not know how many it will take: polynomial-decay averaging (Shamir and Zhang, "Stochastic Gradient Descent for
Non-smooth Optimization", ICML 2013, arXiv 1212.1824).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .trainable import Trainable


class WeightAverage:
    """An average of what training changes, beside a module.

    Parameters
    ----------
    module
        Whose trained parameters and own buffers are averaged.
    share
        About which share of the steps so far the average is over, the latest ones; above 0 to 1.
    """

    def __init__(self, module: Trainable, share: float) -> None:
        trained = [parameter.data for parameter in module.parameters() if parameter.requires_grad]
        self._tensors = [*trained, *module.own_buffers()]
        self._averages = [tensor.clone() for tensor in self._tensors]
        self._share, self._steps = share, 0

    @torch.no_grad()
    def update(self) -> None:
        """A step was taken."""
        weight = 1 / (1 + self._share * self._steps)
        self._steps += 1
        for average, tensor in zip(self._averages, self._tensors):
            if average.is_floating_point():
                average.lerp_(tensor, weight)
            else:  # the count of batches that normalisation keeps
                average.copy_(tensor)

    def restart(self) -> None:
        """Forget all: the next step is the first one."""
        self._steps = 0

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The module has the average inside the context, and what it had after it."""
        if self._steps == 0:
            yield
            return
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for average, tensor in zip(self._averages, self._tensors):
            kept: Tensor = tensor.clone()
            tensor.copy_(average)
            average.copy_(kept)
