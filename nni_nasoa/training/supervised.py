"""What trainings of a network on labelled images have in common: batches, a step, and what it says then.

Proxy training, landmarks, pretraining and the measuring of steps are made of it. Fine-tuning by the clock has
a step of its own (`stepping`), for frozen stages, soft targets and several processes, and takes its batches
from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nni_nasoa.device.precision import autocast_to

from .images import Images
from .optimizers import Optimizer

EVAL_BATCH = 256


def steps_of_epoch(images: int, batch_size: int) -> int:
    """How many batches `epoch` gives."""
    return images // min(batch_size, images)


def epoch(images: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of indices, on the generator's device, of all images in one random order.

    All have the same size, that of all images at most: what is left over is left out.
    """
    order = torch.randperm(images, generator=generator, device=generator.device)
    size = min(batch_size, images)
    return (order[step * size : (step + 1) * size] for step in range(steps_of_epoch(images, batch_size)))


def endless(batch_size: Callable[[], int], order: Callable[[], Tensor]) -> Iterator[Tensor]:
    """Batches of indices, from one order of all images after the other: none is smaller than it has to be.

    Parameters
    ----------
    batch_size
        Gives the size of the next batch; it may change.
    order
        Draws an order.
    """
    queue = torch.empty(0, dtype=torch.long)
    while True:
        size = batch_size()
        while len(queue) < size:
            queue = torch.cat([queue, order()])
        batch, queue = queue[:size], queue[size:]
        yield batch


def train_step(
    network: nn.Module,
    optimizer: Optimizer,
    images: Tensor,
    labels: Tensor,
    *,
    label_smoothing: float = 0.0,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Take a step at the optimiser's learning rate: forward, cross-entropy, backward, update.

    Parameters
    ----------
    network
        In train mode.
    images, labels
        (n, 3, height, width) float32 as the network wants them, and (n,).
    label_smoothing
        What the cross-entropy gives to all classes alike.
    dtype
        The type of automatic mixed precision, one that needs no scaling of gradients; None for float32.

    Returns
    -------
    The loss before the step, on the device.
    """
    with autocast_to(images.device, dtype):
        logits = network(images)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@torch.inference_mode()
def logits_of(
    network: nn.Module,
    images: Images,
    *,
    batch_size: int = EVAL_BATCH,
    dtype: torch.dtype | None = None,
    turn: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Tensor:
    """What the network, put into eval mode, says of all images as they are: (n, classes), on the device.

    Parameters
    ----------
    batch_size
        Images at once.
    dtype
        As in `train_step`.
    turn
        Gives the context that each batch is computed in.
    """
    network.eval()
    parts = []
    for indices in torch.arange(len(images), device=images.device).split(batch_size):
        with turn(), autocast_to(images.device, dtype):
            parts.append(network(images.clean(indices)))
    return torch.cat(parts)


def share_right(logits: Tensor, labels: Tensor) -> float:
    """The accuracy: the share of images that logits (n, classes) give the class that labels (n,) do."""
    return (logits.argmax(1) == labels).sum().item() / len(labels)
