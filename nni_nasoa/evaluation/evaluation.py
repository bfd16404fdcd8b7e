"""What a classifier made of images whose classes are known, and the figures that tell how good that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from nni_nasoa.data.left_out import BadFile

KINDS = {"all": "", "test": "test ", "val": "validation ", "train": "training "}
CONFIDENCE = 0.95  # of the interval that is given with the accuracy
BINS = 15  # of confidence, as in Guo et al., arXiv 1706.04599


class ClassScore(NamedTuple):
    """How well a class is told from the others; None where nothing says so.

    Precision is the share of its images among those that are taken for it, recall the share of its images
    that are taken for it, F1 their harmonic mean, all from 0 to 1; support is the number of its images.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int


class Confusion(NamedTuple):
    """Images of a class that were taken for another one: how many, and their share of the class, 0 to 1."""

    label: str
    predicted: str
    images: int
    share: float


class Bin(NamedTuple):
    """Predictions of a similar confidence, the probability of the class that was given.

    It is from `low` to `high`, on average `confidence`; `accuracy` is the share that is right. All are from 0
    to 1.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a classifier made of images whose classes are known.

    Parameters
    ----------
    dataset, part
        What they are of.
    classes
        Of the classifier, c of them.
    names
        What the n images are called.
    labels
        (n,) int64, places in `classes`.
    probabilities
        (n, c) float32.
    unreadable
        Images that could not be read, and do not count.
    notes
        What else does not count, a line each.
    openers
        Functions that open the images, in the order of `names`.
    """

    dataset: str
    part: str
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: np.ndarray
    probabilities: np.ndarray
    unreadable: tuple[BadFile, ...] = ()
    notes: tuple[str, ...] = ()
    openers: Sequence[Callable[[], Any]] = ()

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def kind(self) -> str:
        """What the images are called, by their part: "test images"."""
        return f"{KINDS[self.part]}images"

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most probable class of each image, (n,) int64."""
        return self.probabilities.argmax(1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of that class, (n,) float32."""
        return self.probabilities.max(1)

    @cached_property
    def right(self) -> np.ndarray:
        """Whether it is the one of the image, (n,) bool."""
        return self.predicted == self.labels

    @property
    def accuracy(self) -> float:
        """Share of the images that were told right."""
        return float(self.right.mean())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Within which the accuracy on more images of the kind is, with 95 % confidence (Wilson 1927)."""
        from scipy.stats import binomtest

        found = binomtest(int(self.right.sum()), len(self)).proportion_ci(CONFIDENCE, method="wilson")
        return float(found.low), float(found.high)

    @cached_property
    def confusion(self) -> np.ndarray:
        """Number of images by class, and by the class that was given: (c, c) int64."""
        from sklearn.metrics import confusion_matrix

        return confusion_matrix(self.labels, self.predicted, labels=np.arange(len(self.classes)))

    @cached_property
    def scores(self) -> tuple[ClassScore, ...]:
        """How well each class is told, in the order of `classes`."""
        from sklearn.metrics import precision_recall_fscore_support

        figures = precision_recall_fscore_support(
            self.labels, self.predicted, labels=np.arange(len(self.classes)), zero_division=np.nan
        )
        scores = []
        for name, *shares, support in zip(self.classes, *figures):
            precision, recall, f1 = (None if np.isnan(share) else float(share) for share in shares)
            scores.append(ClassScore(name, precision, recall, f1, int(support)))
        return tuple(scores)

    @property
    def worst(self) -> list[ClassScore]:
        """The classes that there are images of, those that are told worst first."""
        return sorted(
            (score for score in self.scores if score.support), key=lambda score: (score.f1 or 0.0, score.name)
        )

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the recalls of the classes that there are images of."""
        return float(np.mean([score.recall for score in self.scores if score.support]))

    @cached_property
    def macro_f1(self) -> float:
        """The mean of the F1 of the classes that there are images of, or that were given."""
        from sklearn.metrics import f1_score

        return float(f1_score(self.labels, self.predicted, average="macro"))

    @cached_property
    def log_loss(self) -> float:
        """The mean of -log of the probability of the right class, natural logarithm."""
        from sklearn.metrics import log_loss

        wide = self.probabilities.astype(np.float64)
        return float(
            log_loss(self.labels, wide / wide.sum(1, keepdims=True), labels=np.arange(len(self.classes)))
        )

    @cached_property
    def bins(self) -> tuple[Bin, ...]:
        """The predictions by their confidence, in `BINS` bins of the same width; empty ones are left out."""
        edges = np.linspace(0, 1, BINS + 1)
        places = np.clip(np.ceil(self.confidence * BINS).astype(int) - 1, 0, BINS - 1)
        return tuple(
            Bin(
                float(edges[place]),
                float(edges[place + 1]),
                int(of_bin.sum()),
                float(self.confidence[of_bin].mean()),
                float(self.right[of_bin].mean()),
            )
            for place in np.unique(places)
            for of_bin in [places == place]
        )

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: by how much confidence and accuracy differ (Guo et al., ICML 2017).

        It is the mean over the predictions, from 0 to 1; arXiv 1706.04599, section 3.
        """
        return sum(one.images * abs(one.confidence - one.accuracy) for one in self.bins) / len(self)

    @cached_property
    def confusions(self) -> list[Confusion]:
        """Which classes are taken for which, the most frequent first."""
        of_class = self.confusion.sum(1)
        pairs = [
            Confusion(self.classes[label], self.classes[given], int(count), float(count / of_class[label]))
            for (label, given), count in np.ndenumerate(self.confusion)
            if count and label != given
        ]
        return sorted(pairs, key=lambda pair: (-pair.images, -pair.share, pair.label, pair.predicted))

    @cached_property
    def mistakes(self) -> np.ndarray:
        """The images that were told wrong, those with the most confidence first: (m,) int64."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    @cached_property
    def suspects(self) -> np.ndarray:
        """The images whose labels are likeliest to be wrong, the likeliest first: (m,) int64.

        An image is one where the probability of another class is higher than that of its own, and at least
        what it is on average for images of that other class ("Confident Learning": Northcutt et al., JAIR
        2021, arXiv 1911.00068).
        """
        usual = np.ones(len(self.classes))
        for label in np.unique(self.labels):
            usual[label] = self.probabilities[self.labels == label, label].mean()
        images = np.flatnonzero(~self.right & (self.confidence >= usual[self.predicted]))
        margin = self.probabilities[images, self.labels[images]] - self.confidence[images]
        return images[np.argsort(margin, kind="stable")]

    def to_json(self) -> dict[str, Any]:
        """All figures, as JSON values."""
        low, high = self.interval
        return {
            "dataset": self.dataset,
            "part": self.part,
            "images": len(self),
            "accuracy": self.accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
            "classes": [score._asdict() for score in self.scores],
            "confusion": self.confusion.tolist(),
            "confusions": [pair._asdict() for pair in self.confusions],
            "unreadable": [bad._asdict() for bad in self.unreadable],
            "notes": list(self.notes),
        }
