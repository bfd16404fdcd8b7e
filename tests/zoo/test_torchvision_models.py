import csv
import warnings
from importlib import resources

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from nni_nasoa import zoo
from nni_nasoa.networks import WeightsError
from nni_nasoa.zoo.torchvision_models import published_figures

NAMES = zoo.list_models("torchvision")
TABLE = {
    row["name"]: row
    for row in csv.DictReader(
        (resources.files("nni_nasoa.zoo") / "torchvision_models.csv").read_text(encoding="utf-8").splitlines()
    )
}


def test_the_families_of_the_paper_are_there():
    for name in (
        "resnet50",
        "resnext50_32x4d",
        "regnet_y_400mf",
        "efficientnet_b0",
        "mobilenet_v3_small",
        "convnext_tiny",
    ):
        assert name in NAMES and name in zoo.list_models()


@pytest.mark.parametrize("name", [name for name in NAMES if zoo.get(name).input_size == 224])
def test_figures_are_torchvisions_own(name):
    """Against the metadata of the weights that the table names, which stay when torchvision adds better."""
    assert published_figures(name, TABLE[name]["weights"]) == TABLE[name]


@pytest.mark.parametrize("name", ["efficientnet_b1", "efficientnet_b2", "efficientnet_v2_s"])
def test_macs_of_other_sizes_are_counted_at_224(name):
    row = published_figures(name, TABLE[name]["weights"])
    assert float(row.pop("gmacs_224")) == pytest.approx(zoo.get(name).gmacs_224, rel=1e-3)
    assert row.items() <= TABLE[name].items() and row["input_size"] != "224"


def test_what_is_known_of_a_model():
    info = zoo.get("resnet50")
    assert (info.family, info.encoding, info.params_m, info.gmacs_224, info.imagenet_top1) == (
        "torchvision",
        None,
        25.557,
        4.089,
        80.858,
    )
    assert zoo.get("efficientnet_b4").input_size == 380 and zoo.get("efficientnet_v2_l").mean == (
        0.5,
        0.5,
        0.5,
    )


def test_a_fresh_model_has_the_classes_that_are_asked_for():
    network = zoo.create_model("mobilenet_v3_small", num_classes=5)
    assert isinstance(network, models.MobileNetV3) and network.classifier[-1].out_features == 5


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """torch's download cache with a checkpoint of mobilenet_v3_small, where torchvision would put it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(5)
    state = models.mobilenet_v3_small().state_dict()
    url = models.get_model_weights("mobilenet_v3_small")["IMAGENET1K_V1"].url
    path = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    return state, path


@pytest.mark.parametrize("classes", [1000, 5])
def test_default_weights_go_through_torchvision(checkpoint, classes):
    state, _ = checkpoint
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = zoo.create_model("mobilenet_v3_small", num_classes=classes, weights="default").state_dict()
    for name, tensor in state.items():
        if classes == 1000 or not name.startswith("classifier.3."):
            assert torch.equal(loaded[name], tensor), name
    assert len(loaded["classifier.3.bias"]) == classes


def test_without_a_network_default_weights_are_one_line(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("NASOA_OFFLINE")
    with pytest.raises(WeightsError) as error:
        zoo.create_model("mobilenet_v3_small", weights="default")
    message = str(error.value)
    assert message.startswith(
        "mobilenet_v3_small: its weights could not be downloaded ([Errno -2] Name or service not known); "
        "where there is no network, put https://"
    )
    assert str(tmp_path / "hub" / "checkpoints") in message and "\n" not in message


def test_weights_from_a_file(checkpoint, tmp_path):
    state, path = checkpoint
    save_file(state, tmp_path / "weights.safetensors")
    for file in (path, tmp_path / "weights.safetensors"):
        loaded = zoo.create_model("mobilenet_v3_small", weights=file).state_dict()
        assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    with pytest.warns(
        UserWarning, match="the head there is for 1000 classes; the network's head starts afresh"
    ):
        loaded = zoo.create_model("mobilenet_v3_small", num_classes=3, weights=path).state_dict()
    assert (
        torch.equal(loaded["classifier.0.weight"], state["classifier.0.weight"])
        and len(loaded["classifier.3.bias"]) == 3
    )


@pytest.mark.parametrize(
    "name, weights, message",
    [
        ("mobilenet_v3_large", "the file", "tensor 'features.2.block.0.0.weight' has shape|no tensor '"),
        ("mobilenet_v3_small", "nothing.pth", "nothing.pth: no such file"),
    ],
)
def test_files_that_do_not_fit_are_one_line(checkpoint, name, weights, message):
    with pytest.raises(WeightsError, match=message) as error:
        zoo.create_model(name, weights=checkpoint[1] if weights == "the file" else weights)
    assert "\n" not in str(error.value)


def test_unknown_names_have_close_matches():
    with pytest.raises(ValueError, match="zoo: no model 'resnet51'; did you mean 'resnet"):
        zoo.create_model("resnet51")
