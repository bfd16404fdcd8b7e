from __future__ import annotations

import pytest

from nni_nasoa.advisor.models import DEFAULT_STAGES, ModelFigures, has_weights, models_of
from nni_nasoa.zoo import UnknownNameError, get, list_models
from nni_nasoa.zoo.available import available_models


def test_zoos():
    assert [model.name for model in models_of("nano")] == list_models("nano")
    assert [model.name for model in models_of(" nano-c, nano-a,nano-c ")] == ["nano-c", "nano-a"]
    assert models_of("nano-a,torchvision")[0].name == "nano-a"
    assert [model.name for model in models_of("resnet50,auto")] == ["resnet50", *available_models()]
    assert has_weights(get("nano-a"))


@pytest.mark.parametrize(
    "zoo, words",
    [
        ("torchvison", "zoo: no family 'torchvison'; did you mean 'torchvision'"),
        ("nano-z", "zoo: no model 'nano-z'; did you mean 'nano-"),
        ("something else", "zoo: no model 'something else'; see `nasoa zoo list`"),
    ],
)
def test_a_name_that_is_neither_a_family_nor_a_model_is_told_what_it_is_close_to(zoo, words):
    with pytest.raises(UnknownNameError, match=f"^{words}"):
        models_of(zoo)


def test_parameters_are_counted_for_the_classes_of_the_dataset():
    figures = ModelFigures.of_zoo("nano-a")
    assert figures.parameters_m(1000) == pytest.approx(figures.known["params_m"], rel=1e-3)
    assert figures.parameters_m(10) < 0.7 * figures.known["params_m"]
    assert ModelFigures("x", {"params_m": 11.7}).parameters_m(10) == 11.7
    assert ModelFigures("x").parameters_m(10) is None


def test_sizes_follow_the_pretraining_and_no_network_is_fed_less_than_its_stride():
    def sizes(encoding, own):
        return ModelFigures("x", {"encoding": encoding, "input_size": own}).input_sizes

    assert ModelFigures.of_zoo("resnet18").input_sizes == (64, 96, 128, 160, 192, 224)
    assert ModelFigures("x").input_sizes == (64, 96, 128, 160, 192, 224)
    assert ModelFigures("x", {"input_size": 160}).input_sizes == (32, 64, 96, 128, 160)
    assert sizes("2-_32_2-11-112-1121112", 32) == (32, 44, 64)
    assert sizes("2-_8_2-1-1-1-1-1-1", 48) == (256,)


def test_stages_are_those_counted_else_those_of_the_encoding():
    encoding = "2-_32_2-11-112-1121112"
    assert [ModelFigures.of_zoo(model).stages for model in list_models("nano")] == [4, 4, 4, 3, 3, 3]
    assert ModelFigures("x", {"stages": 7, "encoding": encoding}).stages == 7
    assert ModelFigures("x", {"stages": 0, "encoding": "2-_8_2-1-1-1-1-1-1"}).stages == 7
    assert ModelFigures("x").stages == DEFAULT_STAGES and ModelFigures("x").counted_stages is None


def test_a_record_says_what_a_run_began_with_unless_that_is_usual():
    figures = ModelFigures("x", {"params_m": 2.0})
    assert figures.of_run() == figures.of_run("default") == {"params_m": 2.0}
    assert figures.of_run("none") == {"params_m": 2.0, "weights": "none"}
