"""Evaluations that can be cut short, and two states compared fairly all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nni_nasoa.device.out_of_memory import is_out_of_memory
from nni_nasoa.device.precision import autocast
from nni_nasoa.training.inputs import Inputs

from .context import RunContext

MAX_BATCH = 512


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a state of the network does on the validation images.

    Parameters
    ----------
    correct
        Which of this process's images it gives the right class, in the order of evaluation; (n,) bool on the
        CPU. None where that is not known, as the evaluation was an earlier run's.
    accuracy, loss
        Over the images of all processes.
    images
        How many those are.
    complete
        Whether time sufficed for all that were to be evaluated.
    """

    correct: Tensor | None
    accuracy: float
    loss: float
    images: int
    complete: bool


class Validation:
    """Evaluates a network on a fixed random selection of the validation images, each process on its share.

    Parameters
    ----------
    inputs
        Inputs of the trainable part, from this process's images.
    order
        Their indices, shuffled, so that the first ones stand for all.
    context
        Of the run.
    """

    def __init__(self, inputs: Inputs, order: Tensor, context: RunContext) -> None:
        self.inputs, self.order, self.context = inputs, order, context
        self.batch = MAX_BATCH

    @torch.no_grad()
    def evaluate(self, trainable: nn.Module, in_time: Callable[[], bool]) -> Evaluation:
        """Evaluate, at least one batch, then for as long as `in_time` says.

        `trainable` is in eval mode.
        """
        correct, losses, start = [], torch.zeros((), device=self.inputs.labels.device), 0
        while start < len(self.order) and (start == 0 or in_time()):
            indices = self.order[start : start + self.batch]
            try:
                with self.context.turns.turn():
                    right, loss = self._batch(trainable, indices)
            except RuntimeError as error:
                if not is_out_of_memory(error) or self.batch == 1:
                    raise
                self.batch //= 2
                continue
            correct.append(right)
            losses += loss
            start += len(indices)
        right = torch.cat(correct) if correct else torch.zeros(0, dtype=torch.bool)
        sums = torch.tensor(
            [right.sum().item(), losses.item(), len(right), start < len(self.order)],
            dtype=torch.float64,
            device=losses.device,
        )
        self.context.group.sum([sums])
        hits, loss, images, cut_short = sums.tolist()
        return Evaluation(right, hits / max(1, images), loss / max(1, images), int(images), cut_short == 0)

    def _batch(self, trainable: nn.Module, indices: Tensor) -> tuple[Tensor, Tensor]:
        inputs, labels = self.inputs.clean(indices), self.inputs.labels[indices.to(self.inputs.labels.device)]
        with autocast(labels.device, self.inputs.network.forward_type):
            logits = trainable(inputs)
        return (logits.argmax(1) == labels).cpu(), F.cross_entropy(logits.float(), labels, reduction="sum")

    def better(self, new: Evaluation, old: Evaluation | None) -> bool:
        """Whether the new state is as good as the old one or better, on the images that both have seen."""
        if old is None:
            return True
        if new.correct is None or old.correct is None:
            return new.accuracy >= old.accuracy
        seen = min(len(new.correct), len(old.correct))
        difference = torch.tensor(
            [float(new.correct[:seen].sum()) - float(old.correct[:seen].sum())],
            dtype=torch.float64,
            device=self.inputs.labels.device,
        )
        self.context.group.sum([difference])
        return difference.item() >= 0
