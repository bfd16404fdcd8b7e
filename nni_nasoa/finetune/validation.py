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
TIE = 1e-9  # Sums of shares that are the same differ by less.


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a state of the network does on the validation images.

    Parameters
    ----------
    correct
        Which of this process's images it gives the right class, in the order of evaluation; (n,) bool on the
        CPU. None where that is not known, as the evaluation was an earlier run's.
    accuracy, balanced_accuracy, loss
        Over the images of all processes: the share of the images that are right, the mean of these shares in
        the classes of which there are images (0 without an image), and the mean cross-entropy.
    images
        How many those are.
    complete
        Whether time sufficed for all that were to be evaluated.
    """

    correct: Tensor | None
    accuracy: float
    balanced_accuracy: float
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
    classes
        How many there are.
    context
        Of the run.
    balanced
        Whether states are compared by balanced accuracy.
    """

    def __init__(
        self, inputs: Inputs, order: Tensor, classes: int, context: RunContext, *, balanced: bool = False
    ) -> None:
        self.inputs, self.order, self.context = inputs, order, context
        self.batch = MAX_BATCH
        self._balanced, self._classes, self._device = balanced, classes, inputs.labels.device
        self._labels = inputs.labels[order.to(self._device)]

    @torch.no_grad()
    def evaluate(self, trainable: nn.Module, in_time: Callable[[], bool]) -> Evaluation:
        """Evaluate, at least one batch, then for as long as `in_time` says.

        `trainable` is in eval mode.
        """
        correct, losses, start = [], torch.zeros((), device=self._device), 0
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
            [losses.item(), start < len(self.order)], dtype=torch.float64, device=self._device
        )
        of_class = self._by_class(right)
        self.context.group.sum([sums, of_class])
        (loss, cut_short), (hits, images) = sums.tolist(), of_class
        total, there = int(images.sum()), images > 0
        accuracy = hits.sum().item() / max(1, total)
        balanced = (hits[there] / images[there]).mean().item() if total else 0.0
        return Evaluation(right, accuracy, balanced, loss / max(1, total), total, cut_short == 0)

    def _by_class(self, values: Tensor) -> Tensor:
        """Sums of the values of as many images, the first ones, and their number, by class: (2, classes)."""
        values = values.to(self._device, torch.float64)
        both = torch.stack([values, torch.ones_like(values)])
        sums = both.new_zeros(2, self._classes)
        return sums.index_add_(1, self._labels[: len(values)], both)

    def _batch(self, trainable: nn.Module, indices: Tensor) -> tuple[Tensor, Tensor]:
        inputs, labels = self.inputs.clean(indices), self.inputs.labels[indices.to(self.inputs.labels.device)]
        with autocast(labels.device, self.inputs.network.forward_type):
            logits = trainable(inputs)
        return (logits.argmax(1) == labels).cpu(), F.cross_entropy(logits.float(), labels, reduction="sum")

    def of_inputs(self, inputs: Inputs) -> Validation:
        """The same selection, by other inputs from the same images."""
        other = Validation(inputs, self.order, self._classes, self.context, balanced=self._balanced)
        other.batch = self.batch
        return other

    def better(self, new: Evaluation, old: Evaluation | None, lead: float | None = None) -> bool:
        """Whether the new state is as good as the old one or better, on the images that both have seen.

        Where the old one has a `lead`, be it 0, the new one has to be better by that, as a share of the
        images, and by a standard error of the images that they differ on (McNemar's test). That of an earlier
        run, of which the accuracy alone is known, is not replaced by what was asked of a part of the images.
        """
        if old is None:
            return True
        if old.correct is None and not new.complete:
            return False
        if new.correct is None or old.correct is None:
            if self._balanced:
                return new.balanced_accuracy >= old.balanced_accuracy + (lead or 0.0)
            return new.accuracy >= old.accuracy + (lead or 0.0)
        seen = min(len(new.correct), len(old.correct))
        changes = new.correct[:seen].double() - old.correct[:seen].double()
        of_class, differing = self._by_class(changes), self._by_class(changes.abs())
        self.context.group.sum([of_class, differing])
        (change, images), variance = of_class, differing[0]
        if self._balanced:
            there, images = images > 0, images.clamp(min=1)
            change, variance, images = change / images, variance / images.square(), there
        if lead is None:
            return change.sum().item() > -TIE
        return change.sum().item() > lead * images.sum().item() + variance.sum().sqrt().item()
