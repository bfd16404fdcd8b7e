"""The trainer: a run of fine-tuning from its first look at the images to the best state that it came to.

It trains by the clock: the learning rate follows the time that is gone, and the last step, evaluation and
save are done when the budget is over. What goes wrong on the way is survived, and told.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch

from nni_nasoa.device.threads import Threads
from nni_nasoa.training.averaging import WeightAverage
from nni_nasoa.training.images import Images
from nni_nasoa.training.outcome import StopReason
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.training.stepping import Stepper
from nni_nasoa.training.time_shares import HEAD_STEP_SECONDS, LAST_FEATURES_SHARE
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged

from .best_state import BestState
from .clock import ClockSchedule
from .compiling import compiled_in_time
from .context import RunContext
from .divergence import Divergence
from .forward_type import TYPE_IMAGES, forward_type
from .head_run import HeadRun
from .options import DEFAULT_RESOURCES, Resources
from .resuming import GoingOn
from .run_log import RunLog
from .trained_part import TrainedPart
from .training_start import TrainingStart, training_start, validation_in_time
from .validation import Evaluation, Validation

LOWER_RATE = 0.1  # the learning rate is multiplied by this after divergence
# A run is saturated after so many evaluations in a row without a mistake, on so many images at least.
SATURATED_EVALUATIONS, SATURATED_IMAGES = 3, 200
UNUSED_SHARE = 0.1  # a larger share of the budget that is left at the end is worth a word
STOP, EVALUATE = 0, -1  # what is next, where it is not a number of steps


class Trainer:
    """The state of a run.

    Parameters
    ----------
    network
        A `zoo.staged` view on the device.
    train, val
        This process's images.
    regime
        How to train.
    context
        In what time, where and with whom.
    seed
        Of the order of images, and of what else is drawn.
    head_start
        Whether the network is pretrained, so that a head in closed form is a start.
    going_on
        What is known of the network where an earlier run has trained it.
    resources
        What may be used of the machine.
    margin
        Of the schedule, see `ClockSchedule`.
    save
        Called to save the network's present state, which is then the best one.

    Attributes
    ----------
    log
        What is told of the run.
    best
        The best state so far.
    loss
        Of the latest steps, on average; NaN before the first.
    """

    start: TrainingStart  # these are there once the run has looked at its images
    validation: Validation
    stepper: Stepper

    def __init__(
        self,
        network: Staged,
        train: Images,
        val: Images,
        regime: FineTuneRegime,
        context: RunContext,
        *,
        seed: int = 0,
        head_start: bool = True,
        going_on: GoingOn | None = None,
        resources: Resources = DEFAULT_RESOURCES,
        margin: float | None = None,
        save: Callable[[Trainer], None] | None = None,
    ) -> None:
        self.network, self.train_images, self.regime, self.context = network, train, regime, context
        self.clock, self.group, self.interruption = context.clock, context.group, context.interruption
        self.schedule = ClockSchedule(context.clock, margin=margin)
        self.best = BestState(network, self.schedule, None if save is None else lambda: save(self))
        self.log, self.loss = RunLog(context.watcher), math.nan
        self._threads = Threads.of_run(context.device)
        self._head_start, self._seed, self._going_on = head_start, seed, going_on
        self._compile, self._precision = resources.compile, resources.precision
        seed_of_process = seed + self.group.rank
        self._order = torch.Generator().manual_seed(seed_of_process)
        self._frozen = partial(
            TrainedPart.behind,
            network=network,
            train=train,
            val=val,
            resources=resources,
            seed=seed_of_process,
            now=context.clock.now,
        )
        self._head_run: HeadRun | None = None  # of a head that is fitted to features
        self._average: WeightAverage | None = None  # of weights, where the regime asks for it
        self._perfect_evaluations, self._steps_back = 0, 0
        self._divergence = Divergence(network.head.out_features, self.group)
        self._cold = False  # the next step has a new shape, for which kernels have to be found or compiled

    def execute(self) -> None:
        """Do all of it: afterwards the network has its best state, and that is saved."""
        self.group.share(list(self.network.state_dict().values()))
        self._adapt_threads()
        self._prepare()
        before = None if self._going_on is None else self._going_on.best
        if before is not None:
            self.best.begin_with(*before)
        if self._head_run is not None:
            self._fit_head(self._head_run)
        else:
            self._evaluate("start")
        if self._head_run is None or not self.start.part.head_only:
            self._train()
        if self.log.outcome.reason in (StopReason.BUDGET, StopReason.SATURATED):
            if self.stepper.steps or not self.best.evaluation.complete:
                self._evaluate("end")
            self._tell_unused_time()
        if self._is_as_before:
            self.log.note("nothing better than the classifier that was resumed was found: it stays as it was")
        self.best.finish()

    @property
    def _is_as_before(self) -> bool:
        """Whether the best state is still that of the classifier which the run goes on from."""
        return self.best.known and self.best.evaluation.correct is None

    def _adapt_threads(self) -> None:
        if self._threads is not None:
            self._threads.adapt()

    def _prepare(self) -> None:
        """Look at the images, and make what takes steps, and what evaluates, of what there is time for."""
        order = torch.randperm(len(self.train_images), generator=self._order)
        first = self.train_images.clean(order[:TYPE_IMAGES])
        self.network.forward_type = forward_type(self.network, first, self._precision, self.context)
        self.start = training_start(
            self._frozen,
            self.regime,
            self.context,
            self.schedule,
            self.log,
            order=order,
            head_start=self._head_start,
            known=None if self._going_on is None else self._going_on.head,
        )
        self.validation = validation_in_time(
            self.start, self.context, self.log, self._order, self.regime.select_by
        )
        self.schedule.step.expected = self.start.step_seconds
        self.schedule.evaluation.expected = len(self.validation.order) * self.start.seconds_per_image
        head, part = self.network.head, self.start.part
        self.stepper = Stepper(
            part.module,
            head.out_features,
            part.inputs,
            self.regime,
            self.group,
            self._seed,
            head if part.head_only else None,
            offsets=self.start.offsets,
        )
        if self.regime.weight_averaging:
            self._average = WeightAverage(part.module, self.regime.weight_averaging)
        if isinstance(self.network, PooledStages) and self.start.fitted is not None:
            adjustment = self.regime.logit_adjustment
            self._head_run = HeadRun(
                self.network, self.start, self.validation, self.context, self.schedule, adjustment
            )

    def _fit_head(self, run: HeadRun) -> None:
        """Do what can be done for a head on features, and end with that where no stage is trained."""
        run.keep_validation_features()
        self._evaluate("start", run)
        if self.start.part.head_only and run.time_for_mirrored() and run.take_mirrored():
            self._evaluate("training", run)
        self.best.restore()
        if not self.interruption and not self._is_as_before and run.fit_to_all():
            lead = run.lead(self.best.evaluation.accuracy)
            self.best.keep(self.best.evaluation, self.start.part.frozen, lead)
        number = self.interruption.number
        if not self.start.part.head_only:
            run.begin_training()
        elif number:
            self.log.come_to(reason=StopReason.INTERRUPTED, signal=signal.Signals(number).name)
        else:
            self.log.come_to(reason=StopReason.FITTED)

    # -- training --

    def _train(self) -> None:
        """Train and evaluate by turns, as the first process plans it, until something ends that."""
        self._compile = self._compile and not self.start.part.head_only
        self._prepare_steps()
        self.schedule.begin()
        while self.log.outcome.reason is StopReason.UNKNOWN:
            number = int(self.group.most(self.interruption.number))
            steps, share = (STOP, 0.0) if number else self.group.from_first(self._plan())
            if steps == STOP:
                self._stop(number)
            elif steps == EVALUATE:
                self._evaluate("training")
                self._adapt_threads()
            else:
                self._take_steps(int(steps), share)

    def _prepare_steps(self) -> None:
        """Have torch.compile ready, if it was asked for and is in time, and messages of processes overlap."""
        if self._compile:
            why_not = compiled_in_time(self.stepper, self.start.part.module, self.context)
            if why_not:
                self._compile = False
                self.log.note(why_not)
        self.stepper.overlap(self.clock.remaining)
        self._cold = self.context.device.type == "cuda" or self._compile

    def _plan(self) -> list[float]:
        """How many steps to take next (or STOP, or EVALUATE), at which share of the learning rate."""
        if self._perfect_evaluations >= SATURATED_EVALUATIONS:
            return [STOP, 0.0]
        if self.schedule.evaluation_due():
            return [EVALUATE, 0.0]
        return [self.schedule.steps_now(), self.schedule.learning_rate_share()]

    def _stop(self, number: int) -> None:
        """Training ends: by a signal of that number, if not 0; else no more is to gain, or time is over."""
        if number:
            self.log.come_to(reason=StopReason.INTERRUPTED, signal=signal.Signals(number).name)
        elif self._perfect_evaluations >= SATURATED_EVALUATIONS:
            self.log.come_to(reason=StopReason.SATURATED)
        else:
            self.log.come_to(reason=StopReason.BUDGET)

    def _take_steps(self, steps: int, share: float) -> None:
        """Take steps; end earlier where the time runs out, and look whether all is well."""
        stepper, inputs = self.stepper, self.start.part.inputs
        self.network.train()
        stepper.optimizer.learning_rate = self.regime.learning_rate * stepper.rate_scale * share
        cold, self._cold = self._cold, False
        done, computed, total = 0, inputs.computed, torch.zeros((), device=self.context.device)
        with self.context.turns.turn():  # whoever measures times on this device is alone meanwhile
            begin = self.clock.elapsed
            while done < (1 if cold else steps) and (done == 0 or stepper.go_on):
                loss = stepper.step(self._features_take_too_long(), self._in_time)
                if loss is None:
                    break
                self._divergence.observe(loss)
                if self._average is not None:
                    self._average.update()
                total += loss
                done += 1
            sums = torch.stack([total, total.new_tensor(float(done))])
            self.group.sum([sums])
            self.loss = (sums[0] / sums[1]).item() if done else self.loss  # which waits for the device
        if loss is None:
            self._halve_batch()
            return
        # Near the end, no new features are computed.
        if not cold and (inputs.store is None or inputs.computed == computed):
            self.schedule.step.add((self.clock.elapsed - begin) / done)
        if self._divergence.has_come(self.loss):
            self._step_back()
        self.context.watcher.step(self.clock.elapsed, self.loss, self.best.evaluation.accuracy)

    def _in_time(self) -> bool:
        return self.schedule.window_left > 0 and not self.interruption

    def _features_take_too_long(self) -> bool:
        """Whether the time is too short for the features of one more batch."""
        seconds = self.start.seconds_per_image * self.stepper.batch
        return self.start.part.frozen > 0 and seconds > LAST_FEATURES_SHARE * self.schedule.window_left

    # -- evaluations --

    def _evaluate(self, kind: str, head: HeadRun | None = None) -> None:
        """Evaluate the present state, and keep it where it is as good as the best.

        That of the `head` by its features, where they are there; once steps were taken, that of the average
        of the weights, where there is one.
        """
        with nullcontext() if self._average is None else self._average.in_place():
            self._evaluate_present(kind, head)

    def _evaluate_present(self, kind: str, head: HeadRun | None) -> None:
        part, begin = self.start.part, self.clock.elapsed
        module, validation = (
            (part.module, self.validation) if head is None else (head.module, head.validation)
        )
        computed = part.val_inputs.computed
        self.network.eval()
        self.group.share(list(part.module.own_buffers()))
        in_time = self.clock.time_for_another(self.schedule.saving_time + self.schedule.margin / 2)
        evaluation = validation.evaluate(module, lambda: in_time() and not self.interruption)
        if evaluation.complete and module is part.module:
            # The features of frozen stages are there from now on; behind all stages, an evaluation is no more
            # than a head's step.
            kept = part.val_inputs.store is not None and part.val_inputs.computed > computed
            again = HEAD_STEP_SECONDS if kept and part.head_only else self.clock.elapsed - begin
            self.schedule.evaluated(again)
        before = self.best.evaluation if self.best.known else None
        better = validation.better(evaluation, before, self.best.lead)
        best = (better and math.isfinite(evaluation.loss)) or not self.best.known
        if best:
            self.best.keep(evaluation, part.frozen)
        perfect = evaluation.complete and evaluation.accuracy == 1 and evaluation.images >= SATURATED_IMAGES
        self._perfect_evaluations = self._perfect_evaluations + 1 if perfect else 0
        self._tell_evaluation(kind, evaluation, best)

    def _tell_evaluation(self, kind: str, evaluation: Evaluation, best: bool) -> None:
        self.log.evaluated(
            evaluation,
            best,
            kind=kind,
            elapsed=round(self.clock.elapsed, 4),
            budget=self.clock.budget,
            progress=round(self.schedule.progress(), 5) if kind != "start" else 0.0,
            epochs=round(self.epochs, 4),
            steps=self.stepper.steps,
            images=self.stepper.images,
            learning_rate=self.stepper.optimizer.learning_rate if self.stepper.steps else None,
            train_loss=self.loss if math.isfinite(self.loss) else None,
        )

    @property
    def epochs(self) -> float:
        """Passes over the training images."""
        if self._head_run is not None and self.start.part.head_only:
            return self._head_run.epochs
        return self.stepper.images / (len(self.train_images) * self.group.size)

    def _tell_unused_time(self) -> None:
        left = self.clock.remaining - self.schedule.saving_time
        if self.log.outcome.reason is StopReason.BUDGET and left > UNUSED_SHARE * self.clock.budget:
            self.log.note(
                f"{left:.1f} s are left, too short for a step of about {self.schedule.step.upper:.2g} s "
                "and what has to follow",
                unused_seconds=left,
            )

    # -- trouble --

    def _halve_batch(self) -> None:
        """Go on with a smaller batch, in all processes."""
        batch = self.stepper.halve_batch()
        note = f"out of memory: batch size {batch} from here on, and the learning rate in proportion"
        self.log.note(note, halved_batch=batch)
        self._prepare_steps()

    def _step_back(self) -> None:
        """Go back to the best state at a lower rate, once."""
        self._steps_back += 1
        rate = self.stepper.optimizer.learning_rate
        self.best.restore()
        if self._steps_back > 1:
            self.log.note(
                f"the loss was {self.loss:.3g} again, at learning rate {rate:.2g}: no more training; "
                f"a rate below {rate / 3:.1g} may do",
                reason=StopReason.DIVERGED,
            )
            return
        self.stepper.optimizer.reset()
        if self._average is not None:
            self._average.restart()
        self.stepper.rate_scale *= LOWER_RATE
        self.log.note(
            f"the loss was {self.loss:.3g} at learning rate {rate:.2g}: back to the best state, "
            f"with {LOWER_RATE:g} of the rate"
        )
