"""Which candidates fit: they are trained within the budget, and stay within the limits on the classifier."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.device.processor import allowed_processors

from .advice import NO_LIMITS, Limits
from .candidates import MOST, Candidates, candidates
from .models import AdviceError, ModelFigures, has_weights
from .time.images_in_time import TYPICAL_IMAGES, ImagesInTime, images_in_time

if TYPE_CHECKING:
    from nni_nasoa.zoo import ModelInfo

    from .task.profiles import TaskProfile
    from .time.time_model import TimeModel

TIMED = (
    "model",
    "frozen_stages",
    "batch_size",
    "input_size",
    "augmentation",
    "optimizer",
)  # nothing else takes time


@dataclass(frozen=True, eq=False)
class FittingCandidates:
    """Candidates that fit.

    Parameters
    ----------
    profile, budget
        Of the dataset; in seconds.
    figures
        What is known of each model, by its name.
    pretrained
        Names of models that have weights to start from.
    regimes, epochs, images, seconds
        The n candidates, and for each the epochs, how many training images it sees, and the wall clock,
        arrays (n,).
    notes
        What was left out, a line each.
    """

    profile: TaskProfile
    budget: float
    figures: Mapping[str, ModelFigures]
    pretrained: frozenset[str]
    regimes: Candidates
    epochs: np.ndarray
    images: np.ndarray
    seconds: np.ndarray
    notes: tuple[str, ...]

    def model(self, row: int) -> str:
        """The name of a candidate's model."""
        return self.regimes.models[self.regimes.model[row]]


def fitting(
    profile: TaskProfile,
    models: Sequence[ModelInfo],
    time_model: TimeModel,
    budget: float,
    limits: Limits = NO_LIMITS,
    *,
    source: str = "advise",
    regimes: Candidates | None = None,
    most: int = MOST,
    decoded: Collection[int] = (),
    processors: int | None = None,
    decoding_seconds: float | None = None,
) -> FittingCandidates:
    """The candidates for a dataset that fit a budget, of runs that a source of records will make.

    Parameters
    ----------
    profile, models, budget
        Of the dataset; to choose from; in seconds.
    time_model, limits
        What says how long runs take; what a choice must not exceed.
    source
        Of the records of such runs, whose start-up the time model knows apart.
    regimes, most
        To choose from; by default the whole grid of all models, as far as it has no more than `most`; see
        `candidates`.
    decoded
        Input sizes, in pixels, at which the images lie decoded in the cache.
    processors
        That decode, where the runs are made; by default as many as here.
    decoding_seconds
        That decoding all images will take from now on, where it has begun.

    Raises
    ------
    AdviceError
        Nothing fits; the message says what was in the way.
    """
    figures = {model.name: profile.model_figures(model.name) for model in models}
    small = _small_enough(figures, profile.dataset.classes, limits)
    timed = [known for name, known in small.items() if time_model.knows(name)]
    if not timed:
        raise AdviceError(
            "there was no time to measure how fast the networks are here; give more minutes, "
            "or ask for advice first without --run"
        )
    names = {known.model for known in timed}
    if regimes is None:
        regimes = candidates(timed, mirrored=profile.dataset.mirrored is not False, most=most)
    else:
        regimes = regimes.take(np.array([name in names for name in regimes.models])[regimes.model])
    kinds = _Kinds.of(regimes)
    parts = images_in_time(
        profile.dataset,
        budget,
        np.isin(kinds.regimes.input_size, list(decoded)),
        kinds.head_only(figures),
        len(allowed_processors()) if processors is None else processors,
        decoding_seconds,
    )
    epochs, seconds, fits = kinds.timed(time_model, parts, budget, source)
    fits &= kinds.within(limits, time_model, fits, profile.dataset.classes)
    if not fits.any():
        raise AdviceError(f"minutes: nothing can be trained in {budget:.3g} s here{limits.within}; give more")
    rows = np.flatnonzero(fits[kinds.kind])
    kind = kinds.kind[rows]
    return FittingCandidates(
        profile,
        budget,
        figures,
        frozenset(model.name for model in models if has_weights(model)),
        regimes.take(rows),
        epochs[kind],
        np.minimum(parts.train, np.nan_to_num(epochs, nan=np.inf) * parts.all_train)[kind],
        seconds[kind],
        tuple(_notes(sorted(small.keys() - names), profile, parts)),
    )


def _notes(untimed: Sequence[str], profile: TaskProfile, parts: ImagesInTime) -> list[str]:
    notes = [f"left out, as there was no time to measure them: {', '.join(untimed)}"] if untimed else []
    if not profile.dataset.train_images:
        notes.append(
            f"there was no time to look at the dataset: taken as one of {sum(TYPICAL_IMAGES)} images"
        )
    return [*notes, parts.note] if parts.note else notes


def _small_enough(
    figures: Mapping[str, ModelFigures], classes: int | None, limits: Limits
) -> dict[str, ModelFigures]:
    """The models that have no more parameters than is allowed; those not counted count as too many."""
    if limits.max_params_m is None:
        return dict(figures)
    millions = {name: known.parameters_m(classes) or math.inf for name, known in figures.items()}
    small = {name: known for name, known in figures.items() if millions[name] <= limits.max_params_m}
    if not small:
        raise AdviceError(
            f"max_params_m: no network has {limits.max_params_m:g} million parameters or fewer; "
            f"the smallest has {min(millions.values(), default=math.inf):.3g}"
        )
    return small


@dataclass(frozen=True, eq=False)
class _Kinds:
    """Candidates that differ in what takes time or memory.

    Parameters
    ----------
    regimes
        One of each of m kinds.
    kind
        Of each of n candidates, (n,).
    """

    regimes: Candidates
    kind: np.ndarray

    @classmethod
    def of(cls, regimes: Candidates) -> _Kinds:
        first, kind = regimes.distinct(TIMED)
        return cls(regimes.take(first), kind)

    def head_only(self, figures: Mapping[str, ModelFigures]) -> np.ndarray:
        """Which of them train no stage, bool array (m,)."""
        stages = np.array([figures[name].stages for name in self.regimes.models])
        return self.regimes.frozen_stages >= stages[self.regimes.model]

    def _by_model(self) -> list[tuple[str, np.ndarray]]:
        """Of each model its rows."""
        rows = ((name, self.regimes.model == place) for place, name in enumerate(self.regimes.models))
        return [(name, mine) for name, mine in rows if mine.any()]

    def timed(
        self, time_model: TimeModel, parts: ImagesInTime, budget: float, source: str
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Passes over all training images, seconds, and whether the time will do, (m,) each."""
        epochs, seconds = (np.full(len(self.regimes), np.nan) for _ in range(2))
        fits, start_up = np.zeros(len(self.regimes), dtype=bool), time_model.start_up(source)
        for name, mine in self._by_model():
            estimate = time_model.estimate(
                name,
                **{column: getattr(self.regimes, column)[mine] for column in TIMED[1:]},
                train_images=parts.train[mine],
                val_images=parts.val[mine],
                budget=budget,
                start_up=parts.seconds[mine] + start_up,
            )
            epochs[mine], seconds[mine], fits[mine] = estimate.epochs, estimate.seconds, estimate.feasible
        return epochs * (parts.train / parts.all_train), seconds, fits

    def within(
        self, limits: Limits, time_model: TimeModel, fits: np.ndarray, classes: int | None
    ) -> np.ndarray:
        """Which kinds stay within the limits on memory and inference time, bool array (m,).

        Parameters
        ----------
        fits
            Those that there is time for, (m,).
        """
        within = np.ones(len(self.regimes), dtype=bool)
        if limits.max_memory_mib is not None:
            needed = self._memory(classes or 1000)
            within &= needed <= limits.max_memory_mib
            if not within.any():
                raise AdviceError(
                    f"max_memory_mib: nothing trains in {limits.max_memory_mib:g} MiB; "
                    f"the least that is needed is {needed.min():.3g}"
                )
        if limits.max_latency_ms is not None:
            latency = self._latency(time_model)
            within &= latency <= limits.max_latency_ms
            if not (within & fits).any() and latency.min() > limits.max_latency_ms:
                raise AdviceError(
                    f"max_latency_ms: no network takes {limits.max_latency_ms:g} ms or less here; "
                    f"the fastest takes {latency.min():.3g}"
                )
        return within

    def _memory(self, classes: int) -> np.ndarray:
        """MiB that training needs, (m,)."""
        from .time.memory import step_memory

        needed = np.empty(len(self.regimes))
        for name, mine in self._by_model():
            frozen, batch, size, optimizer = (
                getattr(self.regimes, column)[mine]
                for column in ("frozen_stages", "batch_size", "input_size", "optimizer")
            )
            memory = step_memory(name, np.unique(size).tolist(), classes)
            needed[mine] = memory.mib(frozen, batch, size, optimizer)
        return needed

    def _latency(self, time_model: TimeModel) -> np.ndarray:
        """Milliseconds of inference for an image, (m,)."""
        latency = np.empty(len(self.regimes))
        for name, mine in self._by_model():
            latency[mine] = 1000 * time_model.latency(name, self.regimes.input_size[mine])
        return latency
