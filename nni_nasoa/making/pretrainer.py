"""The training of one network on fractal images, epoch by epoch; see `pretrain`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from nni_nasoa.architecture import Architecture
from nni_nasoa.data import ImageSplit
from nni_nasoa.device.lock import device_lock
from nni_nasoa.device.precision import mixed_precision
from nni_nasoa.files import replacing
from nni_nasoa.networks import ETNet
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.optimizers import Optimizer
from nni_nasoa.training.schedule import warmup_cosine
from nni_nasoa.training.supervised import epoch, logits_of, share_right, steps_of_epoch, train_step
from nni_nasoa.values import reason

from .pretraining_recipe import MEAN, STD, PretrainError, PretrainRecipe


def read_checkpoint(path: Path, identity: str, device: str | torch.device = "cpu") -> dict[str, Any] | None:
    """What an interrupted run has left, None if nothing.

    Raises
    ------
    PretrainError
        It is of another network or recipe, or cannot be read.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
        found = state["identity"]
    except Exception as error:  # a damaged file can fail in any way
        raise PretrainError(
            f"{path}: not a checkpoint that can be read ({reason(error)}); delete the file"
        ) from None
    if found != identity:
        raise PretrainError(
            f"{path}: checkpoint of another network or recipe; go on with that one, or delete the file"
        )
    return state


class Pretrainer:
    """The training of one network, epoch by epoch, with a checkpoint after each."""

    def __init__(
        self,
        architecture: Architecture,
        split: ImageSplit,
        recipe: PretrainRecipe,
        device: torch.device,
        checkpoint: Path,
        identity: str,
    ) -> None:
        self.recipe, self.device, self.checkpoint, self.identity = recipe, device, checkpoint, identity
        self.generator, self.dtype = torch.Generator(device), mixed_precision(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.network = ETNet(architecture, recipe.classes)
        self.network.to(device).to(memory_format=torch.channels_last)
        normalization = Normalization.of(MEAN, STD)
        self.train = Images(split.train, device, normalization, "crop", generator=self.generator)
        self.val = Images(split.val, device, normalization)
        self.optimizer = Optimizer("adamw", self.network.parameters(), recipe.weight_decay)
        self.history: list[dict[str, Any]] = []
        self._resume()

    def epochs(self) -> Iterator[dict[str, Any]]:
        """Train the epochs that are left; yields the record of each."""
        begin = time.monotonic() - (self.history[-1]["seconds"] if self.history else 0)
        for number in range(len(self.history), self.recipe.epochs):
            loss = self._epoch(number)
            if not math.isfinite(loss):
                name = self.checkpoint.name.removesuffix(".partial.pth")
                raise PretrainError(
                    f"{name}: the loss is not finite in epoch {number + 1}; "
                    f"a learning rate below {self.recipe.learning_rate:g} may help"
                )
            self.history.append(
                {
                    "number": number + 1,
                    "loss": round(loss, 4),
                    "accuracy": round(self._accuracy(), 5),
                    "seconds": round(time.monotonic() - begin, 1),
                }
            )
            self._keep()
            yield self.history[-1]

    def _epoch(self, number: int) -> float:
        recipe = self.recipe
        steps = steps_of_epoch(len(self.train), recipe.batch_size)
        # A seed for each epoch, so that a resumed run sees what an uninterrupted one sees.
        self.generator.manual_seed(recipe.seed * 1_000_003 + number)
        total = torch.zeros((), device=self.device)
        self.network.train()
        for step, indices in enumerate(epoch(len(self.train), recipe.batch_size, self.generator)):
            progress = (number * steps + step) / (recipe.epochs * steps)
            self.optimizer.learning_rate = recipe.learning_rate * warmup_cosine(progress, recipe.warmup)
            with device_lock(self.device, shared=True):  # whoever measures on this device is alone meanwhile
                total += train_step(
                    self.network,
                    self.optimizer,
                    self.train.augmented(indices),
                    self.train.labels[indices],
                    label_smoothing=recipe.label_smoothing,
                    dtype=self.dtype,
                )
        return total.item() / steps

    def _accuracy(self) -> float:
        return share_right(logits_of(self.network, self.val, dtype=self.dtype), self.val.labels)

    def _keep(self) -> None:
        moments = [
            {key: group[key] for key in ("momenta", "squares", "steps")}
            for group in self.optimizer.param_groups
        ]
        state = {
            "identity": self.identity,
            "history": self.history,
            "network": self.network.state_dict(),
            "optimizer": moments,
        }
        with replacing(self.checkpoint) as draft:
            torch.save(state, draft)

    def _resume(self) -> None:
        if (state := read_checkpoint(self.checkpoint, self.identity, self.device)) is None:
            return
        self.network.load_state_dict(state["network"])
        for group, kept in zip(self.optimizer.param_groups, state["optimizer"]):
            group.update(kept)
        self.history = state["history"]
