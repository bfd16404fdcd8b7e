from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from nni_nasoa.data import ImageArrays
from nni_nasoa.device.turns import Turns
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.finetune.context import RunContext
from nni_nasoa.finetune.validation import Evaluation, Validation
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.inputs import Inputs

CPU = torch.device("cpu")


@pytest.fixture
def network(shallow):
    torch.manual_seed(0)
    return shallow(classes=10)


@pytest.fixture
def validation(digits, network):
    images = Images(digits.val, CPU, Normalization.of((0.5,) * 3, (0.25,) * 3))
    return Validation(
        Inputs(images, network.view(), 0),
        torch.randperm(len(images)),
        10,
        RunContext(Clock(1e6), CPU, Turns(CPU, 0)),
    )


def test_accuracy_and_loss_are_those_of_all_images(validation, network, digits):
    validation.batch = 100
    with torch.no_grad():
        logits = network(validation.inputs.clean(torch.arange(359)))
    labels = torch.from_numpy(digits.val.labels)
    found = validation.evaluate(network, lambda: True)
    assert found.complete and found.images == 359
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert found.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item(), rel=1e-4)


def test_an_evaluation_that_is_cut_short_stands_for_what_it_saw(validation, network):
    validation.batch = 10
    whole = validation.evaluate(network, lambda: True)
    ticks = itertools.count()
    short = validation.evaluate(network, lambda: next(ticks) < 4)
    assert not short.complete and short.images == 50 and torch.equal(short.correct, whole.correct[:50])
    assert validation.evaluate(network, lambda: False).images == 10


def test_states_are_compared_on_what_both_have_seen(validation, network):
    validation.batch = 10
    whole = validation.evaluate(network, lambda: True)
    ticks = itertools.count()
    short = validation.evaluate(network, lambda: next(ticks) < 4)
    assert (
        validation.better(whole, None) and validation.better(short, whole) and validation.better(whole, short)
    )
    worse = type(short)(torch.zeros_like(short.correct), 0.0, 0.0, 1.0, 50, False)
    assert not validation.better(worse, whole) and validation.better(whole, worse)


@pytest.mark.parametrize("balanced", [False, True])
def test_a_lead_has_to_be_made_up_for_by_more_than_chance(digits, shallow, balanced):
    images = Images(digits.val, CPU, Normalization.of((0.5,) * 3, (0.25,) * 3))
    inputs = Inputs(images, shallow(classes=10).view(), 0)
    context = RunContext(Clock(1e6), CPU, Turns(CPU, 0))
    made = Validation(inputs, torch.arange(359), 10, context, balanced=balanced)

    def state(right):
        share = right.float().mean().item()
        return Evaluation(right, share, share, 1.0, 359, True)

    right = torch.arange(359) < 300
    old = state(right)
    for gained, lost in ((16, 0), (30, 14), (30, 29), (4, 0), (0, 4)):
        new = state(right.clone())
        new.correct[300 : 300 + gained], new.correct[:lost] = True, False
        assert made.better(new, old) == (gained >= lost) or balanced
        if not balanced:
            error = (gained + lost) ** 0.5
            assert made.better(new, old, 0.01) == (gained - lost > 3.59 + error)
    assert made.better(state(torch.ones(359, dtype=torch.bool)), old, 0.05)
    assert not made.better(old, old, 0.001) and not made.better(old, old, 0.0) and made.better(old, old)


def test_balanced_accuracy_is_the_mean_of_the_classes_recalls(validation, network, digits):
    found = validation.evaluate(network, lambda: True)
    with torch.no_grad():
        predicted = network(validation.inputs.clean(torch.arange(359))).argmax(1).numpy()
    expected = balanced_accuracy_score(digits.val.labels, predicted)
    assert found.balanced_accuracy == pytest.approx(expected)
    assert found.balanced_accuracy != pytest.approx(found.accuracy, abs=1e-6)


def test_states_are_compared_by_balanced_accuracy_where_that_is_asked_for(digits, shallow):
    """A class of many images against one of few: more images right is not a higher balanced accuracy."""
    chosen = np.concatenate(
        [np.flatnonzero(digits.val.labels == 0)[:30], np.flatnonzero(digits.val.labels == 1)[:3]]
    )
    images = Images(
        ImageArrays(digits.val.images[chosen], digits.val.labels[chosen]),
        CPU,
        Normalization.of((0.5,) * 3, (0.25,) * 3),
    )
    inputs = Inputs(images, shallow(classes=10).view(), 0)

    def always(label):
        return lambda x: torch.nn.functional.one_hot(torch.full((len(x),), label), 10).float()

    better = {}
    for balanced in (False, True):
        made = Validation(
            inputs, torch.arange(33), 10, RunContext(Clock(1e6), CPU, Turns(CPU, 0)), balanced=balanced
        )
        made.batch = 33
        large, small = (made.evaluate(always(label), lambda: True) for label in (0, 1))
        assert large.balanced_accuracy == small.balanced_accuracy == 0.5
        assert made.better(large, small) and made.better(small, large) is balanced
        half = type(large)(large.correct.clone(), 0.0, 0.0, 1.0, 33, True)
        half.correct[:20] = False  # a third of the large class, and all of the small one
        half.correct[30:] = True
        better[balanced] = made.better(half, large)
    assert better == {False: False, True: True}


def test_out_of_memory_halves_the_batch(validation, network):
    class Full(torch.nn.Module):
        def forward(self, x):
            if len(x) > 30:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return network(x)

    assert validation.evaluate(Full(), lambda: True).images == 359 and validation.batch <= 30


def test_other_errors_are_not_taken_for_it(validation):
    class Broken(torch.nn.Module):
        def forward(self, x):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        validation.evaluate(Broken(), lambda: True)


def test_of_an_earlier_run_only_what_was_asked_of_all_images_takes_the_place(validation):
    def of(accuracy, *, correct=None, complete=True):
        return Evaluation(correct, accuracy, accuracy, 1.0, 40, complete)

    earlier = of(0.5)
    known = torch.ones(40, dtype=torch.bool)
    assert validation.better(of(0.5, correct=known), earlier)
    assert not validation.better(of(0.4, correct=known), earlier)
    assert not validation.better(of(0.9, correct=known[:10], complete=False), earlier)
