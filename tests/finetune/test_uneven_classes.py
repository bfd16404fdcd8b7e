"""A run on classes of very different numbers of images says so, and weighs them alike if it is asked to."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from nni_nasoa.cli import main
from nni_nasoa.data import ImageArrays, ImageSplit, open_dataset
from nni_nasoa.evaluation import evaluate
from nni_nasoa.finetune import FineTuneRegime, finetune, load_classifier
from nni_nasoa.training.regime import BALANCED_FIELDS


def uneven(part, counts, rng):
    """So many images of each class, the first ones, in noise."""
    chosen = np.concatenate([np.flatnonzero(part.labels == label)[:n] for label, n in enumerate(counts)])
    noisy = part.images[chosen] + rng.normal(0, 60, (len(chosen), 1, 32, 32))
    return ImageArrays(noisy.clip(0, 255).astype(np.uint8), part.labels[chosen])


@pytest.fixture
def long_tailed():
    """Digits in noise, of which 140 are zeros and 3 nines; and as many new ones of each."""
    digits = open_dataset("digits", input_size=32)
    rng = np.random.default_rng(0)
    counts = [round(140 * 45 ** (-label / 9)) for label in range(10)]
    train, val = (
        uneven(part, [count // share for count in counts], rng)
        for part, share in ((digits.train, 1), (digits.val, 4))
    )
    return ImageSplit(train, val, digits.classes, "d", mirrored=False), uneven(digits.val, [30] * 10, rng)


def test_a_balanced_run_gets_more_of_the_rare_classes_right(long_tailed):
    split, new = long_tailed
    found = {}
    for name, fields in (("plain", {}), ("balanced", BALANCED_FIELDS)):
        regime = FineTuneRegime("nano-a", input_size=32, frozen_stages=99, **fields)
        result = finetune(split, regime, 1.0, device="cpu")
        right = result.classifier.probabilities(new.images).argmax(1) == new.labels
        found[name] = [right[new.labels == label].mean() for label in range(10)]
        (record,) = [one for one in result.evaluations if one["best"]][-1:]
        assert record["val_balanced_accuracy"] == pytest.approx(result.balanced_accuracy)
        (line,) = [note for note in result.notes if "uneven" in note]
        assert line.startswith("classes are uneven: '0' has 140 images to train on, '9' 3")
        assert ("--balanced" in line) is (name == "plain")
    assert np.mean(found["balanced"][7:]) > np.mean(found["plain"][7:]) + 0.05
    assert np.mean(found["balanced"]) > np.mean(found["plain"])


def test_the_command_says_so_and_keeps_it_in_the_classifier(tmp_path, process_just_started):
    for label, count in (("many", 40), ("few", 4)):
        (tmp_path / "d" / label).mkdir(parents=True)
        for number in range(count):
            pixels = np.random.default_rng(number).integers(0, 100, (24, 24, 3), dtype=np.uint8)
            pixels[..., 0] += 100 * (label == "few")
            Image.fromarray(pixels).save(tmp_path / "d" / label / f"{number}.png")
    words = [
        "finetune",
        "--dataset",
        str(tmp_path / "d"),
        "--minutes",
        "1",
        "--model",
        "nano-a",
        "--no-record",
    ]
    words += ["--frozen-stages", "99", "--device", "cpu", "-o", str(tmp_path / "c")]
    plain = CliRunner().invoke(main, words)
    assert plain.exit_code == 0 and "--balanced weighs all classes alike" in plain.output
    balanced = CliRunner().invoke(main, [*words, "--balanced"])
    assert balanced.exit_code == 0 and "% (balanced " in balanced.output
    assert "classes are uneven" in balanced.output and "--balanced" not in balanced.output
    about = json.loads((tmp_path / "c" / "classifier.json").read_text())
    assert about["regime"]["select_by"] == "balanced" and about["regime"]["logit_adjustment"] == 1
    assert evaluate(load_classifier(tmp_path / "c", "cpu"), tmp_path / "d").accuracy > 0.5
    one = CliRunner().invoke(main, [*words, "--logit-adjustment", "-1"])
    assert one.exit_code == 1 and "logit_adjustment: -1" in one.output
