from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from nni_nasoa.data.rendering import Rendering
from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason
from nni_nasoa.finetune.classifier import (
    BATCH,
    Classifier,
    save_classifier,
    tell_advice,
    tell_outcome,
)
from nni_nasoa.finetune.errors import ClassifierError
from nni_nasoa.finetune.loading import load_classifier
from nni_nasoa.networks import ETNet

CLASSES = ("Hund", "猫", "bird\udcff")  # the last from a folder whose name is not UTF-8


@pytest.fixture
def network(tiny):
    torch.manual_seed(0)
    return ETNet(tiny, 3).eval()


@pytest.fixture
def about(described):
    return described(CLASSES, metrics={"val_accuracy": 0.75}, notes=["short"])


@pytest.fixture
def folder(tmp_path, network, about):
    return save_classifier(tmp_path / "c", network.state_dict(), about)


def images(n=5, size=16):
    return np.random.default_rng(0).integers(0, 256, (n, 3, size, size), dtype=np.uint8)


def test_loads_what_was_saved(folder, network, about):
    loaded = load_classifier(folder)
    assert loaded.classes == CLASSES and loaded.about == about and loaded.metrics == {"val_accuracy": 0.75}
    assert loaded.regime == FineTuneRegime("et-nas-x", input_size=16) and loaded.input_size == 16
    for name, value in network.state_dict().items():
        assert torch.equal(value, loaded.network.state_dict()[name])


def test_whoever_may_read_the_description_may_read_the_weights(folder):
    modes = {(folder / name).stat().st_mode for name in ("model.safetensors", "classifier.json")}
    assert len(modes) == 1


def test_weights_fit_create_model(folder, network, tiny):
    from nni_nasoa.zoo import create_model

    again = create_model(tiny, 3, folder / "model.safetensors").eval()
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(again(x), network(x))


def test_probabilities_are_those_of_the_normalised_images(folder, network):
    x = (
        torch.from_numpy(images()).float() / 255 - torch.tensor((0.5, 0.4, 0.3)).view(3, 1, 1)
    ) / torch.tensor((0.2, 0.2, 0.1)).view(3, 1, 1)
    with torch.no_grad():
        expected = network(x).softmax(1).numpy()
    found = load_classifier(folder).probabilities(images())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert load_classifier(folder).probabilities(images(0)).shape == (0, 3)


def test_predicts_files_pil_images_and_arrays(folder, tmp_path):
    array = images(1)[0].transpose(1, 2, 0)
    image = Image.fromarray(array)
    image.save(tmp_path / "a.png")
    classifier = load_classifier(folder)
    predictions = classifier.predict(
        [tmp_path / "a.png", str(tmp_path / "a.png"), image, *[array] * (2 * BATCH)], top_k=2
    )
    first, *others = predictions
    assert len(others) == 2 * BATCH + 2
    for other in others:  # a smaller batch may be rounded otherwise
        assert [one.label for one in other] == [one.label for one in first]
        assert [one.probability for one in other] == pytest.approx(
            [one.probability for one in first], abs=1e-6
        )
    (best, second), row = predictions[0], classifier.probabilities(array.transpose(2, 0, 1)[None])[0]
    assert (
        best.label == CLASSES[int(row.argmax())]
        and best.probability == pytest.approx(row.max())
        and best.probability >= second.probability
    )
    assert len(classifier.predict(str(tmp_path / "a.png"), top_k=99)[0]) == 3
    assert classifier.predict([]) == []


def test_images_are_rendered_as_those_that_it_was_trained_on(tmp_path, network, described):
    """12 bits in files of 16, and drawings in white on nothing, which came out black and white."""
    rendering = Rendering(integers=(0, 4095), background=0)
    about = {**described(CLASSES), "rendering": rendering.to_json()}
    classifier = load_classifier(save_classifier(tmp_path / "c", network.state_dict(), about))
    deep = np.random.default_rng(0).integers(0, 4096, (16, 16), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    drawing = np.zeros((16, 16, 4), np.uint8)
    drawing[4:12, 4:12] = 255
    Image.fromarray(drawing).save(tmp_path / "drawing.png")
    for name, seen in (("deep.png", deep >> 4), ("drawing.png", drawing[..., 0])):
        pixels = np.broadcast_to(seen.astype(np.uint8), (1, 3, 16, 16))
        (row,) = classifier.stream([tmp_path / name])
        np.testing.assert_allclose(row, classifier.probabilities(pixels)[0], atol=1e-6)


def test_a_classifier_without_a_rendering_is_loaded_and_a_wrong_one_is_one_line(folder):
    about = json.loads((folder / "classifier.json").read_text())
    assert Rendering.from_json(about.pop("rendering")) == Rendering()
    (folder / "classifier.json").write_text(json.dumps(about))
    assert load_classifier(folder).classes == CLASSES
    (folder / "classifier.json").write_text(json.dumps(about | {"rendering": 3}))
    with pytest.raises(
        ClassifierError, match='"rendering" of the description: not an object with "integers"'
    ):
        load_classifier(folder)


def test_an_image_that_cannot_be_read_is_named(folder, tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff not a jpeg")
    for name in ("b.jpg", "none.jpg"):
        with pytest.raises(ClassifierError, match=name) as error:
            load_classifier(folder).predict([tmp_path / name])
        assert "\n" not in str(error.value)


def test_a_run_killed_between_the_files_leaves_the_new_classifier_whole(folder, network, about, monkeypatch):
    replace, calls = os.replace, []

    def killed_after_the_first(source, target):
        if calls:
            raise KeyboardInterrupt
        calls.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed_after_the_first)
    new = {**about, "id": "new", "metrics": {"val_accuracy": 0.9}, "classes": ["x", "y", "z"]}
    with pytest.raises(KeyboardInterrupt):
        save_classifier(folder, {name: value + 1 for name, value in network.state_dict().items()}, new)
    loaded = load_classifier(folder)
    assert loaded.classes == ("x", "y", "z") and loaded.metrics == {"val_accuracy": 0.9}
    torch.testing.assert_close(loaded.network.head.bias, network.head.bias + 1)
    monkeypatch.undo()
    save_classifier(folder, network.state_dict(), about)
    assert sorted(os.listdir(folder)) == ["classifier.json", "model.safetensors"]


def test_an_edited_description_counts(folder):
    about = json.loads((folder / "classifier.json").read_text())
    about["classes"] = ["dog", "cat", "bird"]
    (folder / "classifier.json").write_text(json.dumps(about))
    assert load_classifier(folder).classes == ("dog", "cat", "bird")
    (folder / "classifier.json").unlink()
    assert load_classifier(folder).classes == CLASSES


def test_a_model_whose_head_the_view_has_taken_is_saved_by_the_view(tmp_path, blobs):
    """timm's distilled transformers have two heads; their view has a fresh one."""
    from nni_nasoa.finetune import finetune

    regime = FineTuneRegime(
        "timm/deit_tiny_distilled_patch16_224", 0.01, frozen_stages=9, batch_size=8, augmentation="none"
    )
    small = type(blobs)(
        *(
            type(part)(np.repeat(np.repeat(part.images[:n], 14, 2), 14, 3), part.labels[:n])
            for part, n in ((blobs.train, 12), (blobs.val, 6))
        ),
        blobs.classes,
        "blobs",
    )
    result = finetune(small, regime, 8 / 60, weights=None, device="cpu", output=tmp_path / "c")
    found = load_classifier(tmp_path / "c").probabilities(small.val.images)
    np.testing.assert_allclose(found, result.classifier.probabilities(small.val.images), atol=1e-5)
    assert json.loads((tmp_path / "c" / "classifier.json").read_text())["weights_of"] == "staged"


def test_a_classifier_is_made_of_a_network_and_a_description(network, about):
    classifier = Classifier(network.train(), about)
    assert not network.training and classifier.probabilities(images()).shape == (5, 3)


# -- how its run ended --


def test_how_the_run_ended_is_told_when_it_has(folder, about):
    """A state may have been saved long before; of a killed run nobody knows how it ended."""
    assert load_classifier(folder).outcome == Outcome(StopReason.UNKNOWN)
    outcome = Outcome(StopReason.INTERRUPTED, "SIGTERM", train_images=90, val_images=20, steps=7, images=224)
    weights = (folder / "model.safetensors").read_bytes()
    tell_outcome(folder, outcome, ["a note"])
    loaded = load_classifier(folder)
    assert loaded.outcome == outcome and loaded.about == {
        **about,
        "outcome": outcome.to_json(),
        "notes": ["a note"],
    }
    assert (folder / "model.safetensors").read_bytes() == weights and not list(folder.glob(".*"))


def test_what_an_advice_expected_is_told_beside_it(folder, about):
    tell_advice(folder, {"accuracy": 0.8})
    tell_outcome(folder, Outcome(StopReason.BUDGET), [])
    assert load_classifier(folder).about["advice"] == {"accuracy": 0.8}


def test_how_the_run_ended_cannot_be_told_where_there_is_no_classifier(tmp_path):
    with pytest.raises(ClassifierError, match=f"{tmp_path}: how the run ended cannot be written"):
        tell_outcome(tmp_path, Outcome(StopReason.BUDGET), [])
