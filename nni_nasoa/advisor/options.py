"""All candidates that fit, scored; see `advising`."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.data.defaults import SAMPLE_VAL_SHARE
from nni_nasoa.device.processor import allowed_processors
from nni_nasoa.training.time_shares import CACHE_SHARE, SAMPLE_SHARE

from .accuracy.familiarity import Familiarity
from .accuracy.features import features
from .accuracy.predictor import AccuracyPredictor
from .advice import NO_LIMITS, Choice, Limits
from .candidates import Candidates, candidates, stages_of
from .defaults import default_choice, is_sound, merit, probed
from .distances import distances
from .models import AdviceError, has_weights, parameters_m
from .reasons import reasons

if TYPE_CHECKING:
    from nni_nasoa.zoo import ModelInfo

    from .task.profiles import TaskProfile
    from .time.time_model import TimeModel

CAUTION = 0.1  # of the distance to the lower end of the range
HABIT = 0.005  # of accuracy, for each step away from the defaults: see `distances`
TYPICAL_IMAGES = 1000, 250  # to train and to validate on, of a dataset that there was no time to look at
PROCESSORS_SHARE = 0.5  # of the processors that decode, as far as one can count on: others may need some, and two may share a core


class Options:
    """All candidates that fit, and what is expected of each.

    Parameters
    ----------
    profile, predictor, budget
        Of the dataset; what says the accuracy; in seconds.
    models
        To choose from.
    regimes, epochs, seconds
        The n candidates that fit, and for each the epochs and the wall clock, arrays (n,).
    notes
        What was left out.
    """

    def __init__(
        self,
        profile: TaskProfile,
        models: Sequence[ModelInfo],
        predictor: AccuracyPredictor,
        budget: float,
        regimes: Candidates,
        epochs: np.ndarray,
        seconds: np.ndarray,
        notes: Sequence[str] = (),
    ):
        self.profile, self.predictor, self.budget = profile, predictor, budget
        self.regimes, self.epochs, self.seconds, self.notes = regimes, epochs, seconds, list(notes)
        self.figures = {model.name: profile.model_figures(model.name) for model in models}
        self.pretrained = {model.name: has_weights(model) for model in models}
        flat = profile.flat()
        x = features(flat, self.figures, regimes, epochs, budget)
        self.mean, self.low, self.high = predictor.predict(x)
        self.familiarity = Familiarity.of(predictor, x, regimes)
        self._defaults = [
            default_choice(regimes, place, epochs, self.figures[name], flat, pretrained=self.pretrained[name])
            for place, name in enumerate(regimes.models)
        ]
        usual = regimes.take([row for row in self._defaults if row is not None])
        self.score = self.mean - CAUTION * (self.mean - self.low) - HABIT * distances(regimes, usual)
        known = [
            name
            for place, name in enumerate(regimes.models)
            if self.pretrained[name] and self.familiarity.models[place]
        ]
        self.learned = self.familiarity.enough and bool(known)
        if self.learned:
            allowed = np.isin(regimes.model, [regimes.models.index(name) for name in known])
            if not self.familiarity.known_data:
                allowed &= is_sound(regimes)
            self.score = np.where(allowed, self.score, -np.inf)
            if others := [
                name
                for place, name in enumerate(regimes.models)
                if name not in known and (regimes.model == place).any()
            ]:
                self.notes.append(
                    f"nothing is known yet of runs of {', '.join(others)}: left out; '--zoo NAME' asks for one alone"
                )

    @classmethod
    def of(
        cls,
        profile: TaskProfile,
        models: Sequence[ModelInfo],
        time_model: TimeModel,
        predictor: AccuracyPredictor,
        budget: float,
        limits: Limits = NO_LIMITS,
        source: str = "advise",
        regimes: Candidates | None = None,
        decoded: Collection[int] = (),
    ) -> Options:
        """The options for a dataset and a budget in seconds, of runs that a source of records will make.

        Parameters
        ----------
        profile, models, predictor, budget
            As `Options` takes them.
        time_model, limits
            What says how long runs take here; what a choice must not exceed.
        source
            Of the records of such runs, whose start-up the time model knows apart.
        regimes
            To choose from; by default the whole grid of all models, see `candidates`.
        decoded
            Input sizes, in pixels, at which the images lie decoded in the cache.

        Raises
        ------
        AdviceError
            Nothing fits; the message says what was in the way.
        """
        figures = {model.name: profile.model_figures(model.name) for model in models}
        small = {
            name: known
            for name, known in figures.items()
            if limits.max_params_m is None
            or (parameters_m(known, profile.dataset.classes) or math.inf) <= limits.max_params_m
        }
        if not small:
            least = min(
                (parameters_m(known, profile.dataset.classes) or math.inf for known in figures.values()),
                default=math.inf,
            )
            raise AdviceError(
                f"max_params_m: no network has {limits.max_params_m:g} million parameters or fewer; "
                f"the smallest has {least:.3g}"
            )
        timed = {name: known for name, known in small.items() if time_model.knows(name)}
        if not timed:
            raise AdviceError(
                "there was no time to measure how fast the networks are here; give more minutes, "
                "or ask for advice first without --run"
            )
        untimed = ", ".join(sorted(set(small) - set(timed)))
        notes = [f"left out, as there was no time to measure them: {untimed}"] if untimed else []
        if not profile.dataset.train_images:
            notes.append(
                f"there was no time to look at the dataset: taken as one of {sum(TYPICAL_IMAGES)} images"
            )
        if regimes is None:
            regimes = candidates(timed, mirrored=profile.dataset.mirrored is not False)
        else:
            regimes = regimes.take(np.array([name in timed for name in regimes.models])[regimes.model])
        opened = _Opened.of(profile, budget, np.isin(regimes.input_size, list(decoded)))
        notes += [opened.note] if opened.note else []
        epochs, seconds, fits, latency = _timed(regimes, profile, opened, time_model, budget, limits, source)
        if limits.max_memory_mib is not None:
            needed = _memory(regimes, profile.dataset.classes or 1000)
            if not (needed <= limits.max_memory_mib).any():
                raise AdviceError(
                    f"max_memory_mib: nothing trains in {limits.max_memory_mib:g} MiB; the least that is needed is "
                    f"{needed.min():.3g}"
                )
            fits &= needed <= limits.max_memory_mib
        if not fits.any():
            if limits.max_latency_ms is not None and np.nanmin(latency) > limits.max_latency_ms:
                raise AdviceError(
                    f"max_latency_ms: no network takes {limits.max_latency_ms:g} ms or less here; "
                    f"the fastest takes {np.nanmin(latency):.3g}"
                )
            raise AdviceError(
                f"minutes: nothing can be trained in {budget:.3g} s here" + limits.within + "; give more"
            )
        return cls(profile, models, predictor, budget, regimes.take(fits), epochs[fits], seconds[fits], notes)

    def choices(self, top_k: int) -> list[Choice]:
        """The best, and alternatives that differ from all before in the network or in what is frozen."""
        if self.learned:
            order = self._diverse(top_k)
        else:
            order = [row for row in self._defaults if row is not None]
            order.sort(key=lambda row: merit(self.epochs[row], self.figures[self.model(row)]), reverse=True)
        return [self.choice(row) for row in order[:top_k]]

    def _diverse(self, top_k: int) -> list[int]:
        groups = self.regimes.model * 1000 + self.regimes.frozen_stages
        best = np.lexsort((-self.score, groups))
        first = np.unique(groups[best], return_index=True)[1]
        rows = best[first]
        rows = rows[np.isfinite(self.score[rows])]
        return rows[np.argsort(-self.score[rows], kind="stable")][:top_k].tolist()

    def model(self, row: int) -> str:
        """The name of a candidate's model."""
        return self.regimes.models[self.regimes.model[row]]

    def choice(self, row: int) -> Choice:
        """A candidate as a choice."""
        model = self.model(row)
        figures = self.figures[model]
        accuracy, low, high = (float(values[row]) for values in (self.mean, self.low, self.high))
        probe = probed(figures) or 0.0
        if not self.learned:
            accuracy, low, high = 0.5 + 0.5 * probe, 0.0, 1.0
        elif not self.familiarity.known_data:  # then a linear head is all that was seen of such data
            low = min(low, probe)
        return Choice(
            self.regimes.regime(row),
            float(self.epochs[row]),
            float(self.seconds[row]),
            accuracy,
            low,
            high,
            parameters_m(figures, self.profile.dataset.classes),
            stages_of(model, figures),
            "default" if self.pretrained[model] else None,
            tuple(reasons(self, row)),
        )


def _timed(
    regimes: Candidates,
    profile: TaskProfile,
    opened: _Opened,
    time_model: TimeModel,
    budget: float,
    limits: Limits,
    source: str,
):
    """Epochs, seconds, whether it fits, and the inference time in ms, of each candidate."""
    names = (
        "model",
        "frozen_stages",
        "batch_size",
        "input_size",
        "augmentation",
        "optimizer",
    )  # nothing else takes time
    columns = {name: getattr(regimes, name) for name in names}
    code = np.ravel_multi_index(
        tuple(columns.values()), tuple(column.max() + 1 for column in columns.values())
    )
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    epochs, seconds, latency = (np.full(len(first), np.nan) for _ in range(3))
    fits, start_up = np.zeros(len(first), dtype=bool), time_model.start_up(source)
    for place, name in enumerate(regimes.models):
        mine = np.flatnonzero(regimes.model[first] == place)
        if not len(mine):
            continue
        rows = {column: values[first[mine]] for column, values in columns.items() if column != "model"}
        train, val, opening = (values[first[mine]] for values in (opened.train, opened.val, opened.seconds))
        estimate = time_model.estimate(
            name, **rows, train_images=train, val_images=val, budget=budget, start_up=opening + start_up
        )
        epochs[mine], seconds[mine], fits[mine] = estimate.epochs, estimate.seconds, estimate.feasible
        if limits.max_latency_ms is not None:
            latency[mine] = 1000 * time_model.latency(name, rows["input_size"])
            fits[mine] &= latency[mine] <= limits.max_latency_ms
    epochs *= opened.train[first] / (profile.dataset.train_images or TYPICAL_IMAGES[0])
    return epochs[inverse], seconds[inverse], fits[inverse], latency[inverse]


def _memory(regimes: Candidates, classes: int) -> np.ndarray:
    """MiB that each candidate's training needs."""
    from .time.memory import step_memory

    needed = np.empty(len(regimes))
    for place, name in enumerate(regimes.models):
        rows = regimes.model == place
        mine = [
            getattr(regimes, column)[rows]
            for column in ("frozen_stages", "batch_size", "input_size", "optimizer")
        ]
        needed[rows] = step_memory(name, np.unique(mine[2]).tolist(), classes).mib(*mine)
    return needed


@dataclass(frozen=True, eq=False)
class _Opened:
    """What runs of n candidates will have of a dataset.

    Parameters
    ----------
    train, val
        Images that are trained and validated on, (n,).
    seconds
        That decoding them takes, (n,).
    note
        What there is no time for, in a line; empty where there is time for all images.
    """

    train: np.ndarray
    val: np.ndarray
    seconds: np.ndarray
    note: str = ""

    @classmethod
    def of(cls, profile: TaskProfile, budget: float, decoded: np.ndarray) -> _Opened:
        """Where decoding a folder takes too long for the budget, `finetune` goes on with as many images as it can decode in a share.

        It decodes with all processors; of those of another machine nobody says how many there are: taken for as many as here.

        Parameters
        ----------
        profile, budget
            Of the dataset; in seconds.
        decoded
            Of each candidate, whether the images lie in the cache at its input size, bool array (n,).
        """
        train, val = (
            count or typical
            for count, typical in zip(
                (profile.dataset.train_images, profile.dataset.val_images), TYPICAL_IMAGES
            )
        )
        seconds = (profile.dataset.decode_seconds or 0.0) / max(
            1.0, PROCESSORS_SHARE * len(allowed_processors())
        )  # an image
        decoding = seconds * (train + val)
        part, val_part, until, note = train, val, decoding, ""
        if decoding > CACHE_SHARE * budget and not decoded.all():
            sample = SAMPLE_SHARE * budget / seconds
            part, val_part = (
                max(1.0, min(train, (1 - SAMPLE_VAL_SHARE) * sample)),
                max(1.0, min(val, SAMPLE_VAL_SHARE * sample)),
            )
            until = (CACHE_SHARE + SAMPLE_SHARE) * budget
            note = (
                f"decoding all {train + val} images takes about {decoding:.3g} s here, too long for {budget:.3g} s: at input sizes that "
                f"are not in the cache, a run uses some {part + val_part:.0f} of them; from {decoding / CACHE_SHARE / 60:.2g} minutes on, "
                "all"
            )
        return cls(
            np.where(decoded, train, part),
            np.where(decoded, val, val_part),
            np.where(decoded, 0.0, until),
            note,
        )
