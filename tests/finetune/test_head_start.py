from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid
from torch import nn
from torch.nn import functional as F

from nni_nasoa.finetune.head_start import ClassStatistics, set_head


def features(n=400, classes=5, width=12, seed=0):
    rng = np.random.default_rng(seed)
    means, mix = rng.normal(size=(classes, width)), rng.normal(size=(width, width))
    labels = rng.integers(classes, size=n)
    return torch.tensor(
        means[labels] + 0.8 * rng.normal(size=(n, width)) @ mix / width**0.5, dtype=torch.float32
    ), torch.tensor(labels)


def statistics(x, y, classes):
    sums = ClassStatistics(classes, x.shape[1], torch.device("cpu"))
    for start in range(0, len(x), 37):
        sums.add(x[start : start + 37], y[start : start + 37])
    return sums


def test_is_scikit_learns_discriminant_of_the_same_shrinkage():
    x, y = features()
    weight, bias = statistics(x, y, 5).head()
    shrinkage = 12 / (12 + 400)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(x.numpy(), y.numpy())
    ours = F.linear(x, weight, bias).softmax(1).numpy()
    # scikit-learn scales features to unit variance before it shrinks, so the two are close, not equal.
    assert (ours.argmax(1) == oracle.predict(x.numpy())).mean() > 0.97
    assert np.abs(ours - oracle.predict_proba(x.numpy())).mean() < 0.03


def test_without_covariance_it_is_the_nearest_class_mean():
    x, y = features()
    y[:] = torch.arange(400) % 5  # equal priors
    weight, bias = statistics(x, y, 5).head(use_covariance=False)
    assert (
        F.linear(x, weight, bias).argmax(1).numpy()
        == NearestCentroid().fit(x.numpy(), y.numpy()).predict(x.numpy())
    ).all()


@pytest.mark.parametrize("n", [2, 5, 30])
def test_few_images_constant_features_and_missing_classes_do_no_harm(n):
    x, y = features(n, classes=2)
    x[:, 3], x[:, 4] = 0.0, x[:, 5]
    weight, bias = statistics(x, y, 7).head()
    assert weight.isfinite().all() and bias.isfinite().all()
    assert (F.linear(x, weight, bias).argmax(1) < 2).all()
    weight, bias = statistics(torch.ones(4, 6), torch.tensor([0, 1, 0, 1]), 2).head()
    assert weight.isfinite().all() and bias.isfinite().all()


def test_the_temperature_keeps_few_images_from_being_too_sure():
    x, y = features(40, width=60)
    weight, bias = statistics(x[:30], y[:30], 5).head()
    head, sure = nn.Linear(60, 5), F.cross_entropy(F.linear(x[30:], weight, bias), y[30:])
    set_head(head, weight, bias, x[30:], y[30:])
    assert F.cross_entropy(head(x[30:]), y[30:]) <= min(sure, torch.log(torch.tensor(5.0)) + 0.05)
    torch.testing.assert_close(head(x).argmax(1), F.linear(x, weight, bias).argmax(1))


def test_without_held_out_features_the_head_is_set_all_the_same():
    head, weight, bias = nn.Linear(3, 2), torch.ones(2, 3), torch.zeros(2)
    set_head(head, weight, bias, torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    assert torch.equal(head.weight, weight) and torch.equal(head.bias, bias)


def test_the_norm_is_limited_and_the_predictions_are_the_same():
    x, y = features()
    weight, bias = statistics(1e-3 * x, y, 5).head()
    head = nn.Linear(12, 5)
    set_head(head, weight, bias, 1e-3 * x[:80], y[:80], max_norm=1.0)
    assert head.weight.norm(dim=1).mean() <= 1.0001
    torch.testing.assert_close(head(1e-3 * x).argmax(1), F.linear(1e-3 * x, weight, bias).argmax(1))


# -- next to no images --

TINY_TASKS = st.fixed_dictionaries(
    {
        "classes": st.integers(2, 12),
        "of_each": st.integers(1, 3),
        "width": st.integers(8, 96),
        "scale": st.sampled_from((1e-3, 1.0, 1e3)),
        "offset": st.sampled_from((0.0, 1.0, 30.0)),
        "spread": st.sampled_from((0.0, 0.3, 1.0)),
        "seed": st.integers(0, 2**16),
    }
)


def tiny_task(classes, of_each, width, scale, offset, spread, seed):
    """Features and labels of a few images, and of many more."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(classes, width))

    def draw(n):
        labels = np.repeat(np.arange(classes), n)
        x = scale * (offset + means[labels] + spread * rng.normal(size=(len(labels), width)))
        return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)

    return draw(of_each), draw(20)


@settings(max_examples=12, deadline=None)
@given(TINY_TASKS, st.booleans())
def test_a_head_of_next_to_no_images_is_a_modest_nearest_mean(task, use_covariance):
    short = []  # of what the nearest mean gets right; of one draw, luck is the larger part
    for seed in range(task["seed"], task["seed"] + 8):
        (x, y), (new, expected) = tiny_task(**task | {"seed": seed})
        classes, n = task["classes"], len(x)
        weight, bias = statistics(x, y, classes).head(use_covariance=use_covariance)
        logits = F.linear(new, weight, bias)
        assert weight.isfinite().all() and bias.isfinite().all() and logits.isfinite().all()
        # A weight's size is one over the features' own; nothing is multiplied by more than they vary.
        assert weight.norm(dim=1).max() * x.std() < 1e3 * task["width"]
        means = torch.stack([x[y == label].mean(0) for label in range(classes)])
        assert F.linear(means, weight, bias).softmax(1).amax(1).mean() <= (n + 1) / (n + 2) + 1e-3
        nearest = torch.cdist(new.double(), means.double()).argmin(1)
        right, of_nearest = ((found == expected).float().mean() for found in (logits.argmax(1), nearest))
        short.append(of_nearest - right)
    assert torch.stack(short).mean() <= 0.08
