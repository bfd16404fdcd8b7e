"""The part of a network that is trained, and the rates of its stages."""

import pytest
from torch import nn

from nni_nasoa.training.trainable import Trainable
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.staged import staged


@pytest.mark.parametrize("name, stages", [("nano-a", 4), ("timm/vit_tiny_patch16_224", 4)])
def test_rates_fall_by_stage_from_the_head_to_the_images(name, stages):
    network = create_model(name, num_classes=2)
    view = staged(network, name)
    rates = Trainable(view, 0).relative_rates(0.5)
    assert len(view.stages) == stages
    for place, stage in enumerate(view.stages):
        assert {rates[parameter] for parameter in stage.parameters()} == {0.5 ** (stages - place)}
    assert not set(view.head.parameters()) & set(rates)
    assert {*rates, *view.head.parameters()} == set(network.parameters())


def test_all_parameters_of_a_regime_with_layer_decay_are_trained():
    view = staged(create_model("nano-a", num_classes=2), "nano-a")
    view.freeze(2)
    trained = [parameter for parameter in Trainable(view, 2).parameters() if parameter.requires_grad]
    rates = Trainable(view, 2).relative_rates(0.7)
    assert {round(rates.get(parameter, 1.0), 6) for parameter in trained} == {1.0, 0.7, 0.49}
    assert isinstance(view.head, nn.Linear)
