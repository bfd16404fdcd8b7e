"""The network of the hedge predictor: its heads, and its gradient against finite differences."""

import numpy as np
import pytest

from nni_nasoa.advisor.accuracy.hedge_network import HedgeNetwork


@pytest.mark.parametrize("depth, residual", [(0, True), (1, True), (3, True), (3, False)])
def test_gradient_is_that_of_the_weighted_cross_entropy(depth, residual):
    rng = np.random.default_rng(depth)
    network = HedgeNetwork(4, depth, 5, residual, 0.01, 0.0)
    at = rng.normal(0, 0.7, network.arrays["parameters"].shape)
    x, y, weights = rng.normal(size=(6, 4)), rng.uniform(size=6), rng.dirichlet(np.ones(depth + 1))
    offsets = rng.normal(size=6)

    def loss(parameters):
        network.arrays["parameters"] = parameters  # in double precision, as differences this small need
        p = network.predict(x, offsets)
        return -((y[:, None] * np.log(p) + (1 - y[:, None]) * np.log(1 - p)) @ weights).mean()

    gradient = np.empty_like(at)
    network.gradient(at, x, offsets, y, weights, gradient)
    small = 1e-6 * np.eye(len(at))
    numeric = [(loss(at + step) - loss(at - step)) / 2e-6 for step in small]
    assert np.allclose(gradient, numeric, atol=1e-7) and np.abs(gradient).max() > 1e-3


def test_views_cover_every_parameter_once():
    network = HedgeNetwork(4, 2, 5, True, 0.01, 0.0)
    vector = np.zeros(network.arrays["parameters"].shape)
    layers, heads = network.views(vector)
    for weight, bias in layers + heads:
        weight[...] += 1
        bias[...] += 1
    assert (vector == 1).all() and [w.shape for w, _ in layers + heads] == [(4, 5), (5, 5), (4,), (5,), (5,)]


@pytest.mark.parametrize("residual", [True, False])
def test_a_head_predicts_from_its_layer_and_a_residual_one_from_those_below_too(residual):
    rng = np.random.default_rng(0)
    network, x = HedgeNetwork(4, 2, 5, residual, 0.01, 0.0), rng.normal(size=(6, 4))
    offsets = rng.normal(size=6)
    vector = network.arrays["parameters"]
    vector[:] = rng.normal(size=vector.shape)
    ((first, first_bias), (second, second_bias)), heads = network.views(vector)
    middle = np.maximum(x @ first + first_bias, 0)
    hidden = (x, middle, np.maximum(middle @ second + second_bias, 0))
    logits = [layer @ weight + bias for layer, (weight, bias) in zip(hidden, heads)]
    expected = [sum(logits[: depth + 1]) if residual else logits[depth] for depth in range(3)]
    logits = np.array(expected).T + offsets[:, None]
    assert np.allclose(network.predict(x, offsets), 1 / (1 + np.exp(-logits)), atol=1e-5)
