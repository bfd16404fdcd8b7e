import dataclasses
import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file

from nni_nasoa.architecture import ArchitectureError
from nni_nasoa.making.pretraining import pretrain, pretrain_all
from nni_nasoa.making.pretraining_recipe import MEAN, STD, PretrainError, PretrainRecipe
from nni_nasoa.networks import ETNet

ENCODING = "2-_8_11-21"
RECIPE = PretrainRecipe(classes=4, instances=24, val_instances=8, size=24, epochs=4, batch_size=16)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path_factory.getbasetemp() / "fractal-cache"))


class StoppedError(Exception):
    pass


def test_a_network_learns_and_its_card_says_how(tmp_path):
    told = []
    card = pretrain("small", ENCODING, tmp_path, dataclasses.replace(RECIPE, epochs=8), on_epoch=told.append)
    assert card == json.loads((tmp_path / "small.json").read_text())
    assert [epoch.number for epoch in told] == list(range(1, 9)) and told[0].name == "small"
    assert card["accuracy"] == told[-1].accuracy > 0.4 and told[-1].loss < told[0].loss  # chance is 0.25
    assert (card["encoding"], card["input_size"], tuple(card["mean"]), tuple(card["std"])) == (
        ENCODING,
        24,
        MEAN,
        STD,
    )
    assert (
        PretrainRecipe(**card["recipe"]) == dataclasses.replace(RECIPE, epochs=8)
        and card["versions"]["torch"] == torch.__version__.split("+")[0]
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.json", "small.safetensors"]
    weights, own = load_file(tmp_path / "small.safetensors"), ETNet(ENCODING, 2).state_dict()
    assert {**weights}.keys() == {name for name in own if not name.startswith("head.")}
    for name, tensor in weights.items():
        assert tensor.shape == own[name].shape and tensor.isfinite().all()
        assert tensor.dtype == (torch.float16 if tensor.ndim > 1 else own[name].dtype)


def test_an_interrupted_run_goes_on_and_ends_where_it_would_have(tmp_path):
    whole = pretrain("small", ENCODING, tmp_path / "whole", RECIPE)

    def stop(epoch):
        if epoch.number == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        pretrain("small", ENCODING, tmp_path / "parts", RECIPE, on_epoch=stop)
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["small.partial.pth"]
    numbers = []
    parts = pretrain(
        "small", ENCODING, tmp_path / "parts", RECIPE, on_epoch=lambda epoch: numbers.append(epoch.number)
    )
    assert numbers == [3, 4]
    # Not to the bit: torch rounds otherwise where memory happens to be aligned otherwise.
    weights = [load_file(tmp_path / folder / "small.safetensors") for folder in ("whole", "parts")]
    differences = torch.cat(
        [(weights[0][name].float() - weights[1][name].float()).abs().flatten() for name in weights[0]]
    )
    assert differences.mean() < 1e-3
    assert [epoch["loss"] for epoch in parts["history"]] == pytest.approx(
        [epoch["loss"] for epoch in whole["history"]], abs=0.01
    )


def test_what_is_finished_is_not_trained_again_unless_broken(tmp_path):
    epochs = []
    first = pretrain("small", ENCODING, tmp_path, RECIPE, on_epoch=epochs.append)
    assert pretrain("small", ENCODING, tmp_path, RECIPE, on_epoch=epochs.append) == first and len(epochs) == 4
    path = tmp_path / "small.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    again = pretrain("small", ENCODING, tmp_path, RECIPE, on_epoch=epochs.append)
    assert len(epochs) == 8 and again["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_another_seed_gives_other_weights(tmp_path):
    short = dataclasses.replace(RECIPE, epochs=1)
    assert (
        len(
            {
                pretrain("small", ENCODING, tmp_path / str(seed), dataclasses.replace(short, seed=seed))[
                    "sha256"
                ]
                for seed in (0, 1)
            }
        )
        == 2
    )


def test_a_checkpoint_of_another_recipe_is_not_taken(tmp_path):
    def stop(epoch):
        raise StoppedError

    with pytest.raises(StoppedError):
        pretrain("small", ENCODING, tmp_path, RECIPE, on_epoch=stop)
    with pytest.raises(
        PretrainError,
        match=r"small\.partial\.pth: checkpoint of another network or recipe; "
        r"go on with that one, or delete the file$",
    ):
        pretrain("small", ENCODING, tmp_path, dataclasses.replace(RECIPE, learning_rate=0.3))


def test_divergence_is_one_line(tmp_path):
    with pytest.raises(
        PretrainError,
        match=r"^small: the loss is not finite in epoch 1; a learning rate below 1e.30 may help$",
    ):
        pretrain("small", ENCODING, tmp_path, dataclasses.replace(RECIPE, learning_rate=1e30))
    assert not list(tmp_path.glob("small*"))


def test_several_networks_in_processes_of_their_own(tmp_path):
    networks = {"small": ENCODING, "large": "2-_8_11-21-11"}
    short = dataclasses.replace(RECIPE, epochs=1)
    cards = pretrain_all(networks, tmp_path, short, jobs=2)
    assert [card["name"] for card in cards] == ["small", "large"] and [
        card["encoding"] for card in cards
    ] == list(networks.values())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "large.json",
        "large.safetensors",
        "small.json",
        "small.safetensors",
    ]
    with pytest.raises(ArchitectureError):
        pretrain_all({"wrong": "2-_8_19"}, tmp_path, short)
