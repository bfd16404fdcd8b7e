"""What a run goes on from: a classifier that an earlier one has saved, and how good it is known to be.

Its network, its input size and how it wants its images are kept, and of its head the rows of the classes that
the dataset still has. A head that was fitted to features was in the end fitted to the validation images, too
(`HeadRun.fit_to_all`): what it gets of these is no longer a measure, so that it is fitted anew without them,
and what counts for it is what its own run has measured, where the validation images are the same.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nni_nasoa.data import ImageSplit
from nni_nasoa.data.arrays import Holdout
from nni_nasoa.data.fingerprint import digest_of_images
from nni_nasoa.data.rendering import Rendering
from nni_nasoa.messages import quoted, readable, some
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.outcome import StopReason
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import NUMBER, SHARE, shown
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged, staged

from .classifier import Classifier
from .loading import load_classifier
from .training_start import KnownHead
from .validation import Evaluation

FITTED_ALREADY = (
    "its head was fitted to these images until it converged, which more time hardly changes; a regime of "
    "fewer frozen stages trains the network itself (--frozen-stages 0)"
)
# What a description says of the validation images: which they are, and how they were chosen.
VALIDATED, HOLDOUT = "validation_digest", "holdout"


class KnownState(NamedTuple):
    """A state of a network, and how it was evaluated before."""

    state: dict[str, Tensor]
    evaluation: Evaluation


@dataclass(frozen=True, eq=False)
class GoingOn:
    """From where a run goes on.

    Parameters
    ----------
    head
        What is known of the view's head.
    best
        The state that is the best one as long as nothing better is found; None where the first evaluation of
        the run says how good that is.
    notes
        What of the classifier is left out, a line each.
    """

    head: KnownHead
    best: KnownState | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Resumed:
    """A classifier to go on from.

    Parameters
    ----------
    classifier
        The classifier, whose network is not changed.
    folder
        Where it was loaded from; None where it was given as such.
    """

    classifier: Classifier
    folder: str | None = None

    @classmethod
    def of(cls, given: Resumed | Classifier | str | os.PathLike[str]) -> Resumed:
        """What `finetune` was given.

        Raises
        ------
        ClassifierError
            There is no classifier in the folder, or a damaged one.
        """
        if isinstance(given, Resumed):
            return given
        if isinstance(given, Classifier):
            return cls(given)
        return cls(load_classifier(given), os.path.abspath(given))

    @property
    def pooled(self) -> bool:
        """Whether its head sees what all stages give."""
        return self.classifier.about["weights_of"] == "pooled"

    def regime(self, asked: FineTuneRegime | None) -> FineTuneRegime:
        """The regime to go on with: its own, unless another one is asked for.

        Raises
        ------
        FineTuneError
            That contradicts what it is: its model, its input size, what its head sees, or its geometry.
        """
        about, own = self.classifier.about, self.classifier.regime
        regime = own if asked is None else asked
        head = "stages" if self.pooled else "last"
        for name, given, there in (
            ("model", regime.model, about["model"]),
            ("input_size", regime.input_size, about["input_size"]),
            ("head", None if regime.head == own.head else regime.head, head),
            ("geometry", regime.geometry, self.geometry),
        ):
            if given not in (None, there):
                raise FineTuneError(
                    f"{name}: {shown(given)}, where the classifier that is resumed has {shown(there)}; "
                    f"leave it out, or fine-tune afresh"
                )
        return dataclasses.replace(regime, input_size=about["input_size"])

    @property
    def geometry(self) -> str:
        """How its images became square, as those of the dataset have to."""
        return Rendering.of_description(self.classifier.about).geometry

    def network(self, classes: int) -> nn.Module:
        """A network like its own for so many classes, with random weights."""
        about = self.classifier.about
        return create_model(about["encoding"] or about["model"], classes, weights=None)

    def put_into(self, view: Staged, split: ImageSplit, regime: FineTuneRegime, holdout: Holdout) -> GoingOn:
        """Give a view of such a network its weights and its normalisation; from where the run goes on then.

        Raises
        ------
        FineTuneError
            It knows none of the dataset's classes.
        """
        about, old, notes = self.classifier.about, self.view, self._notes(split, holdout)
        rows = self._rows(split.classes)
        known = torch.tensor([row is not None for row in rows], device=view.head.weight.device)
        view.stages.load_state_dict(old.stages.state_dict())
        view.mean, view.std = tuple(about["mean"]), tuple(about["std"])
        kept = [row for row in rows if row is not None]
        with torch.no_grad():
            for own, before in ((view.head.weight, old.head.weight), (view.head.bias, old.head.bias)):
                if own is not None:
                    own.zero_()
                    own[known] = before[kept].to(own.device)
        if not isinstance(view, PooledStages) or not isinstance(old, PooledStages):
            return GoingOn(KnownHead(known), notes=notes)
        view.shift.copy_(old.shift)
        view.scale.copy_(old.scale)
        frozen: Any = self.classifier.metrics.get("frozen_stages")
        if NUMBER.allows(frozen) and frozen < len(view.stages):
            return GoingOn(KnownHead(known), notes=notes)
        view.mirrored = old.mirrored
        best = self._known_state(view, split)
        view.mirrored = False
        if (
            best
            and self.classifier.outcome.reason is StopReason.FITTED
            and regime.frozen_stages >= len(view.stages)
        ):
            notes = (*notes, FITTED_ALREADY)
        return GoingOn(KnownHead(known, fit_anew=True), best, notes)

    def describe(self) -> dict[str, Any]:
        """What a description says of it."""
        about = self.classifier.about
        return {
            "id": about.get("id"),
            "folder": self.folder,
            "created": about.get("created"),
            "val_accuracy": self.classifier.metrics.get("val_accuracy"),
        }

    @property
    def view(self) -> Staged:
        """Its network as stages and a head."""
        network, about = self.classifier.network, self.classifier.about
        if isinstance(network, Staged):
            return network
        return staged(network, about["model"] if about["encoding"] is None else None)

    def _rows(self, classes: Sequence[str]) -> list[int | None]:
        """Of each class of the dataset the row of the head; None of a new one."""
        rows = {name: row for row, name in enumerate(self.classifier.classes)}
        found = [rows.get(name) for name in classes]
        if not any(row is not None for row in found):
            raise FineTuneError(
                f"dataset: none of its classes ({some(quoted(classes))}) is one of the classifier that is "
                f"resumed ({some(quoted(self.classifier.classes))})"
            )
        return found

    def _known_state(self, view: Staged, split: ImageSplit) -> KnownState | None:
        """The view's state, with what was measured of it; None where that was on other images or classes."""
        about, metrics = self.classifier.about, self.classifier.metrics
        accuracy: Any
        balanced: Any
        images: Any
        loss: Any
        accuracy, balanced, images, loss = (
            metrics.get(f"val_{key}") for key in ("accuracy", "balanced_accuracy", "images", "loss")
        )
        same = tuple(split.classes) == self.classifier.classes
        if not same or about.get(VALIDATED) != validated(split) or not SHARE.allows(accuracy):
            return None
        evaluation = Evaluation(
            None,
            float(accuracy),
            float(balanced if SHARE.allows(balanced) else accuracy),
            float(loss) if NUMBER.allows(loss) else math.nan,
            int(images) if NUMBER.allows(images) else len(split.val),
            True,
        )
        state = {name: tensor.detach().clone() for name, tensor in view.state_dict().items()}
        return KnownState(state, evaluation)

    def _notes(self, split: ImageSplit, holdout: Holdout) -> tuple[str, ...]:
        there, before = set(split.classes), self.classifier.classes
        new = [name for name in split.classes if name not in set(before)]
        gone = [name for name in before if name not in there]
        accuracy: Any = self.classifier.metrics.get("val_accuracy")
        measured = f", of validation accuracy {100 * accuracy:.2f} %" if SHARE.allows(accuracy) else ""
        notes = [f"resumed from {readable(self.folder or 'a classifier')}{measured}"]
        if new:
            notes.append(f"new classes: {some(quoted(new))}")
        if gone:
            notes.append(f"the dataset has no images of {some(quoted(gone))}: left out from here on")
        before_held = self.classifier.about.get(HOLDOUT, dataclasses.asdict(holdout))
        if before_held != dataclasses.asdict(holdout) and self.classifier.about.get(VALIDATED) != validated(
            split
        ):
            notes.append(
                "other images are held back than before: what it gets of them, it may have learned by heart"
            )
        if split.rendering != Rendering.of_description(self.classifier.about):
            notes.append("deep or transparent images become other colours than the classifier has seen")
        return tuple(notes)


def validated(split: ImageSplit) -> str:
    """What tells the validation images of a dataset from others, quickly."""
    return digest_of_images(split.val)
