"""What to do where nothing was learned yet: settings that are sound for most data, and what is close to them.

For each network:

- SGD at a rate of 0.03, weight decay 1e-4, label smoothing 0.1: the usual ones for fine-tuning with a batch
  of 32 or 64.
- For transformers, AdamW at 1e-4, with smaller rates for earlier stages, weight decay 0.1.
- A batch of 32, or 64 from 4000 training images on: some hundred steps must fit into few epochs.
- Images of the size of the pretraining.
- All stages trained, if that leaves 5 epochs in the budget and there are 10 images per class or more. Else as
  many of the first stages frozen as it takes: those hold what is the same in all images (Yosinski et al.,
  NeurIPS 2014, arXiv 1411.1792). Where even the last stage alone gets no 5 epochs, only the head is trained.
  A network without pretrained weights is trained as a whole in any case.
- Augmentation "crop-flip" from 5 epochs on ("crop" where mirroring changes the meaning), none for less, or
  for a head alone.

Among networks, those that get 5 epochs so come before all others; then those come first that separate the
classes best as they are, by a linear head on a sample of the user's own images; where that is not known,
larger networks do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS as AUGMENTATIONS
from nni_nasoa.training.regime import OPTIMIZERS

from .candidates import Candidates
from .models import ModelFigures

ENOUGH_EPOCHS = 5
FEW_PER_CLASS = 10
LARGE_BATCH_FROM = 4000  # training images
RATE, DECAY, SMOOTHING = 0.03, 1e-4, 0.1
TRANSFORMER_RATE, TRANSFORMER_DECAY = 1e-4, 0.1
SOUND_RATES = {"sgd": (0.01, 0.07), "adamw": (0.0004, 0.0025)}
SOUND_FOR_TRANSFORMERS = (2e-5, 4e-4)  # with AdamW; none with SGD


def default_choice(
    regimes: Candidates,
    model: int,
    epochs: np.ndarray,
    figures: ModelFigures,
    profile: Mapping[str, Any],
    *,
    pretrained: bool = True,
) -> int | None:
    """The candidate that is closest to the defaults above.

    Parameters
    ----------
    regimes, epochs
        Those that fit the budget, and the epochs that each gets, array (n,).
    model
        A place in `regimes.models`.
    figures, profile
        What is known of this model, and of the dataset; see `features.features`.
    pretrained
        Whether the network has weights to start from.

    Returns
    -------
    Its index; None where there is none of this model.
    """
    rows = np.flatnonzero(regimes.model == model)
    if not pretrained:
        rows = rows[regimes.frozen_stages[rows] == 0]
    if not len(rows):
        return None
    images = profile.get("train_images") or 0
    batch = 64 if images >= LARGE_BATCH_FROM else 32
    sizes: tuple[tuple[np.ndarray, float], ...] = (
        (regimes.input_size, figures.own_size),
        (regimes.batch_size, batch),
    )
    for column, value in sizes:
        rows = _nearest(rows, np.log(column[rows] / value))
    rows = _least_frozen(rows, regimes, epochs, images / max(1, profile.get("classes") or 1))
    enough = (
        epochs[rows].max() >= ENOUGH_EPOCHS
        and regimes.frozen_stages[rows[0]] < regimes.frozen_stages[regimes.model == model].max()
    )
    augmentation = (
        ("crop-flip" if profile.get("mirrored", True) else "crop") if enough or not pretrained else "none"
    )
    kind, rate, decay = (
        ("adamw", TRANSFORMER_RATE, TRANSFORMER_DECAY) if figures.is_transformer else ("sgd", RATE, DECAY)
    )
    wanted = (
        (regimes.optimizer, OPTIMIZERS.index(kind)),
        (regimes.augmentation, AUGMENTATIONS.index(augmentation)),
        (np.log(regimes.learning_rate), math.log(rate)),
        (np.log(regimes.weight_decay), math.log(decay)),
        (regimes.label_smoothing, SMOOTHING),
    )
    for column, value in wanted:
        rows = _nearest(rows, column[rows] - value)
    return int(rows[0])


def _nearest(rows: np.ndarray, distance: np.ndarray) -> np.ndarray:
    distance = np.abs(distance)
    return rows[distance <= distance.min() + 1e-9]


def _least_frozen(rows: np.ndarray, regimes: Candidates, epochs: np.ndarray, per_class: float) -> np.ndarray:
    """Those with the fewest frozen stages that leave enough epochs.

    Where none does, those with the most frozen stages of all.
    """
    frozen = regimes.frozen_stages[rows]
    least = 0 if per_class >= FEW_PER_CLASS else math.ceil(frozen.max() / 2)
    good = frozen[(epochs[rows] >= ENOUGH_EPOCHS) & (frozen >= min(least, frozen.max()))]
    return rows[frozen == (good.min() if len(good) else frozen.max())]


def merit(epochs: float, figures: ModelFigures) -> tuple[bool, float, float]:
    """By what the networks' default choices are ordered: the best is the greatest."""
    probe, size = figures.probed, figures.known.get("params_m")
    return epochs >= ENOUGH_EPOCHS, -1.0 if probe is None else probe, -1.0 if size is None else float(size)


def is_sound(regimes: Candidates, figures: Mapping[str, ModelFigures]) -> np.ndarray:
    """Which candidates are safe on data of any kind: rates near the defaults; mask (n,)."""
    low, high = (
        np.array([SOUND_RATES[kind][end] for kind in OPTIMIZERS])[regimes.optimizer] for end in (0, 1)
    )
    rate, adamw = regimes.learning_rate, regimes.optimizer == OPTIMIZERS.index("adamw")
    least, most = SOUND_FOR_TRANSFORMERS
    transformer = np.array([figures.get(name, ModelFigures(name)).is_transformer for name in regimes.models])[
        regimes.model
    ]
    return np.where(transformer, adamw & (rate >= least) & (rate <= most), (rate >= low) & (rate <= high))
