"""An estimator by scikit-learn's conventions, for notebooks and scripts: advice, carried out, in one call.

    classifier = ImageClassifier(minutes=2).fit("flowers/train")
    classifier.predict(["new.jpg"])

Images that are given as such are put into a folder for the time of the fit, so that all are decoded, split
and augmented in one way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from nni_nasoa.data import Dataset, ImageList
from nni_nasoa.data.split_defaults import VAL_FRACTION
from nni_nasoa.data.walk import images_below
from nni_nasoa.finetune import FineTuneRegime, Monitoring, Timing, finetune, load_classifier
from nni_nasoa.finetune.classifier import save_classifier
from nni_nasoa.finetune.image_inputs import UnreadableImage, as_list, opened, without_pillows_warnings
from nni_nasoa.finetune.output_folder import reserved
from nni_nasoa.finetune.run_record import record_of
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.regime import BALANCED_FIELDS
from nni_nasoa.values import MINUTES, one_of, or_none

from .advising import advise
from .recording import record_result

if TYPE_CHECKING:
    from nni_nasoa.experience.store import ExperienceStore
    from nni_nasoa.finetune.callbacks import Callback
    from nni_nasoa.finetune.results import FineTuneResult

    from .advice import Advice

_WEIGHTS = or_none(one_of(("balanced",)))
INTEGERS = "integer"  # What the description of a saved classifier says of labels that are none in letters.


class ImageClassifier(ClassifierMixin, BaseEstimator):
    """The best classifier of images that some minutes buy.

    Parameters
    ----------
    minutes
        Of the wall clock that `fit` takes, the advice included.
    model
        A network of the zoo to fine-tune with its default settings; None asks for advice.
    zoo
        What the advice chooses from; see `advise`.
    device
        "auto", "cpu", "cuda", ...
    class_weight
        "balanced" weighs all classes alike, however many images each one has; None weighs all images alike.
    val_fraction
        Share of each class that is held back to measure accuracy on, where a folder brings no such part.
    store
        Where experience is kept, which runs are recorded in, too; None for none but the package's own.
    random_state
        Seed of the split, the head, the order of images and augmentation.
    verbose
        Whether a live bar is shown.
    callbacks
        Are told how fine-tuning goes; see `finetune.Callback`.

    Attributes
    ----------
    classes_
        The labels, sorted, (classes,).
    classifier_
        The `finetune.Classifier`.
    validation_score_
        Accuracy on the images that were held back.
    advice_
        The `Advice` that was carried out; None where a model was given.
    """

    def __init__(
        self,
        minutes: float = 2.0,
        *,
        model: str | None = None,
        zoo: str = "auto",
        device: str = "auto",
        class_weight: str | None = None,
        val_fraction: float = VAL_FRACTION,
        store: ExperienceStore | None = None,
        random_state: int = 0,
        verbose: bool = False,
        callbacks: Sequence[Callback] | None = None,
    ) -> None:
        self.minutes, self.model, self.zoo, self.device = minutes, model, zoo, device
        self.val_fraction, self.store, self.random_state = val_fraction, store, random_state
        self.class_weight, self.verbose, self.callbacks = class_weight, verbose, callbacks

    def fit(self, X: Any, y: Any = None) -> ImageClassifier:  # noqa: N803  # scikit-learn's name
        """Choose a network for the images and fine-tune it.

        Parameters
        ----------
        X
            What `Dataset` takes, and no `y`: a folder, with a folder of images for each class, a file that
            lists images, or a table of pandas with a column of paths and one of labels, say. Or n images:
            paths, bytes, PIL images, arrays (height, width) or (height, width, 3) uint8, tensors; see
            `Classifier.predict`.
        y
            The labels of n images, (n,), of two classes at least.

        Raises
        ------
        ValueError, RuntimeError
            What `advise` and `finetune` raise, or labels and images do not go together; one line.
        """
        started = time.monotonic()
        MINUTES("minutes", self.minutes, FineTuneError)
        _WEIGHTS("class_weight", self.class_weight)
        with TemporaryDirectory(prefix="nasoa-") as place:
            if y is None:
                if isinstance(X, (list, tuple, np.ndarray)):
                    raise ValueError("y: the labels of the images are missing; without them X is a dataset")
                source, labels = X, None
            else:
                source = Path(place) / "images"
                labels = _as_folder(as_list(X), y, source)
            dataset = Dataset.of(source, val_fraction=self.val_fraction, seed=self.random_state)
            result = self._run(dataset.absolute(), started)
        self.classifier_, self.validation_score_ = result.classifier, result.accuracy
        if labels is None:
            labels = np.array(self.classifier_.classes)
            if isinstance(dataset.source, ImageList) and dataset.source.numbered:
                labels = labels.astype(np.int64)
        self.classes_ = labels
        names = [str(label) for label in self.classes_]
        self.classifier_.classes = tuple(names)
        self.classifier_.about["classes"] = names
        return self

    def _run(self, dataset: Dataset, started: float) -> FineTuneResult:
        self.advice_: Advice | None = None
        watched = Monitoring(bar=bool(self.verbose))
        fields = BALANCED_FIELDS if self.class_weight == "balanced" else {}
        where: dict[str, Any] = {
            "device": self.device,
            "seed": self.random_state,
            "monitoring": watched,
            "callbacks": self.callbacks or (),
        }
        if self.model is not None:
            regime = FineTuneRegime(self.model, **fields)
            return finetune(dataset, regime, self.minutes, timing=Timing(started), **where)
        with ExitStack() as beside:
            advice = advise(
                dataset,
                self.minutes,
                zoo=self.zoo,
                device=self.device,
                store=self.store,
                started=started,
                show_progress=False,
                beside=beside,
            )
            self.advice_ = advice = advice.but(**fields)
            result = finetune(
                dataset,
                advice.best.regime,
                advice.budget / 60,
                weights=advice.best.weights,
                timing=Timing(advice.made),
                **where,
            )
        if self.store is not None:
            record_result(self.store, record_of(result, **advice.about(advice.best), source="advise"))
        return result

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X
            A folder, of which all images below it are taken in order of their names, or images as in `fit`.

        Returns
        -------
        (n, classes) float32.

        Raises
        ------
        ClassifierError
            An image cannot be read, or taken; one line.
        """
        check_is_fitted(self, "classifier_")
        if isinstance(X, (str, os.PathLike)) and Path(X).is_dir():
            X = images_below(X)[0]  # noqa: N806
        with without_pillows_warnings():
            rows = []
            for row in self.classifier_.stream(as_list(X)):
                if isinstance(row, UnreadableImage):
                    raise row
                rows.append(row)
        return np.stack(rows) if rows else np.empty((0, len(self.classes_)), np.float32)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class of each image, (n,); arguments and errors as in `predict_proba`."""
        shares = self.predict_proba(X)
        return self.classes_[shares.argmax(1)]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: N803
        """Accuracy on images with labels, or on a folder with a folder of images for each class."""
        if y is not None:
            return float(super().score(X, y, sample_weight))
        from nni_nasoa.evaluation import evaluate

        check_is_fitted(self, "classifier_")
        return evaluate(self.classifier_, X).accuracy

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Save the classifier in a folder, as `nasoa finetune` does; `nasoa predict` takes it, too.

        Raises
        ------
        ClassifierError
            It cannot be written, or holds other things than a classifier.
        """
        check_is_fitted(self, "classifier_")
        about = dict(self.classifier_.about)
        if np.issubdtype(self.classes_.dtype, np.integer):
            about["labels"] = INTEGERS
        with reserved(folder):
            return save_classifier(folder, self.classifier_.network.state_dict(), about)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], device: str = "auto") -> ImageClassifier:
        """A fitted estimator, of what `save`, `nasoa finetune` or `nasoa-advise --run` has saved.

        Raises
        ------
        ClassifierError
            There is no classifier, or a damaged one; one line.
        """
        classifier = load_classifier(folder, device)
        estimator = cls(device=device)
        estimator.classifier_ = classifier
        estimator.classes_ = np.array(classifier.classes)
        if classifier.about.get("labels") == INTEGERS:
            estimator.classes_ = estimator.classes_.astype(np.int64)
        estimator.validation_score_ = classifier.metrics.get("val_accuracy", float("nan"))
        estimator.advice_ = None
        return estimator


def _as_folder(images: Sequence[Any], y: Any, folder: Path) -> np.ndarray:
    """Put images into a folder for each class: files as links, others as PNGs; the classes, sorted."""
    labels = np.asarray(y)
    if labels.shape != (len(images),):
        raise ValueError(f"y: labels of shape {labels.shape}, where there are {len(images)} images")
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"y: {len(classes)} class; two are needed at least")
    for code in range(len(classes)):  # by number, as a label may be no name of a folder, or that of a part
        (folder / f"{code:06d}").mkdir(parents=True)
    for number, (image, code) in enumerate(zip(images, codes)):
        place = folder / f"{code:06d}"
        if isinstance(image, (str, os.PathLike)):
            (place / f"{number:07d}{Path(image).suffix}").symlink_to(os.path.abspath(image))
        else:
            with opened(image) as picture:
                picture.save(place / f"{number:07d}.png", compress_level=1)
    return classes
