"""Measures step times with the parts that training is made of. Imports torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial

import numpy as np
import torch
from torch import nn

from nni_nasoa.data import ImageArrays
from nni_nasoa.device.allocation import keep_freed_memory
from nni_nasoa.device.device import Device
from nni_nasoa.device.precision import autocast, faster_type
from nni_nasoa.device.settings import synchronize
from nni_nasoa.experience.records import StepTime
from nni_nasoa.training.distributed import Alone
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.inputs import Inputs
from nni_nasoa.training.optimizers import Optimizer
from nni_nasoa.training.pace import measured_pace
from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS as AUGMENTATIONS
from nni_nasoa.training.regime import OPTIMIZERS, FineTuneRegime
from nni_nasoa.training.sampling import undisturbed
from nni_nasoa.training.stepping import Stepper
from nni_nasoa.training.trainable import Trainable
from nni_nasoa.zoo import create_model, get
from nni_nasoa.zoo.staged import Staged, staged

from .step_kinds import FEATURES, IMAGES, TRAIN, VIEW_MODES, draw_mode, optimizer_mode

CLASSES = 10
FEW, MANY = (8, 4, 2), (32, 24, 16, 12, 8)  # images a step; the largest of each that there is time for
MIN_SAMPLES, MAX_SAMPLES, SAMPLED_SECONDS = 2, 4, 0.04  # a step is sampled until that time is over
DRAWN, VIEWED = 64, 16  # images a batch, of drawing alone, and of the head with one or several views
# All steps of some images take about so many forward passes over them: a training step is three, and as much
# again goes to steps in which some stages are frozen; and each is taken three times.
STEPS_COST = 20
SMALLEST_SHARE = 0.5  # the share of the time that goes to the smallest size
WAITING_SHARE = 0.25  # the share of the time that others have to leave the device alone
_NO_DECAY = 0.0


def measured_steps(
    model: str, input_sizes: Sequence[int], device: Device, seconds: float | None, default: float
) -> list[StepTime]:
    """See `step_times.measure_step_times`; where no seconds are given, `default` seconds of computing."""
    bench = _Bench(device)
    clock = bench.clock if seconds is None else time.monotonic
    deadline = clock() + (default if seconds is None else seconds)
    get(model)
    with bench.quiet(seconds):
        view = staged(create_model(model, num_classes=CLASSES), model)
        view.to(bench.device).to(memory_format=torch.channels_last).eval()
        some = bench.images(FEW[-1], input_sizes[-1]).clean(torch.arange(FEW[-1]))
        view.forward_type = faster_type(bench.device, partial(view.forward_stages, some))
        rows: list[StepTime] = []
        for place, size in enumerate(input_sizes):
            # What a step takes besides its images is found with the smallest of them.
            end = clock() + (deadline - clock()) * (
                size / sum(input_sizes[place:]) if rows else SMALLEST_SHARE
            )
            few = bench.few(view, size, end - clock())
            if few is None and (rows or seconds is not None):
                break
            few = few or FEW[-1]
            if not rows:
                rows += [*bench.optimizers(view, model, size), *bench.views(view, model, size)]
            begin = clock()
            rows += bench.steps(view, model, size, few)
            cost = max(1e-9, clock() - begin) / few
            many = next((count for count in MANY if few < count <= (end - clock()) / cost), None)
            if many:
                rows += bench.steps(view, model, size, many)
    return rows


def pace_of_model(model: str, device: Device) -> float:
    """See `step_times.measure_pace`."""
    bench, size = _Bench(device), get(model).input_size
    with bench.quiet(0.0):
        view = staged(create_model(model, num_classes=CLASSES), model)
        return measured_pace(model, view, size, bench.device).at(size)


def measured_drawing(
    input_sizes: Sequence[int], device: Device, seconds: float | None, default: float
) -> list[StepTime]:
    """Times of drawing images of those sizes that there is time for, by default in `default` seconds."""
    rows: list[StepTime] = []
    bench = _Bench(device)
    deadline = None if seconds is None else time.monotonic() + seconds
    with bench.quiet(seconds):
        deadline = time.monotonic() + default if deadline is None else deadline
        for size in input_sizes:
            if rows and time.monotonic() > deadline:
                break
            for augmentation in AUGMENTATIONS:
                images, indices = bench.images(DRAWN, size, augmentation), torch.arange(DRAWN)
                rows.append(
                    bench.row(
                        IMAGES,
                        size,
                        DRAWN,
                        0,
                        draw_mode(augmentation),
                        bench.least(partial(images.augmented, indices)),
                    )
                )
    return rows


class _Bench:
    """Measures on one device."""

    def __init__(self, device: Device):
        keep_freed_memory()
        self.key, self.device, self._threads = device.key, torch.device(device.kind), device.threads
        # Another process that takes turns with this one does not change the processor time of a single
        # thread.
        self._processor_time = self.device.type == "cpu" and device.threads == 1

    def quiet(self, seconds: float | None) -> AbstractContextManager[None]:
        """The context to measure in, for so many seconds at most, those of waiting for it included."""
        return undisturbed(
            self.device, threads=self._threads, patience=None if seconds is None else WAITING_SHARE * seconds
        )

    def row(self, model: str, size: int, batch: int, frozen: int, mode: str, seconds: float) -> StepTime:
        """A measured time."""
        return StepTime(self.key, model, size, batch, frozen, mode, seconds)

    def clock(self) -> float:
        """Seconds, when the device has done what it was given."""
        synchronize(self.device)
        return time.thread_time() if self._processor_time else time.perf_counter()

    def least(self, step: Callable[[], object]) -> float:
        """Seconds of the fastest of some steps: what disturbs only adds.

        The first one, which finds kernels and allocates memory, does not count.
        """
        step()
        times: list[float] = []
        while len(times) < MIN_SAMPLES or (len(times) < MAX_SAMPLES and sum(times) < SAMPLED_SECONDS):
            begin = self.clock()
            step()
            times.append(self.clock() - begin)
        return max(1e-9, min(times))

    def few(self, view: Staged, size: int, seconds: float) -> int | None:
        """The first number of FEW whose steps are done in some seconds of computing; None where none is."""
        view.eval()
        for count in reversed(FEW):  # what a few images take beside one says little of what many take
            images, indices = self.images(count, size), torch.arange(count)
            with torch.no_grad(), autocast(self.device, view.forward_type):
                for _ in range(2):  # the first time finds kernels
                    begin = self.clock()
                    view(images.clean(indices))
                    once = self.clock() - begin
            if STEPS_COST * once > seconds:
                smaller = [other for other in FEW if other < count]
                return smaller[0] if smaller else None
        return count

    def images(self, count: int, size: int, augmentation: str = "none") -> Images:
        """Random images, drawn as training does it."""
        rng = np.random.default_rng(0)
        part = ImageArrays(
            rng.integers(0, 256, (count, 3, size, size), dtype=np.uint8), rng.integers(0, CLASSES, count)
        )
        return Images(
            part,
            self.device,
            Normalization.of((0.5,) * 3, (0.25,) * 3),
            augmentation,
            True,
            torch.Generator(self.device).manual_seed(0),
        )

    def steps(self, view: Staged, model: str, size: int, batch: int) -> Iterator[StepTime]:
        """Training steps with any number of frozen stages, and features."""
        images, indices = self.images(batch, size), torch.arange(batch)
        for frozen in range(len(view.stages) + 1):
            stepper = self._stepper(view, model, images, frozen)
            yield self.row(model, size, batch, frozen, TRAIN, self.least(partial(stepper.step, cheap=True)))
        view.eval()
        seconds = self.least(partial(images.clean, indices))
        x = images.clean(indices)
        for frozen, stage in enumerate(view.stages, start=1):
            seconds += self.least(partial(self._forward, view, stage, x))
            x = self._forward(view, stage, x)
            yield self.row(model, size, batch, frozen, FEATURES, seconds)

    def _stepper(self, view: Staged, model: str, images: Images, frozen: int) -> Stepper:
        """What takes steps of all the images; the first one makes the features that the others find kept."""
        view.freeze(frozen).train()
        stepper = Stepper(
            Trainable(view, frozen),
            CLASSES,
            Inputs(images, view, frozen),
            FineTuneRegime(model, batch_size=len(images)),
            Alone(),
            0,
            view.head if frozen == len(view.stages) else None,
        )
        stepper.optimizer.learning_rate = 0.0
        return stepper

    def views(self, view: Staged, model: str, size: int) -> Iterator[StepTime]:
        """Steps of the head, with kept features."""
        for mode, augmentation in zip(VIEW_MODES, ("none", "crop")):
            stepper = self._stepper(view, model, self.images(VIEWED, size, augmentation), len(view.stages))
            yield self.row(
                model, size, VIEWED, len(view.stages), mode, self.least(partial(stepper.step, cheap=True))
            )

    @torch.no_grad()
    def _forward(self, view: Staged, stage: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with autocast(self.device, view.forward_type):
            return stage(x)

    def optimizers(self, view: Staged, model: str, size: int) -> Iterator[StepTime]:
        """Steps of the optimisers, of all weights and of the head's alone."""
        for frozen in (0, len(view.stages)):
            view.freeze(frozen)
            parameters = [parameter for parameter in view.parameters() if parameter.requires_grad]
            for kind in OPTIMIZERS:
                optimizer = Optimizer(kind, parameters, _NO_DECAY)
                for parameter in parameters:
                    parameter.grad = torch.zeros_like(parameter)
                yield self.row(model, size, 1, frozen, optimizer_mode(kind), self.least(optimizer.step))
            optimizer.zero_grad()
