"""Measured step times as tables of numbers, from which the time of any step follows; numpy only."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from nni_nasoa.experience.records import StepTime
from nni_nasoa.training.regime import OPTIMIZERS
from nni_nasoa.training.time_shares import CHUNK_SECONDS, FIRST_CHUNK, MAX_CHUNK

from .simulated_run import StepSeconds
from .step_kinds import DRAW_MODES, FEATURES, IMAGES, OPTIMIZER_MODES, ROUGH, TRAIN, VIEW_MODES

# The least part of a step's time that grows with its images: no step of many costs what one of few does.
LEAST_SLOPE = 0.02


@dataclass(frozen=True, eq=False)
class Lines:
    """Seconds of a step as a line over its images, for image sizes and kinds of steps.

    Parameters
    ----------
    pixels
        (sizes,) of an image, increasing.
    fixed, image
        (sizes, kinds) seconds of a step, and of each of its images.
    """

    pixels: np.ndarray
    fixed: np.ndarray
    image: np.ndarray

    def at(self, input_size: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of a step and of an image, (n,) each.

        Between sizes they are as pixels are, beyond them in proportion to pixels.
        """
        pixels = np.square(np.asarray(input_size, dtype=np.float64))
        last = len(self.pixels) - 1
        upper = np.clip(np.searchsorted(self.pixels, pixels), min(1, last), last)
        lower = np.maximum(upper - 1, 0)
        inside = np.clip(pixels, self.pixels[0], self.pixels[-1])
        share = (inside - self.pixels[lower]) / np.maximum(self.pixels[upper] - self.pixels[lower], 1)
        fixed, image = (
            table[lower, kind] + share * (table[upper, kind] - table[lower, kind])
            for table in (self.fixed, self.image)
        )
        return fixed, image * pixels / inside

    @classmethod
    def of(cls, points: Points, kinds: int) -> Lines | None:
        """Lines through measured times, for the sizes that have all kinds; None where there are none."""
        sizes = sorted(size for size in points if len(points[size]) == kinds)
        if not sizes:
            return None
        lines = np.array([[_line(points, size, kind) for kind in range(kinds)] for size in sizes])
        return cls(np.square(np.array(sizes, dtype=np.float64)), lines[..., 0], lines[..., 1])


Points = Mapping[int, Mapping[int, Mapping[int, float]]]
"""Seconds of a step, by input size, kind, and batch size."""


def _points(rows: Iterable[StepTime], kinds: Mapping[tuple[str, int], int]) -> Points:
    """The rows of some kinds, by a row's (mode, frozen stages)."""
    points: dict[int, dict[int, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        if (row.mode, row.frozen_stages) in kinds:
            points[row.input_size][kinds[row.mode, row.frozen_stages]][row.batch_size] = row.seconds
    return points


def _line(points: Points, size: int, kind: int) -> tuple[float, float]:
    """The line through the times of the smallest and the largest batch: seconds of a step, and of an image.

    Where there was one batch, a step takes besides its images what it does at the nearest size with two.
    """
    seconds = points[size][kind]
    few, many = min(seconds), max(seconds)
    most = seconds[many] / many
    if few < many:
        slope = min(max((seconds[many] - seconds[few]) / (many - few), LEAST_SLOPE * most), most)
        return seconds[many] - slope * many, slope
    others = [other for other in points if len(points[other].get(kind, ())) > 1]
    fixed = _line(points, min(others, key=lambda other: abs(other - size)), kind)[0] if others else 0.0
    fixed = min(fixed, (1 - LEAST_SLOPE) * seconds[many])
    return fixed, (seconds[many] - fixed) / many


@dataclass(frozen=True, eq=False)
class ModelTimes:
    """What steps of a model take.

    Parameters
    ----------
    stages
        How many there are.
    train
        Kinds 0 to `stages`: training steps with so many frozen stages.
    features
        Kinds 0 to `stages` - 1: what the first 1 to `stages` stages make of images.
    adamw
        (2,) seconds that a step of AdamW takes more than one of SGD, for all weights and for the head's
        alone.
    views
        Seconds that a step on features takes more where images have several kept views.
    rough
        Whether they are estimates.
    """

    stages: int
    train: Lines
    features: Lines
    adamw: np.ndarray
    views: float
    rough: bool

    def steps(
        self,
        frozen: np.ndarray,
        batch: np.ndarray,
        size: np.ndarray,
        augmentation: np.ndarray,
        optimizer: np.ndarray,
        drawing: Lines | None,
    ) -> StepSeconds:
        """What the parts of runs take, for columns (n,) of their regimes.

        Parameters
        ----------
        augmentation, optimizer
            Places in AUGMENTATIONS and OPTIMIZERS.
        drawing
            What images take to draw, as `drawing_lines` has it.
        """
        fixed, image = self.train.at(size, frozen)
        adamw = self.adamw[0] + (self.adamw[1] - self.adamw[0]) * frozen / self.stages
        train = fixed + batch * image + np.where(optimizer == OPTIMIZERS.index("adamw"), adamw, 0.0)
        augmenting = 0.0  # an image, besides drawing it
        if drawing is not None:
            with_it, without = (
                drawing.at(size, kind)[1] for kind in (augmentation, np.zeros_like(augmentation))
            )
            augmenting = np.maximum(with_it - without, 0.0)
        some = frozen > 0
        train = train + np.where(some & (augmentation > 0), self.views, 0.0)
        fixed, image = self.features.at(size, np.maximum(frozen - 1, 0))
        all_fixed, all_image = self.features.at(size, np.full_like(frozen, self.stages - 1))
        # A first pass doubles its chunks until they take half of what they may.
        chunk = np.clip((0.75 * CHUNK_SECONDS - all_fixed) / all_image, FIRST_CHUNK, MAX_CHUNK)
        forward, clean = all_image + all_fixed / chunk, np.where(some, image + fixed / chunk, 0.0)
        return StepSeconds(
            train=train + np.where(some, 0.0, batch * augmenting),
            renewal=np.where(some, fixed + batch * (image + augmenting), 0.0),
            clean=clean,
            forward=forward,
            rest=np.maximum(forward - clean, 1e-9),
        )


def model_times(rows: Iterable[StepTime]) -> dict[str, ModelTimes]:
    """The tables of each model that has them."""
    by_model: dict[str, list[StepTime]] = defaultdict(list)
    for row in rows:
        if row.model != IMAGES:
            by_model[row.model].append(row)
    tables = {model: _times_of(rows) for model, rows in by_model.items()}
    return {model: times for model, times in tables.items() if times is not None}


def _times_of(rows: list[StepTime]) -> ModelTimes | None:
    stages = max(row.frozen_stages for row in rows)
    for prefix in ("", ROUGH):
        of_training = _points(rows, {(prefix + TRAIN, frozen): frozen for frozen in range(stages + 1)})
        of_features = _points(
            rows, {(prefix + FEATURES, frozen): frozen - 1 for frozen in range(1, stages + 1)}
        )
        sizes = of_training.keys() & of_features.keys()
        train, features = (
            Lines.of({size: points[size] for size in sizes}, kinds)
            for points, kinds in ((of_training, stages + 1), (of_features, stages))
        )
        if stages and train and features and len(train.pixels) == len(features.pixels):
            _share_out(train, features, of_training)
            seconds = {(row.mode, row.frozen_stages): row.seconds for row in rows}
            sgd, adamw = (
                np.array([seconds.get((prefix + mode, frozen), 0.0) for frozen in (0, stages)])
                for mode in OPTIMIZER_MODES
            )
            one, several = (seconds.get((prefix + mode, stages), 0.0) for mode in VIEW_MODES)
            return ModelTimes(
                stages, train, features, np.maximum(adamw - sgd, 0.0), max(several - one, 0.0), bool(prefix)
            )
    return None


def _share_out(train: Lines, features: Lines, points: Points) -> None:
    """Have an image take its stages' share of the time, where steps were measured with few images only.

    A stage takes its forward pass, and as much for its weights' gradients; and once more for those of its
    input, but for the first stage that is trained.
    """
    forward = np.maximum(
        np.diff(features.image, axis=1, prepend=0.0), 0.0
    )  # measured, so that more stages can have seemed faster
    behind = np.flip(np.cumsum(np.flip(forward, 1), axis=1), 1)  # a stage's, and of those behind it
    work = 3 * behind - forward
    for place, pixels in enumerate(train.pixels):
        for frozen in range(1, features.image.shape[1]):
            seconds = points[round(math.sqrt(pixels))][frozen]
            if len(seconds) == 1 and train.fixed[place, 0] > 0:
                ((batch, step),) = seconds.items()
                share = train.image[place, 0] * work[place, frozen] / work[place, 0]
                slope = np.clip(share, LEAST_SLOPE * step / batch, step / batch)
                train.image[place, frozen], train.fixed[place, frozen] = slope, step - batch * slope


def drawing_lines(rows: Iterable[StepTime]) -> Lines | None:
    """Drawing images, kinds as in AUGMENTATIONS; each takes what it does per image."""
    return Lines.of(
        _points(
            (row for row in rows if row.model == IMAGES),
            {(mode, 0): kind for kind, mode in enumerate(DRAW_MODES)},
        ),
        len(DRAW_MODES),
    )
