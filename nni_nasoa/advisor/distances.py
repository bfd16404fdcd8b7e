"""Distances between regimes: by how much their networks and settings differ."""

from __future__ import annotations

import numpy as np

from nni_nasoa.training.regime import OPTIMIZERS

from .candidates import Candidates

ADAMW_RATES = 30  # times smaller than those of SGD


def distances(regimes: Candidates, others: Candidates) -> np.ndarray:
    """How far each regime is from the closest of some others, (n,).

    A distance of 1 is another network, another optimizer, a tenfold learning rate, twice the image size, or
    two steps in freezing, batch size or augmentation.
    """
    mine, theirs = _coordinates(regimes), _coordinates(others)
    closest = np.full(len(regimes), np.inf, dtype=np.float32)
    for point, model in zip(theirs.T, others.model):
        another = np.array([name != others.models[model] for name in regimes.models])[regimes.model]
        np.minimum(closest, np.square(mine - point[:, None]).sum(axis=0) + another, out=closest)
    return np.sqrt(closest)


def _coordinates(regimes: Candidates) -> np.ndarray:
    """Regimes as points (8, n), without their networks."""
    adamw = regimes.optimizer == OPTIMIZERS.index("adamw")
    return np.stack(
        [
            np.log10(regimes.learning_rate * np.where(adamw, ADAMW_RATES, 1)),
            adamw,
            regimes.frozen_stages / 2,
            np.log2(regimes.batch_size) / 2,
            np.log2(regimes.input_size),
            regimes.augmentation / 2,
            np.log10(regimes.weight_decay + 1e-6) / 4,
            2 * regimes.label_smoothing,
        ],
        dtype=np.float32,
    )
