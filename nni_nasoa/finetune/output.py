"""What comes of a run: the saved classifier with its description, and the result."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from nni_nasoa.data import ImageSplit
from nni_nasoa.device.device import device_name
from nni_nasoa.training.outcome import Outcome
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged

from .classifier import Classifier, describe, save_classifier, tell_outcome
from .errors import ClassifierError
from .results import FineTuneResult
from .trainer import Trainer


@dataclass(frozen=True, eq=False)
class RunOutput:
    """Makes of a run what is kept of it.

    Parameters
    ----------
    folder
        Where the classifier is saved; None where it is not.
    network, view
        The network that is trained, and its view.
    split
        The images that the run has.
    sampled
        Whether they are only a sample of the dataset's.
    more
        What else the description of the classifier says.
    """

    folder: Path | None
    network: nn.Module
    view: Staged
    split: ImageSplit
    sampled: bool
    more: Mapping[str, Any] = field(default_factory=dict)

    def save(self, run: Trainer) -> None:
        """Save the network's present state as the classifier."""
        if self.folder is not None:
            save_classifier(self.folder, self._module.state_dict(), self._about(run))

    def tell_outcome(self, run: Trainer) -> None:
        """Write down how the run ended; where that fails, the classifier is there all the same."""
        if self.folder is None:
            return
        try:
            tell_outcome(self.folder, self._outcome(run), run.log.notes)
        except ClassifierError as error:
            run.log.note(str(error))

    def result(self, run: Trainer) -> FineTuneResult:
        """What `finetune` gives back."""
        clock = run.clock
        classifier = Classifier(self._module, self._about(run), run.context.device)
        seconds = clock.elapsed
        if seconds > clock.budget:
            run.log.notes.append(f"the run ended {seconds - clock.budget:.2f} s after its deadline")
        return FineTuneResult(
            classifier,
            self.folder,
            run.best.evaluation.accuracy,
            run.regime,
            run.start.part.frozen,
            clock.budget,
            seconds,
            self._outcome(run),
            run.epochs,
            tuple(run.log.evaluations),
            tuple(run.log.notes),
        )

    @property
    def _module(self) -> nn.Module:
        """Whose state_dict is saved: the network's, but where the view has another head."""
        own = any(module is self.view.head for module in self.network.modules())
        return self.network if own else self.view

    @property
    def _weights_of(self) -> str:
        if isinstance(self.view, PooledStages):
            return "pooled"
        return "network" if self._module is self.network else "staged"

    def _outcome(self, run: Trainer) -> Outcome:
        """What the run has come to, with what it had and did."""
        return dataclasses.replace(
            run.log.outcome,
            sampled=self.sampled,
            train_images=len(self.split.train),
            val_images=len(self.split.val),
            steps=run.stepper.steps,
            images=run.stepper.images,
        )

    def _about(self, run: Trainer) -> dict[str, Any]:
        """The description of the classifier."""
        best, clock = run.best.evaluation, run.clock
        metrics = {
            "val_accuracy": best.accuracy,
            "val_balanced_accuracy": best.balanced_accuracy,
            "val_loss": best.loss if math.isfinite(best.loss) else None,
            "val_images": best.images,
            "train_images": len(self.split.train),
            "epochs": run.epochs,
            "steps": run.stepper.steps,
            "frozen_stages": run.start.part.frozen,
            "budget_seconds": clock.budget,
            "elapsed_seconds": clock.elapsed,
            "device": device_name(run.context.device),
        }
        architecture = getattr(self.network, "architecture", None)
        return describe(
            classes=self.split.classes,
            dataset=self.split.name,
            regime=run.regime,
            encoding=None if architecture is None else str(architecture),
            weights_of=self._weights_of,
            mean=self.view.mean,
            std=self.view.std,
            rendering=self.split.rendering,
            metrics=metrics,
            outcome=self._outcome(run),
            notes=run.log.notes,
        ) | dict(self.more)
