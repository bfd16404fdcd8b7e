"""The result of a run of fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nni_nasoa.training.outcome import Outcome
    from nni_nasoa.training.regime import FineTuneRegime

    from .classifier import Classifier


@dataclass(frozen=True)
class FineTuneResult:
    """A run of fine-tuning, and the classifier that came of it.

    Parameters
    ----------
    classifier
        The best validation state, ready to predict.
    folder
        Where it is saved; None where no output was asked for.
    accuracy
        Its validation accuracy, 0 to 1; NaN where there was no time to measure it.
    regime
        What was asked for, the input size filled in.
    frozen_stages
        How many stages were frozen in the end: all, where the budget was too short for more than a head.
    budget, seconds
        The time that was given, and taken until the classifier was saved.
    outcome
        Why it ended, and what was cut of that which was asked for.
    epochs
        Passes over the training images.
    evaluations
        The records of the JSON-lines file, in order of time.
    notes
        What went differently from what was asked for, a line each, for people.
    """

    classifier: Classifier
    folder: Path | None
    accuracy: float
    regime: FineTuneRegime
    frozen_stages: int
    budget: float
    seconds: float
    outcome: Outcome
    epochs: float
    evaluations: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the classes' shares of validation images that are right, 0 to 1."""
        return self.classifier.metrics["val_balanced_accuracy"]

    @property
    def steps(self) -> int:
        """Training steps taken."""
        return self.outcome.steps or 0

    @property
    def images(self) -> int:
        """Training images seen in them, over all processes."""
        return self.outcome.images or 0
