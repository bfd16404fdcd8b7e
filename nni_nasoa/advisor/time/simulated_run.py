"""A clock-driven run, simulated: how many epochs fit into a budget, and what known epochs take.

`simulate` takes runs through what `finetune` does with pretrained weights, as it does it: start-up, a first
pass over the images, a head that is fitted to them, an evaluation, and the head fitted to the validation
images, too. A run of the head alone ends then, and before that takes a second view of each image, where there
is time. Others train by the clock with evaluations between, and keep back what the end needs. All arguments
and results are arrays (n,) of seconds or counts, or numbers. How a run shares out its time, the trainer's own
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
    FIT_SHARE,
    HEAD_PASS_SHARE,
    HEAD_STEP_SECONDS,
    HEAD_VALIDATION_SHARE,
    LAST_FEATURES_SHARE,
    LEAST_FIT_SECONDS,
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
    TIME_FOR_FIT,
    TIME_FOR_MIRRORED,
    VALIDATION_SHARE,
    WHOLE_PASS_SHARE,
)

ALL_TRAINED, SOME_FROZEN, HEAD_ONLY = range(3)  # kinds of runs, by what they were asked to train
# In forward passes over a batch, the time at the end in which no features are computed: it begins when a step
# that computes them has ended, half a pass later on average than they become too late.
CHEAP_PASSES = 1 / LAST_FEATURES_SHARE - 0.5
LEAST_PASS = (
    2**MIN_CHUNKS - 1
) * FIRST_CHUNK  # images: the first chunks, each twice as large as the one before
# A step is kept back for the last one, which begins in the window and ends, on average, half a step after it.
LAST_STEP = 0.6
FIT_SECONDS = LEAST_FIT_SECONDS, 2e-4  # that fitting a head takes, and more for each image
REFIT_SHARE = 0.2  # of that, where a head is fitted that was fitted to much the same before


@dataclass(frozen=True, eq=False)
class StepSeconds:
    """What the parts of a run take.

    Parameters
    ----------
    train
        A training step on inputs that are there, images drawn and augmented included where no stage is
        frozen.
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

    def times(self, factor: np.ndarray | float) -> StepSeconds:
        """All of them, a factor longer."""
        parts = (self.train, self.renewal, self.clean, self.forward, self.rest)
        return StepSeconds(*(factor * part for part in parts))

    def where(self, condition: np.ndarray, others: StepSeconds) -> StepSeconds:
        """These where the condition holds, else the others."""
        names = self.__dataclass_fields__
        return StepSeconds(
            *(np.where(condition, getattr(self, name), getattr(others, name)) for name in names)
        )


@dataclass(frozen=True, eq=False)
class RunSetup:
    """What runs begin with.

    Parameters
    ----------
    seconds, head
        What their parts take, and with all stages frozen.
    kind
        ALL_TRAINED, SOME_FROZEN or HEAD_ONLY, as it was asked for.
    batch, train_images, val_images
        Counts. Fewer than one training image, where nobody has counted them, are taken as one.
    augmented
        Whether images are augmented, and so features renewed.
    budget, start_up
        In seconds: all of the wall clock, and what of it is gone before the first pass.
    gave_up
        Whether the run gave up on its stages, where that is known; None to have it follow from the budget.
    """

    seconds: StepSeconds
    head: StepSeconds
    kind: np.ndarray
    batch: np.ndarray
    train_images: np.ndarray
    val_images: np.ndarray
    augmented: np.ndarray
    budget: np.ndarray
    start_up: np.ndarray
    gave_up: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """What becomes of runs.

    Parameters
    ----------
    steps
        What the parts of what is trained in the end take.
    images, batch
        Training images, and those of a step.
    gives_up, head_only
        Whether there is no time for the stages that were to be trained; whether only the head is trained,
        asked for or not.
    start_up, before
        Seconds before the first pass, and of the first pass, the first fit and the first evaluation.
    window
        Seconds for training, evaluations between included; below 0 where there is no time for any.
    spare
        Seconds that are left of the budget once the first state is evaluated and saved, the margin included.
    evaluation
        Seconds of each evaluation after the first.
    missing
        Seconds that features of images take which the first pass has not seen; 0 where no stage is frozen.
    renewal, renewal_share
        Seconds to renew the features of a batch, and the share of the time that may go to it; 0 where nothing
        is renewed.
    cheap
        Seconds at the end in which no features are computed: they could be late.
    views, viewing
        Passes over the images before any training, two at most, and seconds of the second one and of what is
        fitted after the first evaluation.
    """

    steps: StepSeconds
    images: np.ndarray
    batch: np.ndarray
    gives_up: np.ndarray
    head_only: np.ndarray
    start_up: np.ndarray
    before: np.ndarray
    window: np.ndarray
    spare: np.ndarray
    evaluation: np.ndarray
    missing: np.ndarray
    renewal: np.ndarray
    renewal_share: np.ndarray
    cheap: np.ndarray
    views: np.ndarray
    viewing: np.ndarray

    @property
    def until_training(self) -> np.ndarray:
        """Seconds from the run's start to the end of its first evaluation."""
        return self.start_up + self.before

    @property
    def seconds_until_the_end(self) -> np.ndarray:
        """Seconds of the wall clock that a run takes which is ended by the clock, or has fitted its head."""
        trained = np.maximum(self.window, 0.0) + self.evaluation
        return self.until_training + self.viewing + np.where(self.head_only, 0.0, trained)

    @property
    def feasible(self) -> np.ndarray:
        """Whether the run does what was asked for: trains its stages, or ends in time with a fitted head."""
        return ~self.gives_up & np.where(self.head_only, self.spare > 0, self.window > self.steps.train)

    @property
    def steps_per_epoch(self) -> np.ndarray:
        """Steps of one pass over the training images; a part of one where a batch holds more than all."""
        return self.images / self.batch

    def epochs(self) -> np.ndarray:
        """Passes over the training images that fit into the budget."""
        window = np.maximum(self.window, 0.0)
        training = window - np.minimum(EVALUATION_SHARE * window, (MAX_EVALUATIONS - 1) * self.evaluation)
        train, per_epoch = self.steps.train, self.steps_per_epoch
        cheap = np.minimum(self.cheap, training)
        computing = training - cheap
        first, missing = self._first_epoch()
        # Every step renews features, where that stays below its share of the time; else as many as that share
        # allows.
        renewing = np.where(self.renewal > 0, computing / (train + self.renewal), 0.0)
        capped = (computing - missing - self.renewal_share * (self._prepared + computing)) / train
        later = np.maximum(np.maximum(renewing, capped) / per_epoch, 1.0)
        trained = np.where(computing < first, computing / first, later) + cheap / train / per_epoch
        return np.where(self.head_only, self.views, trained)

    def seconds_of(self, epochs: np.ndarray | float) -> np.ndarray:
        """Seconds from the end of the first evaluation to that of the last, in a run of so many epochs.

        To the end of the run, where the head alone is trained, whose epochs are what they are.
        """
        train, per_epoch = self.steps.train, self.steps_per_epoch
        cheap = np.minimum(self.cheap, epochs * per_epoch * train)
        computed = np.maximum(epochs - cheap / train / per_epoch, 0.0)
        steps = computed * per_epoch
        first, missing = self._first_epoch()
        renewing = np.where(self.renewal > 0, steps * (train + self.renewal), np.inf)
        share = self.renewal_share
        many = np.minimum(renewing, (steps * train + missing + share * self._prepared) / (1 - share))
        training = cheap + np.where(computed < 1, computed * first, np.maximum(many, first))
        # Evaluations take their share of the window, which ends with one more.
        between = np.minimum(
            training * EVALUATION_SHARE / (1 - EVALUATION_SHARE), (MAX_EVALUATIONS - 1) * self.evaluation
        )
        return self.viewing + np.where(self.head_only, 0.0, training + between + self.evaluation)

    @property
    def _prepared(self) -> np.ndarray:
        """Seconds from the first pass to the first training step."""
        return self.before + self.viewing

    def _first_epoch(self) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of the first epoch, and what of them goes to missing features.

        That is to those of images which have none, and for which renewing makes none anyway.
        """
        steps, per_epoch, share = self.steps, self.steps_per_epoch, self.renewal_share
        without = self.missing / np.maximum(self.images * steps.clean, 1e-12)  # a share of the images
        plain = per_epoch * steps.train + self.missing
        first = (plain + (1 - without) * share * self._prepared) / (1 - (1 - without) * share)
        renewed = per_epoch * self.renewal
        capped = (share > 0) & (share * (self._prepared + first) >= renewed)
        first = np.where(capped, per_epoch * steps.train + renewed, first)
        most = share * (self._prepared + first)
        part = np.where(renewed > 0, np.minimum(most / np.maximum(renewed, 1e-12), 1.0), 0.0)
        return np.maximum(first, 1e-9), self.missing * (1 - part)


def simulate(setup: RunSetup) -> SimulatedRun:
    """Take runs from their start to their training window."""
    images = np.maximum(setup.train_images, 1.0)
    remaining = np.maximum(setup.budget - setup.start_up, 0.0)
    saving = SAVING_RESERVE * SAVING_SECONDS
    reserve = np.clip(MARGIN_SHARE * setup.budget, MIN_MARGIN, MAX_MARGIN) + saving
    looked, gives_up = _first_pass(setup, images, remaining, reserve)
    head_only = (setup.kind == HEAD_ONLY) | gives_up
    forward, steps = setup.seconds.forward, setup.head.where(gives_up, setup.seconds)
    seen = looked / forward
    allowed = np.maximum(FIT_SHARE * (remaining - looked), FIT_SECONDS[0])
    fit = np.minimum(FIT_SECONDS[0] + FIT_SECONDS[1] * seen, allowed)
    share = np.where(head_only, HEAD_VALIDATION_SHARE, VALIDATION_SHARE)
    validated = np.maximum(LEAST_VALIDATION, share * (remaining - looked - fit) / forward)
    validated = np.minimum(setup.val_images, validated)
    evaluation = np.where(head_only, np.minimum(steps.train, HEAD_STEP_SECONDS), validated * steps.rest)
    before = looked + fit + validated * forward
    step = np.where(head_only, HEAD_STEP_SECONDS, LAST_STEP * steps.train)
    last = step + EVALUATION_RESERVE * np.where(head_only, HEAD_STEP_SECONDS, evaluation)
    window = remaining - before - reserve - last
    again = np.where(head_only, (seen + validated) * forward, np.inf)
    whole_step = np.where(head_only, 0.0, STEP_FACTOR * setup.batch * forward)  # as it is expected by then
    mirrored, viewing = _second_view(again, fit, window - (1 - LAST_STEP) * whole_step)
    on_features = (setup.kind != ALL_TRAINED) | head_only
    renewal = np.where(setup.augmented, steps.renewal, 0.0)
    return SimulatedRun(
        steps=steps,
        images=images,
        batch=setup.batch,
        gives_up=gives_up,
        head_only=head_only,
        start_up=setup.start_up,
        before=before,
        window=np.where(head_only, window, window - viewing),
        spare=remaining - before - saving,
        evaluation=evaluation,
        missing=np.where(on_features, np.maximum(images - seen, 0.0), 0.0) * steps.clean,
        renewal=renewal,
        renewal_share=np.where(renewal > 0, RENEWAL_SHARE, 0.0),
        cheap=np.where(on_features, CHEAP_PASSES * steps.forward * setup.batch, 0.0),
        views=(1 + mirrored) * np.minimum(seen / images, 1.0),
        viewing=viewing,
    )


def _second_view(again: np.ndarray, fit: np.ndarray, window: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether a run has time to see its images mirrored, and seconds of all that it does for its head then.

    Parameters
    ----------
    again
        Seconds for all images that it has seen; infinite where it sees them once.
    fit
        Seconds of its first fit.
    window
        Seconds that are left.
    """
    mirrored = TIME_FOR_MIRRORED * again + TIME_FOR_FIT * fit < window
    seconds = np.where(mirrored, again + REFIT_SHARE * fit, 0.0)
    # Whether the head is fitted to all turns on a moment; here more time does not leave less of it.
    fitted_to_all = np.clip(window - seconds - TIME_FOR_FIT * fit, 0.0, REFIT_SHARE * fit)
    return mirrored, seconds + fitted_to_all


def _first_pass(
    setup: RunSetup, images: np.ndarray, remaining: np.ndarray, reserve: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of the first pass, and whether the run then gives up on its stages.

    Where it does, it looks at more images, for the head.
    """
    forward, asked_for_head = setup.seconds.forward, setup.kind == HEAD_ONLY
    share = np.where(asked_for_head, HEAD_PASS_SHARE, FIRST_PASS_SHARE)
    whole = images * forward < WHOLE_PASS_SHARE * remaining
    share = np.where(whole, np.maximum(share, WHOLE_PASS_SHARE), share)
    # The fit and the least validation have to be in time, too.
    most = np.maximum(remaining - reserve - FIT_SECONDS[0] - LEAST_VALIDATION * forward, 0.0)
    looked = _look(images, np.minimum(share * remaining, most), forward)
    left = remaining - looked
    if setup.gave_up is None:
        wanted = np.minimum(MIN_STEPS, np.ceil(images / setup.batch))
        possible = (left - reserve) / np.maximum(STEP_FACTOR * setup.batch * forward, 1e-12)
        gives_up = (possible < wanted) & ~asked_for_head
    else:
        gives_up = setup.gave_up & ~asked_for_head
    more = np.maximum(images * forward - looked, 0.0)
    return looked + np.where(
        gives_up, np.minimum(_look(images, HEAD_PASS_SHARE * left, forward), more), 0.0
    ), gives_up


def _look(images: np.ndarray, seconds: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Seconds of a pass over all images, or over those that there is time for.

    The chunk counts as a whole that begins in the `seconds` and ends after them.
    """
    chunk = np.clip(0.75 * CHUNK_SECONDS / forward, FIRST_CHUNK, MAX_CHUNK) * forward
    return np.minimum(images * forward, np.maximum(seconds + 0.5 * chunk, LEAST_PASS * forward))
