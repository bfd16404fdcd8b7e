"""What is told of a run: its evaluations, what went otherwise than it was asked for, what it has come to."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from nni_nasoa.training.outcome import NOT_KNOWN, Outcome

from .progress import Watcher
from .validation import Evaluation


class RunLog:
    """Keeps what is told of a run, and passes it on at once to whoever watches.

    Parameters
    ----------
    watcher
        Who watches.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.evaluations: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.outcome: Outcome = NOT_KNOWN
        self._watcher = watcher

    def note(self, text: str, **outcome: Any) -> None:
        """Something goes otherwise than asked for: in words, for people, and as fields of the outcome."""
        self.notes.append(text)
        self.come_to(**outcome)
        self._watcher.note(text)

    def headline(self, text: str) -> None:
        """A note that has to be read before all others, for people."""
        self.notes.insert(0, text)
        self._watcher.note(text)

    def come_to(self, **outcome: Any) -> None:
        """Fields of the outcome are known."""
        self.outcome = dataclasses.replace(self.outcome, **outcome)

    def evaluated(self, evaluation: Evaluation, best: bool, **where: Any) -> None:
        """A state was evaluated, which is the best one so far or not; fields say where the run stood."""
        record = where | {
            "val_loss": evaluation.loss if math.isfinite(evaluation.loss) else None,
            "val_accuracy": evaluation.accuracy,
            "val_balanced_accuracy": evaluation.balanced_accuracy,
            "val_images": evaluation.images,
            "best": best,
        }
        self.evaluations.append(record)
        self._watcher.evaluation(record)
