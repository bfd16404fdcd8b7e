"""Runs that go on from a classifier: what of it is kept, and that nothing is lost."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from nni_nasoa.cli import main
from nni_nasoa.data import ImageArrays, ImageSplit
from nni_nasoa.data.arrays import Holdout
from nni_nasoa.finetune import FineTuneError, FineTuneRegime, finetune, load_classifier
from nni_nasoa.finetune.building import built
from nni_nasoa.finetune.classifier import ClassifierError
from nni_nasoa.finetune.options import Resources
from nni_nasoa.finetune.resuming import Resumed

CLASSES = ("blue", "green", "red", "white")
COLOURS = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0), "white": (255, 255, 255)}
HEAD_ONLY, SIZE = 99, 32
EXACT = Resources(precision="float32")  # Of images of noise, rounding decides some.


def split_of(classes, train=120, val=40, strength=90, seed=0):
    """Noise with some of a colour in it, by class."""
    rng, parts = np.random.default_rng(seed), []
    for count in (train, val):
        labels = np.arange(count) % len(classes)
        images = rng.integers(0, 256, (count, 3, SIZE, SIZE)).astype(float)
        tint = np.array([COLOURS[classes[label]] for label in labels])[:, :, None, None]
        images += strength / 255 * (tint - images)
        parts.append(ImageArrays(images.astype(np.uint8), labels))
    return ImageSplit(*parts, tuple(classes), "colours")


@pytest.fixture(scope="module")
def first(tmp_path_factory, tiny):
    """A function that gives the folder of a classifier for three classes; each kind is trained once."""
    made = {}

    def make(frozen=0, head="stages", weights="default", classes=CLASSES[:3]):
        key = (frozen, head, weights, classes)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("first") / "classifier"
            model = "nano-a" if weights == "default" else tiny
            regime = FineTuneRegime(model, input_size=SIZE, frozen_stages=frozen, head=head)
            options = {"device": "cpu", "weights": weights, "output": made[key], "resources": EXACT}
            finetune(split_of(classes, strength=40), regime, 0.05, **options)
        return made[key]

    return make


def resumed(folder, split, minutes=0.05, regime=None, **options):
    return finetune(split, regime, minutes, resume=folder, device="cpu", resources=EXACT, **options)


KINDS = [
    {"weights": None},
    {"head": "last"},
    {"frozen": HEAD_ONLY, "head": "last"},
    {},
    {"frozen": HEAD_ONLY},
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_it_begins_with_what_was_known_and_does_not_end_worse(first, kind, tmp_path):
    folder = first(**kind)
    before = load_classifier(folder)
    result = resumed(folder, split_of(CLASSES[:3], strength=40), output=tmp_path / "more")
    assert result.accuracy >= before.metrics["val_accuracy"]
    if kind.get("frozen") is None or kind.get("head") == "last":
        start = result.evaluations[0]
        assert start["val_accuracy"] == pytest.approx(before.metrics["val_accuracy"], abs=0.03)
    about = load_classifier(tmp_path / "more").about
    assert about["resumed_from"] == {
        "id": before.about["id"],
        "folder": str(folder),
        "created": before.about["created"],
        "val_accuracy": before.metrics["val_accuracy"],
    }
    assert about["id"] != before.about["id"]
    assert about["regime"] == before.about["regime"] and about["weights_of"] == before.about["weights_of"]
    assert (about["mean"], about["std"]) == (before.about["mean"], before.about["std"])


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_rows_of_known_classes_are_kept_by_name_and_new_ones_get_rows(first, kind):
    old = Resumed.of(first(**kind))
    split = split_of(("white", "red", "blue"))
    _, view = built(old.network(3), old.regime(None), split, None, torch.device("cpu"), pooled=old.pooled)
    going_on = old.put_into(view, split, old.regime(None), Holdout(0.2, 0))
    before = old.view.head
    assert going_on.head.rows.tolist() == [False, True, True] and going_on.head.needs_fit
    assert torch.equal(view.head.weight[1:], before.weight[[2, 0]])
    assert torch.equal(view.head.bias[1:], before.bias[[2, 0]]) and not view.head.weight[0].any()
    assert going_on.notes[1:3] == (
        "new classes: 'white'",
        "the dataset has no images of 'green': left out from here on",
    )
    assert going_on.best is None


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_new_classes_are_learned(first, kind):
    split = split_of(CLASSES, 240, 80)
    result = resumed(first(**kind), split, 0.1)
    classifier = result.classifier
    assert classifier.classes == CLASSES and "new classes: 'white'" in result.notes
    found = classifier.probabilities(split.val.images).argmax(1)
    white = split.val.labels == 3
    assert (found[white] == 3).mean() > 0.6 and result.accuracy > 0.4


def test_the_first_state_knows_new_classes_before_any_step(first):
    folder, split = first(head="last"), split_of(CLASSES, 240, 80)
    result = resumed(folder, split)
    assert result.evaluations[0]["kind"] == "start" and result.evaluations[0]["val_accuracy"] > 0.35


def test_a_fitted_head_that_time_is_too_short_to_equal_stays_as_it_was(first, tmp_path):
    folder = first(frozen=HEAD_ONLY)
    about = json.loads((folder / "classifier.json").read_text())
    about["metrics"]["val_accuracy"] = 0.999  # as after a longer run on the same images
    copy = tmp_path / "better"
    copy.mkdir()
    (copy / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    (copy / "classifier.json").write_text(json.dumps(about))
    split = split_of(CLASSES[:3], strength=40)
    before = load_classifier(copy)
    result = resumed(copy, split, output=copy)
    assert result.accuracy == 0.999
    assert "nothing better than the classifier that was resumed was found: it stays as it was" in result.notes
    after = load_classifier(copy)
    images = split.val.images
    assert np.allclose(after.probabilities(images), before.probabilities(images), atol=1e-5)
    other = resumed(folder, split_of(CLASSES[:3], strength=40, seed=1))  # other images: it is fitted anew
    assert not any("stays as it was" in note for note in other.notes)


def test_what_a_fitted_head_gets_of_images_that_it_has_seen_counts_for_nothing(first):
    """It was fitted to the validation images, too: of noise, it gets more of these than of others."""
    folder = first(frozen=HEAD_ONLY)
    split = split_of(CLASSES[:3], strength=40)
    seen = (load_classifier(folder).probabilities(split.val.images).argmax(1) == split.val.labels).mean()
    result = resumed(folder, split)
    measured = load_classifier(folder).metrics["val_accuracy"]
    assert seen > measured + 0.1 and result.accuracy < measured + 0.1


def test_more_time_with_the_same_settings_is_told_to_be_of_little_use_to_a_fitted_head(first):
    folder, split = first(frozen=HEAD_ONLY), split_of(CLASSES[:3], strength=40)
    assert any("--frozen-stages 0" in note for note in resumed(folder, split).notes)
    whole = dataclasses.replace(load_classifier(folder).regime, frozen_stages=0)
    result = resumed(folder, split, regime=whole)
    assert not any("--frozen-stages 0" in note for note in result.notes) and result.steps > 0


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"model": "nano-b"}, "model: 'nano-b', where the classifier that is resumed has 'nano-a'"),
        ({"input_size": 64}, "input_size: 64, where the classifier that is resumed has 32"),
        ({"head": "last"}, "head: 'last', where the classifier that is resumed has 'stages'"),
    ],
)
def test_a_regime_that_contradicts_it_is_a_line(first, changes, words):
    regime = dataclasses.replace(load_classifier(first()).regime, **changes)
    with pytest.raises(FineTuneError, match=words):
        resumed(first(), split_of(CLASSES[:3]), regime=regime)


def test_what_else_is_wrong_is_a_line(first, tmp_path):
    split = split_of(("white", "green"))
    with pytest.raises(FineTuneError, match="regime: is missing"):
        finetune(split, None, 0.1)
    with pytest.raises(FineTuneError, match="weights: the classifier that is resumed brings its own"):
        resumed(first(), split, weights=None)
    with pytest.raises(FineTuneError, match="input_size: 32, where the images of the dataset"):
        resumed(first(), dataclasses.replace(split, **_larger(split)))
    with pytest.raises(ClassifierError, match="no classifier here"):
        resumed(tmp_path, split)
    other = dataclasses.replace(split, classes=("cat", "dog"))
    with pytest.raises(FineTuneError, match=r"none of its classes \('cat', 'dog'\) is one of the classifier"):
        resumed(first(), other)


def _larger(split):
    return {
        part: ImageArrays(getattr(split, part).images.repeat(2, 2).repeat(2, 3), getattr(split, part).labels)
        for part in ("train", "val")
    }


@pytest.fixture
def folder_of_images(tmp_path, monkeypatch):
    """A function that writes images into a folder for each class; the folder of all."""
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))

    def write(classes):
        split = split_of(classes)
        for label, pixels in zip(split.train.labels, split.train.images):
            place = tmp_path / "data" / classes[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(place / f"{len(list(place.iterdir()))}.png")
        return tmp_path / "data"

    return write


@pytest.mark.usefixtures("process_just_started")
def test_the_command_goes_on_in_the_same_folder(first, folder_of_images, tmp_path):
    data, folder = folder_of_images(CLASSES), tmp_path / "mine"
    folder.mkdir()
    for file in first().iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    words = [
        "finetune",
        "--dataset",
        str(data),
        "--minutes",
        "0.1",
        "--resume",
        str(folder),
        "--device",
        "cpu",
    ]

    for more, said in (
        (["--model", "nano-b"], "Error: model: 'nano-b', where the classifier"),
        (["--input-size", "64"], "Error: input_size: 64, where the classifier"),
        (["--weights", "none"], "Error: weights: the classifier that is resumed"),
    ):
        done = CliRunner().invoke(main, [*words, *more])
        assert done.exit_code == 1 and said in done.stderr and done.stderr.count("\n") == 1

    done = CliRunner().invoke(main, [*words, "--learning-rate", "0.01"])
    assert done.exit_code == 0, done.output
    assert (
        "note: new classes: 'white'" in done.output
        and f"resumed from {folder}, of validation accuracy" in done.output
    )
    about = load_classifier(folder).about
    assert about["classes"] == list(CLASSES) and about["resumed_from"]["folder"] == str(folder)
    assert about["regime"]["learning_rate"] == 0.01 and about["model"] == "nano-a"


@pytest.mark.usefixtures("process_just_started")
def test_the_same_images_are_held_back_unless_others_are_asked_for(first, folder_of_images, tmp_path):
    data, words = (
        folder_of_images(CLASSES[:3]),
        ["--minutes", "0.05", "--device", "cpu", "--val-fraction", "0.4"],
    )
    begin = ["finetune", "--dataset", str(data), "--resume"]
    folder, again = tmp_path / "a", tmp_path / "b"
    done = CliRunner().invoke(main, [*begin, str(first()), *words, "--seed", "3", "-o", str(folder)])
    assert done.exit_code == 0 and "other images are held back than before" in done.output
    held_back = load_classifier(folder).about["holdout"]
    assert held_back == {"fraction": 0.4, "seed": 3, "group_by": None}
    done = CliRunner().invoke(main, [*begin, str(folder), *words[:4], "-o", str(again)])
    assert done.exit_code == 0 and "other images are held back" not in done.output
    about = load_classifier(again).about
    assert about["holdout"] == held_back
    assert about["validation_digest"] == load_classifier(folder).about["validation_digest"]
