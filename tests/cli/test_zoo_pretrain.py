import json

import pytest

from nni_nasoa import zoo
from nni_nasoa.cli.zoo_pretrain import recipes_of
from nni_nasoa.making.pretraining_recipe import PretrainRecipe
from nni_nasoa.zoo.nano import NanoFamily

NETWORKS = {"nano-a": "2-_8_11-21", "nano-b": "2-_8_11-2"}


@pytest.fixture
def family(tmp_path):
    """A family of two networks that has no cards yet, and none of their weights."""
    (tmp_path / "nano.csv").write_text(
        "name,encoding,params_m,gmacs_224,search_accuracy,relative_speed\n"
        + "".join(f"{name},{encoding},0.04,0.006,0.7,4.1\n" for name, encoding in NETWORKS.items())
    )
    (tmp_path / "weights").mkdir()
    return NanoFamily(tmp_path / "nano.csv", tmp_path / "weights")


@pytest.fixture
def carded(family):
    """The family with a card for each network, of a recipe each."""
    for name, seed in zip(NETWORKS, (5, 7)):
        card = {"recipe": {"epochs": 3, "learning_rate": 0.02, "seed": seed}}
        (family.weights / f"{name}.json").write_text(json.dumps(card))
    return family


def test_without_models_the_whole_family_is_made_again_by_its_cards(carded):
    assert recipes_of([], {}, carded) == {
        PretrainRecipe(epochs=3, learning_rate=0.02, seed=5): {"nano-a": NETWORKS["nano-a"]},
        PretrainRecipe(epochs=3, learning_rate=0.02, seed=7): {"nano-b": NETWORKS["nano-b"]},
    }


def test_what_is_set_stands_above_the_cards(carded):
    assert recipes_of([], {"seed": 3}, carded) == {
        PretrainRecipe(epochs=3, learning_rate=0.02, seed=3): NETWORKS
    }
    encoding = zoo.get("nano-b").encoding
    assert recipes_of(["nano-b", "2-_8_1"], {"batch_size": 8}, carded) == {
        PretrainRecipe(epochs=3, learning_rate=0.02, seed=7, batch_size=8): {"nano-b": encoding},
        PretrainRecipe(batch_size=8): {"2-_8_1": "2-_8_1"},
    }


def test_without_cards_all_that_is_not_set_are_the_defaults(family):
    assert recipes_of([], {"seed": 3}, family) == {PretrainRecipe(seed=3): NETWORKS}


def test_the_cards_are_those_of_this_package():
    cards = {name: zoo.nano.FAMILY.card(name) for name in zoo.list_models("nano")}
    made = {name: recipe for recipe, networks in recipes_of([], {}).items() for name in networks}
    assert made == {name: PretrainRecipe(**card["recipe"]) for name, card in cards.items()}
