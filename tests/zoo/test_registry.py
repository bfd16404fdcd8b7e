import subprocess
import sys

import pytest

from nni_nasoa import zoo
from nni_nasoa.architecture import ArchitectureError
from nni_nasoa.networks import ETNet, WeightsError


def test_importing_the_zoo_loads_no_torch():
    code = (
        "import nni_nasoa.zoo, sys; nni_nasoa.zoo.get('et-nas-a'); "
        "print([m for m in ('torch', 'nni', 'scipy', 'pandas') if m in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_every_listed_model_can_be_got():
    assert zoo.list_models("et-nas") and set(zoo.list_models("et-nas")) <= set(zoo.list_models())
    for name in zoo.list_models():
        assert zoo.get(name).name == name and zoo.get(name).family


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: zoo.get("et-nas-aa"), "zoo: no model 'et-nas-aa'; did you mean 'et-nas-a"),
        (lambda: zoo.get("ET-NAS-A"), "zoo: no model 'ET-NAS-A'; did you mean 'et-nas-a"),
        (lambda: zoo.create_model("et_nas_c"), "zoo: no model 'et_nas_c'; did you mean 'et-nas-c"),
        (lambda: zoo.get("something else"), "zoo: no model 'something else'; see `nasoa zoo list`"),
        (lambda: zoo.create_model(""), "zoo: no model ''; see `nasoa zoo list`"),
        (lambda: zoo.list_models("etnas"), "zoo: no family 'etnas'; did you mean 'et-nas'?"),
        (
            lambda: zoo.list_models("what"),
            (
                "zoo: no family 'what'; see nano, lite, et-nas, torchvision, timm, searched, "
                "or the path of a front file (.json)"
            ),
        ),
    ],
)
def test_unknown_names_are_one_line_with_close_matches(call, message):
    with pytest.raises(zoo.UnknownNameError) as error:
        call()
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert isinstance(error.value, ValueError) and bool(error.value.close) == ("did you mean" in message)


def test_create_from_an_encoding():
    network = zoo.create_model("2-_32_2-11-112", num_classes=5)
    assert (
        isinstance(network, ETNet)
        and str(network.architecture) == "2-_32_2-11-112"
        and network.num_classes == 5
    )
    with pytest.raises(ArchitectureError, match="macro stage 2 block 1: multiplier '9'"):
        zoo.create_model("2-_32_2-9")
    with pytest.raises(WeightsError, match="the encoding 2-_32_2 has no pretrained weights"):
        zoo.create_model("2-_32_2", weights="default")


NEW_FAMILY = """
from nni_nasoa import zoo

class Family:
    name = "mine"

    def models(self):
        return {"mine-1": zoo.ModelInfo("mine-1", "mine")}

    def create(self, info, num_classes, weights):
        return info.name, num_classes, weights

zoo.register_family(Family())
assert zoo.list_models("mine") == ["mine-1"] and "mine-1" in zoo.list_models()
assert zoo.create_model("mine-1", 3, "file") == ("mine-1", 3, "file")
try:
    zoo.register_family(Family())
except ValueError as error:
    print(error)
"""


def test_a_new_family_takes_part():
    """In a process of its own, as a family that is registered stays."""
    done = subprocess.run([sys.executable, "-c", NEW_FAMILY], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("zoo: there is already a family 'mine'\n", "")


def test_a_network_for_which_there_is_no_memory_is_one_line():
    with pytest.raises(ArchitectureError, match=r"a network of 707 GB, where .* GB of memory are free"):
        zoo.create_model("606060606-_65536_" + "1" * 50)
