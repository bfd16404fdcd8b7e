"""The head that is fitted to features."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from nni_nasoa.finetune.logistic import LEAST_EVALUATIONS, MIDDLE_PENALTY, PENALTIES, Head, fit

CLASSES, WIDTH, COUNT = 3, 6, 150


@pytest.fixture
def task():
    """Features of classes that lie apart, and labels."""
    torch.manual_seed(0)
    labels = torch.arange(COUNT) % CLASSES
    return torch.randn(COUNT, WIDTH) + 3 * F.one_hot(labels, WIDTH), labels


def accuracy(head, features, labels):
    return (F.linear(features, head.weight, head.bias).argmax(1) == labels).float().mean().item()


def test_a_fit_without_time_takes_its_first_steps(task):
    hurried = fit(*task, CLASSES, penalties=(MIDDLE_PENALTY,), in_time=lambda: False)
    assert accuracy(hurried, *task) > 0.9 and hurried.penalty == MIDDLE_PENALTY


def test_a_fit_ends_once_its_time_is_over(task):
    asked = []
    head = fit(*task, CLASSES, penalties=(1e-6,), in_time=lambda: bool(asked.append(None)) or len(asked) < 3)
    converged = fit(*task, CLASSES, penalties=(1e-6,))
    assert len(asked) == 3 and not torch.allclose(head.weight, converged.weight, rtol=1e-2)


def test_the_clock_is_asked_after_the_least_evaluations_alone(task):
    counts = []
    for least in (LEAST_EVALUATIONS, 2):
        asked = []
        fit(
            *task,
            CLASSES,
            penalties=(1e-6,),
            in_time=lambda asked=asked: bool(not asked.append(None)),
            least_evaluations=least,
        )
        counts.append(len(asked))
    assert counts[1] - counts[0] == LEAST_EVALUATIONS - 2


def test_a_penalty_is_chosen_from_those_that_are_given(task):
    assert fit(*task, CLASSES).penalty in PENALTIES
    assert fit(*task, CLASSES, penalties=(0.5,)).penalty == 0.5


def test_weights_that_are_kept_stay_and_the_others_are_fitted_beside_them(task):
    features, labels = task
    two = fit(features[labels < 2], labels[labels < 2], 2, penalties=(MIDDLE_PENALTY,))
    weight, bias = torch.zeros(CLASSES, WIDTH), torch.zeros(CLASSES)
    weight[:2], bias[:2] = two.weight, two.bias
    kept = torch.tensor([True, True, False])
    start = Head(weight, bias, MIDDLE_PENALTY)
    head = fit(features, labels, CLASSES, penalties=(MIDDLE_PENALTY,), start=start, kept=kept)
    assert torch.equal(head.weight[:2], two.weight) and torch.equal(head.bias[:2], two.bias)
    assert head.weight[2].abs().max() > 0.1 and accuracy(head, features, labels) > 0.9


@pytest.mark.parametrize("of_each", [1, 2, 3])
@pytest.mark.parametrize("classes", [2, 11])
def test_next_to_no_images_make_no_large_head(classes, of_each):
    """What the penalty allows at most: more would cost more than guessing does."""
    torch.manual_seed(of_each)
    labels = torch.arange(classes).repeat(of_each)
    features = 12 * F.normalize(torch.randn(len(labels), 40))
    head = fit(features, labels, classes)
    assert head.weight.square().sum() <= 2 * math.log(classes) / head.penalty
    assert accuracy(head, features, labels) == 1
