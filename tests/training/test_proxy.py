import dataclasses
import fcntl
import math
import subprocess
import sys
import threading
import time
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.optim.sgd import sgd

from nni_nasoa.data import ImageArrays, ImageSplit, open_dataset
from nni_nasoa.device.lock import device_lock
from nni_nasoa.networks import ETNet
from nni_nasoa.training.proxy import ProxyError, learning_rate_at, train_proxy

SMALL = "2-_8_1-2-2"


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


def earlier(model, split, epochs, batch_size, seed):
    """Proxy training as it was written when the search tables were recorded, on the CPU; the accuracies."""
    images, labels = torch.from_numpy(split.train.images.copy()), torch.from_numpy(split.train.labels.copy())
    some = images[:: max(1, len(images) // 1000)].float()
    mean = some.mean((0, 2, 3), keepdim=True)
    deviation = some.std((0, 2, 3), keepdim=True).clamp_(min=1)
    parameters, momenta = list(model.parameters()), {}
    generator, size = torch.Generator().manual_seed(seed), split.input_size
    steps, shift, place = len(images) // batch_size, max(1, size // 8), torch.arange(size)
    warmup, accuracies = max(1, round(0.2 * epochs * steps)), []
    model.to(memory_format=torch.channels_last)
    for epoch in range(epochs):
        model.train()
        order = torch.randperm(len(images), generator=generator)
        for i in range(steps):
            indices, step = order[i * batch_size : (i + 1) * batch_size], epoch * steps + i
            offset = torch.randint(-shift, shift + 1, (2, batch_size, 1), generator=generator)
            rows, columns = (place + offset).clamp_(0, size - 1)
            if split.mirrored:
                flipped = torch.rand((batch_size, 1), generator=generator) < 0.5
                columns = torch.where(flipped, columns.flip(1), columns)
            batch = images[indices[:, None, None], :, rows[:, :, None], columns[:, None, :]]
            logits = model((batch.permute(0, 3, 1, 2).float() - mean) / deviation)
            F.cross_entropy(logits.float(), labels[indices], label_smoothing=0.1).backward()
            if step < warmup:
                share = (step + 1) / warmup
            else:
                share = 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, epochs * steps - warmup)))
            for decay, group in (
                (5e-4, [p for p in parameters if p.ndim > 1]),
                (0.0, [p for p in parameters if p.ndim <= 1]),
            ):
                kept = momenta.setdefault(decay, [None] * len(group))
                with torch.no_grad():
                    sgd(
                        group,
                        [p.grad for p in group],
                        kept,
                        foreach=True,
                        lr=0.1 * share,
                        momentum=0.9,
                        dampening=0,
                        weight_decay=decay,
                        nesterov=True,
                        maximize=False,
                    )
            model.zero_grad()
        model.eval()
        with torch.inference_mode():
            right = 0
            for start in range(0, len(split.val.labels), 256):
                batch = torch.from_numpy(split.val.images[start : start + 256].copy())
                batch = batch.contiguous(memory_format=torch.channels_last)
                answers = model((batch.float() - mean) / deviation).argmax(1)
                right += (answers == torch.from_numpy(split.val.labels[start : start + 256])).sum().item()
        accuracies.append(right / len(split.val.labels))
    return accuracies


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_seed_gives_what_it_gave_when_search_tables_were_recorded_to_the_last_bit(digits, mirrored):
    split = dataclasses.replace(digits, mirrored=mirrored)
    before, now, accuracies = network(3, 10), network(3, 10), []
    expected = earlier(before, split, epochs=2, batch_size=64, seed=5)
    train_proxy(now, split, seed=5, on_epoch=lambda epoch, accuracy: accuracies.append(accuracy))
    assert accuracies == expected and accuracies[-1] > 0.3
    for (name, a), b in zip(now.state_dict().items(), before.state_dict().values()):
        assert torch.equal(a, b), name


def test_the_learning_rate_rises_then_falls_to_zero():
    rates = [learning_rate_at(step, 100, 10) for step in range(100)]
    assert rates[:10] == [pytest.approx((i + 1) / 10) for i in range(10)]
    assert all(a >= b for a, b in pairwise(rates[9:])) and rates[10] == 1 and rates[-1] < 0.001
    assert [learning_rate_at(step, 1, 1) for step in range(1)] == [1]


@pytest.mark.parametrize("mirrored", [False, True])
def test_digits_are_shifted_and_not_mirrored(few, mirrored):
    """By images that are dark on the left and bright on the right, with an edge in between."""
    edge = np.where(np.arange(16) < 8, 0, 255).astype(np.uint8)
    images = np.broadcast_to(edge, few.train.images.shape)
    split = ImageSplit(ImageArrays(images, few.train.labels), few.val, few.classes, "edges", mirrored)
    model, rows = network(), []

    def note(module, inputs):
        if module.training:
            rows.append(inputs[0][:, 0, 8] > 0)

    model.register_forward_pre_hook(note)
    train_proxy(model, split, epochs=1, batch_size=40)
    (bright,) = rows
    on_the_left = bright[:, 0].sum().item()
    assert 10 < on_the_left < 30 if mirrored else on_the_left == 0
    assert len(set(bright.sum(1).tolist())) > 2  # the edge is not always at the same place


def test_every_step_gives_way_to_whoever_measures(few, own_locks):
    """Somebody asks for the device in each step, and has it before the next one begins."""
    model, begun, ended, measured, measurements = network(), [], [], [], []

    def measure():
        with device_lock("cpu"):
            measured.append((len(begun), len(ended)))

    def somebody_waits():
        with (own_locks / "cpu.turnstile").open() as turnstile:
            try:
                fcntl.flock(turnstile, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def step(module, inputs):
        begun.append(module.training)
        measurements.append(threading.Thread(target=measure, daemon=True))
        measurements[-1].start()
        while measurements[-1].is_alive() and not somebody_waits():
            time.sleep(0.001)

    model.register_forward_pre_hook(step)
    model.register_forward_hook(lambda *_: ended.append(True))
    train_proxy(model, few, epochs=2, batch_size=8)
    for thread in measurements:
        thread.join(60)
    # Five steps and one batch of the validation, an epoch.
    assert begun == 2 * ([True] * 5 + [False]) and measured == [(step, step) for step in range(1, 13)]


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
heavy = ("nni", "torchvision", "torch._dynamo", "torch._inductor", "sympy", "sklearn", "scipy", "pandas",
         "PIL")
print([module for module in heavy if module in sys.modules])
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
