import json
import shutil
import subprocess
import sys
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from nni_nasoa import zoo
from nni_nasoa.files import zoo_folder
from nni_nasoa.making.pretraining import pretrain
from nni_nasoa.making.pretraining_recipe import PretrainRecipe
from nni_nasoa.networks import ETNet
from nni_nasoa.networks.published import published_names

ENCODING, OTHER = "2-_8_11-21", "2-_8_11-2"


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """The folder of an empty zoo of one's own."""
    monkeypatch.setenv("NASOA_ZOO", str(tmp_path / "own"))
    return tmp_path / "own"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Weights of pretraining, with their card beside them."""
    folder = tmp_path_factory.mktemp("pretrained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NASOA_CACHE", str(folder / "cache"))
        pretrain(
            "small",
            ENCODING,
            folder,
            PretrainRecipe(classes=4, instances=8, val_instances=2, size=24, epochs=1, batch_size=16),
        )
    return folder / "small.safetensors"


@pytest.fixture
def own_file(tmp_path):
    """A file with an own network's tensors that tells nothing else."""
    save_file(ETNet(ENCODING, 3).state_dict(), tmp_path / "plain.safetensors")
    return tmp_path / "plain.safetensors"


def files(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_what_was_pretrained_is_known_in_any_later_process(own, pretrained):
    info = zoo.add_model("mine", pretrained)
    assert info == zoo.get("mine") and files(own) == ["mine.safetensors"]
    assert (info.family, info.encoding, info.input_size) == ("searched", ENCODING, 24)
    assert (info.mean, info.std) == ((0.5,) * 3, (0.33,) * 3)
    assert zoo.list_models("searched") == ["mine"] and "mine" in zoo.list_models()
    code = (
        "import sys; from nni_nasoa import zoo; print(zoo.list_models('searched'), "
        "zoo.get('mine').input_size, 'torch' in sys.modules);"
        "print(zoo.create_model('mine', 5, 'default').head.out_features)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["['mine'] 24 False", "5"]
    network, stored = zoo.create_model("mine", 5, "default").state_dict(), load_file(pretrained)
    assert all(torch.equal(network[name], tensor.to(network[name].dtype)) for name, tensor in stored.items())
    assert zoo.create_model("mine", 5).num_classes == 5
    zoo.remove_model("mine")
    assert files(own) == zoo.list_models("searched") == [] and pretrained.exists()


def test_a_plain_file_with_its_network_named(own_file):
    info = zoo.add_model("plain", own_file, ENCODING)
    assert (info.encoding, info.input_size, info.mean) == (ENCODING, 224, zoo.ModelInfo("", "").mean)
    loaded = zoo.create_model("plain", 3, "default").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in load_file(own_file).items())
    with pytest.warns(UserWarning, match="head there is for 3 classes"):
        zoo.create_model("plain", 4, "default")


def test_a_published_file_and_a_network_of_a_front(tmp_path):
    network = ETNet(ENCODING, 10)
    names = published_names(network)
    torch.save(
        {names[name]: tensor for name, tensor in network.state_dict().items()}, tmp_path / "published.pth"
    )
    front = {
        "format": "nni-nasoa front",
        "version": 1,
        "networks": [{"architecture": OTHER}, {"architecture": ENCODING}],
    }
    (tmp_path / "front.json").write_text(json.dumps(front))
    zoo.add_model("published", tmp_path / "published.pth", f"{tmp_path}/front.json#2")
    assert torch.equal(zoo.create_model("published", 10, "default").head.weight, network.head.weight)


def test_the_folder_of_ones_data(monkeypatch, tmp_path, pretrained):
    monkeypatch.delenv("NASOA_ZOO")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert zoo_folder() == tmp_path / ".local" / "share" / "nni_nasoa" / "zoo"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    zoo.add_model("mine", pretrained)
    assert files(tmp_path / "data" / "nni_nasoa" / "zoo") == ["mine.safetensors"]


def test_a_damaged_entry_is_left_out_and_the_others_stay(own, pretrained, own_file):
    for name in ("a", "b", "c"):
        zoo.add_model(name, pretrained)
    whole = (own / "b.safetensors").read_bytes()
    (own / "b.safetensors").write_bytes(whole[:-5])
    shutil.copy(own_file, own / "foreign.safetensors")
    with pytest.warns(UserWarning, match="^left out of the zoo: ") as caught:
        assert zoo.list_models("searched") == ["a", "c"]
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2 and all(
        "\n" not in message and message.startswith("left out of the zoo: ") for message in messages
    )
    assert (
        f"{own / 'b.safetensors'}: damaged" in messages[0]
        and "foreign.safetensors: not added by" in messages[1]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert zoo.get("c").name == "c" and zoo.get("et-nas-a")
    for call in (lambda: zoo.get("b"), lambda: zoo.create_model("b", 2, "default")):
        with pytest.raises(zoo.ZooError, match=r"b\.safetensors: damaged, or not a safetensors file"):
            call()
    with pytest.raises(zoo.ZooError, match="already a model 'b'; take another name, or remove it"):
        zoo.add_model("b", pretrained)
    zoo.remove_model("b")
    assert zoo.add_model("b", pretrained).name == "b"


@pytest.mark.parametrize(
    "name", ["", "../mine", "a/b", ".hidden", "-x", "a b", "x\n", "mine#1", "ä", "x" * 65, "2-_8_11"]
)
def test_bad_names(own, pretrained, name):
    with pytest.raises(zoo.ZooError, match="is not a name for a model: 1 to 64 letters") as error:
        zoo.add_model(name, pretrained)
    assert "\n" not in str(error.value) or "\n" in name
    with pytest.raises(zoo.ZooError, match="not among the models that were added: none"):
        zoo.remove_model(name)
    assert files(own) == [] and pretrained.exists()


@pytest.mark.parametrize(
    "name, message",
    [
        ("et-nas-a", "'et-nas-a' is a model of the family et-nas; take another name"),
        ("ResNet50", "'resnet50' is a model of the family torchvision; take another name"),
        (
            "mine",
            r"there is already a model 'mine'; take another name, or remove it \(nasoa zoo remove mine\)",
        ),
        ("MINE", "there is already a model 'mine'"),
    ],
)
def test_names_that_are_taken(own, pretrained, name, message):
    zoo.add_model("mine", pretrained)
    with pytest.raises(zoo.ZooError, match=message):
        zoo.add_model(name, pretrained)
    assert files(own) == ["mine.safetensors"]


CARDS = {
    "of another card": {"sha256": "0" * 64},
    "card without spread": {"std": [0, 0, 0]},
    "card of a huge mean": {"mean": [0, 10**400, 0]},
    "card of huge images": {"input_size": 9999},
}


def broken(tmp_path, pretrained, kind):
    """A file, and the network it is said to be of."""
    state = load_file(pretrained)
    path = tmp_path / f"{kind}.safetensors"
    if kind == "truncated":
        path.write_bytes(pretrained.read_bytes()[:-3])
    elif kind == "infinite":
        save_file({**state, "stem.0.conv.weight": state["stem.0.conv.weight"] / 0}, path)
    elif kind == "lacking":
        save_file({name: tensor for name, tensor in state.items() if not name.startswith("stages.1")}, path)
    elif kind == "text":
        path = path.with_suffix(".pth")
        path.write_text("nothing")
    elif kind == "folder":
        path.mkdir()
    elif kind == "unreadable card" or kind in CARDS:
        shutil.copy(pretrained, path)
        card = json.loads(pretrained.with_suffix(".json").read_text())
        card |= CARDS.get(kind, {})
        path.with_suffix(".json").write_text(json.dumps(card)[: -1 if kind == "unreadable card" else None])
        return path, None
    return path, ENCODING


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "missing.safetensors: no such file"),
        ("truncated", "truncated.safetensors: damaged, or not a safetensors file"),
        ("infinite", "tensor 'stem.0.conv.weight' has values that are not finite"),
        ("lacking", "lacking.safetensors: no tensor 'stages.1."),
        ("text", "text.pth: not a state_dict saved by torch"),
        ("folder", "folder.safetensors: not saved by 'nasoa finetune'"),
        ("of another card", "the card of other weights than of another card.safetensors"),
        ("unreadable card", "unreadable card.json: damaged"),
        ("card without spread", r"card.*json: damaged, std, entry 1: 0 is not a number from 1e-06"),
        ("card of a huge mean", r"card.*json: damaged, mean, entry 2: 10+\.\.\. is not a number"),
        ("card of huge images", "card.*json: damaged, input_size: 9999 is not a whole number from 1 to 2048"),
    ],
)
def test_files_that_are_broken_register_nothing(own, tmp_path, pretrained, kind, message):
    path, network = broken(tmp_path, pretrained, kind)
    with pytest.raises(ValueError, match=message) as error:
        zoo.add_model("mine", path, network)
    assert "\n" not in str(error.value) and files(own) == []


@pytest.mark.parametrize(
    "network, message",
    [
        (None, r"plain.safetensors: does not say which network it is of; name it \(--network\)"),
        (OTHER, "plain.safetensors: (1?[0-9]+ tensors that|tensor )"),
        ("2-_8_19", "multiplier '9'"),
        ("resnet18", "resnet18 is not an ET-NAS network"),
        ("front.json#1", "front.json: no such file"),
    ],
)
def test_networks_that_do_not_fit(own, own_file, network, message):
    with pytest.raises(ValueError, match=message) as error:
        zoo.add_model("mine", own_file, network)
    assert "\n" not in str(error.value) and files(own) == []


def test_another_network_than_the_card_says(own, pretrained):
    with pytest.raises(
        zoo.ZooError, match=f"small.safetensors: weights of the network {ENCODING}, not of {OTHER}"
    ):
        zoo.add_model("mine", pretrained, OTHER)
    assert files(own) == []


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path, pretrained):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NASOA_ZOO", str(tmp_path / "file"))
    with pytest.raises(zoo.ZooError, match="NASOA_ZOO names another folder"):
        zoo.add_model("mine", pretrained)
    with pytest.warns(UserWarning, match="the zoo cannot be read"):
        assert zoo.list_models("searched") == []
