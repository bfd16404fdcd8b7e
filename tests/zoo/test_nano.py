import hashlib
import json
import shutil
import subprocess
import sys
import warnings
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from nni_nasoa import zoo
from nni_nasoa.architecture import Architecture
from nni_nasoa.making.pretraining import pretrain
from nni_nasoa.making.pretraining_recipe import PretrainRecipe
from nni_nasoa.networks import WeightsError
from nni_nasoa.zoo import nano

ROOT = Path(__file__).parents[2]
NAMES = zoo.list_models("nano")
TABLE = """name,encoding,params_m,gmacs_224,search_accuracy,relative_speed
nano-a,2-_8_11-21,0.0400,0.0061,0.7000,4.100
nano-b,2-_8_11-2,0.0700,0.0080,0.8000,2.000
"""


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A family of two, of which only the first is pretrained, on a few images."""
    folder = tmp_path_factory.mktemp("nano")
    (folder / "nano.csv").write_text(TABLE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASOA_CACHE", str(folder / "cache"))
        recipe = PretrainRecipe(classes=4, instances=8, val_instances=2, size=24, epochs=1, batch_size=16)
        pretrain("nano-a", "2-_8_11-21", folder / "weights", recipe)
    return nano.NanoFamily(folder / "nano.csv", folder / "weights")


def test_figures_are_those_of_the_table_and_the_card(family):
    assert list(family.models()) == ["nano-a", "nano-b"]
    assert family.models()["nano-a"] == zoo.ModelInfo(
        "nano-a",
        "nano",
        "2-_8_11-21",
        params_m=0.04,
        gmacs_224=0.0061,
        search_accuracy=0.7,
        relative_speed=4.1,
        input_size=24,
        mean=(0.5, 0.5, 0.5),
        std=(0.33, 0.33, 0.33),
    )
    assert family.card("nano-a")["recipe"]["classes"] == 4 and family.card("nano-b") is None


@pytest.mark.parametrize("classes", [2, 4, 1000])
def test_default_weights_come_with_a_fresh_head_and_without_a_warning(family, classes):
    stored = load_file(family.weights / "nano-a.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        networks = [family.create(family.models()["nano-a"], classes, "default") for _ in range(2)]
    for name, tensor in networks[0].state_dict().items():
        assert name.startswith("head.") or torch.equal(tensor, stored[name].to(tensor.dtype)), name
    assert networks[0].head.out_features == classes and not torch.equal(
        networks[0].head.weight, networks[1].head.weight
    )
    assert networks[0].stem[0].conv.weight.dtype == torch.float32


def test_without_weights_default_is_one_line(family):
    with pytest.raises(WeightsError, match=r"nano-b\.safetensors: no such file$"):
        family.create(family.models()["nano-b"], 10, "default")
    assert family.create(family.models()["nano-b"], 10, None).num_classes == 10


def test_names_and_figures_of_the_table():
    assert [f"nano-{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"[: len(NAMES)]] == NAMES
    infos = [zoo.get(name) for name in NAMES]
    for info in infos:
        architecture = Architecture.parse(info.encoding)
        assert info.params_m == pytest.approx(architecture.parameters() / 1e6, abs=6e-5)
        assert info.gmacs_224 == pytest.approx(architecture.macs() / 1e9, abs=6e-5)
    for small, large in pairwise(infos):  # a front: what is larger is slower, and more accurate
        assert small.params_m < large.params_m
        assert small.relative_speed > large.relative_speed and small.search_accuracy < large.search_accuracy


def test_a_wheel_holds_table_weights_and_cards(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "nni_nasoa", source / "nni_nasoa", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    folder = source / "nni_nasoa" / "zoo" / "nano_weights"
    folder.mkdir(exist_ok=True)
    for suffix in (".safetensors", ".json"):
        (folder / f"probe{suffix}").write_text("{}")
    code = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, check=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist())
    assert {f"nni_nasoa/zoo/nano_weights/{path.name}" for path in folder.iterdir()} | {
        "nni_nasoa/zoo/nano.csv"
    } <= names


# What follows is of the weights in the package.


def test_shipped_at_least_six_of_growing_cost():
    assert len(NAMES) >= 6
    assert 0.03 < zoo.get(NAMES[0]).params_m < 0.3 and 0.8 < zoo.get(NAMES[-1]).params_m < 2.5


def test_shipped_weights_and_cards_are_small():
    files = list(nano.FAMILY.weights.iterdir())
    assert {file.name for file in files} == {
        f"{name}{suffix}" for name in NAMES for suffix in (".json", ".safetensors")
    }
    assert sum(file.stat().st_size for file in files) < 12 * 2**20


@pytest.mark.parametrize("name", NAMES)
def test_shipped_weights_are_those_of_card_and_table(name):
    info, card = zoo.get(name), json.loads((nano.FAMILY.weights / f"{name}.json").read_text())
    assert (card["name"], card["encoding"]) == (name, info.encoding)
    assert (info.input_size, info.mean, info.std) == (
        card["input_size"],
        tuple(card["mean"]),
        tuple(card["std"]),
    )
    assert (
        card["sha256"]
        == hashlib.sha256((nano.FAMILY.weights / f"{name}.safetensors").read_bytes()).hexdigest()
    )
    assert PretrainRecipe(**card["recipe"]).classes >= 500 and card["accuracy"] > 0.02  # chance is 0.002
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = zoo.create_model(name, 7, "default").eval()
    assert network(torch.zeros(1, 3, info.input_size, info.input_size)).isfinite().all()
