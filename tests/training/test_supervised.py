from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nni_nasoa.data import ImageArrays
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.optimizers import Optimizer
from nni_nasoa.training.supervised import (
    endless,
    epoch,
    logits_of,
    share_right,
    steps_of_epoch,
    train_step,
)

CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_an_epoch_has_whole_batches_of_different_images():
    batches = list(epoch(50, 16, generator()))
    assert [len(batch) for batch in batches] == [16] * 3 and len(batches) == steps_of_epoch(50, 16)
    assert len(torch.cat(batches).unique()) == 48
    again, other = (torch.cat(list(epoch(50, 16, generator(seed)))) for seed in (0, 1))
    assert torch.equal(torch.cat(batches), again) and not torch.equal(again, other)


def test_a_batch_has_no_more_images_than_there_are():
    assert [sorted(batch.tolist()) for batch in epoch(5, 16, generator())] == [[0, 1, 2, 3, 4]]
    assert steps_of_epoch(5, 16) == 1


def test_endless_batches_join_orders_and_may_change_their_size():
    sizes, orders = iter([4, 4, 2, 7]), iter([torch.tensor([0, 1, 2]) + 10 * k for k in range(9)])
    batches = endless(lambda: next(sizes), lambda: next(orders))
    assert [next(batches).tolist() for _ in range(4)] == [
        [0, 1, 2, 10],
        [11, 12, 20, 21],
        [22, 30],
        [31, 32, 40, 41, 42, 50, 51],
    ]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))


def test_a_step_is_torchs():
    ours = network()
    theirs = copy.deepcopy(ours)
    optimizer = Optimizer("sgd", ours.parameters(), 0.01, momentum=0.8, nesterov=False, decay_all=True)
    optimizer.learning_rate = 0.1
    reference = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.8, weight_decay=0.01)
    for step in range(4):
        images, labels = torch.randn(8, 3, 8, 8, generator=generator(step)), torch.arange(8) % 2
        loss = train_step(ours, optimizer, images, labels, label_smoothing=0.2)
        expected = F.cross_entropy(theirs(images), labels, label_smoothing=0.2)
        reference.zero_grad()
        expected.backward()
        reference.step()
        torch.testing.assert_close(loss, expected.detach())
        assert not loss.requires_grad and all(p.grad is None for p in ours.parameters())
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b)


def test_a_step_in_half_precision_keeps_the_weights_as_they_are_stored():
    net, seen = network(), []
    net[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    optimizer = Optimizer("sgd", net.parameters(), 0.0)
    images, labels = torch.randn(8, 3, 8, 8), torch.arange(8) % 2
    assert train_step(net, optimizer, images, labels, dtype=torch.bfloat16).dtype == torch.float32
    train_step(net, optimizer, images, labels)
    assert seen == [torch.bfloat16, torch.float32]
    assert all(p.dtype == torch.float32 for p in net.parameters())


@pytest.mark.parametrize("batch_size", [7, 256])
def test_logits_are_those_of_all_images_in_eval_mode(batch_size):
    rng = np.random.default_rng(0)
    part = ImageArrays(rng.integers(0, 256, (20, 3, 8, 8), dtype=np.uint8), np.arange(20) % 2)
    images = Images(part, CPU, Normalization.of((0.5,) * 3, (0.25,) * 3), "crop-flip", generator=generator())
    net, turns = network().train(), []

    class Turn:
        def __enter__(self):
            turns.append(self)

        def __exit__(self, *_):
            turns.append(None)

    logits = logits_of(net, images, batch_size=batch_size, turn=Turn)
    assert (
        not net.training
        and len(turns) == 2 * -(-20 // batch_size)
        and turns[1::2].count(None) == len(turns) // 2
    )
    with torch.no_grad():
        expected = net(images.clean(torch.arange(20)))
    torch.testing.assert_close(logits, expected)
    right = sum(int(row.argmax()) == label for row, label in zip(expected, part.labels))
    assert share_right(logits, images.labels) == right / 20
