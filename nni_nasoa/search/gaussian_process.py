"""Gaussian processes with a Matern kernel (nu = 5/2) and a length for each group of features.

The lengths and the noise are where their posterior is highest. Few results would be likely under any lengths,
so these have a log-normal prior whose scale grows with the number of groups (Hvarfner, Hellsten and Nardi,
"Vanilla Bayesian Optimization Performs Great in High Dimensions", 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_STEPS = 30  # of L-BFGS: further ones hardly change what is predicted
# Priors of the logarithms, and the bounds of these. What training and timing report has noise.
_LENGTH, _LENGTH_SPREAD = 0.0, 1.0
_NOISE, _NOISE_SPREAD = math.log(0.1), 1.5
_LENGTHS, _NOISES = (math.log(0.02), math.log(200.0)), (math.log(1e-6), math.log(0.5))
_JITTER, _ROOT_5 = 1e-8, math.sqrt(5)


@dataclass(frozen=True)
class Hyperparameters:
    """Of the kernel, for standardised values: `lengths`, one for each column of the features, and `noise`."""

    lengths: np.ndarray
    noise: float


def fit_hyperparameters(features: np.ndarray, values: np.ndarray, groups: np.ndarray) -> Hyperparameters:
    """Find the lengths and the noise of the highest posterior density.

    Parameters
    ----------
    features
        Float array of shape (n, columns), each column about 0 to 1.
    values
        Standardised, shape (n,).
    groups
        Int array of shape (columns,): 0, 1, .. ; columns of the same group have the same length.
    """
    from scipy.optimize import minimize

    count = int(groups.max()) + 1
    squares = (features[:, None, :] - features[None, :, :]) ** 2
    distances = np.stack([squares[:, :, groups == group].sum(axis=2) for group in range(count)])
    mode = np.append(np.full(count, _LENGTH + math.log(count) / 2), _NOISE)
    spread = np.append(np.full(count, _LENGTH_SPREAD), _NOISE_SPREAD)
    diagonal = np.diag_indices(len(values))

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        """Negative logarithm of the posterior density, and its gradient."""
        weights, noise = np.exp(-2 * theta[:-1]), math.exp(theta[-1])
        root = _ROOT_5 * np.sqrt(np.tensordot(weights, distances, 1))
        decay = np.exp(-root)
        kernel = (1 + root + root * root / 3) * decay
        kernel[diagonal] += noise + _JITTER
        lower = np.linalg.cholesky(kernel)
        inverse = np.linalg.inv(lower)
        inverse = inverse.T @ inverse
        solved = inverse @ values
        value = values @ solved / 2 + np.log(np.diag(lower)).sum()
        slope = inverse - np.outer(solved, solved)
        lengths = 5 / 6 * weights * np.tensordot(distances, slope * (1 + root) * decay, 2)
        gradient = np.append(lengths, noise * np.trace(slope) / 2)
        off = (theta - mode) / spread
        return value + off @ off / 2, gradient + off / spread

    best = minimize(
        loss,
        mode,
        jac=True,
        method="L-BFGS-B",
        bounds=[_LENGTHS] * count + [_NOISES],
        options={"maxiter": _STEPS},
    )
    return Hyperparameters(np.exp(best.x[:-1])[groups], math.exp(best.x[-1]))


def matern(a: np.ndarray, b: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Covariance of function values at features a (n, columns) and b (m, columns), shape (n, m)."""
    from scipy.spatial.distance import cdist

    root = _ROOT_5 * cdist(a / lengths, b / lengths)
    return (1 + root + root * root / 3) * np.exp(-root)


class GaussianProcess:
    """What is believed of a function after some noisy values of it.

    Parameters
    ----------
    features
        Float array of shape (n, columns).
    values
        Standardised, shape (n,), or (n, draws) for several possible outcomes.
    hyperparameters
        See `fit_hyperparameters`.
    """

    def __init__(self, features: np.ndarray, values: np.ndarray, hyperparameters: Hyperparameters) -> None:
        from scipy.linalg import solve_triangular

        self.features, self.hyperparameters = features, hyperparameters
        kernel = matern(features, features, hyperparameters.lengths)
        kernel[np.diag_indices(len(kernel))] += hyperparameters.noise + _JITTER
        self._lower = np.linalg.cholesky(kernel)
        self._white = solve_triangular(self._lower, values, lower=True)

    def predict(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (m,) or (m, draws), and standard deviation (m,), of a noisy value at features (m, columns)."""
        towards = self._towards(features)
        variance = np.maximum(1 - (towards * towards).sum(axis=0), 0.0) + self.hyperparameters.noise
        return towards.T @ self._white, np.sqrt(variance)

    def draw(self, features: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw noisy values at features (m, columns), which agree with each other: shape (m, draws).

        The process is one of a single outcome.
        """
        towards = self._towards(features)
        covariance = matern(features, features, self.hyperparameters.lengths) - towards.T @ towards
        covariance[np.diag_indices(len(covariance))] += self.hyperparameters.noise + _JITTER
        spread = np.linalg.cholesky(covariance) @ rng.standard_normal((len(features), draws))
        return (towards.T @ self._white).reshape(len(features), -1) + spread

    def _towards(self, features: np.ndarray) -> np.ndarray:
        from scipy.linalg import solve_triangular

        covariance = matern(self.features, features, self.hyperparameters.lengths)
        return solve_triangular(self._lower, covariance, lower=True)
