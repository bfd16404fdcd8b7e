import logging
import re
import sys

import pytest
import timm
import torch

from nni_nasoa import zoo
from nni_nasoa.networks import WeightsError


def test_listed_by_name_only():
    names = zoo.list_models("timm")
    assert len(names) > 500 and "timm/resnet18" in names
    assert not any(name.startswith("timm/") for name in zoo.list_models())


def test_any_model_can_be_got_and_built():
    info = zoo.get("timm/vit_tiny_patch16_224")
    assert (info.name, info.family, info.input_size, info.mean) == (
        "timm/vit_tiny_patch16_224",
        "timm",
        224,
        (0.5, 0.5, 0.5),
    )
    assert (
        zoo.get("timm/resnet18.a1_in1k").family == "timm" and zoo.get("timm/inception_v3").input_size == 299
    )
    network = zoo.create_model("timm/resnet18", num_classes=4)
    assert isinstance(network, timm.models.ResNet) and network.fc.out_features == 4


@pytest.mark.parametrize(
    "name, message",
    [
        ("timm/resnet19", "zoo: no model 'timm/resnet19'; did you mean 'timm/resnet"),
        ("timm/resnet18.of_nobody", "zoo: no model 'timm/resnet18.of_nobody'; did you mean 'timm/resnet18"),
    ],
)
def test_unknown_names_are_one_line(name, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)) as error:
        zoo.create_model(name)
    assert "\n" not in str(error.value)


def test_weights_from_a_file(tmp_path):
    torch.manual_seed(2)
    state = timm.create_model("resnet10t").state_dict()
    torch.save(state, tmp_path / "weights.pth")
    loaded = zoo.create_model("timm/resnet10t", weights=tmp_path / "weights.pth").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    with pytest.warns(UserWarning, match="the head there is for 1000 classes"):
        loaded = zoo.create_model(
            "timm/resnet10t", num_classes=2, weights=tmp_path / "weights.pth"
        ).state_dict()
    assert torch.equal(loaded["conv1.0.weight"], state["conv1.0.weight"]) and loaded["fc.weight"].shape == (
        2,
        512,
    )


def test_without_a_network_default_weights_are_one_line(online, hub, monkeypatch, caplog):
    hub(b"")  # it answers when it is asked whether it is there, and the network goes then

    def fails(*args, **kwargs):
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 8s [Retry 5/5].")
        raise OSError("We couldn't connect to the hub\nto load the file")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fails)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", fails)
    with pytest.raises(WeightsError) as error:
        zoo.create_model("timm/resnet18.a1_in1k", weights="default")
    assert str(error.value) == (
        "timm/resnet18.a1_in1k: its weights could not be downloaded (We couldn't connect to the hub to "
        "load the file); "
        "give the path of a file as weights, or None for a fresh network"
    )
    assert not caplog.records


def test_other_families_do_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert zoo.list_models() and zoo.get("et-nas-a") and zoo.get("lite0")
    with pytest.raises(ValueError, match="no model 'nothing like it'"):
        zoo.get("nothing like it")
