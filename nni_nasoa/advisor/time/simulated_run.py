"""The course of a clock-driven run, as `finetune.run` takes it: how many epochs fit into a budget, and what known epochs take.

All arguments and results are arrays (n,) of seconds or counts, or numbers. How a run shares out its time, the trainer's own
constants say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nni_nasoa.training.time_shares import (
    CHUNK_SECONDS,
    EVALUATION_RESERVE,
    EVALUATION_SHARE,
    FIRST_CHUNK,
    FIRST_PASS_SHARE,
    HEAD_PASS_SHARE,
    HEAD_STEP_SECONDS,
    HEAD_VALIDATION_SHARE,
    LAST_FEATURES_SHARE,
    LEAST_VALIDATION,
    MARGIN_SHARE,
    MAX_CHUNK,
    MAX_EVALUATIONS,
    MAX_MARGIN,
    MIN_CHUNKS,
    MIN_MARGIN,
    MIN_STEPS,
    RENEWAL_SHARE,
    SAVING_RESERVE,
    SAVING_SECONDS,
    STEP_FACTOR,
    VALIDATION_SHARE,
)

# In forward passes over a batch, the time at the end in which no features are computed: it begins when a step that computes them
# has ended, half a pass later on average than they become too late.
CHEAP_PASSES = 1 / LAST_FEATURES_SHARE - 0.5
LEAST_PASS = (
    2**MIN_CHUNKS - 1
) * FIRST_CHUNK  # images: the first chunks, each twice as large as the one before


@dataclass(frozen=True, eq=False)
class StepSeconds:
    """What the parts of a run take.

    Parameters
    ----------
    train
        A training step on inputs that are there, images drawn and augmented included where no stage is frozen.
    renewal
        The features of the frozen stages for a batch, anew; 0 where none is frozen.
    clean
        The same for an image as it is.
    forward, rest
        A forward pass for an image, through all stages and through those that are not frozen.
    """

    train: np.ndarray
    renewal: np.ndarray
    clean: np.ndarray
    forward: np.ndarray
    rest: np.ndarray

    def times(self, factor) -> StepSeconds:
        """All of them, a factor longer."""
        return StepSeconds(
            *(factor * part for part in (self.train, self.renewal, self.clean, self.forward, self.rest))
        )

    def where(self, condition, others: StepSeconds) -> StepSeconds:
        """These where the condition holds, else the others."""
        return StepSeconds(
            *(
                np.where(condition, getattr(self, name), getattr(others, name))
                for name in self.__dataclass_fields__
            )
        )


@dataclass(frozen=True, eq=False)
class Course:
    """A run, from its budget to its training window.

    Parameters
    ----------
    seconds, head
        What its parts take, and with all stages frozen.
    frozen
        0 where no stage is frozen, 1 where some are, 2 where all are.
    batch, train_images, val_images
        Counts. Fewer than one training image, where nobody has counted them, are taken as one.
    augmented
        Whether images are augmented, and so features renewed.
    budget, start_up
        In seconds: all of the wall clock, and what of it is gone before the first pass.
    only_head
        Whether the run gave up on its stages; None to have it follow from the budget.
    """

    seconds: StepSeconds
    head: StepSeconds
    frozen: np.ndarray
    batch: np.ndarray
    train_images: np.ndarray
    val_images: np.ndarray
    augmented: np.ndarray
    budget: np.ndarray
    start_up: np.ndarray
    only_head: np.ndarray | None = None

    def __post_init__(self):
        n = np.maximum(self.train_images, 1.0)
        object.__setattr__(self, "train_images", n)
        reserve = (
            np.clip(MARGIN_SHARE * self.budget, MIN_MARGIN, MAX_MARGIN) + SAVING_RESERVE * SAVING_SECONDS
        )
        forward = self.seconds.forward
        remaining = np.maximum(self.budget - self.start_up, 0.0)
        wants_head = self.frozen == 2
        looked = self._look(remaining, np.where(wants_head, HEAD_PASS_SHARE, FIRST_PASS_SHARE), forward)
        left = remaining - looked
        wanted = np.minimum(MIN_STEPS, np.ceil(n / self.batch))
        possible = (left - reserve) / np.maximum(STEP_FACTOR * self.batch * forward, 1e-12)
        gives_up = (
            (possible < wanted) & ~wants_head if self.only_head is None else self.only_head & ~wants_head
        )
        again = np.where(
            gives_up,
            np.minimum(self._look(left, HEAD_PASS_SHARE, forward), np.maximum(n * forward - looked, 0.0)),
            0.0,
        )
        looked = looked + again
        head_only = wants_head | gives_up
        seconds = self.head.where(gives_up, self.seconds)
        share = np.where(head_only, HEAD_VALIDATION_SHARE, VALIDATION_SHARE)
        validated = np.minimum(
            self.val_images, np.maximum(LEAST_VALIDATION, share * (remaining - looked) / forward)
        )
        evaluation = np.where(
            head_only, np.minimum(seconds.train, HEAD_STEP_SECONDS), validated * seconds.rest
        )
        before = looked + validated * forward
        # A step is kept back for the last one, which begins in the window and ends, on average, half a step after it.
        window = (
            remaining
            - before
            - reserve
            - 0.6 * seconds.train
            - EVALUATION_RESERVE * np.where(head_only, HEAD_STEP_SECONDS, evaluation)
        )
        missing = np.where(self.frozen + head_only > 0, np.maximum(n - looked / forward, 0.0), 0.0)
        for name, value in (
            ("steps", seconds),
            ("gives_up", gives_up),
            ("head_only", head_only),
            ("before", before),
            ("window", window),
            ("evaluation", evaluation),
            ("missing", missing * seconds.clean),
        ):
            object.__setattr__(self, name, value)

    def _look(self, remaining, share, forward):
        """Seconds of a first pass: all images, or a share of the time and the rest of the chunk that ends after it."""
        chunk = np.clip(0.75 * CHUNK_SECONDS / forward, FIRST_CHUNK, MAX_CHUNK) * forward
        least = LEAST_PASS * forward
        return np.minimum(self.train_images * forward, np.maximum(share * remaining + 0.5 * chunk, least))

    @property
    def until_training(self) -> np.ndarray:
        """Seconds from the run's start to the end of its first evaluation."""
        return self.start_up + self.before

    @property
    def seconds_until_the_end(self) -> np.ndarray:
        """Seconds of the wall clock that a run takes which is ended by the clock."""
        return self.until_training + np.maximum(self.window, 0.0) + self.evaluation

    @property
    def feasible(self) -> np.ndarray:
        """Whether the run does what was asked for: trains its stages, or sees what it needs for a head."""
        return ~self.gives_up & (self.window > self.steps.train)

    def epochs(self) -> np.ndarray:
        """Passes over the training images that fit into the budget."""
        window = np.maximum(self.window, 0.0)
        training = window - np.minimum(EVALUATION_SHARE * window, (MAX_EVALUATIONS - 1) * self.evaluation)
        train, renewal, per_epoch = self.steps.train, self._renewal, self.train_images / self.batch
        cheap = np.minimum(self._cheap, training)
        computing = training - cheap
        first, missing = self._first_epoch()
        # Every step renews features, where that stays below its share of the time; else as many as that share allows.
        renewing = np.where(renewal > 0, computing / (train + renewal), 0.0)
        steps = np.maximum(renewing, (computing - missing - self._share * (self.before + computing)) / train)
        return (
            np.where(computing < first, computing / first, np.maximum(steps / per_epoch, 1.0))
            + cheap / train / per_epoch
        )

    def seconds_of(self, epochs) -> np.ndarray:
        """Seconds from the end of the first evaluation to that of the last one, in a run of so many epochs."""
        train, renewal, per_epoch = self.steps.train, self._renewal, self.train_images / self.batch
        cheap = np.minimum(self._cheap, epochs * per_epoch * train)
        computed = np.maximum(epochs - cheap / train / per_epoch, 0.0)
        steps = computed * per_epoch
        first, missing = self._first_epoch()
        renewing = np.where(renewal > 0, steps * (train + renewal), np.inf)
        many = np.minimum(renewing, (steps * train + missing + self._share * self.before) / (1 - self._share))
        training = cheap + np.where(computed < 1, computed * first, np.maximum(many, first))
        # Evaluations take their share of the window, which ends with one more.
        return (
            training
            + np.minimum(
                training * EVALUATION_SHARE / (1 - EVALUATION_SHARE), (MAX_EVALUATIONS - 1) * self.evaluation
            )
            + self.evaluation
        )

    @property
    def _cheap(self):
        """Seconds at the end in which no features are computed: they could be late."""
        trained = np.where(self.frozen + self.head_only > 0, 1.0, 0.0)
        return trained * CHEAP_PASSES * self.steps.forward * self.batch

    @property
    def _renewal(self):
        return np.where(self.augmented, self.steps.renewal, 0.0)

    @property
    def _share(self):
        return np.where(self.augmented & (self.steps.renewal > 0), RENEWAL_SHARE, 0.0)

    def _first_epoch(self):
        """Seconds of the first epoch, and of them what goes to features of images that have none and are not renewed anyway."""
        steps, per_epoch, share = self.steps, self.train_images / self.batch, self._share
        without = self.missing / np.maximum(self.train_images * steps.clean, 1e-12)  # of the images
        plain = per_epoch * steps.train + self.missing
        first = (plain + (1 - without) * share * self.before) / (1 - (1 - without) * share)
        renewed = per_epoch * self._renewal
        all_renewed = per_epoch * steps.train + renewed
        capped = (share > 0) & (share * (self.before + first) >= renewed)
        first = np.where(capped, all_renewed, first)
        part = np.where(
            renewed > 0, np.minimum(share * (self.before + first) / np.maximum(renewed, 1e-12), 1.0), 0.0
        )
        return np.maximum(first, 1e-9), self.missing * (1 - part)
