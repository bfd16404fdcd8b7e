"""Gaussian processes: scikit-learn's as the oracle, and hyperparameters that find what matters."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from nni_nasoa.search.gaussian_process import GaussianProcess, Hyperparameters, fit_hyperparameters, matern

RNG = np.random.default_rng(0)
X = RNG.random((25, 3))
Y = np.sin(6 * X[:, 0]) + 0.3 * X[:, 1]
THETA = Hyperparameters(np.array([0.4, 1.5, 8.0]), 0.01)


def theirs():
    kernel = Matern(THETA.lengths, nu=2.5) + WhiteKernel(THETA.noise)
    return GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8).fit(X, Y)


def test_predictions_are_those_of_scikit_learn():
    new = RNG.random((40, 3))
    mean, std = GaussianProcess(X, Y, THETA).predict(new)
    expected_mean, expected_std = theirs().predict(new, return_std=True)
    assert mean == pytest.approx(expected_mean, abs=1e-8)
    assert std == pytest.approx(expected_std, abs=1e-6)


def test_several_outcomes_at_once_are_predicted_as_one_by_one():
    outcomes = np.column_stack([Y, -Y, RNG.random(25)])
    new = RNG.random((7, 3))
    together, _ = GaussianProcess(X, outcomes, THETA).predict(new)
    for column in range(3):
        alone, _ = GaussianProcess(X, outcomes[:, column], THETA).predict(new)
        assert together[:, column] == pytest.approx(alone)


def test_draws_have_the_mean_and_the_covariance_of_scikit_learn():
    new = RNG.random((3, 3))
    drawn = GaussianProcess(X[:5], Y[:5], THETA).draw(new, 20_000, np.random.default_rng(1))
    kernel = Matern(THETA.lengths, nu=2.5) + WhiteKernel(THETA.noise)
    mean, covariance = (
        GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-8)
        .fit(X[:5], Y[:5])
        .predict(new, return_cov=True)
    )
    assert drawn.mean(axis=1) == pytest.approx(mean, abs=0.03)
    assert np.cov(drawn) == pytest.approx(covariance, abs=0.03)


def test_the_kernel_is_scikit_learns():
    assert matern(X, X[:4], THETA.lengths) == pytest.approx(Matern(THETA.lengths, nu=2.5)(X, X[:4]))


def test_lengths_tell_what_matters():
    rng = np.random.default_rng(3)
    x = rng.random((60, 4))
    y = np.sin(8 * x[:, 1]) + 0.01 * rng.standard_normal(60)
    found = fit_hyperparameters(x, (y - y.mean()) / y.std(), np.arange(4))
    assert found.lengths.argmin() == 1 and found.lengths[1] < np.delete(found.lengths, 1).min() / 2
    noisy = fit_hyperparameters(x, rng.standard_normal(60), np.arange(4))
    assert noisy.noise > 10 * found.noise


def test_columns_of_a_group_have_one_length():
    found = fit_hyperparameters(X, (Y - Y.mean()) / Y.std(), np.array([0, 1, 0]))
    assert found.lengths[0] == found.lengths[2] != found.lengths[1]


def test_fitted_hyperparameters_make_results_likelier():
    y = (Y - Y.mean()) / Y.std()

    def likelihood(theta):
        covariance = matern(X, X, theta.lengths) + theta.noise * np.eye(len(X))
        return multivariate_normal(cov=covariance).logpdf(y)

    found = fit_hyperparameters(X, y, np.arange(3))
    assert likelihood(found) > likelihood(Hyperparameters(np.ones(3), 1e-3)) + 5


def test_equal_rows_and_constant_values_are_no_trouble():
    x, y = np.zeros((12, 2)), np.zeros(12)
    theta = fit_hyperparameters(x, y, np.arange(2))
    mean, std = GaussianProcess(x, y, theta).predict(np.array([[0.0, 0.0], [1.0, 1.0]]))
    assert mean == pytest.approx([0, 0]) and 0 < std[0] < std[1] <= 1
