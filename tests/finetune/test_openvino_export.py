from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nni_nasoa.cli import main
from nni_nasoa.finetune import FineTuneRegime, load_classifier
from nni_nasoa.finetune.classifier import Classifier, describe, save_classifier
from nni_nasoa.finetune.errors import ClassifierError
from nni_nasoa.zoo import create_model

ODD = ("猫", "a\nb", "c")
METADATA = ("classes", "preprocessing")


@pytest.fixture(scope="module")
def classifier(tiny):
    torch.manual_seed(0)
    description = describe(
        classes=ODD,
        dataset="d",
        regime=FineTuneRegime(tiny, input_size=16),
        encoding=tiny,
        weights_of="network",
        mean=(0.5, 0.4, 0.3),
        std=(0.2, 0.2, 0.1),
        metrics={},
    )
    return Classifier(create_model(tiny, 3), description)


def compiled(path):
    """The model on this processor, in float32 as predict computes it."""
    import openvino

    return openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    """A file without and one with preprocessing inside."""
    place = tmp_path_factory.mktemp("exported")
    return [classifier.export_openvino(place / f"{inside}.xml", inside) for inside in (False, True)]


@pytest.mark.parametrize("n", [1, 3])
def test_it_gives_what_predict_gives_for_any_number_of_images(classifier, exported, n):
    images = np.random.default_rng(n).integers(0, 256, (n, 3, 16, 16), dtype=np.uint8)
    found = compiled(exported[0])({"images": images.astype(np.float32) / 255})["probabilities"]
    np.testing.assert_allclose(np.log(found), np.log(classifier.probabilities(images)), atol=1e-4)
    assert found.shape == (n, 3) and np.ptp(found) > 1e-3


@pytest.mark.parametrize("height, width", [(16, 16), (100, 160), (161, 90), (33, 400)])
def test_with_preprocessing_inside_it_takes_pixels_of_any_size(classifier, exported, height, width):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + channel) * np.cos(y / 11) + (x > width / 3) for channel in range(3)]
    photo = (40 * (np.stack(waves, axis=-1) + 2)).astype(np.uint8)
    images = np.stack([photo, 255 - photo])
    found = compiled(exported[1])({"pixels": images})["probabilities"]
    np.testing.assert_allclose(np.log(found), np.log(np.stack([*classifier.stream(images)])), atol=0.02)


@pytest.mark.parametrize("inside", [False, True])
def test_it_says_which_classes_there_are_and_how_images_are_prepared(exported, inside):
    import openvino

    model = openvino.Core().read_model(exported[inside])
    said = {key: json.loads(model.get_rt_info(["nni_nasoa", key]).astype(str)) for key in METADATA}
    assert tuple(said["classes"]) == ODD
    assert said["preprocessing"]["type"] == ("uint8" if inside else "float32")


def test_the_command_writes_two_files(classifier, tiny, tmp_path):
    folder = save_classifier(tmp_path / "c", classifier.network.state_dict(), classifier.about)
    words = ["predict", str(folder), "--openvino", str(tmp_path / "m.xml"), "--device", "cpu"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0 and f"written to {tmp_path / 'm.xml'}" in result.output
    assert sorted(os.listdir(tmp_path)) == ["c", "m.bin", "m.xml"]
    assert len(compiled(tmp_path / "m.xml").inputs) == 1 and load_classifier(folder).classes == ODD


def test_what_cannot_be_is_one_line_before_anything_is_done(tmp_path, monkeypatch):
    words = ["predict", str(tmp_path / "no such folder"), "--openvino"]
    wrong = CliRunner().invoke(main, [*words, str(tmp_path / "m.onnx")])
    assert wrong.exit_code == 1 and "OpenVINO reads files that end in .xml" in wrong.output
    monkeypatch.setitem(sys.modules, "openvino", None)
    missing = CliRunner().invoke(main, [*words, str(tmp_path / "m.xml")])
    line = "Error: OpenVINO export needs the package openvino: pip install 'nni-nasoa[openvino]'\n"
    assert missing.exit_code == 1 and missing.output == line


def test_a_file_that_cannot_be_written_is_one_line(classifier, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ClassifierError, match="cannot be written") as error:
        classifier.export_openvino(tmp_path / "file" / "m.xml")
    assert "\n" not in str(error.value)
