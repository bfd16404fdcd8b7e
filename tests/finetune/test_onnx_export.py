from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nni_nasoa.cli import main
from nni_nasoa.data.rendering import Rendering
from nni_nasoa.finetune import FineTuneRegime, load_classifier
from nni_nasoa.finetune.classifier import Classifier, describe, save_classifier
from nni_nasoa.finetune.errors import ClassifierError
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.staged import staged


def about(model, size, encoding=None, weights_of="network"):
    return describe(
        classes=("a", "b", "c"),
        dataset="d",
        regime=FineTuneRegime(model, input_size=size),
        encoding=encoding,
        weights_of=weights_of,
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.1),
        metrics={},
    )


@pytest.fixture
def folder(tmp_path, tiny):
    torch.manual_seed(0)
    return save_classifier(tmp_path / "c", create_model(tiny, 3).state_dict(), about(tiny, 16, tiny))


def assert_the_same(path, classifier):
    """Logits, up to what softmax loses of them: by the log of the probabilities."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    size = classifier.input_size
    for n in (1, 3):
        images = np.random.default_rng(n).integers(0, 256, (n, 3, size, size), dtype=np.uint8)
        (found,) = session.run(None, {"images": images.astype(np.float32) / 255})
        assert found.shape == (n, 3)
        np.testing.assert_allclose(np.log(found), np.log(classifier.probabilities(images)), atol=1e-4)
        assert np.ptp(found) > 1e-3  # and they are not all the same


def session_of(path):
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def photo(height, width):
    """An image with edges and textures, as photographs have them."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + channel) * np.cos(y / 11) + (x > width / 3) for channel in range(3)]
    return (40 * (np.stack(waves, axis=-1) + 2)).astype(np.uint8)


ODD = ("猫", "a\nb", "\udcff")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, tiny):
    """A classifier, and the files that it was exported to, without and with preprocessing inside."""
    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("exported")
    classifier = Classifier(create_model(tiny, 3), about(tiny, 16, tiny) | {"classes": ODD})
    paths = {
        inside: classifier.export_onnx(place / f"{inside}.onnx", preprocessing=inside)
        for inside in (False, True)
    }
    return classifier, paths


@pytest.mark.parametrize("inside", [False, True])
def test_the_metadata_has_the_classes_and_how_images_are_prepared(exported, inside):
    said = session_of(exported[1][inside]).get_modelmeta().custom_metadata_map
    assert tuple(json.loads(said["classes"])) == ODD
    steps = json.loads(said["preprocessing"])
    assert steps["resize"] == [16, 16] and steps["colour"] == "RGB"
    assert steps["type"] == ("uint8" if inside else "float32")
    assert steps["range"] == ([0, 255] if inside else [0, 1])


@pytest.mark.parametrize("inside", [False, True])
def test_the_number_of_images_is_free(exported, inside):
    session = session_of(exported[1][inside])
    (given,), (probabilities,) = session.get_inputs(), session.get_outputs()
    assert given.name == ("pixels" if inside else "images") and probabilities.name == "probabilities"
    assert isinstance(given.shape[0], str) and isinstance(probabilities.shape[0], str)
    for n in (1, 2, 7):
        images = np.zeros((n, 20, 30, 3), np.uint8) if inside else np.zeros((n, 3, 16, 16), np.float32)
        assert session.run(None, {given.name: images})[0].shape == (n, 3)


@pytest.mark.parametrize("height, width", [(16, 16), (100, 160), (161, 90), (10, 12), (33, 400)])
def test_with_preprocessing_inside_it_takes_pixels_and_gives_what_predict_gives(exported, height, width):
    classifier, paths = exported
    images = np.stack([photo(height, width), 255 - photo(height, width)])
    (found,) = session_of(paths[True]).run(None, {"pixels": images})
    expected = np.stack(list(classifier.stream(images)))
    np.testing.assert_allclose(np.log(found), np.log(expected), atol=0.02)
    assert np.abs(expected[0] - expected[1]).max() > 0.01  # they are told apart


@pytest.mark.parametrize("geometry", ["pad", "squish"])
def test_with_preprocessing_inside_oblong_images_become_square_as_for_predict(tmp_path, tiny, geometry):
    torch.manual_seed(0)
    description = about(tiny, 16, tiny) | {
        "classes": ODD,
        "rendering": Rendering(geometry=geometry).to_json(),
    }
    classifier = Classifier(create_model(tiny, 3), description)
    session = session_of(classifier.export_onnx(tmp_path / "m.onnx", preprocessing=True))
    assert json.loads(session.get_modelmeta().custom_metadata_map["preprocessing"])["geometry"] == geometry
    plain = Classifier(classifier.network, about(tiny, 16, tiny) | {"classes": ODD})
    for height, width in ((16, 16), (100, 160), (161, 90), (33, 400), (400, 3)):
        images = photo(height, width)[None]
        (found,) = session.run(None, {"pixels": images})
        (expected,), (cropped,) = classifier.stream(images), plain.stream(images)
        np.testing.assert_allclose(np.log(found[0]), np.log(expected), atol=0.02)
        assert height == width or np.abs(expected - cropped).max() > 0.001


def test_the_command_writes_it_with_preprocessing_inside(folder, tmp_path):
    words = ["predict", str(folder), "--onnx", str(tmp_path / "m.onnx"), "--onnx-pixels", "--device", "cpu"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert session_of(tmp_path / "m.onnx").get_inputs()[0].name == "pixels"
    alone = CliRunner().invoke(main, ["predict", str(folder), "a.png", "--onnx-pixels"])
    assert alone.exit_code == 2 and "--onnx-pixels: give --onnx FILE, too" in alone.output


def test_the_command_writes_a_file_that_gives_the_same(folder, tmp_path):
    result = CliRunner().invoke(
        main, ["predict", str(folder), "--onnx", str(tmp_path / "m.onnx"), "--device", "cpu"]
    )
    assert result.exit_code == 0 and f"written to {tmp_path / 'm.onnx'}" in result.output
    assert sorted(os.listdir(tmp_path)) == ["c", "m.onnx"]  # nothing beside it
    assert_the_same(tmp_path / "m.onnx", load_classifier(folder))


@pytest.mark.parametrize("model", ["resnet18", "timm/resnet10t"])
def test_other_families_export_too(tmp_path, model):
    torch.manual_seed(0)
    network = create_model(model, 3)
    classifier = Classifier(network, about(model, 64))
    head = staged(network, model).head
    with torch.no_grad():
        head.weight.copy_(0.1 * torch.randn_like(head.weight))  # some heads start at 0
    assert_the_same(classifier.export_onnx(tmp_path / "m.onnx"), classifier)


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_one_line_that_names_the_extra_before_anything_is_done(
    tmp_path, monkeypatch, package
):
    monkeypatch.setitem(sys.modules, package, None)
    result = CliRunner().invoke(
        main, ["predict", str(tmp_path / "no such folder"), "--onnx", str(tmp_path / "m.onnx")]
    )
    assert result.exit_code == 1
    assert result.output == f"Error: ONNX export needs the package {package}: pip install 'nni-nasoa[onnx]'\n"


def test_a_file_that_cannot_be_written_is_one_line(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ClassifierError, match="cannot be written") as error:
        load_classifier(folder).export_onnx(tmp_path / "file" / "m.onnx")
    assert "\n" not in str(error.value) and "file/m.onnx" in str(error.value)
