"""The training of one network on fractal images, epoch by epoch; see `pretrain`."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from nni_nasoa.architecture import Architecture
from nni_nasoa.data import ImageSplit
from nni_nasoa.device.precision import autocast
from nni_nasoa.files import replacing
from nni_nasoa.finetune.clock import learning_rate_share
from nni_nasoa.networks import ETNet
from nni_nasoa.training.inputs import Images
from nni_nasoa.training.optimizers import Optimizer
from nni_nasoa.training.speed import device_lock

from .pretraining_recipe import MEAN, STD, PretrainError, PretrainRecipe

_EVAL_BATCH = 256


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
        reason = " ".join(str(error).split())[:80]
        raise PretrainError(
            f"{path}: not a checkpoint that can be read ({reason}); delete the file"
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
    ):
        self.recipe, self.device, self.checkpoint, self.identity = recipe, device, checkpoint, identity
        self.generator = torch.Generator(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.network = ETNet(architecture, recipe.classes)
        self.network.to(device=device, memory_format=torch.channels_last)
        self.train = Images(split.train, device, MEAN, STD, "crop", generator=self.generator)
        self.val = Images(split.val, device, MEAN, STD)
        self.optimizer = Optimizer("adamw", self.network.parameters(), recipe.weight_decay)
        self.history: list[dict[str, Any]] = []
        self._resume()

    def epochs(self):
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
        steps = max(1, len(self.train) // recipe.batch_size)
        # A seed for each epoch, so that a resumed run sees what an uninterrupted one sees.
        self.generator.manual_seed(recipe.seed * 1_000_003 + number)
        order = torch.randperm(len(self.train), generator=self.generator, device=self.device)
        total = torch.zeros((), device=self.device)
        self.network.train()
        for step in range(steps):
            progress = (number * steps + step) / (recipe.epochs * steps)
            self.optimizer.learning_rate = recipe.learning_rate * learning_rate_share(progress, recipe.warmup)
            with device_lock(
                self.device, shared=True
            ):  # whoever measures times on this device is alone meanwhile
                indices = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
                with autocast(self.device):
                    logits = self.network(self.train.augmented(indices))
                loss = F.cross_entropy(
                    logits.float(), self.train.labels[indices], label_smoothing=recipe.label_smoothing
                )
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                total += loss.detach()
        return total.item() / steps

    def _accuracy(self) -> float:
        self.network.eval()
        correct = 0
        with torch.inference_mode(), autocast(self.device):
            for indices in torch.arange(len(self.val), device=self.device).split(_EVAL_BATCH):
                correct += (
                    (self.network(self.val.clean(indices)).argmax(1) == self.val.labels[indices]).sum().item()
                )
        return correct / len(self.val)

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
