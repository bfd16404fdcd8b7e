"""What a run will take, and how many epochs it will do: from measured step times, corrected by what past runs took.

A run is driven by the clock and fills its budget, so that the question is how many epochs fit: after start-up, decoding, a
first pass over the images and an evaluation, less the evaluations between, what is kept back for the end, and the features
of frozen stages, which are computed once and renewed in a quarter of the time where images are augmented. `course` is that
calculation. What it does not know of (other processes, caches, what a library does with a batch) comes in as factors that are
learned from records, for every device, model and share of frozen stages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.device.device import Device, possible_keys
from nni_nasoa.experience.records import COUNTS, HALVED, ONLY_HEAD, SAMPLED, RunRecord, StepTime, positive

from .corrections import Corrections
from .simulated_run import Course
from .step_times import step_times_for
from .tables import (
    Lines,
    ModelTimes,
    augmentation_places,
    distinct_rows,
    drawing_lines,
    model_times,
    optimizer_places,
)

if TYPE_CHECKING:
    from nni_nasoa.experience.store import ExperienceStore

VERSION = 1
START_UP = 0.3  # seconds, where no run has told
MIN_START_UP, MAX_START_UP = 0.01, 600.0
STATE = "time: "  # and the device's key: its name in the store
RELEARNED = 300  # of the store's newest runs, by a model that begins while there are runs already
FEW_POINTS = 2  # of a curve, that tell the time between them


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
        Whether the budget is enough for what is asked: some training steps, or with all stages frozen a pass for the head.
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


class TimeModel:
    """Predicts times of runs on one device.

    Parameters
    ----------
    step_times
        What was measured there; see `step_times.step_times_for`.
    device_key
        See `devices.Device.key`.
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
        model: str | Sequence[str],
        *,
        frozen_stages,
        batch_size,
        input_size,
        train_images,
        val_images,
        budget,
        start_up=None,
        source: str = "advise",
        augmentation="crop-flip",
        optimizer="sgd",
        corrected: bool = True,
    ) -> TimeEstimate:
        """What runs will take.

        Parameters
        ----------
        model
            A name, or n names.
        frozen_stages, batch_size, input_size
            Of the regimes, (n,) or numbers.
        augmentation, optimizer
            Names, or arrays (n,) of names or of places in `regime.AUGMENTATIONS` and `OPTIMIZERS`.
        train_images, val_images, budget
            Counts, and seconds.
        start_up, source
            Seconds before the first pass, decoding included, (n,) or a number; by default what runs of this source took without it.
        corrected
            Whether past runs count.
        """
        names = [model] if isinstance(model, str) else list(dict.fromkeys(model))
        codes = dict(zip(names, range(len(names))))
        which = (
            np.zeros(1, dtype=np.int64)
            if isinstance(model, str)
            else np.array([codes[name] for name in model], dtype=np.int64)
        )
        start_up = self.start_up(source) if start_up is None else start_up
        columns = np.broadcast_arrays(
            *map(
                np.atleast_1d,
                (
                    which,
                    frozen_stages,
                    batch_size,
                    input_size,
                    augmentation_places(augmentation),
                    optimizer_places(optimizer),
                    train_images,
                    val_images,
                    budget,
                    start_up,
                ),
            )
        )
        rows, inverse = distinct_rows(columns)
        which, frozen, batch, size, augmentation, optimizer, train, val, budget, start_up = (
            column[rows] for column in columns
        )
        nothing = np.full(len(rows), np.nan)
        found = {
            "epochs": nothing.copy(),
            "seconds": nothing.copy(),
            "feasible": np.zeros(len(rows), dtype=bool),
            "step_seconds": nothing.copy(),
            "rough": np.zeros(len(rows), dtype=bool),
        }
        for code, name in enumerate(names):
            mine = np.flatnonzero(which == code)
            if not self.knows(name) or not len(mine):
                continue
            course = self._course(
                name,
                *(
                    column[mine]
                    for column in (frozen, batch, size, train, val, budget, augmentation, optimizer, start_up)
                ),
                corrected=corrected,
            )
            for key, values in (
                ("epochs", course.epochs()),
                ("feasible", course.feasible),
                ("step_seconds", course.steps.train),
                ("seconds", np.minimum(budget[mine], course.seconds_until_the_end)),
                ("rough", self.is_rough(name)),
            ):
                found[key][mine] = values
        return TimeEstimate(**{key: values[inverse] for key, values in found.items()})

    def seconds_for(self, record: RunRecord, corrected: bool = True) -> float:
        """The wall clock that a run of the record's epochs is expected to take; NaN where that cannot be told."""
        course = self._course_of(record, self.start_up(record.source if corrected else None), corrected)
        return (
            math.nan
            if course is None
            else float((course.until_training + course.seconds_of(record.epochs))[0])
        )

    def epochs_for(self, record: RunRecord, corrected: bool = True) -> float:
        """The epochs that were to be expected of a run that ended with its budget; NaN where that cannot be told."""
        course = self._course_of(record, self.start_up(record.source if corrected else None), corrected)
        return math.nan if course is None else float(course.epochs()[0])

    def kind_of(self, record: RunRecord) -> int | None:
        """0 where a run trained all stages, 1 some, 2 the head alone; None where nothing is known of it."""
        course = self._course_of(record, self.start_up(record.source), corrected=False)
        return None if course is None else 2 if course.head_only[0] else int(course.frozen[0])

    def latency(self, model: str, input_size) -> np.ndarray:
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
        if any("diverged" in note or HALVED in note for note in record.notes) or (record.epochs or 0) <= 0:
            return False
        course = self._course_of(record, self.start_up(record.source), corrected=False)
        if course is None:
            return False
        took, expected = record.curve[-1][0] - record.curve[0][0], float(course.seconds_of(record.epochs)[0])
        if not self._speed.observe(
            _path(record.model, 2 if course.head_only[0] else int(course.frozen[0])), took / expected
        ):
            return False
        if not any(
            SAMPLED in note for note in record.notes
        ):  # else most of it was decoding that came to nothing
            course = self._course_of(record, 0.0, corrected=True)
            start_up = self._without_decoding(self._start_up_of(course, record.curve[0][0]), record)
            self._start_up.observe((record.source,), start_up / START_UP)
        return True

    def _without_decoding(self, opening: float, record: RunRecord) -> float:
        """The start-up in what went before the first pass.

        Whether the images had to be decoded, and in how many threads they were, nobody says: of what the start-up can have been,
        it is taken to be what is nearest to the expected.
        """
        decoding = (positive(record.profile, "decode_seconds") or 0.0) * sum(
            record.profile[name] for name in COUNTS
        )
        return max(MIN_START_UP, min(max(self.start_up(record.source), opening - decoding), opening))

    @staticmethod
    def _start_up_of(course: Course, until_training: float) -> float:
        """The start-up after which a run's first evaluation ends at a time, by halving the range."""
        low, high = MIN_START_UP, min(MAX_START_UP, until_training)
        for _ in range(12):
            middle = (low + high) / 2
            ends = replace(course, start_up=np.array([middle])).until_training[0]
            low, high = (middle, high) if ends < until_training else (low, middle)
        return max(MIN_START_UP, low)

    # -- the course of a run --

    def _course_of(self, record: RunRecord, start_up: float, corrected: bool) -> Course | None:
        regime = record.regime
        train, val = (positive(record.profile, name) for name in COUNTS)
        size = regime["input_size"] or positive(record.model_figures, "input_size")
        if not (self.knows(record.model) and train and val and size and record.epochs is not None):
            return None
        only_head = np.array([any(ONLY_HEAD in note for note in record.notes)])
        row = (
            regime["frozen_stages"],
            regime["batch_size"],
            size,
            train,
            val,
            record.budget_seconds,
            augmentation_places(regime["augmentation"]),
            optimizer_places(regime["optimizer"]),
            start_up,
        )
        return self._course(record.model, *map(np.atleast_1d, row), corrected=corrected, only_head=only_head)

    def _course(
        self,
        model: str,
        frozen,
        batch,
        size,
        train,
        val,
        budget,
        augmentation,
        optimizer,
        start_up,
        *,
        corrected: bool,
        only_head=None,
    ) -> Course:
        times = self._models[model]
        frozen = np.minimum(frozen, times.stages)
        batch = np.maximum(np.minimum(batch, train), 2)
        kind = np.where(frozen == 0, 0, np.where(frozen < times.stages, 1, 2))
        steps, head = (
            times.steps(first, batch, size, augmentation, optimizer, self._drawing)
            for first in (frozen, np.full_like(frozen, times.stages))
        )
        if corrected:
            factors = np.array([self._speed.factor(_path(model, place)) for place in range(3)])
            steps, head = steps.times(factors[kind]), head.times(factors[2])
        return Course(
            steps,
            head,
            kind,
            batch,
            np.asarray(train, dtype=np.float64),
            np.asarray(val, dtype=np.float64),
            augmentation > 0,
            np.asarray(budget, dtype=np.float64),
            np.asarray(start_up, dtype=np.float64),
            only_head,
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
            state = json.loads(data)
            if state["version"] != VERSION or state["device"] != device_key:
                raise ValueError("of another version or device")
            model._speed, model._start_up = (
                Corrections.from_json(state[name]) for name in ("speed", "start_up")
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(f"saved time model: not usable ({' '.join(str(error).split())[:150]})") from None
        return model

    @classmethod
    def from_store(
        cls,
        store: ExperienceStore | None,
        models: Iterable[str],
        device: Device,
        *,
        seconds: float | None = None,
    ) -> TimeModel:
        """The model of a device with what the store has learned; step times that are missing are measured.

        Parameters
        ----------
        seconds
            For measuring; see `step_times.step_times_for`.
        """
        return cls.learned(store, step_times_for(models, device, store, seconds=seconds), device)

    @classmethod
    def learned(cls, store: ExperienceStore | None, rows: Iterable[StepTime], device: Device) -> TimeModel:
        """The model of some step times of a device, with what a store has learned from runs there."""
        state = None if store is None else store.state(STATE + device.key)
        return cls._loaded(None if state is None else state.data, list(rows), device.key)

    @classmethod
    def _loaded(cls, data: bytes | None, rows: list[StepTime], device_key: str) -> TimeModel:
        try:
            return cls(rows, device_key) if data is None else cls.from_bytes(data, rows, device_key)
        except ValueError:
            return cls(rows, device_key)

    @staticmethod
    def learn_in_store(store: ExperienceStore, record: RunRecord) -> bool:
        """Let the time model of the record's device learn from a run that is in the store; whether it did.

        Other processes may do so at the same time: no run is lost. A model that begins learns from the newest runs that are there.
        """
        for key in possible_keys(record.device, record.threads):
            if rows := store.step_times(device=key):
                break
        else:
            return False
        if not TimeModel(rows, key).observe(record):
            return False

        def learned(data: bytes | None) -> bytes:
            model = TimeModel._loaded(data, rows, key)
            if model.seen == 0:
                for earlier in store.records(device=record.device, status="ok", limit=RELEARNED):
                    if earlier.id != record.id:
                        model.observe(earlier)
            model.observe(record)
            return model.to_bytes()

        store.update_state(STATE + key, learned)
        return True


def _path(model: str, kind: int) -> tuple[str, str]:
    return model, ("all trained", "some frozen", "head")[kind]
