"""What comes of an image that a classifier looks at: the same for `nasoa predict` and for the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .image_inputs import UnreadableImage

if TYPE_CHECKING:
    import numpy as np

    from .classifier import Classifier, Prediction


@dataclass(frozen=True)
class PredictedImage:
    """What came of an image.

    Parameters
    ----------
    name
        As it was given.
    predictions
        The most probable classes; empty where it cannot be read.
    rejected
        Whether the best of them is too improbable.
    error
        Why it cannot be read, with its name.
    """

    name: str
    predictions: list[Prediction]
    rejected: bool = False
    error: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        row: np.ndarray | UnreadableImage,
        classifier: Classifier,
        top_k: int,
        reject_below: float = 0.0,
    ) -> PredictedImage:
        """It, of what `Classifier.stream` gives.

        Parameters
        ----------
        row
            Probabilities (classes,), or why there are none.
        top_k
            How many classes are given.
        reject_below
            The probability that the best class has at least, from 0 to 1.
        """
        if isinstance(row, UnreadableImage):
            return cls(name, [], error=str(row))
        best = classifier.best(row, top_k)
        return cls(name, best, rejected=best[0].probability < reject_below)

    def to_json(self) -> dict[str, Any]:
        """It as JSON values."""
        if self.error is not None:
            return {"image": self.name, "error": self.error}
        predictions = [prediction._asdict() for prediction in self.predictions]
        return {"image": self.name, "predictions": predictions} | (
            {"rejected": True} if self.rejected else {}
        )
