from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from nni_nasoa.advisor.task.landmarks import RATE, STEPS, TRAIN_IMAGES, VAL_IMAGES, landmark
from nni_nasoa.data import ImageArrays, ImageSplit, open_dataset
from nni_nasoa.training.optimizers import Optimizer
from nni_nasoa.zoo.staged import Staged


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path_factory.mktemp("cache")))


def split_of(train, val, classes=2, size=32):
    """Noise under labels."""
    rng = np.random.default_rng(0)
    parts = [
        ImageArrays(
            rng.integers(0, 256, (len(labels), 3, size, size), dtype=np.uint8),
            np.array(labels, dtype=np.int64),
        )
        for labels in (train, val)
    ]
    return ImageSplit(*parts, tuple(map(str, range(classes))), "made")


def test_it_is_the_accuracy_after_the_training_and_the_same_each_time():
    digits = open_dataset("digits", input_size=48)
    torch.manual_seed(0)
    first = landmark(digits, "nano-a")
    torch.manual_seed(1)  # does not matter: nothing is drawn from torch
    assert landmark(digits, "nano-a") == first and first > 0.85
    assert first * VAL_IMAGES == pytest.approx(round(first * VAL_IMAGES))
    assert landmark(digits, "nano-a", 0.0) == pytest.approx(
        0.1, abs=0.02
    )  # a head of zeros, which says the first class of all


def test_it_is_about_images_that_were_not_trained_on():
    noise = split_of([0, 1] * 16, [0, 1] * 100)
    assert landmark(noise, "nano-a") == pytest.approx(0.5, abs=0.15)


@pytest.fixture
def numbers():
    """Numbers of the images of `numbered` that networks have seen, by whether they were training."""
    seen = {True: [], False: []}

    def note(module, inputs):
        if isinstance(module, Staged):
            scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (module.std, module.mean))
            pixels = (255 * (inputs[0] * scale + shift)).round().long()
            seen[module.training] += (256 * pixels[:, 0, 0, 0] + pixels[:, 1, 0, 0]).tolist()

    with register_module_forward_pre_hook(note):
        yield seen


def numbered(split):
    """The images in their order, each with its number, in both parts, in the first pixel."""
    count = len(split.train) + len(split.val)
    images = np.concatenate([split.train.images, split.val.images])
    images[:, 0, 0, 0], images[:, 1, 0, 0] = np.arange(count) // 256, np.arange(count) % 256
    parts = images[: len(split.train)], images[len(split.train) :]
    labels = split.train.labels, split.val.labels
    return ImageSplit(*map(ImageArrays, parts, labels), split.classes, "numbered")


def test_it_looks_at_a_sample_with_all_classes_in_turn(numbers):
    train, val = [0] * 900 + [1] * 300, [0] * 900 + [1] * 100
    landmark(numbered(split_of(train, val, size=16)), "nano-a")
    trained, validated = (np.array(sorted(set(numbers[training]))) for training in (True, False))
    assert np.bincount(np.array(train)[trained]).tolist() == [TRAIN_IMAGES // 2] * 2
    assert np.bincount(np.array(val)[validated - len(train)]).tolist() == [VAL_IMAGES - 100, 100]


@pytest.mark.parametrize("train, val", [([0] * 40, [0, 1]), ([0, 1] * 20, []), ([], [0, 1])])
def test_where_there_is_nothing_to_learn_or_to_ask_there_is_none(train, val):
    assert landmark(split_of(train, val), "nano-a") is None


def test_a_training_that_diverges_has_none():
    assert landmark(split_of([0, 1] * 40, [0, 1] * 10), "nano-a", 1e12) is None


@pytest.mark.parametrize("seconds, steps", [(5.0, 3), (40.0, 3), (60.0, STEPS), (None, STEPS)])
def test_it_is_given_up_as_soon_as_it_does_not_fit(monkeypatch, seconds, steps):
    """Of steps that take a second each, by a clock of their own; their rates are seen nowhere else."""
    now, stepped = [0.0], []

    def step(self):
        stepped.append(self.learning_rate)
        now[0] += 1

    monkeypatch.setattr(Optimizer, "step", step)
    noise = split_of([0, 1] * 20, [0, 1] * 4)
    found = landmark(noise, "nano-a", seconds=seconds, clock=lambda: now[0])
    assert len(stepped) == steps and (found is None) == (steps < STEPS) and min(stepped) > 0
    if steps == STEPS:
        assert max(stepped) == pytest.approx(RATE, rel=0.01) and stepped[-1] < 0.01 * RATE


def test_slow_steps_later_on_end_it_too():
    now, steps = [0.0], []

    def step(module, inputs):
        if isinstance(module, Staged) and module.training:
            steps.append(module)
            now[0] += 0.1 if len(steps) < 20 else 30

    noise = split_of([0, 1] * 20, [0, 1] * 4)
    with register_module_forward_pre_hook(step):
        assert landmark(noise, "nano-a", seconds=20, clock=lambda: now[0]) is None
    assert len(steps) == 20


def test_a_model_that_there_is_not():
    with pytest.raises(ValueError, match=r"^zoo: no model 'nano-x'; .*$"):
        landmark(split_of([0, 1] * 20, [0, 1]), "nano-x")
