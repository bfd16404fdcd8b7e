"""What a run does for its head before it trains a stage, and all that it does where it trains none.

The features of all images are computed once, and a head is fitted to them until it converges. What time is
left goes into a second view of each image, its mirror image; at last the head is fitted once more to the
validation images, too, which have told by then how good it is. Where stages are trained, the run keeps that
until they are better, and trains them behind the head that has not seen the validation images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nni_nasoa.device.precision import autocast
from nni_nasoa.training.class_balance import logit_offsets
from nni_nasoa.training.gains import MORE_IMAGES_GAIN
from nni_nasoa.training.inputs import Inputs
from nni_nasoa.training.time_shares import TIME_FOR_FIT, TIME_FOR_MIRRORED
from nni_nasoa.training.trainable import Trainable
from nni_nasoa.zoo.stage_pooling import PooledStages

from .clock import ClockSchedule
from .context import RunContext
from .logistic import Head, fit
from .training_start import TrainingStart
from .validation import Validation


class HeadRun:
    """The features that a run has, and the heads that it fits to them.

    Parameters
    ----------
    network
        The view, whose head is fitted to the features of the start.
    start
        Of the run, which has seen images.
    validation
        Of what the run trains.
    context, schedule
        Of the run.
    logit_adjustment
        The regime's.

    Attributes
    ----------
    module, validation
        The head, and its validation on features, which are kept.
    """

    def __init__(
        self,
        network: PooledStages,
        start: TrainingStart,
        validation: Validation,
        context: RunContext,
        schedule: ClockSchedule,
        logit_adjustment: float = 0.0,
    ) -> None:
        assert start.fitted is not None
        self.network, self.context, self.schedule = network, context, schedule
        self._part, self._train = start.part, start.part.inputs
        if start.part.head_only:
            self.module, self.validation = start.part.module, validation
        else:
            stages = len(network.stages)
            self.module = Trainable(network, stages)
            features = Inputs(start.part.val_inputs.images, network, stages, now=context.clock.now)
            self.validation = validation.of_inputs(features)
        self._val = self.validation.inputs
        self._head, self._fit_seconds = start.fitted.head, start.fitted.seconds
        self._first = self._head
        self._indices, self._features = start.fitted.indices, start.fitted.features
        self._labels = start.fitted.labels
        self._val_indices = validation.order
        self._pace, self._adjustment = start.seconds_per_image, logit_adjustment
        # What there was before mirrored views, once there are some.
        self._before: tuple[Tensor, Tensor, Head] | None = None

    @property
    def epochs(self) -> float:
        """Passes over the training images: of those that features were computed of, once or twice."""
        views = 1 if self._before is None else 2
        return views * len(self._indices) / len(self._train)

    def keep_validation_features(self) -> None:
        """Have the features of the validation images; those of frozen stages are kept for the training."""
        if self._part.head_only:  # They are computed as they are evaluated.
            return
        for batch in self._val_indices.split(self._batch):
            if self.schedule.window_left < 0 or self.context.interruption:
                return
            self._val.keep(batch, self._computed(self._part.val_inputs.clean(batch), self._part.frozen))

    def time_for_mirrored(self) -> bool:
        """Whether there is time for a second view of each image."""
        images = len(self._indices) + len(self._val_indices)
        needed = TIME_FOR_MIRRORED * images * self._pace + TIME_FOR_FIT * self._fit_seconds
        return self._train.images.mirrored and needed < self.schedule.window_left

    def take_mirrored(self) -> bool:
        """Have features be the mean over an image and its mirror image, and fit a head to these.

        Whether that was done in time; else all is as before.
        """
        both = [self._mirrored(self._train, self._indices), self._mirrored(self._val, self._val_indices)]
        train, val = both
        if train is None or val is None:
            return False
        plain = self._val.clean(self._val_indices).float()
        self._before = self._features, plain, self._head
        self._features = (self._features + train) / 2
        self._put_validation((plain + val) / 2)
        self.network.mirrored = True
        self._fit(self._features, self._labels)
        return True

    def fit_to_all(self) -> bool:
        """Fit the network's head to the validation images, too; whether there is time for it.

        To features as the network gives them, which is without mirrored views where it was restored to that.
        """
        if self.schedule.window_left < TIME_FOR_FIT * self._fit_seconds:
            return False
        if self._before is not None and not self.network.mirrored:
            self._features, plain, self._head = self._before
            self._put_validation(plain)
        val = self._val.clean(self._val_indices).float()
        labels = self._val.labels[self._val_indices.to(self._labels.device)]
        self._fit(torch.cat([self._features, val]), torch.cat([self._labels, labels]))
        return True

    def lead(self, accuracy: float) -> float:
        """By how much a head of such accuracy is better once it has seen the validation images, too."""
        more = math.log2(1 + len(self._val_indices) / max(1, len(self._indices)))
        return MORE_IMAGES_GAIN * more * accuracy * (1 - accuracy)

    def begin_training(self) -> None:
        """Give the network the head that stages are trained behind, which knows no validation image."""
        self.network.mirrored = False
        self._put(self._first, self._labels)

    def _put_validation(self, features: Tensor) -> None:
        if self._val.store is not None:
            self._val.put(features, self._val_indices)

    def _fit(self, features: Tensor, labels: Tensor) -> None:
        classes = self.network.head.out_features
        self._head = fit(
            features,
            labels,
            classes,
            penalties=(self._head.penalty,),
            start=self._head,
            in_time=lambda: self.schedule.window_left > 0,
        )
        self._put(self._head, labels)

    def _put(self, head: Head, labels: Tensor) -> None:
        classes = self.network.head.out_features
        head.put_into(self.network.head, logit_offsets(labels, classes, self._adjustment))

    @torch.no_grad()
    def _computed(self, inputs: Tensor, frozen: int = 0) -> Tensor:
        """Features of what enters the stage behind so many, as it is."""
        with self.context.turns.turn(), autocast(inputs.device, self.network.forward_type):
            return self.network.forward_stages(inputs, frozen).float()

    def _mirrored(self, inputs: Inputs, indices: Tensor) -> Tensor | None:
        """Features of mirror images, as many as there are indices; None where time is over first."""
        parts = []
        for batch in indices.split(self._batch):
            if self.schedule.window_left < 0 or self.context.interruption:
                return None
            parts.append(self._computed(inputs.images.clean(batch).flip(3)))
        return torch.cat(parts) if parts else None

    @property
    def _batch(self) -> int:
        return max(1, min(32, int(0.5 / max(self._pace, 1e-6))))
