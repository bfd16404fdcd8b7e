"""Proxy training: a short, fast training run whose accuracy ranks the candidates of a search (NASOA, section 3.1).

The same recipe for every candidate: SGD with Nesterov momentum, linear warm-up and cosine annealing, label smoothing,
weight decay on weights alone, random shifts and mirroring. Images stay uint8 until the batch that uses them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.sgd import (
    sgd,  # the class torch.optim.SGD imports torch._dynamo, which takes longer than a short training
)

from nni_nasoa.architecture import Architecture
from nni_nasoa.data import ImageArrays, ImageSplit
from nni_nasoa.data.tensors import to_tensors

from .speed import device_lock

EVAL_BATCH = 256
# Steps that share one hold of the device's lock. A GPU runs behind: it has to catch up before the lock is given back.
STEPS_A_LOCK = {"cuda": 8}


class ProxyError(RuntimeError):
    """A training run that cannot give an accuracy. The message is one line."""


class Batches:
    """Draws batches of one part of a dataset on the device, in channels_last order.

    Images that do not lie on the device (see `data.tensors.to_tensors`) travel batch by batch.
    """

    def __init__(self, part: ImageArrays, device: torch.device):
        self.images, self.labels = to_tensors(part, device)
        self.device = device
        self.size = part.images.shape[-1]

    def __len__(self):
        return len(self.labels)

    def plain(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Images start..stop as they are, (n, 3, size, size) uint8, with their labels."""
        images = self.images[start:stop].to(self.device)
        return images.contiguous(memory_format=torch.channels_last), self.labels[start:stop]

    def augmented(
        self, indices: Tensor, shift: int, mirror: bool, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Images of `indices`, each shifted by up to `shift` pixels (edges repeated) and, with `mirror`, half of them mirrored.

        Drawing, shifting, mirroring and the change to channels_last are one gather.
        """
        n, place, device = len(indices), torch.arange(self.size, device=self.device), self.device
        offset = torch.randint(-shift, shift + 1, (2, n, 1), generator=generator, device=device)
        rows, columns = (place + offset).clamp_(0, self.size - 1)
        if mirror:
            flipped = torch.rand((n, 1), generator=generator, device=device) < 0.5
            columns = torch.where(flipped, columns.flip(1), columns)
        where = self.images.device
        images = self.images[
            indices.to(where)[:, None, None], :, rows.to(where)[:, :, None], columns.to(where)[:, None, :]
        ]
        return images.to(device).permute(0, 3, 1, 2), self.labels[indices]


def learning_rate_at(step: int, steps: int, warmup: int) -> float:
    """Share of the peak learning rate at `step` of `steps`: linear warm-up, then half a cosine down to 0."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


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
    device="cpu",
    seed: int = 0,
    on_epoch: Callable[[int, float], None] | None = None,
) -> float:
    """Train a network from where it stands, and return its accuracy.

    Parameters
    ----------
    network
        Takes images (n, 3, size, size), returns logits. It is moved to the device and left there, in eval mode.
    split
        The data; a last batch that is not full is left out of an epoch.
    epochs, batch_size
        Passes over the training part, and images a step (2 or more).
    learning_rate, momentum, weight_decay, label_smoothing
        Of SGD and the cross-entropy; the rate is the peak. Biases and normalisation are not decayed.
    warmup
        Share of all steps in which the learning rate rises.
    device
        Where to train. On CUDA, forward and backward run in bfloat16 where the device has it.
    seed
        Of the order of the images and of augmentation. Initial weights are the network's own.
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
    network.to(device=device, memory_format=torch.channels_last)
    train, val = Batches(split.train, device), Batches(split.val, device)
    prepare = _normalization(train)
    generator = torch.Generator(device).manual_seed(seed)
    groups = _parameter_groups(network, weight_decay)
    batch_size = min(batch_size, len(train))
    steps = len(train) // batch_size
    warmup_steps = max(1, round(warmup * epochs * steps))
    shift = max(1, split.input_size // 8)
    accuracy = 0.0
    for epoch in range(epochs):
        network.train()
        order = torch.randperm(len(train), generator=generator, device=device)
        total = torch.zeros((), device=device)
        for some in _in_groups(range(steps), STEPS_A_LOCK.get(device.type, 1)):
            with _shared_lock(device):
                for i in some:
                    images, labels = train.augmented(
                        order[i * batch_size : (i + 1) * batch_size], shift, split.mirrored, generator
                    )
                    with _autocast(device):
                        logits = network(prepare(images))
                    loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
                    loss.backward()
                    _step(
                        groups,
                        learning_rate * learning_rate_at(epoch * steps + i, epochs * steps, warmup_steps),
                        momentum,
                    )
                    total += loss.detach()
        if not math.isfinite(total.item()):
            raise ProxyError(
                f"the loss is not finite after epoch {epoch + 1}; a learning rate below {learning_rate:g} may help"
            )
        accuracy = evaluate(network, val, prepare)
        if on_epoch is not None:
            on_epoch(epoch + 1, accuracy)
    return accuracy


def check_fits(network: nn.Module, split: ImageSplit, batch_size: int) -> None:
    """Raise ProxyError where a network cannot train on images of this size, or on so few."""
    if (architecture := getattr(network, "architecture", None)) is not None:
        check_input_size(architecture, split.input_size)
    if min(batch_size, len(split.train)) < 2:
        raise ProxyError(
            f"batch size {batch_size} of {len(split.train)} training images: BatchNorm needs two images a step"
        )


def check_input_size(architecture: Architecture, input_size: int, name: str = "input size") -> None:
    """Raise ProxyError where the strides would leave less than a pixel of an image."""
    if input_size < architecture.total_stride:
        raise ProxyError(
            f"{name} {input_size} is too small: {len(architecture.macro.stages)} stages have a total stride of "
            f"{architecture.total_stride}; take a larger {name} or fewer stages"
        )


@torch.inference_mode()
def evaluate(network: nn.Module, batches: Batches, prepare: Callable[[Tensor], Tensor]) -> float:
    """Share of the images that the network, in eval mode, gives the right class."""
    network.eval()
    correct = torch.zeros((), dtype=torch.int64, device=batches.device)
    for start in range(0, len(batches), EVAL_BATCH):
        with _shared_lock(batches.device):
            images, labels = batches.plain(start, start + EVAL_BATCH)
            with _autocast(batches.device):
                correct += (network(prepare(images)).argmax(1) == labels).sum()
    return correct.item() / len(batches)


def mixed_precision(device: torch.device) -> torch.dtype | None:
    """The type for automatic mixed precision on this device, or None."""
    return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else None


def _autocast(device: torch.device):
    dtype = mixed_precision(device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


@contextmanager
def _shared_lock(device: torch.device):
    """Work on the device while nobody measures on it."""
    with device_lock(device, shared=True):
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)


def _in_groups(numbers: range, size: int) -> Iterator[range]:
    return (numbers[start : start + size] for start in range(0, len(numbers), size))


def _normalization(batches: Batches) -> Callable[[Tensor], Tensor]:
    """uint8 images to floats of mean 0 and deviation 1 in each channel, as measured on some of them."""
    some = batches.images[:: max(1, len(batches) // 1000)].to(batches.device).float()
    mean, deviation = some.mean((0, 2, 3), keepdim=True), some.std((0, 2, 3), keepdim=True).clamp_(min=1)
    return lambda images: (images.float() - mean) / deviation


def _parameter_groups(
    network: nn.Module, weight_decay: float
) -> list[tuple[list[Tensor], list[Tensor | None], float]]:
    """(parameters, their momenta, weight decay) of weights, and of biases and normalisation."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    decayed, others = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    return [
        (group, [None] * len(group), decay)
        for group, decay in ((decayed, weight_decay), (others, 0.0))
        if group
    ]


@torch.no_grad()
def _step(groups, learning_rate: float, momentum: float) -> None:
    for parameters, momenta, decay in groups:
        sgd(
            parameters,
            [p.grad for p in parameters],
            momenta,
            foreach=True,
            lr=learning_rate,
            momentum=momentum,
            dampening=0,
            weight_decay=decay,
            nesterov=True,
            maximize=False,
        )
        for p in parameters:
            p.grad = None
