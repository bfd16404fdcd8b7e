"""How unlike regimes are, as one number."""

from __future__ import annotations

import numpy as np

from nni_nasoa.finetune.regime import OPTIMIZERS

from .candidates import Candidates

ADAMW_RATES = 30  # times smaller than those of SGD


def distances(regimes: Candidates, others: Candidates) -> np.ndarray:
    """How far each regime is from the closest of some others, (n,).

    A distance of 1 is another network, another optimizer, a tenfold learning rate, twice the image size, or two steps in
    freezing, batch size or augmentation.
    """
    mine, theirs = _coordinates(regimes), _coordinates(others)
    names = np.array(regimes.models)[regimes.model], np.array(others.models)[others.model]
    closest = np.full(len(regimes), np.inf)
    for row, name in zip(theirs, names[1]):
        closest = np.minimum(closest, ((mine - row) ** 2).sum(axis=1) + (names[0] != name))
    return np.sqrt(closest)


def _coordinates(regimes: Candidates) -> np.ndarray:
    """Regimes as points (n, 8), without their networks."""
    adamw = regimes.optimizer == OPTIMIZERS.index("adamw")
    return np.stack([
        np.log10(regimes.learning_rate * np.where(adamw, ADAMW_RATES, 1)), adamw, regimes.frozen_stages / 2,
        np.log2(regimes.batch_size) / 2, np.log2(regimes.input_size), regimes.augmentation / 2,
        np.log10(regimes.weight_decay + 1e-6) / 4, 2 * regimes.label_smoothing], axis=1).astype(np.float64)
