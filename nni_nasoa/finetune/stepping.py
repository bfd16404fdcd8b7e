"""Training steps: which images, mixed how, forward, backward, and the optimiser."""

from __future__ import annotations

import random
from typing import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nni_nasoa.data.augment import mixup

from .devices import autocast, precision
from .distributed import Alone, Together
from .inputs import Inputs
from .optimizers import Optimizer
from .regime import FineTuneRegime
from .results import FineTuneError


class Stepper:
    """Takes training steps of one process.

    Parameters
    ----------
    module, classes
        From inputs to logits of the `classes`; what of it requires gradients is trained.
    inputs
        Inputs of this process's images.
    regime, group
        Of the run. The batch of the regime is that of all processes together.
    seed
        Of the order of images, and of mixup.
    head_only
        The head, where `module` is no more than that and this process is alone: its gradients need no autograd.
    """

    def __init__(self, module: nn.Module, classes: int, inputs: Inputs, regime: FineTuneRegime, group: Alone | Together, seed: int,
                 head_only: nn.Linear | None = None):
        self.module, self.classes, self.inputs, self.regime, self.group = module, classes, inputs, regime, group
        self._head = head_only
        self.device = inputs.labels.device
        self.batch = batch_of_process(regime, inputs, group)
        self.rate_scale = 1.0
        self.steps, self.images = 0, 0
        self.optimizer = Optimizer(regime.optimizer, module.parameters(), regime.weight_decay)
        self._scaler = torch.amp.GradScaler("cuda") if precision(self.device) == torch.float16 else None
        self._mixup = random.Random(seed)
        self._indices = self._index_stream(torch.Generator().manual_seed(seed + group.rank))

    def step(self, cheap: bool) -> Tensor:
        """Take a step at the optimiser's learning rate; the loss, on the device.

        With `cheap`, no features of frozen stages are computed: images take part whose features are kept.
        """
        indices = next(self._indices)
        if cheap:
            indices = self.inputs.cheap(indices)
        inputs = self.inputs.training(indices, renew=not cheap)
        targets = self._targets(self.inputs.labels[indices.to(self.device)])
        if self.regime.mixup:
            share = self._mixup.betavariate(self.regime.mixup, self.regime.mixup)
            inputs, targets = mixup(inputs, targets, share, self.inputs.images.generator)
        if self._head is not None:
            loss = head_gradients(self._head, inputs, targets)
            self.optimizer.step()
        else:
            with autocast(self.device):
                logits = self.module(inputs)
            loss = F.cross_entropy(logits.float(), targets)
            self._backward(loss)
        self.optimizer.zero_grad()
        self.steps += 1
        self.images += len(indices) * self.group.size
        return loss.detach()

    def _backward(self, loss: Tensor) -> None:
        if self._scaler is None:
            loss.backward()
            self.optimizer.step()
        else:
            self._scaler.scale(loss).backward()
            self._scaler.step(self.optimizer)
            self._scaler.update()

    def _targets(self, labels: Tensor) -> Tensor:
        """Smoothed probabilities (n, classes) of labels (n,)."""
        smoothing, classes = self.regime.label_smoothing, self.classes
        return torch.full((len(labels), classes), smoothing / classes, device=self.device).scatter_(
            1, labels[:, None], 1 - smoothing + smoothing / classes)

    def _index_stream(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Batches of indices, from one random order of all images after the other; none is smaller than the others."""
        queue = torch.empty(0, dtype=torch.long)
        while True:
            while len(queue) < self.batch:
                queue = torch.cat([queue, torch.randperm(len(self.inputs), generator=generator)])
            batch, queue = queue[:self.batch], queue[self.batch:]
            yield batch

    def halve_batch(self) -> str:
        """Go on with half the batch and half the learning rate; a line that says so.

        Raises
        ------
        FineTuneError
            The batch cannot be halved.
        """
        if self.group.size > 1:
            raise FineTuneError(f"out of memory at {self.batch} images a process; give a smaller batch size")
        if self.batch < 4:
            raise FineTuneError(f"out of memory at {self.batch} images a step, the fewest that can be; give a smaller input size or model")
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.batch //= 2
        self.rate_scale /= 2
        return f"out of memory: batch size {self.batch} from here on, and half the learning rate"


@torch.no_grad()
def head_gradients(head: nn.Linear, features: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of a linear head, whose gradients are set.

    Autograd's bookkeeping would take most of the time of a step on features that are kept.

    Parameters
    ----------
    features, targets
        (n, width), and probabilities (n, classes).
    """
    features = features.float()
    log_probabilities = F.linear(features, head.weight, head.bias).log_softmax(1)
    errors = log_probabilities.exp().sub_(targets).div_(len(features))
    head.weight.grad = errors.T @ features
    if head.bias is not None:
        head.bias.grad = errors.sum(0)
    return -(targets * log_probabilities).sum() / len(features)


def batch_of_process(regime: FineTuneRegime, inputs: Inputs, group: Alone | Together) -> int:
    """Images a step of one process: not more than there are, and two at least, for BatchNorm."""
    return max(2, min(regime.batch_size // group.size, len(inputs)))
