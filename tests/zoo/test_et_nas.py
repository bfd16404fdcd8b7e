from pathlib import Path

import pytest
import torch

from nni_nasoa import zoo
from nni_nasoa.architecture import Architecture
from nni_nasoa.networks import ETNet, WeightsError
from nni_nasoa.networks.published import published_names

NAMES = [f"et-nas-{letter}" for letter in "abcdefghijkl"]


@pytest.fixture
def checkpoint():
    """Function (path, encoding, num_classes) that writes a checkpoint in the published
    format and returns its network.
    """

    def write(path: Path, encoding: str, num_classes: int) -> ETNet:
        network = ETNet(encoding, num_classes)
        path.parent.mkdir(parents=True, exist_ok=True)
        names = published_names(network)
        torch.save({names[key]: tensor for key, tensor in network.state_dict().items()}, path)
        return network

    return write


def test_names_and_figures():
    assert zoo.list_models("et-nas") == NAMES
    assert zoo.get("et-nas-i") == zoo.ModelInfo(
        "et-nas-i",
        "et-nas",
        "02031-a02_64_111-2111-21111111111111111111111-211",
        params_m=72.4,
        gmacs_224=13.13,
        imagenet_top1=81.38,
        infer_ms_v100_bs64=94.6,
        train_step_ms_v100_bs64=265.13,
    )


@pytest.mark.parametrize("name", NAMES)
def test_encodings_have_the_published_cost(name):
    info = zoo.get(name)
    architecture = Architecture.parse(info.encoding)
    assert architecture.parameters() / 1e6 == pytest.approx(info.params_m, abs=0.051)
    assert architecture.macs() / 1e9 == pytest.approx(info.gmacs_224, abs=0.0051)


def test_create_with_a_fresh_head():
    network = zoo.create_model("et-nas-a", num_classes=10)
    assert str(network.architecture) == zoo.get("et-nas-a").encoding
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 10)


@pytest.mark.parametrize("folder", ["", "ET-NAS-A"])
def test_default_weights_are_found_in_the_folder(tmp_path, monkeypatch, checkpoint, folder):
    monkeypatch.setenv("NASOA_WEIGHTS", str(tmp_path))
    encoding = zoo.get("et-nas-a").encoding
    source = checkpoint(tmp_path / folder / f"{encoding}.pth", encoding, 1000)
    network = zoo.create_model("et-nas-a", weights="default")
    assert all(torch.equal(a, b) for a, b in zip(source.state_dict().values(), network.state_dict().values()))
    with pytest.warns(UserWarning, match="head there is for 1000 classes"):
        assert zoo.create_model("et-nas-a", num_classes=3, weights="default").num_classes == 3


def test_swapped_upstream_folders_are_looked_up_by_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as error:
        zoo.create_model("et-nas-e", weights="default")
    file = "011-_64_21-211-121-11111121.pth"
    assert f"et-nas-e: no file {tmp_path / file}" in str(error.value) and f"ET-NAS-F/{file}" in str(
        error.value
    )
    assert "\n" not in str(error.value)


def test_a_given_file(tmp_path, checkpoint):
    path = tmp_path / "any name.pth"
    source = checkpoint(path, zoo.get("et-nas-a").encoding, 10)
    network = zoo.create_model("et-nas-a", 10, weights=path)
    assert torch.equal(network.head.weight, source.head.weight)
    with pytest.raises(
        WeightsError, match=r"any name\.pth: tensor 'layers\.6\.module_list\.0\.0\.0\.weight' has shape"
    ):
        zoo.create_model("et-nas-b", 10, weights=str(path))
