"""The first look at the images: how fast the network is here, and a head in closed form."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Callable

import torch
from torch import Tensor, nn

from .clock import CHUNK_SECONDS, Clock
from .courtesy import Courtesy
from .devices import autocast, is_out_of_memory, synchronize
from .distributed import Alone, Together
from .head_start import HELD_OUT, ClassStatistics, set_head
from .inputs import Inputs

FIRST_CHUNK, MAX_CHUNK = 4, 256
MIN_CHUNKS = 3
MAX_HELD_OUT = 2000
HEAD_NORM = 1.0  # of a class's weights at the start; trained heads have about that


@dataclass(frozen=True)
class FirstPass:
    """What was learned.

    Parameters
    ----------
    seconds_per_image, least_seconds_per_image
        Of a forward pass through the whole network, in eval mode: typical, and the best that was seen.
    images
        How many were seen, by this process.
    """

    seconds_per_image: float
    least_seconds_per_image: float
    images: int


@torch.no_grad()
def first_pass(trainable: nn.Module, head: nn.Linear, inputs: Inputs, order: Tensor, clock: Clock, group: Alone | Together, courtesy: Courtesy, *,
               fit_head: bool, label_smoothing: float, go_on: Callable[[float], bool]) -> FirstPass:
    """Run images through the network, in eval mode, and fit its head to their features.

    Parameters
    ----------
    trainable
        Gives the features of inputs.
    head
        Set in place where `fit_head` says so, for training with `label_smoothing`.
    order
        Indices of images, shuffled.
    go_on
        Called before each chunk after the third with the seconds of this pass so far.
    """
    begin, start, chunk, timed = clock.now(), 0, FIRST_CHUNK, []
    device = inputs.labels.device
    sums = ClassStatistics(head.out_features, head.in_features, device) if fit_head else None
    held_features, held_labels, held = [], [], 0
    while start < len(order) and (len(timed) < MIN_CHUNKS or go_on(clock.now() - begin)):
        indices = order[start:start + chunk]
        try:
            with courtesy.turn():
                chunk_begin = clock.now()
                features = _features(trainable, inputs.clean(indices), device)
        except RuntimeError as error:
            if not is_out_of_memory(error) or chunk == 1:
                raise
            chunk //= 2
            continue
        seconds = clock.now() - chunk_begin
        timed.append((len(indices), seconds / len(indices)))
        if sums is not None:
            labels = inputs.labels[indices.to(device)]
            hold = torch.arange(start, start + len(indices), device=device) % round(1 / HELD_OUT) == 1
            if held < MAX_HELD_OUT:
                held_features.append(features[hold])
                held_labels.append(labels[hold])
                held += len(held_labels[-1])
            else:
                hold = torch.zeros_like(hold)
            sums.add(features[~hold], labels[~hold])
        start += len(indices)
        if seconds < CHUNK_SECONDS / 2 and chunk < MAX_CHUNK:
            chunk *= 2
    if sums is not None:
        group.sum(sums.tensors())
        weight, bias = sums.head(use_covariance=sums.images >= 2 * head.out_features)
        set_head(head, weight, bias, torch.cat(held_features), torch.cat(held_labels), label_smoothing=label_smoothing,
                 max_norm=None if inputs.frozen == len(inputs.network.stages) else HEAD_NORM)
    # The first chunk finds kernels and fills caches, and small ones do not fill the device.
    largest = max(size for size, _ in timed[1:] or timed)
    seconds = [each for size, each in timed[1:] or timed if size >= largest / 2]
    return FirstPass(statistics.median(seconds), min(seconds), start)


def _features(trainable: nn.Module, inputs: Tensor, device: torch.device) -> Tensor:
    with autocast(device):
        features = trainable(inputs)
    synchronize(device)
    return features.float()
