"""From where training starts: what there is time to train, the head, and what a step will take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from nni_nasoa.training.class_balance import logit_offsets
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.training.stepping import batch_of_process
from nni_nasoa.training.time_shares import (
    CHUNK_SECONDS,
    FIRST_PASS_SHARE,
    FIT_SHARE,
    HEAD_PASS_SHARE,
    HEAD_STEP_SECONDS,
    HEAD_VALIDATION_SHARE,
    LEAST_FIT_SECONDS,
    LEAST_VALIDATION,
    MIN_STEPS,
    STEP_FACTOR,
    TIMING_SHARE,
    VALIDATION_SHARE,
    WHOLE_PASS_SHARE,
)
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged

from .clock import ClockSchedule
from .context import RunContext
from .first_pass import FirstPass
from .logistic import MIDDLE_PENALTY, PENALTIES, Head, fit
from .run_log import RunLog
from .trained_part import TrainedPart
from .validation import Validation

# The norm of a class's weights at the start, where stages are trained, too; trained heads have about that.
HEAD_NORM = 1.0
LEAST_CHOOSING = 0.5  # With fewer seconds for the fit, no penalty is chosen.
FEW_OF_A_CLASS = 3  # with fewer images to learn from, on average, a run says so first
VALIDATION_BATCH_SECONDS = 0.2  # a batch takes no longer, so that the clock is looked at often enough


@dataclass(frozen=True, eq=False)
class Fitted:
    """A head that was fitted to features, and these.

    Parameters
    ----------
    head
        The head.
    indices, features, labels
        Of the training images that it was fitted to: (n,), (n, width) as the view scales them, (n,).
    seconds
        That the fit took.
    """

    head: Head
    indices: Tensor
    features: Tensor
    labels: Tensor
    seconds: float


@dataclass(frozen=True, eq=False)
class KnownHead:
    """What a head knows before the run, in place of one that is fitted from nothing.

    Parameters
    ----------
    rows
        (classes,) bool: the classes whose weights are there, and stay as a start. Those of the others are 0,
        and are fitted beside them.
    fit_anew
        Whether all are fitted anew, beginning with these, as the head has seen the validation images.
    """

    rows: Tensor
    fit_anew: bool = False

    @property
    def needs_fit(self) -> bool:
        """Whether there is anything to fit before the first step."""
        return self.fit_anew or not bool(self.rows.all())


@dataclass(frozen=True, eq=False)
class TrainingStart:
    """From where training starts.

    Parameters
    ----------
    part
        What there is time to train; its head is fitted, where that is a start.
    seconds_per_image
        Of a forward pass through the network.
    step_seconds
        That a training step will take, as is expected.
    fitted
        The head of a pooled view; None of others.
    offsets
        What is added to logits while they are trained, see `class_balance.logit_offsets`.
    """

    part: TrainedPart
    seconds_per_image: float
    step_seconds: float
    fitted: Fitted | None = None
    offsets: Tensor | None = None


def training_start(
    frozen: Callable[[int], TrainedPart],
    regime: FineTuneRegime,
    context: RunContext,
    schedule: ClockSchedule,
    log: RunLog,
    *,
    order: Tensor,
    head_start: bool,
    known: KnownHead | None = None,
) -> TrainingStart:
    """Learn what a step will take, fit the head, and give up on the stages that there is no time for.

    Parameters
    ----------
    frozen
        Freezes so many stages of the network; what is trained then.
    regime, context, schedule
        Of the run.
    log
        Is told what there is no time for.
    order
        Indices of this process's training images, shuffled.
    head_start
        Whether the network is pretrained, so that a head in closed form is a start.
    known
        Of a run that goes on from a classifier, what its head knows.
    """
    part = frozen(regime.frozen_stages)
    offsets = logit_offsets(
        part.inputs.labels, part.network.head.out_features, regime.logit_adjustment, context.group
    )
    seen = FirstPass(part.network, order, context)
    part.network.eval()
    share = HEAD_PASS_SHARE if part.head_only else FIRST_PASS_SHARE if head_start else TIMING_SHARE
    _look(seen, part, context, schedule, share)
    batch = batch_of_process(regime, part.inputs, context.group)
    wanted = min(MIN_STEPS, math.ceil(len(part.inputs) / batch))
    step = STEP_FACTOR * batch * seen.least_seconds_per_image
    possible, step, needed = context.group.from_first([schedule.window_left / step, step, wanted])
    if possible < needed and not part.head_only:
        log.note(
            f"the budget is too short for {needed:g} training steps of about {step:.2g} s each: "
            "only the head is trained",
            cut_to_head=True,
        )
        part = frozen(len(part.network.stages))
        for indices, features in seen.kept:
            part.inputs.keep(indices, features)
        _look(seen, part, context, schedule, HEAD_PASS_SHARE)
    if part.head_only and seen.images < len(part.inputs):
        log.note(
            "the budget is too short for one pass over the images: "
            f"the head is fitted to {seen.images} of {len(part.inputs)}"
        )
    # A pooled view learns from what was seen, and no more, unless it was trained before.
    by_seen = isinstance(part.network, PooledStages) and (known is None or known.fit_anew)
    _tell_few(seen.images if by_seen else len(part.inputs) * context.group.size, part, log)
    fitted = None
    if known is not None and not known.fit_anew:
        if known.needs_fit:
            _fit_new_rows(seen, part.network, known.rows, context, schedule)
    elif isinstance(part.network, PooledStages):
        fitted = _fit(
            seen,
            part.network,
            context,
            schedule,
            scaled=known is not None,
            logit_adjustment=regime.logit_adjustment,
        )
    elif part.head_only or head_start:
        seen.fit_head(regime.label_smoothing, None if part.head_only else HEAD_NORM, offsets)
    seconds = seen.seconds_per_image
    if not part.head_only and STEP_FACTOR * batch * needed * seconds > schedule.window_left:
        seconds = seen.least_seconds_per_image  # by this one there is time: a chunk was held up
    if part.head_only and part.inputs.store is not None:
        step = HEAD_STEP_SECONDS
    else:
        step = seconds * batch * (1 if part.head_only else STEP_FACTOR)
    return TrainingStart(part, seconds, step, fitted, offsets)


def _tell_few(images: int, part: TrainedPart, log: RunLog) -> None:
    """Say before all else that a run learns from next to no images, if it does."""
    classes = part.network.head.out_features
    if images < FEW_OF_A_CLASS * classes:
        log.headline(
            f"there were only {images} images of {classes} classes to learn from: take what it predicts as a "
            "first guess, and give more minutes or images"
        )


def _fit(
    seen: FirstPass,
    network: PooledStages,
    context: RunContext,
    schedule: ClockSchedule,
    *,
    scaled: bool,
    logit_adjustment: float,
) -> Fitted:
    """Fit the head of a pooled view to the features that were seen.

    Beginning with the head that it has where it is `scaled` already; else it is scaled to them first.
    """
    begin, allowed = context.clock.now(), FIT_SHARE * context.clock.remaining
    indices, features, labels = seen.features()
    if not scaled:
        features = network.scale_to(features)
    head = fit(
        features,
        labels,
        network.head.out_features,
        penalties=PENALTIES if allowed > LEAST_CHOOSING else (MIDDLE_PENALTY,),
        start=_head_of(network) if scaled else None,
        in_time=lambda: context.clock.now() - begin < allowed and schedule.window_left > 0,
    )
    head.put_into(network.head, logit_offsets(labels, network.head.out_features, logit_adjustment))
    return Fitted(head, indices, features, labels, context.clock.now() - begin)


def _fit_new_rows(
    seen: FirstPass, network: Staged, known: Tensor, context: RunContext, schedule: ClockSchedule
) -> None:
    """Fit the weights of new classes to the features that were seen, beside those of the known ones."""
    begin, allowed = context.clock.now(), FIT_SHARE * context.clock.remaining
    _, features, labels = seen.features()
    head = fit(
        features,
        labels,
        network.head.out_features,
        penalties=(MIDDLE_PENALTY,),
        start=_head_of(network),
        kept=known.cpu(),
        in_time=lambda: context.clock.now() - begin < allowed and schedule.window_left > 0,
    )
    head.put_into(network.head)
    context.group.share([parameter.data for parameter in network.head.parameters()])


def _head_of(network: Staged) -> Head:
    layer = network.head
    bias = layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias
    return Head(layer.weight.detach().clone(), bias.detach().clone(), MIDDLE_PENALTY)


def _look(
    seen: FirstPass, part: TrainedPart, context: RunContext, schedule: ClockSchedule, share: float
) -> None:
    """Look at images for a share of the time that is left; at all of them where that is quickly done."""
    pooled = isinstance(seen.network, PooledStages)
    allowed, whole = (of_time * context.clock.remaining for of_time in (share, WHOLE_PASS_SHARE))

    def go_on(seconds: float) -> bool:
        enough = whole if len(seen.order) * seen.seconds_per_image < whole else allowed
        # One more chunk, the fit and the least validation have to be in time, too.
        kept = LEAST_FIT_SECONDS if pooled else CHUNK_SECONDS
        kept += LEAST_VALIDATION * seen.seconds_per_image
        return seconds < max(allowed, enough) and schedule.window_left > kept and not context.interruption

    seen.run(part.inputs, go_on)


def validation_in_time(
    start: TrainingStart,
    context: RunContext,
    log: RunLog,
    generator: torch.Generator,
    select_by: str = "accuracy",
) -> Validation:
    """Validation on as many of this process's images, a random choice, as evaluations have time for."""
    inputs, seconds = start.part.val_inputs, start.seconds_per_image
    share = HEAD_VALIDATION_SHARE if start.part.head_only else VALIDATION_SHARE
    in_time = share * context.clock.remaining / seconds
    count = int(min(len(inputs), max(LEAST_VALIDATION, in_time)))
    order = torch.randperm(len(inputs), generator=generator)[:count]
    if count < len(inputs):
        log.note(
            f"evaluations are on {count} of {len(inputs)} validation images, to keep them within the budget"
        )
    classes = start.part.network.head.out_features
    validation = Validation(inputs, order, classes, context, balanced=select_by == "balanced")
    validation.batch = max(1, min(validation.batch, int(VALIDATION_BATCH_SECONDS / seconds)))
    return validation
