"""The first look at the images: how fast the network is here, and a head in closed form."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from nni_nasoa.device.out_of_memory import is_out_of_memory
from nni_nasoa.device.precision import autocast
from nni_nasoa.device.settings import synchronize
from nni_nasoa.training.inputs import Inputs
from nni_nasoa.training.time_shares import CHUNK_SECONDS, FIRST_CHUNK, MAX_CHUNK, MIN_CHUNKS
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged

from .context import RunContext
from .head_start import HELD_OUT, ClassStatistics, set_head

MAX_HELD_OUT = 2000
MAX_KEPT = 2**26  # How many numbers the features that are kept have at most.


class FirstPass:
    """Runs images through the network, in eval mode, for some time; may be continued.

    Parameters
    ----------
    network
        A `zoo.staged` view.
    order
        Indices of images, shuffled.
    context
        What surrounds the run.
    """

    def __init__(self, network: Staged, order: Tensor, context: RunContext) -> None:
        self.network, self.order, self.context, self.clock = network, order, context, context.clock
        self.images = 0  # how many this process has seen
        self.kept: list[tuple[Tensor, Tensor]] = []  # indices and features of the first of them
        self._chunk = FIRST_CHUNK
        self._timed: list[tuple[int, float]] = []  # images and seconds of each chunk
        self._held: list[tuple[Tensor, Tensor]] = []  # features and labels that are held out
        self._tried: set[int] = set()  # sizes of batches
        self._labels = torch.zeros(0, dtype=torch.long)  # of all images, once some were seen
        # The head of a pooled view is fitted to the kept features themselves.
        self._sums = (
            None
            if isinstance(network, PooledStages)
            else ClassStatistics(
                network.head.out_features, network.head.in_features, next(network.parameters()).device
            )
        )

    @torch.no_grad()
    def run(self, inputs: Inputs, go_on: Callable[[float], bool]) -> None:
        """See two more chunks of images, then more while `go_on` says so of the seconds since the call."""
        begin, self._labels = self.clock.now(), inputs.labels
        while self.images < len(self.order) and (
            len(self._timed) < MIN_CHUNKS or go_on(self.clock.now() - begin)
        ):
            indices = self.order[self.images : self.images + self._chunk]
            try:
                with self.context.turns.turn():
                    self._try_kernels(inputs, indices)
                    chunk_begin = self.clock.now()
                    features = self._features(inputs, indices)
                    seconds = self.clock.now() - chunk_begin
            except RuntimeError as error:
                if not is_out_of_memory(error) or self._chunk == 1:
                    raise
                self._chunk //= 2
                continue
            self._timed.append((len(indices), seconds / len(indices)))
            self._take(indices, features, inputs.labels[indices.to(features.device)])
            if seconds < CHUNK_SECONDS / 2 and self._chunk < MAX_CHUNK:
                self._chunk *= 2

    def _try_kernels(self, inputs: Inputs, indices: Tensor) -> None:
        """Have a GPU choose its kernels for a batch of a new size before it is timed.

        That takes far longer than the batch.
        """
        if inputs.labels.device.type == "cuda" and len(indices) not in self._tried:
            self._tried.add(len(indices))
            images = inputs.images.clean(indices)
            with autocast(images.device, self.network.forward_type):
                self.network.forward_stages(images)
            synchronize(images.device)

    def _features(self, inputs: Inputs, indices: Tensor) -> Tensor:
        images = inputs.clean(indices)
        with autocast(images.device, self.network.forward_type):
            features = self.network.forward_stages(images, inputs.frozen)
        synchronize(images.device)
        return features.float()

    def _take(self, indices: Tensor, features: Tensor, labels: Tensor) -> None:
        if (self.images + len(indices)) * features.shape[1] <= MAX_KEPT:
            self.kept.append((indices, features))
        self.images += len(indices)
        if self._sums is None:
            return
        held = (
            torch.arange(self.images - len(indices), self.images, device=features.device)
            % round(1 / HELD_OUT)
            == 1
        )
        if sum(len(labels) for _, labels in self._held) >= MAX_HELD_OUT:
            held = torch.zeros_like(held)
        self._sums.add(features[~held], labels[~held])
        only = held & (self._sums.counts[labels] == 0)  # of its class: without it, that is never predicted
        self._sums.add(features[only], labels[only])
        self._held.append((features[held & ~only], labels[held & ~only]))

    @property
    def seconds_per_image(self) -> float:
        """Seconds that a forward pass through the network takes, typically."""
        return statistics.median(self._rates())

    @property
    def least_seconds_per_image(self) -> float:
        """Seconds that it took in the fastest chunk."""
        return min(self._rates())

    def _rates(self) -> list[float]:
        timed = self._timed[1:] or self._timed
        largest = max(size for size, _ in timed)  # small chunks do not fill the device
        return [seconds for size, seconds in timed if size >= largest / 2]

    def features(self) -> tuple[Tensor, Tensor, Tensor]:
        """Indices, features (n, width) and labels (n,) of the images whose features were kept."""
        indices = torch.cat([indices for indices, _ in self.kept])
        features = torch.cat([features for _, features in self.kept])
        return indices, features, self._labels[indices.to(self._labels.device)]

    def fit_head(self, label_smoothing: float, max_norm: float | None, offsets: Tensor | None = None) -> None:
        """Fit the network's head to the features that all processes have seen; see `head_start.set_head`."""
        assert self._sums is not None, "a pooled view"
        sums = self._sums.copy()
        self.context.group.sum(sums.tensors())
        head = self.network.head
        weight, bias = sums.head(use_covariance=sums.images >= 2 * head.out_features)
        features, labels = (torch.cat(parts) for parts in zip(*self._held))
        set_head(
            head,
            weight,
            bias,
            features,
            labels,
            label_smoothing=label_smoothing,
            max_norm=max_norm,
            offsets=offsets,
        )
        self.context.group.share([p.data for p in head.parameters()])  # each has held out other images
