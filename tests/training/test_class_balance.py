from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nni_nasoa.finetune.head_start import ClassStatistics, set_head
from nni_nasoa.finetune.logistic import fit
from nni_nasoa.training.class_balance import logit_offsets, shifted
from nni_nasoa.training.distributed import Alone
from nni_nasoa.training.stepping import head_gradients

SHARES = (300, 60, 12)


@pytest.fixture
def long_tailed():
    """A function that draws features of classes that overlap, of so many images each; and their labels."""

    def draw(images, seed):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.repeat_interleave(torch.arange(len(images)), torch.tensor(images))
        means = 1.2 * torch.eye(len(images), 8)
        features = means[labels] + torch.randn(len(labels), 8, generator=generator)
        order = torch.randperm(len(labels), generator=generator)
        return features[order], labels[order]

    return draw


def recalls(head, features, labels):
    right = F.linear(features, head.weight, head.bias).argmax(1) == labels
    return [right[labels == label].float().mean().item() for label in range(len(SHARES))]


def test_offsets_are_the_logarithms_of_the_shares():
    labels = torch.tensor([0] * 6 + [1] * 2)
    offsets = logit_offsets(labels, 3, 0.5, Alone())
    torch.testing.assert_close(offsets, 0.5 * torch.tensor([6 / 8, 2 / 8, 1 / 8]).log())
    assert logit_offsets(labels, 3, 0.0, Alone()) is None
    assert shifted(offsets, None) is offsets


def test_offsets_count_the_images_of_all_processes():
    class OfTwo(Alone):
        def sum(self, tensors):
            tensors[0] += torch.tensor([0.0, 4.0])

    offsets = logit_offsets(torch.tensor([0, 0, 0, 0]), 2, 1.0, OfTwo())
    torch.testing.assert_close(offsets, torch.tensor([0.5, 0.5]).log())


@pytest.mark.parametrize("by", ["logistic", "discriminant", "steps"])
def test_rare_classes_are_predicted_more_often(long_tailed, by):
    features, labels = long_tailed(SHARES, 0)
    new = long_tailed((400,) * len(SHARES), 1)

    def fitted(offsets):
        head = nn.Linear(8, len(SHARES))
        if by == "logistic":
            fit(features, labels, len(SHARES)).put_into(head, offsets)
        elif by == "discriminant":
            sums = ClassStatistics(len(SHARES), 8, torch.device("cpu"))
            sums.add(features[50:], labels[50:])
            set_head(head, *sums.head(), features[:50], labels[:50], offsets=offsets)
        else:
            targets = F.one_hot(labels, len(SHARES)).float()
            optimizer = torch.optim.SGD(head.parameters(), lr=0.5)
            for _ in range(300):
                head_gradients(head, features, targets, offsets)
                optimizer.step()
        return recalls(head, *new)

    plain, balanced = fitted(None), fitted(logit_offsets(labels, len(SHARES), 1.0, Alone()))
    assert plain[0] > 0.85 and plain[2] < 0.35  # the largest class is what is mostly predicted
    assert balanced[2] > plain[2] + 0.2 and np.mean(balanced) > np.mean(plain) + 0.05
    assert max(balanced) - min(balanced) < 0.3


def test_the_gradients_are_those_of_the_shifted_loss(long_tailed):
    features, labels = long_tailed(SHARES, 0)
    offsets = logit_offsets(labels, len(SHARES), 1.0, Alone())
    head = nn.Linear(8, len(SHARES))
    loss = F.cross_entropy(head(features) + offsets, labels)
    loss.backward()
    expected = head.weight.grad.clone(), head.bias.grad.clone()
    found = head_gradients(head, features, F.one_hot(labels, len(SHARES)).float(), offsets)
    torch.testing.assert_close(found, loss.detach())
    torch.testing.assert_close((head.weight.grad, head.bias.grad), expected)
