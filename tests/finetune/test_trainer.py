from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import threading
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from nni_nasoa.device.settings import settings_of_run
from nni_nasoa.finetune import FineTuneError, FineTuneRegime, StopReason, Timing, finetune, load_classifier
from nni_nasoa.networks import ETNet

pytestmark = pytest.mark.alone

SECONDS = 1 / 60


@pytest.fixture(scope="module")
def run(digits, tiny, tmp_path_factory):
    """One run on the digits, from scratch, with nothing special."""
    folder = tmp_path_factory.mktemp("run") / "classifier"
    regime = FineTuneRegime(tiny, 0.1, batch_size=64, augmentation="crop")
    return finetune(digits, regime, 12 * SECONDS, output=folder, weights=None, device="cpu"), folder


def small(tiny, **fields) -> FineTuneRegime:
    return FineTuneRegime(tiny, **{"learning_rate": 0.05, "batch_size": 16, "augmentation": "none", **fields})


def test_learns_within_the_budget(run):
    result, _ = run
    assert result.seconds <= result.budget == 12 and result.seconds >= 0.9 * 12
    assert result.outcome.reason is StopReason.BUDGET and result.accuracy > 0.5
    assert result.epochs == pytest.approx(result.images / 1438) and result.images == 64 * result.steps


def test_the_best_validation_state_is_what_is_saved(run, digits):
    result, folder = run
    assert result.accuracy == pytest.approx(
        max(record["val_accuracy"] for record in result.evaluations if record["best"])
    )
    for classifier in (result.classifier, load_classifier(folder)):
        predicted = classifier.probabilities(digits.val.images).argmax(1)
        accuracy = (predicted == digits.val.labels).mean()
        # Evaluated in one type and predicted in another, an image or two may differ.
        assert accuracy == pytest.approx(
            result.accuracy, abs=0.05 if result.evaluations[-1]["val_images"] < 359 else 2.5 / 359
        )


def test_the_classifier_says_where_it_comes_from(run):
    result, folder = run
    about = json.loads((folder / "classifier.json").read_text())
    assert (
        about["classes"] == list("0123456789") and about["encoding"] == about["model"] == result.regime.model
    )
    assert (
        about["regime"] == result.regime.to_json() and about["input_size"] == result.regime.input_size == 16
    )
    assert about["metrics"]["val_accuracy"] == result.accuracy and about["metrics"]["elapsed_seconds"] < 12
    assert set(about["versions"]) == {"python", "nni-nasoa", "torch", "torchvision"}
    assert sorted(os.listdir(folder)) == ["classifier.json", "evaluations.jsonl", "model.safetensors"]


def test_evaluations_are_written_a_line_each_and_annealed_to_the_end(run):
    result, folder = run
    lines = [json.loads(line) for line in (folder / "evaluations.jsonl").read_text().splitlines()]
    assert lines == list(result.evaluations) and len(lines) >= 4
    assert [lines[0]["kind"], lines[-1]["kind"]] == ["start", "end"]
    for key in ("elapsed", "progress", "steps", "epochs"):
        assert all(a[key] <= b[key] for a, b in pairwise(lines))
    assert lines[-1]["learning_rate"] < 0.02 * max(line["learning_rate"] or 0 for line in lines)


@pytest.mark.parametrize(
    "fields",
    [
        {"frozen_stages": 1, "augmentation": "crop-flip"},
        {"frozen_stages": 3, "optimizer": "adamw", "learning_rate": 0.01},
        {"frozen_stages": 99, "mixup": 0.4, "augmentation": "crop"},
        {"mixup": 0.2, "label_smoothing": 0.0},
        {"cutmix": 0.5, "erasing": 0.3, "augmentation": "trivial", "clip_grad": 1.0, "weight_averaging": 0.2},
    ],
)
def test_regimes_learn_two_easy_classes_and_frozen_stages_stay(blobs, tiny, fields):
    torch.manual_seed(0)
    network = ETNet(tiny, 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    result = finetune(blobs, small(tiny, **fields), 3 * SECONDS, network=network, device="cpu")
    assert (
        result.seconds <= result.budget and result.accuracy > 0.75
    )  # random stages that are frozen do not see all
    frozen = result.frozen_stages
    assert frozen == min(3, fields.get("frozen_stages", 0)) or result.notes
    for name, value in network.state_dict().items():
        if frozen and name.startswith(("stem.", *(f"stages.{i}." for i in range(frozen)))):
            assert torch.equal(value, before[name]), name
    assert not torch.equal(network.head.weight, before["head.weight"])


def test_a_budget_too_short_for_steps_fits_the_head_alone_and_says_so(blobs, shallow):
    class Slow(nn.Module):
        def forward(self, x):
            for _ in range(len(x)):
                threading.Event().wait(0.02)
            return x

    network = shallow()
    network.stages[1].append(Slow())
    result = finetune(blobs, small("slow", batch_size=64), 2.5 * SECONDS, network=network, device="cpu")
    assert result.seconds <= result.budget and result.accuracy > 0.8
    assert result.frozen_stages == 2  # all that a network of these layers is cut into
    assert result.seconds >= 0.9 * result.budget
    assert result.outcome.cut_to_head
    assert "only the head is trained" in result.notes[0] and any("of 120" in note for note in result.notes)
    assert any("of 40 validation images" in note for note in result.notes)


def test_a_run_of_one_image_a_class_says_that_first(digits, tiny):
    first = [int(np.flatnonzero(digits.train.labels == label)[0]) for label in range(10)]
    train = dataclasses.replace(
        digits.train, images=digits.train.images[first], labels=digits.train.labels[first]
    )
    result = finetune(
        dataclasses.replace(digits, train=train),
        small(tiny, frozen_stages=9),
        3 * SECONDS,
        network=ETNet(tiny, 10),
        device="cpu",
    )
    assert "only 10 images of 10 classes" in result.notes[0]
    probabilities = result.classifier.probabilities(digits.val.images)
    assert probabilities.max(1).mean() < 0.95


def test_a_machine_that_stands_still_for_a_moment_does_not_end_the_training(blobs, shallow):
    class HeldUp(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            threading.Event().wait(1.2 if self.calls == 3 else 0)  # the third chunk of the first pass
            return x

    network = shallow()
    network.stages[0].append(HeldUp())
    result = finetune(blobs, small("held-up"), 3 * SECONDS, network=network, device="cpu")
    assert result.seconds <= result.budget and result.steps > 20 and not result.notes


def test_time_that_is_left_is_explained(blobs, shallow):
    result = finetune(
        blobs, small("shallow"), 2 * SECONDS, network=shallow(), device="cpu", timing=Timing(margin=1.0)
    )
    assert result.seconds < 0.9 * result.budget and "s are left, too short for a step" in result.notes[-1]
    assert 0.1 * result.budget < result.outcome.unused_seconds < 1.9
    assert result.outcome.reason is StopReason.BUDGET


def test_out_of_memory_halves_the_batch_and_the_rate(blobs, shallow):
    class Full(nn.Module):
        def forward(self, x):
            if len(x) > 20 and self.training:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return x

    network = shallow()
    network.stages[0].append(Full())
    result = finetune(blobs, small("full", batch_size=64), 2 * SECONDS, network=network, device="cpu")
    assert [note for note in result.notes if "out of memory" in note] == [
        "out of memory: batch size 32 from here on, and the learning rate in proportion",
        "out of memory: batch size 16 from here on, and the learning rate in proportion",
    ]
    assert result.images == 16 * result.steps > 0 and result.accuracy > 0.9
    assert result.outcome.halved_batch == 16
    assert max(record["learning_rate"] or 0 for record in result.evaluations) <= 0.05 / 4


def test_out_of_memory_at_the_smallest_batch_is_one_line(blobs, shallow):
    class Full(nn.Module):
        def forward(self, x):
            if self.training:
                raise RuntimeError(
                    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
                )
            return x

    network = shallow()
    network.stages[0].append(Full())
    with pytest.raises(FineTuneError, match="out of memory at 2 images a step"):
        finetune(blobs, small("full"), 5 * SECONDS, network=network, device="cpu")


class Poisoned(nn.Module):
    """Gives NaN in some training steps."""

    def __init__(self, when):
        super().__init__()
        self.when, self.steps = when, 0

    def forward(self, x):
        self.steps += self.training
        return x * math.nan if self.training and self.when(self.steps) else x


def test_a_first_loss_that_is_large_is_no_divergence(tmp_path):
    """Images unlike those of the pretraining: batch normalisation sees other statistics in training."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (60, 24, 32, 3))
    images[np.arange(60), :, :, np.arange(60) % 3] += 150
    for number, image in enumerate(images.astype(np.uint8)):
        (place := tmp_path / f"{number % 3:06d}").mkdir(exist_ok=True)
        Image.fromarray(image).save(
            place / f"{number:07d}.png", compress_level=1
        )  # the content decides the split
    result = finetune(tmp_path, FineTuneRegime("nano-a"), 8 * SECONDS, device="cpu")
    assert result.outcome.reason in (StopReason.BUDGET, StopReason.SATURATED) and result.accuracy > 0.9
    assert not any("the loss was" in note for note in result.notes)


def test_divergence_steps_back_once(blobs, shallow):
    network = shallow()
    network.stages[0].append(Poisoned(lambda step: step == 20))
    result = finetune(blobs, small("nan"), 2 * SECONDS, network=network, device="cpu")
    assert [note for note in result.notes if "loss was nan" in note] and "0.1 of the rate" in " ".join(
        result.notes
    )
    assert result.outcome.reason is StopReason.BUDGET and result.steps > 20 and result.accuracy > 0.9
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_divergence_again_gives_up_and_keeps_the_best(blobs, shallow, tmp_path):
    network = shallow()
    network.stages[0].append(Poisoned(lambda step: step >= 20))
    result = finetune(blobs, small("nan"), 30 * SECONDS, network=network, device="cpu", output=tmp_path / "c")
    assert result.outcome.reason is StopReason.DIVERGED and str(result.outcome) == "diverged"
    assert "the loss was nan again" in result.notes[-1] and "a rate below" in result.notes[-1]
    described = json.loads((tmp_path / "c" / "classifier.json").read_text())  # of a state saved long before
    assert described["outcome"] == result.outcome.to_json() and described["notes"] == list(result.notes)
    assert result.seconds < 30 and result.accuracy > 0.9 and (tmp_path / "c" / "model.safetensors").is_file()
    assert all(torch.isfinite(p).all() for p in network.parameters())


def test_a_rate_that_is_far_too_high_is_survived(digits, tiny):
    result = finetune(
        digits, small(tiny, learning_rate=100.0, batch_size=64), 5 * SECONDS, weights=None, device="cpu"
    )
    assert (
        result.seconds <= result.budget
        and np.isfinite(result.classifier.probabilities(digits.val.images[:4])).all()
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_saves_the_best_so_far(digits, tiny, tmp_path, number):
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    over = threading.Event()  # a run that has failed notes no signals, and pytest would end of it

    def kill_when_saved():
        while not (tmp_path / "c" / "classifier.json").exists():
            if over.wait(0.1):
                return
        if not over.wait(0.5):
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=kill_when_saved)
    thread.start()
    try:
        result = finetune(
            digits, small(tiny), 100 * SECONDS, weights=None, device="cpu", output=tmp_path / "c"
        )
    finally:
        over.set()
        thread.join()
    assert result.outcome.reason is StopReason.INTERRUPTED and result.outcome.signal == number.name
    assert result.outcome.exit_status == 128 + number and result.seconds < 100
    assert load_classifier(tmp_path / "c").outcome == result.outcome
    assert load_classifier(tmp_path / "c").metrics["val_accuracy"] == result.accuracy
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_stops_when_saturated(digits, tiny):
    easy = dataclasses.replace(
        digits, train=_two_digits(digits.train), val=_two_digits(digits.val, copies=3), classes=("0", "1")
    )
    assert len(easy.val) > 200  # a small part that is right says little
    result = finetune(easy, small(tiny), 60 * SECONDS, weights=None, device="cpu")
    assert result.outcome.reason is StopReason.SATURATED and result.accuracy == 1 and result.seconds < 60


def _two_digits(part, copies=1):
    keep = np.tile((part.labels < 2).nonzero()[0], copies)
    return type(part)(part.images[keep], part.labels[keep])


def test_the_callers_random_numbers_are_left_alone(blobs, shallow):
    network = shallow()
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    finetune(blobs, small("shallow"), 1 * SECONDS, network=network, device="cpu")
    assert torch.equal(torch.rand(3), expected)


def test_settings_of_torch_are_the_callers_again(blobs, shallow):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    drawn = []

    def fail():
        drawn.append(torch.rand(2))
        torch.set_grad_enabled(False)
        raise FineTuneError

    benchmark = torch.backends.cudnn.benchmark
    with pytest.raises(FineTuneError), settings_of_run(torch.device("cpu"), 0):
        fail()
    assert torch.is_grad_enabled()
    with torch.no_grad():
        with settings_of_run(torch.device("cpu"), 0):
            assert torch.is_grad_enabled()
        assert not torch.is_grad_enabled()
    assert (
        torch.equal(torch.rand(2), expected)
        and not torch.equal(drawn[0], expected)
        and torch.backends.cudnn.benchmark == benchmark
    )
