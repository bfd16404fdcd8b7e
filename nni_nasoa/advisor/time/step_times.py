"""How long steps of fine-tuning take on a device, measured once, with the trainer's own parts.

What kinds of steps there are, `step_kinds` says. Each is measured with few images and with many, which gives
the time of a step and that of an image. A device that others use too is faster and slower from second to
second, so that a model measured in a slow one would seem slow for good: all models are measured in turns,
several times, and the medians count. Of models that there was no time to measure, the modes begin with
`rough:`: those of the measured model with the nearest multiply-accumulates, in proportion. Of large networks
a forward pass is measured where there is no time for more. It tells what a head alone takes, and about what
the rest does; so their times are rough, too. Importing this module loads no torch; measuring does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import product
from statistics import median
from typing import TYPE_CHECKING

from nni_nasoa.advisor.models import DEFAULT_INPUT_SIZE, LARGE_FROM, ModelFigures
from nni_nasoa.experience.records import StepTime
from nni_nasoa.finetune.clock import waiting_factor
from nni_nasoa.training.time_shares import STEP_FACTOR

from .step_kinds import FEATURES, IMAGES, ROUGH, TRAIN

if TYPE_CHECKING:
    from nni_nasoa.device.device import Device
    from nni_nasoa.device.threads import Threads
    from nni_nasoa.experience.store import ExperienceStore

SMALL_SECONDS, LARGE_SECONDS = 4.0, 20.0  # what measuring a model may take, by the size of its images
DRAW_SECONDS = 0.5
# Seconds of a forward pass for each billion of multiply-accumulates: some processors' and GPUs'.
TYPICAL_SECONDS = {"cpu": 0.03, "gpu": 0.0005}
LATER_ROUNDS_SHARE = 0.5  # no further round begins that would end after this share of the time


def measure_step_times(
    model: str, input_sizes: Sequence[int], device: Device, *, seconds: float | None = None
) -> list[StepTime]:
    """Measure a model on images of some sizes, the smallest first; those without time are left out.

    Parameters
    ----------
    seconds
        In which measuring has to be done, building the network included. Nothing is measured where they are
        too few. By default some seconds, not counted while others compute, in which the smallest size is
        measured at least.

    Raises
    ------
    ValueError
        There is no such model.
    """
    from .bench import measured_steps

    sizes = sorted(input_sizes)
    return measured_steps(
        model, sizes, device, seconds, LARGE_SECONDS if sizes[-1] >= LARGE_FROM else SMALL_SECONDS
    )


def measure_pace(model: str, device: Device) -> float:
    """Seconds of a forward pass for an image of a model's own size, measured in about a second."""
    from .bench import pace_of_model

    return pace_of_model(model, device)


def measure_drawing(
    input_sizes: Sequence[int], device: Device, *, seconds: float | None = None
) -> list[StepTime]:
    """Measure how long it takes to draw images of some sizes; by default in half a second."""
    from .bench import measured_drawing

    return measured_drawing(input_sizes, device, seconds, DRAW_SECONDS)


def _threads(most: int) -> Threads:
    from nni_nasoa.device.threads import Threads

    return Threads(most)


@dataclass(frozen=True)
class Stopwatch:
    """What step times are measured with.

    Parameters
    ----------
    steps, drawing, pace
        As `measure_step_times`, `measure_drawing` and `measure_pace` are called.
    rounds
        How many times all models are measured, in turns; those after the first, while no more than half of
        the time is taken in all.
    clock
        What tells the seconds.
    threads
        What looks, given the most that there can be, how many threads of a processor are free.
    waiting
        What tells how many times as long this process takes as it would alone.
    """

    steps: Callable[..., list[StepTime]] = measure_step_times
    drawing: Callable[..., list[StepTime]] = measure_drawing
    pace: Callable[..., float] = measure_pace
    rounds: int = 3
    clock: Callable[[], float] = time.monotonic
    threads: Callable[[int], Threads] = _threads
    waiting: Callable[[], float] = waiting_factor


def step_times_for(
    models: Iterable[str],
    device: Device,
    store: ExperienceStore | None,
    *,
    measured: Collection[str] | None = None,
    seconds: float | None = None,
    more: bool = True,
    stopwatch: Stopwatch = Stopwatch(),
) -> list[StepTime]:
    """Step times of models on a device, from the store; what is missing there is measured, and kept.

    On a processor that other processes use too, what is missing is measured with as many threads as are free.

    Parameters
    ----------
    models
        Names. Of those that there was no time for, times are estimated where their multiply-accumulates are
        known.
    device
        See `devices.resolve`.
    store
        None keeps nothing.
    measured
        Those of them that are worth being measured; by default all.
    seconds
        For measuring; by default some seconds a model in each of the rounds, more for those with large
        images.
    more
        Whether models are measured of which nothing is known, though there are times of others of them. Where
        an earlier call had as much time for them, it would be in vain again.
    stopwatch
        What measures what is missing.

    Raises
    ------
    ValueError
        There is no such model.
    StoreError
        The store fails.
    """
    models = list(dict.fromkeys(models))
    figures = {model: ModelFigures.of_zoo(model) for model in models}
    sizes = {model: _measured_sizes(figures[model]) for model in models}
    known = [] if store is None else _without_outdated(store.step_times(device=device.key))
    large = [model for model in models if figures[model].own_size >= LARGE_FROM]
    in_full = seconds is None or seconds >= LARGE_SECONDS * len(large)
    there = {row.model for row in known if not (in_full and row.mode.startswith(ROUGH))}
    missing = sorted(
        (model for model in models if model not in there and (measured is None or model in measured)),
        # Large networks first: most is to be expected of them, and small ones can be told from them.
        key=lambda model: (figures[model].own_size < LARGE_FROM, figures[model].gmacs or math.inf),
    )
    enough = not more and any(row.model in figures for row in known)
    if missing and not enough and (seconds is None or seconds > 0):
        deadline = None if seconds is None else stopwatch.clock() + seconds
        present = _Present(device, stopwatch)
        if store is not None and present.device != device:
            rows = store.step_times(device=present.device.key)
            known += present.as_asked(row for row in rows if row.model in (IMAGES, *missing))
            there = {row.model for row in known}
            missing = [model for model in missing if model not in there and (more or not there & {*models})]
        if not in_full and (quick := [model for model in missing if model in large]):
            missing = [model for model in missing if model not in quick]
            if not there.intersection(large):  # one tells of the others
                known += _paced(quick[0], figures[quick[0]], present, store)
        known += present.as_asked(
            _measured({model: sizes[model] for model in missing}, known, present, store, deadline)
        )
    wanted = {IMAGES, *models}
    known = _without_outdated(known)
    estimated = _estimated(models, figures, known, device, stopwatch.waiting)
    return [row for row in known if row.model in wanted] + estimated


def _without_outdated(rows: Sequence[StepTime]) -> list[StepTime]:
    """Without the rough times of models of which there are others."""
    measured = {row.model for row in rows if not row.mode.startswith(ROUGH)}
    return [row for row in rows if row.model not in measured or not row.mode.startswith(ROUGH)]


def _paced(
    model: str, figures: ModelFigures, present: _Present, store: ExperienceStore | None
) -> list[StepTime]:
    """Rough times of a model, of which a forward pass is measured; kept."""
    pace = present.stopwatch.pace(model, present.device)
    rows = _typical(model, figures, present.device, pace / (figures.own_size / DEFAULT_INPUT_SIZE) ** 2)
    if store is not None and present.is_as_it_was():
        store.set_step_times(rows)
    return present.as_asked(rows)


def _measured(
    sizes: Mapping[str, Sequence[int]],
    known: Sequence[StepTime],
    present: _Present,
    store: ExperienceStore | None,
    deadline: float | None,
) -> list[StepTime]:
    """Step times of models, by the sizes of their images, and of drawing these.

    They are measured in rounds; what each round finds is kept.
    """
    watch = present.stopwatch
    times: dict[tuple, list[StepTime]] = {}
    begin, disturbed = watch.clock(), set()
    later = None if deadline is None else begin + LATER_ROUNDS_SHARE * (deadline - begin)
    for number in range(watch.rounds if sizes else 0):
        round_begin = watch.clock()
        for place, model in enumerate([IMAGES, *sizes]):
            # What one leaves is for those that follow.
            allowed = None if deadline is None else (deadline - watch.clock()) / (len(sizes) + 1 - place)
            if allowed is not None and allowed <= 0:
                break
            if model == IMAGES:
                drawn = {row.input_size for row in known if row.model == IMAGES}
                wanted = sorted({size for of_model in sizes.values() for size in of_model} - drawn)
                new = watch.drawing(wanted, present.device, seconds=allowed) if wanted else []
            else:
                new = watch.steps(model, sizes[model], present.device, seconds=allowed)
            new = [
                row for row in new if number == 0 or _step(row) in times
            ]  # there may be less time now, for fewer images a step
            for row in new:
                times.setdefault(_step(row), []).append(row)
            if store is not None and not present.is_as_it_was():
                disturbed.add(model)
            if store is not None and model not in disturbed:
                store.set_step_times(_median(times[_step(row)]) for row in new)
        if later is not None and 2 * watch.clock() - round_begin > later:  # so would the next one
            break
    return [_median(rows) for rows in times.values()]


def _step(row: StepTime) -> tuple:
    """What a row is the time of: all but the seconds, and when they were measured."""
    return astuple(row)[:-2]


def _median(rows: Sequence[StepTime]) -> StepTime:
    """Several times of a step as one."""
    return replace(rows[-1], seconds=median(row.seconds for row in rows))


class _Present:
    """A device as it is now: beside other processes, with the threads that a run would take.

    Times are kept under the threads that they were measured with, so that those of a busy hour do not stay
    for good.
    """

    def __init__(self, asked: Device, stopwatch: Stopwatch):
        self.asked = self.device = asked
        self.stopwatch = stopwatch
        self._threads = None
        if asked.kind == "cpu" and asked.threads > 1:
            self._threads = stopwatch.threads(asked.threads)
            self.device = replace(asked, threads=self._threads.free())

    def as_asked(self, rows: Iterable[StepTime]) -> list[StepTime]:
        """Rows of the device as it is, for the one that was asked about."""
        return [replace(row, device=self.asked.key) for row in rows]

    def is_as_it_was(self) -> bool:
        """Whether as many threads were free since this was last asked."""
        return self._threads is None or self._threads.free() >= self.device.threads


def _measured_sizes(figures: ModelFigures) -> tuple[int, ...]:
    """The smallest and the largest that there are candidates of; those between follow, as pixels do."""
    sizes = figures.input_sizes
    return tuple(sorted({sizes[0], sizes[-1]}))


def _estimated(
    models: Sequence[str],
    figures: Mapping[str, ModelFigures],
    known: Sequence[StepTime],
    device: Device,
    waiting: Callable[[], float],
) -> list[StepTime]:
    """Rough times of those models that were not measured, by those of the nearest that was.

    Where there was no time to measure any, those of a typical device: the clock of the run sees to the rest.
    """
    there = dict.fromkeys(row.model for row in known if row.model != IMAGES)
    measured = {
        model: gmacs for model in there if (gmacs := (figures.get(model) or ModelFigures.of_zoo(model)).gmacs)
    }
    rows = []
    for model in models:
        gmacs = figures[model].gmacs
        if model in there or not gmacs:
            continue
        if not measured:
            pace = TYPICAL_SECONDS["cpu"] * waiting() if device.kind == "cpu" else TYPICAL_SECONDS["gpu"]
            rows += _typical(model, figures[model], device, pace * gmacs)
            continue
        nearest = min(measured, key=lambda other: abs(math.log(measured[other] / gmacs)))
        rows += _in_proportion(
            model,
            figures[model].stages,
            gmacs / measured[nearest],
            [row for row in known if row.model == nearest],
        )
    return rows


def _typical(model: str, figures: ModelFigures, device: Device, pace: float) -> list[StepTime]:
    """Rough times of a model, its stages alike, by the seconds of a forward pass for 224 pixels."""
    rows = []
    for size, batch in product(_measured_sizes(figures), (8, 32)):
        forward = batch * pace * (size / DEFAULT_INPUT_SIZE) ** 2
        for frozen in range(figures.stages + 1):
            part = frozen / figures.stages
            times = {TRAIN: max(STEP_FACTOR * forward * (1 - part), 1e-4)}
            times |= {FEATURES: max(forward * part, 1e-4)} if frozen else {}
            rows += [
                StepTime(device.key, model, size, batch, frozen, ROUGH + mode, seconds)
                for mode, seconds in times.items()
            ]
    return rows


def _in_proportion(model: str, stages: int, ratio: float, rows: Sequence[StepTime]) -> list[StepTime]:
    """The rows of another model as if of this one: the same shares of its stages, `ratio` times as long."""
    others = max(row.frozen_stages for row in rows)
    forward = {FEATURES, ROUGH + FEATURES}
    result = []
    for frozen in range(stages + 1):
        same = (
            round(frozen * others / stages)
            if frozen in (0, stages)
            else min(max(round(frozen * others / stages), 1), others - 1)
        )
        for row in rows:
            if row.frozen_stages == same and (row.mode not in forward or frozen):
                training = row.mode.removeprefix(ROUGH) == TRAIN and frozen < stages
                scale = ratio if row.mode in forward or training else 1.0
                result.append(
                    StepTime(
                        row.device,
                        model,
                        row.input_size,
                        row.batch_size,
                        frozen,
                        ROUGH + row.mode.removeprefix(ROUGH),
                        scale * row.seconds,
                        row.measured_at,
                    )
                )
    return result
