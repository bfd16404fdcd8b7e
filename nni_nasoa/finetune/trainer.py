"""One run of fine-tuning, step by step: first pass, training by the clock, evaluations, and the way out of trouble."""

from __future__ import annotations

import dataclasses
import math
import signal
from collections.abc import Callable
from typing import Any

import torch

from nni_nasoa.device.threads import Threads
from nni_nasoa.training.images import Images
from nni_nasoa.training.inputs import Inputs
from nni_nasoa.training.outcome import NOT_KNOWN, Outcome, StopReason
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.training.stepping import Stepper, batch_of_process
from nni_nasoa.training.time_shares import (
    FIRST_PASS_SHARE,
    HEAD_PASS_SHARE,
    HEAD_STEP_SECONDS,
    HEAD_VALIDATION_SHARE,
    LAST_FEATURES_SHARE,
    LEAST_VALIDATION,
    MIN_STEPS,
    SAVING_SECONDS,
    STEP_FACTOR,
    TIMING_SHARE,
    VALIDATION_SHARE,
)
from nni_nasoa.training.trainable import Trainable

from .best_state import Best
from .clock import ClockSchedule
from .compiling import compiled_in_time
from .context import RunContext
from .first_pass import FirstPass
from .options import DEFAULT_RESOURCES, Resources
from .validation import Validation

# Of a class's weights at the start, where stages are trained, too; trained heads have about that.
HEAD_NORM = 1.0
SAVING_SPEED = 100e6  # bytes per second, until the first save tells
LOWER_RATE = 0.1  # after divergence
DIVERGED = 10  # times the loss of guessing
SATURATED_EVALUATIONS, SATURATED_IMAGES = 3, 200  # in a row without a mistake, on so many images
UNUSED_SHARE = 0.1  # of the budget: if more is left at the end, that is worth a word


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
    resources
        What may be used of the machine.
    margin
        Of the schedule, see `ClockSchedule`.
    save
        Called to save the network's present state, which is then the best one.
    """

    def __init__(
        self,
        network,
        train: Images,
        val: Images,
        regime: FineTuneRegime,
        context: RunContext,
        *,
        seed: int = 0,
        head_start: bool = True,
        resources: Resources = DEFAULT_RESOURCES,
        margin: float | None = None,
        save: Callable[[Trainer], None] | None = None,
    ) -> None:
        self.network, self.train_images, self.val_images, self.regime = network, train, val, regime
        self.context, self._save = context, save
        self.clock, self.group, self.interruption = context.clock, context.group, context.interruption
        self.schedule = ClockSchedule(context.clock, margin=margin)
        self.device = context.device
        size = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
        self.schedule.saving.expected = 0.0 if save is None else SAVING_SECONDS + size / SAVING_SPEED
        self.threads = Threads.of_run(self.device)
        self.head_start, self.resources, self._compiled = head_start, resources, resources.compile
        self._seed, self._order = seed, torch.Generator().manual_seed(seed + self.group.rank)
        self.stepper: Stepper | None = None
        self.loss = math.nan
        self.best: Best | None = None
        self.evaluations: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.outcome: Outcome = NOT_KNOWN
        self._perfect, self._steps_back, self._saved_at = 0, 0, -math.inf
        self._cold = False  # the next step has a new shape, for which kernels have to be found or compiled

    def execute(self) -> None:
        """Do all of it: afterwards the network has its best state, and that is saved."""
        self.group.share(list(self.network.state_dict().values()))
        self._set_frozen(min(self.regime.frozen_stages, len(self.network.stages)))
        self._first_pass()
        self._prepare_validation()
        self._evaluate("start")
        self._train()
        if self.outcome.reason in (StopReason.BUDGET, StopReason.SATURATED):
            if self.steps or not self.best.evaluation.complete:
                self._evaluate("end")
            left = self.clock.remaining - self.schedule.saving_time
            if self.outcome.reason is StopReason.BUDGET and left > UNUSED_SHARE * self.clock.budget:
                self.note(
                    f"{left:.1f} s are left, too short for a step of about {self.schedule.step.upper:.2g} s "
                    "and what has to follow",
                    unused_seconds=left,
                )
        self.best.restore(self.network)
        if self._save is not None and not self.best.saved:
            self._save(self)

    # -- before training --

    def _set_frozen(self, frozen: int) -> None:
        self.frozen = frozen
        self.network.freeze(frozen)
        self.inputs, self.val_inputs = (
            Inputs(
                images,
                self.network,
                frozen,
                cached=self.resources.feature_cache,
                memory_limit=self.resources.memory_limit,
                seed=self._seed + self.group.rank,
            )
            for images in (self.train_images, self.val_images)
        )
        self.trainable = Trainable(self.network, frozen)

    def _first_pass(self) -> None:
        """Learn what a step will take, fit the head, and give up on the stages that there is no time for."""
        self._adapt_threads()
        count, head_only = len(self.network.stages), self.frozen == len(self.network.stages)
        order = torch.randperm(len(self.inputs), generator=self._order)
        seen = FirstPass(self.network, order, self.context)
        self.network.eval()
        self._look(
            seen, HEAD_PASS_SHARE if head_only else FIRST_PASS_SHARE if self.head_start else TIMING_SHARE
        )
        batch = batch_of_process(self.regime, self.inputs, self.group)
        wanted = min(MIN_STEPS, math.ceil(len(self.inputs) / batch))
        step = STEP_FACTOR * batch * seen.least_seconds_per_image
        possible, step, wanted = self.group.from_first([self.schedule.window_left / step, step, wanted])
        if possible < wanted and not head_only:
            self.note(
                f"the budget is too short for {wanted:g} training steps of about {step:.2g} s each: "
                "only the head is trained",
                cut_to_head=True,
            )
            self._set_frozen(count)
            for indices, features in seen.kept:
                self.inputs.keep(indices, features)
            self._look(seen, HEAD_PASS_SHARE)
            head_only = True
        if head_only and seen.images < len(self.inputs):
            self.note(
                "the budget is too short for one pass over the images: "
                f"the head is fitted to {seen.images} of {len(self.inputs)}"
            )
        if head_only or self.head_start:
            seen.fit_head(self.regime.label_smoothing, None if head_only else HEAD_NORM)
        self._forward_seconds = seen.seconds_per_image
        needed = STEP_FACTOR * batch * wanted * seen.seconds_per_image
        if not head_only and needed > self.schedule.window_left:
            # By this one there is time: a chunk was held up.
            self._forward_seconds = seen.least_seconds_per_image
        stored = head_only and self.inputs.store is not None
        self.schedule.step.expected = (
            HEAD_STEP_SECONDS if stored else self._forward_seconds * batch * (1 if head_only else STEP_FACTOR)
        )

    def _adapt_threads(self) -> None:
        if self.threads is not None:
            self.threads.adapt()

    def _look(self, seen: FirstPass, share: float) -> None:
        allowed = share * self.clock.remaining
        seen.run(
            self.inputs,
            lambda seconds: seconds < allowed and self.schedule.window_left > 0 and not self.interruption,
        )

    def _prepare_validation(self) -> None:
        share = HEAD_VALIDATION_SHARE if self.frozen == len(self.network.stages) else VALIDATION_SHARE
        in_time = share * self.clock.remaining / self._forward_seconds
        count = int(min(len(self.val_inputs), max(LEAST_VALIDATION, in_time)))
        order = torch.randperm(len(self.val_inputs), generator=self._order)[:count]
        if count < len(self.val_inputs):
            self.note(
                f"evaluations are on {count} of {len(self.val_inputs)} validation images, to keep them within the budget"
            )
        self.validation = Validation(self.val_inputs, order, self.context)
        self.validation.batch = max(1, min(self.validation.batch, int(0.2 / self._forward_seconds)))
        self.schedule.evaluation.expected = count * self._forward_seconds

    # -- evaluations --

    def _evaluate(self, kind: str) -> None:
        """Evaluate the present state, and keep it where it is as good as the best."""
        begin, computed = self.clock.elapsed, self.val_inputs.computed
        self.network.eval()
        self.group.share(list(self.trainable.own_buffers()))
        in_time = self.clock.time_for_another(self.schedule.saving_time + self.schedule.margin / 2)
        evaluation = self.validation.evaluate(self.trainable, lambda: in_time() and not self.interruption)
        if evaluation.complete:
            # The features of frozen stages are there from now on; behind all stages, an evaluation is no more
            # than a head's step.
            again = (
                self.val_inputs.store is None
                or self.val_inputs.computed == computed
                or self.frozen < len(self.network.stages)
            )
            self.schedule.evaluated(self.clock.elapsed - begin if again else HEAD_STEP_SECONDS)
        better = self.validation.better(evaluation, self.best.evaluation if self.best else None)
        if (better and math.isfinite(evaluation.loss)) or self.best is None:
            self.best = Best(self.network, self.frozen, evaluation)
            self._save_early()
        perfect = evaluation.complete and evaluation.accuracy == 1 and evaluation.images >= SATURATED_IMAGES
        self._perfect = self._perfect + 1 if perfect else 0
        record = {
            "kind": kind,
            "elapsed": round(self.clock.elapsed, 4),
            "budget": self.clock.budget,
            "progress": round(self.schedule.progress(), 5) if kind != "start" else 0.0,
            "epochs": round(self.epochs, 4),
            "steps": self.steps,
            "images": self.images,
            "learning_rate": self.stepper.optimizer.learning_rate if self.steps else None,
            "train_loss": self.loss if math.isfinite(self.loss) else None,
            "val_loss": evaluation.loss if math.isfinite(evaluation.loss) else None,
            "val_accuracy": evaluation.accuracy,
            "val_images": evaluation.images,
            "best": self.best.evaluation is evaluation,
        }
        self.evaluations.append(record)
        self.context.watcher.evaluation(record)

    @property
    def steps(self) -> int:
        """Training steps taken."""
        return self.stepper.steps if self.stepper else 0

    @property
    def images(self) -> int:
        """Training images seen in them, over all processes."""
        return self.stepper.images if self.stepper else 0

    @property
    def epochs(self) -> float:
        """Passes over the training images."""
        return self.images / (len(self.inputs) * self.group.size)

    def _save_early(self) -> None:
        """Save at once where that costs little, so that little is left for the end, and a process that is killed leaves something."""
        if self._save is None:
            return
        since = self.clock.elapsed - self._saved_at
        if self.schedule.saving.typical <= 0.02 * since:
            begin = self.clock.elapsed
            self._save(self)
            self.best.saved, self._saved_at = True, self.clock.elapsed
            self.schedule.saving.add(self._saved_at - begin)

    # -- training --

    def _train(self) -> None:
        head_only = self.network.head if self.frozen == len(self.network.stages) else None
        self.stepper = Stepper(
            self.trainable,
            self.network.head.out_features,
            self.inputs,
            self.regime,
            self.group,
            self._seed,
            head_only,
        )
        self._compiled = self._compiled and head_only is None
        self._prepare_steps()
        self.schedule.begin()
        while self.outcome.reason is StopReason.UNKNOWN:
            number = int(self.group.most(self.interruption.number))
            steps, share = (0, 0.0) if number else self.group.from_first(self._plan())
            if steps == 0:
                self.outcome = dataclasses.replace(self.outcome, **self._end(number))
            elif steps < 0:
                self._evaluate("training")
                self._adapt_threads()
            else:
                self._chunk(int(steps), share)

    def _prepare_steps(self) -> None:
        """Train through torch.compile, if that was asked for and is ready in time, and several processes with overlapping messages."""
        if self._compiled:
            why_not = compiled_in_time(self.stepper, self.trainable, self.context)
            if why_not:
                self._compiled = False
                self.note(why_not)
        self.stepper.overlap(self.clock.remaining)
        self._cold = self.device.type == "cuda" or self._compiled

    def _plan(self) -> list[float]:
        """How many steps to take next (0: stop, -1: evaluate), at which share of the learning rate."""
        if self._perfect >= SATURATED_EVALUATIONS:
            return [0, 0.0]
        if self.schedule.evaluation_due():
            return [-1, 0.0]
        return [self.schedule.steps_now(), self.schedule.learning_rate_share()]

    def _end(self, number: int) -> dict[str, Any]:
        """Why there is no further step: a signal's number, if not 0; else no more to gain, or no more time."""
        if number:
            return {"reason": StopReason.INTERRUPTED, "signal": signal.Signals(number).name}
        saturated = self._perfect >= SATURATED_EVALUATIONS
        return {"reason": StopReason.SATURATED if saturated else StopReason.BUDGET}

    def _chunk(self, steps: int, share: float) -> None:
        """Take steps; end earlier where the time runs out, and look whether all is well."""
        self.network.train()
        self.stepper.optimizer.learning_rate = self.regime.learning_rate * self.stepper.rate_scale * share
        done, computed, total = 0, self.inputs.computed, torch.zeros((), device=self.device)
        cold, self._cold = self._cold, False
        with self.context.turns.turn():  # whoever measures times on this device is alone meanwhile
            begin = self.clock.elapsed
            while done < (1 if cold else steps) and (done == 0 or self.stepper.go_on):
                loss = self.stepper.step(
                    self._computing_is_too_slow(),
                    lambda: self.schedule.window_left > 0 and not self.interruption,
                )
                if loss is None:
                    break
                total += loss
                done += 1
            sums = torch.stack([total, total.new_tensor(float(done))])
            self.group.sum([sums])
            self.loss = (sums[0] / sums[1]).item() if done else self.loss  # which waits for the device
        if loss is None:
            self._halve_batch()
            return
        # Near the end, no new features are computed.
        if not cold and (self.inputs.store is None or self.inputs.computed == computed):
            self.schedule.step.add((self.clock.elapsed - begin) / done)
        if not math.isfinite(self.loss) or self.loss > DIVERGED * math.log(self.network.head.out_features):
            self._step_back()
        self.context.watcher.step(self.clock.elapsed, self.loss, self.best.evaluation.accuracy)

    def _computing_is_too_slow(self) -> bool:
        """Whether the time is too short for the features of one more batch."""
        allowed = LAST_FEATURES_SHARE * self.schedule.window_left
        return self.frozen > 0 and self._forward_seconds * self.stepper.batch > allowed

    # -- trouble --

    def _halve_batch(self) -> None:
        """Go on with a smaller batch, in all processes."""
        batch = self.stepper.halve_batch()
        note = f"out of memory: batch size {batch} from here on, and the learning rate in proportion"
        self.note(note, halved_batch=batch)
        self._prepare_steps()

    def _step_back(self) -> None:
        """Go back to the best state at a lower rate, once."""
        self._steps_back += 1
        rate = self.stepper.optimizer.learning_rate
        self.best.restore(self.network)
        if self._steps_back > 1:
            self.note(
                f"the loss was {self.loss:.3g} again, at learning rate {rate:.2g}: no more training; "
                f"a rate below {rate / 3:.1g} may do",
                reason=StopReason.DIVERGED,
            )
            return
        self.stepper.optimizer.reset()
        self.stepper.rate_scale *= LOWER_RATE
        self.note(
            f"the loss was {self.loss:.3g} at learning rate {rate:.2g}: back to the best state, with {LOWER_RATE:g} of the rate"
        )

    def note(self, text: str, **outcome: Any) -> None:
        """Something goes differently from what was asked for: in words, for people, and as fields of the outcome."""
        self.outcome = dataclasses.replace(self.outcome, **outcome)
        self.notes.append(text)
        self.context.watcher.note(text)
