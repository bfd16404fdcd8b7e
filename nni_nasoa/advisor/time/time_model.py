"""What a run will take, and how many epochs it will do, by measured step times and by what past runs took.

A run is driven by the clock and fills its budget, so that the question is how many epochs fit: after
start-up, decoding, a first pass over the images and an evaluation, less the evaluations between, what is kept
back for the end, and the features of frozen stages, which are computed once and renewed in a quarter of the
time where images are augmented. `simulated_run` is that calculation. What it does not know of (other
processes, caches, what a library does with a batch) comes in as factors that are learned from records, for
every device, model and share of frozen stages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.device.device import possible_keys
from nni_nasoa.experience.records import COUNTS, RunRecord, StepTime, positive
from nni_nasoa.files import parse_json
from nni_nasoa.training.outcome import StopReason
from nni_nasoa.training.regime import advised_augmentation
from nni_nasoa.values import reason

from .corrections import Corrections
from .run_columns import RunColumns
from .simulated_run import ALL_TRAINED, HEAD_ONLY, SOME_FROZEN, RunSetup, SimulatedRun, simulate
from .start_up import START_UP, start_up_until, without_decoding
from .tables import Lines, ModelTimes, drawing_lines, model_times

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from nni_nasoa.experience.store import ExperienceStore

VERSION = 1
FEW_POINTS = 2  # a curve of so many points tells the time between them
# The names under which corrections are kept, in the order of the kinds of `simulated_run`.
KINDS = ("all trained", "some frozen", "head")


@dataclass(frozen=True, eq=False)
class TimeEstimate:
    """What n runs will take; arrays (n,).

    Parameters
    ----------
    epochs
        Passes over the training images that fit into the budget; NaN where the model is not known.
    seconds
        The wall clock: the budget less what is kept back and not needed.
    feasible
        Whether the budget is enough for what is asked: some training steps, or with all stages frozen a pass
        for the head.
    step_seconds
        Of a training step.
    rough
        Whether the model's times are estimates.
    """

    epochs: np.ndarray
    seconds: np.ndarray
    feasible: np.ndarray
    step_seconds: np.ndarray
    rough: np.ndarray

    @classmethod
    def unknown(cls, n: int) -> TimeEstimate:
        """Of runs of a model of which nothing is known."""
        nothing, no = np.full(n, np.nan), np.zeros(n, dtype=bool)
        return cls(nothing, nothing, no, nothing, no)


class TimeModel:
    """Predicts times of runs on one device.

    Parameters
    ----------
    step_times
        What was measured there; see `step_times.step_times_for`.
    device_key
        See `device.Device.key`.
    """

    def __init__(self, step_times: Iterable[StepTime], device_key: str):
        rows = [row for row in step_times if row.device == device_key]
        self.device_key, self.step_times = device_key, rows
        self._models: dict[str, ModelTimes] = model_times(rows)
        self._drawing: Lines | None = drawing_lines(rows)
        self._speed, self._start_up = Corrections(), Corrections()

    @property
    def seen(self) -> int:
        """Runs that its corrections rest on."""
        return self._speed.seen

    def knows(self, model: str) -> bool:
        """Whether there are step times of a model, measured or rough ones."""
        return model in self._models

    def is_rough(self, model: str) -> bool:
        """Whether a model's times are estimates by its multiply-accumulates."""
        return self.knows(model) and self._models[model].rough

    # -- predictions --

    def estimate(
        self,
        model: str,
        *,
        start_up: ArrayLike | None = None,
        source: str = "advise",
        augmentation: ArrayLike = "crop-flip",
        optimizer: ArrayLike = "sgd",
        corrected: bool = True,
        **asked: ArrayLike,
    ) -> TimeEstimate:
        """What runs of a model will take.

        Parameters
        ----------
        asked, augmentation, optimizer
            The other columns of `RunColumns`: frozen_stages, batch_size, ..., arrays (n,) or single values.
        start_up, source
            Seconds before the first pass, decoding included, (n,) or a number; by default what runs of this
            source took without it.
        corrected
            Whether past runs count.
        """
        start_up = self.start_up(source) if start_up is None else start_up
        runs = RunColumns.of(augmentation=augmentation, optimizer=optimizer, start_up=start_up, **asked)
        if not self.knows(model):
            return TimeEstimate.unknown(len(runs))
        found = simulate(self._setup(model, runs, corrected))
        return TimeEstimate(
            epochs=found.epochs(),
            seconds=np.minimum(runs.budget, found.seconds_until_the_end),
            feasible=found.feasible,
            step_seconds=found.steps.train,
            rough=np.full(len(runs), self.is_rough(model)),
        )

    def seconds_for(self, record: RunRecord, corrected: bool = True) -> float:
        """The wall clock that the record's epochs are expected to take; NaN where that cannot be told."""
        run = self.simulated(record, self.start_up(record.source if corrected else None), corrected)
        if run is None or record.epochs is None:
            return math.nan
        return float((run.until_training + run.seconds_of(record.epochs))[0])

    def epochs_for(self, record: RunRecord, corrected: bool = True) -> float:
        """The epochs to be expected of a run that ends with its budget; NaN where that cannot be told."""
        run = self.simulated(record, self.start_up(record.source if corrected else None), corrected)
        return math.nan if run is None else float(run.epochs()[0])

    def simulated(self, record: RunRecord, start_up: float, corrected: bool = True) -> SimulatedRun | None:
        """What a run does by the tables, from its first pass on; None where that cannot be told.

        Parameters
        ----------
        start_up
            Seconds before the first pass.
        corrected
            Whether past runs count.
        """
        setup = self._setup_of(record, start_up, corrected)
        return None if setup is None else simulate(setup)

    def kind_of(self, record: RunRecord) -> int | None:
        """What a run trained: ALL_TRAINED, SOME_FROZEN or HEAD_ONLY; None where nothing is known of it."""
        setup = self._setup_of(record, START_UP, corrected=False)
        return None if setup is None else _kind(setup)

    def latency(self, model: str, input_size: ArrayLike) -> np.ndarray:
        """Seconds of inference for one image, (n,)."""
        times = self._models[model]
        input_size = np.atleast_1d(input_size)
        fixed, image = times.features.at(input_size, np.full(len(input_size), times.stages - 1))
        return self._speed.factor() * (fixed + image)

    def start_up(self, source: str | None = None) -> float:
        """Seconds before a run's first pass: what past runs of a source took, else of all, else a guess."""
        return START_UP * (1.0 if source is None else self._start_up.factor((source,)))

    # -- learning --

    def observe(self, record: RunRecord) -> bool:
        """Learn from a run; False, and nothing changes, where it tells nothing of the time on this device."""
        if (
            not isinstance(record, RunRecord)
            or record.status != "ok"
            or self.device_key not in possible_keys(record.device, record.threads)
        ):
            return False
        if len(record.curve) < FEW_POINTS:
            return False
        diverged = record.outcome.reason is StopReason.DIVERGED
        if diverged or record.outcome.halved_batch is not None or record.epochs is None or record.epochs <= 0:
            return False
        setup = self._setup_of(record, self.start_up(record.source), corrected=False)
        if setup is None or _kind(setup) == HEAD_ONLY or record.outcome.cut_to_head:
            return False  # how long a head is trained, the clock does not say
        took = record.curve[-1][0] - record.curve[0][0]
        expected = float(simulate(setup).seconds_of(record.epochs)[0])
        if not self._speed.observe(_path(record.model, _kind(setup)), took / expected):
            return False
        sampled = record.outcome.sampled  # then most of it was decoding in vain
        setup = None if sampled else self._setup_of(record, START_UP, corrected=True)
        if setup is not None:
            before = start_up_until(setup, record.curve[0][0])
            start_up = without_decoding(before, record.profile, self.start_up(record.source))
            self._start_up.observe((record.source,), start_up / START_UP)
        return True

    # -- runs to be simulated --

    def _setup_of(self, record: RunRecord, start_up: float, corrected: bool) -> RunSetup | None:
        """Of a run that was made; None where the dataset or the model is not known."""
        regime = record.regime
        train, val = (positive(record.profile, name) for name in COUNTS)
        size = regime["input_size"] or positive(record.model_figures, "input_size")
        if not (self.knows(record.model) and train and val and size and record.epochs is not None):
            return None
        runs = RunColumns.of(
            frozen_stages=regime["frozen_stages"],
            batch_size=regime["batch_size"],
            input_size=size,
            augmentation=advised_augmentation(regime["augmentation"]),
            optimizer=regime["optimizer"],
            train_images=train,
            val_images=val,
            budget=record.budget_seconds,
            start_up=start_up,
        )
        gave_up = np.array([record.outcome.cut_to_head])
        return self._setup(record.model, runs, corrected, gave_up)

    def _setup(
        self, model: str, runs: RunColumns, corrected: bool, gave_up: np.ndarray | None = None
    ) -> RunSetup:
        times = self._models[model]
        frozen = np.minimum(runs.frozen_stages, times.stages)
        batch = np.maximum(np.minimum(runs.batch_size, runs.train_images), 2)
        kind = np.where(frozen == 0, ALL_TRAINED, np.where(frozen < times.stages, SOME_FROZEN, HEAD_ONLY))
        steps, head = (
            times.steps(first, batch, runs.input_size, runs.augmentation, runs.optimizer, self._drawing)
            for first in (frozen, np.full_like(frozen, times.stages))
        )
        if corrected:
            factors = np.array([self._speed.factor(_path(model, place)) for place in range(len(KINDS))])
            steps, head = steps.times(factors[kind]), head.times(factors[HEAD_ONLY])
        return RunSetup(
            steps,
            head,
            kind,
            batch,
            runs.train_images.astype(np.float64),
            runs.val_images.astype(np.float64),
            runs.augmentation > 0,
            runs.budget.astype(np.float64),
            runs.start_up.astype(np.float64),
            gave_up,
        )

    # -- state --

    def to_bytes(self) -> bytes:
        """What was learned from runs; step times are kept by themselves."""
        return json.dumps(
            {
                "version": VERSION,
                "device": self.device_key,
                "speed": self._speed.to_json(),
                "start_up": self._start_up.to_json(),
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes, step_times: Iterable[StepTime], device_key: str) -> TimeModel:
        """The inverse of `to_bytes`.

        Raises
        ------
        ValueError
            The data is damaged, or of another device or version.
        """
        model = cls(step_times, device_key)
        try:
            state = parse_json(data)
            if state["version"] != VERSION or state["device"] != device_key:
                raise ValueError("of another version or device")
            model._speed, model._start_up = (
                Corrections.from_json(state[name]) for name in ("speed", "start_up")
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"saved time model: not usable ({reason(error)})") from None
        return model

    @classmethod
    def from_state(cls, data: bytes | None, step_times: Iterable[StepTime], device_key: str) -> TimeModel:
        """With what was learned until now; None, or what cannot be used, is nothing."""
        rows = list(step_times)
        try:
            return cls(rows, device_key) if data is None else cls.from_bytes(data, rows, device_key)
        except ValueError:
            return cls(rows, device_key)

    @classmethod
    def from_store(
        cls, store: ExperienceStore | None, step_times: Iterable[StepTime], device_key: str
    ) -> TimeModel:
        """With what a store has learned of a device."""
        state = None if store is None else store.state(state_name(device_key))
        return cls.from_state(None if state is None else state.data, step_times, device_key)


def state_name(device_key: str) -> str:
    """Under which a store keeps what was learned of a device."""
    return f"time: {device_key}"


def learned_state(
    data: bytes | None,
    records: Iterable[RunRecord],
    step_times: Sequence[StepTime],
    device_key: str,
    earlier: Iterable[RunRecord] = (),
) -> bytes | None:
    """The state of a device's time model that has learned from more runs.

    Parameters
    ----------
    data
        The state until now; None for none.
    records
        To learn from.
    step_times
        Of the device, as they were measured.
    earlier
        Runs that a model which knows of none learns from before; not looked at otherwise.

    Returns
    -------
    None where there is nothing to learn from `records`.
    """
    fresh = TimeModel(step_times, device_key)
    records = [record for record in records if fresh.observe(record)]
    if not records:
        return None
    model = TimeModel.from_state(data, step_times, device_key)
    for record in records if model.seen else [*earlier, *records]:
        model.observe(record)
    return model.to_bytes()


def _kind(setup: RunSetup) -> int:
    """What a run that was made trained in the end."""
    return HEAD_ONLY if setup.gave_up is not None and setup.gave_up[0] else int(setup.kind[0])


def _path(model: str, kind: int) -> tuple[str, str]:
    return model, KINDS[kind]
