"""Proxy training: a short training run whose accuracy ranks the candidates of a search (NASOA, section 3.1).

The same recipe for every candidate: SGD with Nesterov momentum, linear warm-up and cosine annealing, label
smoothing, weight decay on weights alone, random shifts and mirroring. Images stay uint8 until the batch that
uses them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nni_nasoa.architecture import Architecture
from nni_nasoa.data import ImageSplit
from nni_nasoa.device.lock import device_lock
from nni_nasoa.device.precision import mixed_precision
from nni_nasoa.device.settings import synchronize

from .images import Images, Normalization
from .optimizers import Optimizer
from .schedule import warmup_cosine
from .supervised import epoch, logits_of, share_right, steps_of_epoch, train_step

# Steps that share one hold of the device's lock. A GPU runs behind: it has to catch up before the lock is
# given back.
STEPS_A_LOCK = {"cuda": 8}


class ProxyError(RuntimeError):
    """A training run that cannot give an accuracy. The message is one line."""


def learning_rate_at(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate at `step` of `steps`; warm-up counts to the end of each step."""
    return warmup_cosine(step + 1 if step < warmup else step, warmup, steps, first=0.0)


def train_proxy(
    network: nn.Module,
    split: ImageSplit,
    *,
    epochs: int = 2,
    batch_size: int = 64,
    learning_rate: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
    label_smoothing: float = 0.1,
    warmup: float = 0.2,
    device: str | torch.device = "cpu",
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> float:
    """Train a network from where it stands, and return its accuracy.

    Parameters
    ----------
    network
        Takes images (n, 3, size, size), returns logits. It is moved to the device and left there, in eval
        mode.
    split
        The data; a last batch that is not full is left out of an epoch.
    epochs, batch_size
        Passes over the training part, and images a step (2 or more).
    learning_rate, momentum, weight_decay, label_smoothing
        What SGD and the cross-entropy take; the rate is the peak. Biases and normalisation are not decayed.
    warmup
        Share of all steps in which the learning rate rises.
    device
        Where to train. On CUDA, forward and backward run in bfloat16 where the device has it.
    seed
        What the order of the images and augmentation follow from. Initial weights are the network's own.
    on_epoch
        Called after each epoch with its number, from 1, and the validation accuracy.

    Returns
    -------
    Validation accuracy after the last epoch, 0 to 1.

    Raises
    ------
    ProxyError
        The images are too small for the network's strides, or the loss is not a number any more.
    """
    check_fits(network, split, batch_size)
    device = torch.device(device)
    torch.backends.cudnn.benchmark = True  # all batches have the same shape
    network.to(device).to(memory_format=torch.channels_last)
    generator, dtype = torch.Generator(device).manual_seed(seed), mixed_precision(device)
    train, val = _images(split, device, generator)
    optimizer = Optimizer("sgd", network.parameters(), weight_decay, momentum=momentum)
    steps = steps_of_epoch(len(train), batch_size)
    warmup_steps = max(1, round(warmup * epochs * steps))
    accuracy = 0.0
    for number in range(epochs):
        network.train()
        total, step = torch.zeros((), device=device), number * steps
        for batches in _in_groups(epoch(len(train), batch_size, generator), STEPS_A_LOCK.get(device.type, 1)):
            with _shared_lock(device):
                for indices in batches:
                    optimizer.learning_rate = learning_rate * learning_rate_at(
                        step, epochs * steps, warmup_steps
                    )
                    total += train_step(
                        network,
                        optimizer,
                        train.augmented(indices),
                        train.labels[indices],
                        label_smoothing=label_smoothing,
                        dtype=dtype,
                    )
                    step += 1
        if not math.isfinite(total.item()):
            raise ProxyError(
                f"the loss is not finite after epoch {number + 1}; "
                f"a learning rate below {learning_rate:g} may help"
            )
        logits = logits_of(network, val, dtype=dtype, turn=lambda: _shared_lock(device))
        accuracy = share_right(logits, val.labels)
        if on_epoch is not None:
            on_epoch(number + 1, accuracy)
    return accuracy


def _images(split: ImageSplit, device: torch.device, generator: torch.Generator) -> tuple[Images, Images]:
    """Both parts, normalised as the training part wants it."""
    normalization = Normalization.measured(split.train, device)
    train = Images(split.train, device, normalization, "crop-flip", split.mirrored, generator)
    return train, Images(split.val, device, normalization)


def check_fits(network: nn.Module, split: ImageSplit, batch_size: int) -> None:
    """Raise ProxyError where a network cannot train on images of this size, or on so few."""
    if (architecture := getattr(network, "architecture", None)) is not None:
        check_input_size(architecture, split.input_size)
    if min(batch_size, len(split.train)) < 2:
        raise ProxyError(
            f"batch size {batch_size} of {len(split.train)} training images: "
            "BatchNorm needs two images a step"
        )


def check_input_size(architecture: Architecture, input_size: int, name: str = "input size") -> None:
    """Raise ProxyError where the strides would leave less than a pixel of an image."""
    if input_size < architecture.total_stride:
        raise ProxyError(
            f"{name} {input_size} is too small: "
            f"{len(architecture.macro.stages)} stages have a total stride of {architecture.total_stride}; "
            f"take a larger {name} or fewer stages"
        )


@contextmanager
def _shared_lock(device: torch.device) -> Iterator[None]:
    """Work on the device while nobody measures on it."""
    with device_lock(device, shared=True):
        yield
        synchronize(device)


def _in_groups(batches: Iterable[Tensor], size: int) -> Iterator[list[Tensor]]:
    batches = iter(batches)
    return iter(lambda: list(itertools.islice(batches, size)), [])
