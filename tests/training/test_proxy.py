import copy
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from nni_nasoa.data import ImageArrays, ImageSplit, open_dataset
from nni_nasoa.networks import ETNet
from nni_nasoa.training import proxy
from nni_nasoa.training.proxy import Batches, ProxyError, learning_rate_at, train_proxy

SMALL = "2-_8_1-2-2"
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    return open_dataset("digits", input_size=16)


@pytest.fixture
def few():
    """40 and 10 images of noise in two classes, one of them bright."""
    rng = np.random.default_rng(0)

    def part(n):
        labels = np.arange(n) % 2
        return ImageArrays(
            (rng.integers(0, 100, (n, 3, 16, 16)) + 150 * labels[:, None, None, None]).astype(np.uint8),
            labels,
        )

    return ImageSplit(part(40), part(10), ("dark", "bright"), "noise")


def network(seed=0, num_classes=2):
    torch.manual_seed(seed)
    return ETNet(SMALL, num_classes)


def test_it_learns_the_digits(digits):
    seen = []
    model = network(num_classes=10)
    accuracy = train_proxy(
        model, digits, epochs=5, batch_size=32, on_epoch=lambda epoch, value: seen.append((epoch, value))
    )
    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4, 5] and seen[-1][1] == accuracy
    assert accuracy > 0.7 and seen[0][1] < accuracy
    assert not model.training


def test_the_accuracy_is_the_share_of_right_answers(few):
    model = network()
    accuracy = train_proxy(model, few, epochs=3, batch_size=8)
    images = few.train.images.astype(np.float32)
    mean, std = images.mean((0, 2, 3), keepdims=True), images.std((0, 2, 3), keepdims=True, ddof=1)
    with torch.inference_mode():
        answers = model(torch.from_numpy((few.val.images - mean) / std).float()).argmax(1).numpy()
    assert accuracy == (answers == few.val.labels).mean()


def test_the_same_seed_gives_the_same_weights(few):
    def weights(seed):
        model = network()
        train_proxy(model, few, epochs=1, batch_size=8, seed=seed)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


def test_a_step_is_that_of_torch_sgd():
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))
    theirs = copy.deepcopy(ours)
    groups = proxy._parameter_groups(ours, 0.01)
    decayed = [p for p in theirs.parameters() if p.ndim > 1]
    others = [p for p in theirs.parameters() if p.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others}], lr=0.1, momentum=0.9, nesterov=True
    )
    for step in range(4):
        images = torch.randn(8, 3, 8, 8)
        for model in (ours, theirs):
            model(images).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        proxy._step(groups, 0.1, 0.9)
        assert all(p.grad is None for p in ours.parameters())
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a, b)


def test_the_learning_rate_rises_then_falls_to_zero():
    rates = [learning_rate_at(step, 100, 10) for step in range(100)]
    assert rates[:10] == [pytest.approx((i + 1) / 10) for i in range(10)]
    assert all(a >= b for a, b in zip(rates[9:], rates[10:])) and rates[10] == 1 and rates[-1] < 0.001
    assert [learning_rate_at(step, 1, 1) for step in range(1)] == [1]


def numbered(n=64, size=8):
    """Every pixel names its image, row and column."""
    images = np.stack(
        np.broadcast_arrays(np.arange(n)[:, None, None], np.arange(size)[:, None], np.arange(size)), axis=1
    )
    return Batches(ImageArrays(images.astype(np.uint8), np.arange(n)), CPU)


def test_augmentation_of_nothing_is_the_image():
    batches = numbered()
    indices = torch.tensor([5, 3, 60])
    images, labels = batches.augmented(indices, 0, False, torch.Generator())
    assert torch.equal(images, batches.images[indices]) and torch.equal(labels, indices)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_augmentation_shifts_and_mirrors_each_image_on_its_own():
    batches = numbered()
    images, _ = batches.augmented(torch.arange(64), 2, True, torch.Generator().manual_seed(0))
    image, rows, columns = images.int().unbind(1)
    assert (image == torch.arange(64)[:, None, None]).all()
    shifts = rows[:, 4, 0] - 4
    assert set(shifts.tolist()) == {-2, -1, 0, 1, 2}
    expected = (torch.arange(8) + shifts[:, None]).clamp(0, 7)
    assert (rows == expected[:, :, None]).all()
    mirrored = columns[:, 0, 7] < columns[:, 0, 0]
    assert 16 < mirrored.sum() < 48
    columns = torch.where(mirrored[:, None, None], columns.flip(2), columns)
    assert (columns == (torch.arange(8) + (columns[:, :, 4] - 4)[:, :1, None]).clamp(0, 7)).all()


def test_digits_are_not_mirrored(few, monkeypatch):
    seen = []
    original = Batches.augmented
    monkeypatch.setattr(
        Batches,
        "augmented",
        lambda self, indices, shift, mirror, generator: (
            seen.append((shift, mirror)),
            original(self, indices, shift, mirror, generator),
        )[1],
    )
    for mirrored in (False, True):
        train_proxy(
            network(),
            ImageSplit(few.train, few.val, few.classes, "few", mirrored=mirrored),
            epochs=1,
            batch_size=40,
        )
    assert seen == [(2, False), (2, True)]


def test_every_step_gives_way_to_whoever_measures(few, monkeypatch):
    from contextlib import contextmanager

    taken = []

    @contextmanager
    def lock(device, shared=False):
        taken.append((device, shared))
        yield

    monkeypatch.setattr(proxy, "device_lock", lock)
    train_proxy(network(), few, epochs=2, batch_size=8)
    assert taken == [(CPU, True)] * 2 * (5 + 1)  # steps and one batch of the validation, an epoch


def test_an_input_below_the_total_stride(few):
    with pytest.raises(ProxyError, match="input size 16 is too small: 4 stages have a total stride of 32"):
        train_proxy(ETNet("2-_8_1-1-1-1", 2), few)


@pytest.mark.parametrize("break_it", [dict(learning_rate=1e20), dict(learning_rate=float("nan"))])
def test_a_loss_that_is_no_number(few, break_it):
    with pytest.raises(ProxyError, match="the loss is not finite after epoch 1"):
        train_proxy(network(), few, epochs=3, batch_size=8, **break_it)


def test_batches_larger_than_the_data_and_too_small_ones(few):
    train_proxy(network(), few, epochs=1, batch_size=1000)
    with pytest.raises(ProxyError, match="two images"):
        train_proxy(network(), few, epochs=1, batch_size=1)


def test_mapped_images_train_without_a_warning(few, tmp_path):
    np.save(tmp_path / "images.npy", few.train.images)
    split = ImageSplit(
        ImageArrays(np.load(tmp_path / "images.npy", mmap_mode="r"), few.train.labels),
        few.val,
        few.classes,
        "few",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train_proxy(network(), split, epochs=1, batch_size=8) == train_proxy(
            network(), few, epochs=1, batch_size=8
        )


def test_training_loads_nothing_that_it_does_not_need():
    code = """
import sys
from nni_nasoa.data import open_dataset
from nni_nasoa.networks import ETNet
from nni_nasoa.training.proxy import train_proxy
train_proxy(ETNet("2-_8_1-2-2", 10), open_dataset("digits", input_size=16), epochs=1, batch_size=512)
print([m for m in ("nni", "torchvision", "torch._dynamo", "torch._inductor", "sympy", "sklearn", "scipy", "pandas", "PIL") if m in sys.modules])
"""
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(digits):
    model = network(num_classes=10)
    assert train_proxy(model, digits, epochs=5, batch_size=32, device="cuda") > 0.7
    assert next(model.parameters()).is_cuda and next(model.parameters()).dtype == torch.float32
