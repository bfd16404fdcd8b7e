import copy
import io
import signal
import threading

import pytest
import torch
from torch import nn

from nni_nasoa import zoo
from nni_nasoa.networks import ETNet
from nni_nasoa.zoo.stage_cutting import cut
from nni_nasoa.zoo.staged import Staged, StagedError, staged

# name, stages, shapes between them for images of 64 x 64 (without the batch)
NETWORKS = {
    "02031-a02_8_11-21-12": [(8, 16, 16), (16, 8, 8), (32,)],
    "resnet18": [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512,)],
    "resnext50_32x4d": [(256, 16, 16), (512, 8, 8), (1024, 4, 4), (2048,)],
    "regnet_y_400mf": [(48, 16, 16), (104, 8, 8), (208, 4, 4), (440,)],
    "efficientnet_b0": [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (1280,)],
    "mobilenet_v3_small": [(16, 16, 16), (24, 8, 8), (48, 4, 4), (1024,)],
    "convnext_tiny": [(96, 16, 16), (192, 8, 8), (384, 4, 4), (768,)],
    "timm/resnet18": [(64, 16, 16), (128, 8, 8), (256, 4, 4), (512,)],
    "timm/efficientnet_lite0": [
        (16, 32, 32),
        (24, 16, 16),
        (40, 8, 8),
        (80, 4, 4),
        (112, 4, 4),
        (192, 2, 2),
        (1280,),
    ],
    "timm/poolformer_s12": [(64, 16, 16), (128, 8, 8), (320, 4, 4), (512,)],  # no group_matcher
    "timm/hrnet_w18_small": [(2048,)],  # branches from end to end: nowhere a single tensor
}
SMALL = "02031-a02_8_11-21-12"


def _images(n=2, size=64):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(3))


def _network(name, num_classes=7):
    torch.manual_seed(1)
    network = zoo.create_model(name, num_classes=num_classes)
    for module in network.modules():  # statistics that eval mode and training mode cannot both get right
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_logits_are_the_networks_own_and_slices_compose(name):
    network = _network(name)
    x, expected = _images(), network(_images())
    view = staged(network)
    assert torch.equal(view(x), expected) and torch.equal(network(x), expected)
    assert (
        isinstance(view.head, nn.Linear) and view.features == view.head.in_features == NETWORKS[name][-1][0]
    )
    shapes = []
    for number in range(len(view.stages)):
        assert torch.equal(view.forward_stages(x, number), view.forward_stages(_images()))
        x = view.forward_stages(x, number, number + 1)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == NETWORKS[name] and torch.equal(view.head(x), expected)


@torch.no_grad()
def test_transformers_have_four_stages_and_take_their_normalisation_from_timm():
    network = _network("timm/vit_tiny_patch16_224")
    view = staged(network)
    assert torch.equal(view(_images(1, 224)), network(_images(1, 224)))
    assert len(view.stages) == 4 and (view.mean, view.std, view.input_size) == ((0.5,) * 3, (0.5,) * 3, 224)


def test_a_head_that_is_not_one_linear_layer_is_replaced():
    view = staged(_network("timm/deit_tiny_distilled_patch16_224"))
    assert len(view.stages) == 1 and view(_images(1, 224)).shape == (1, 7) and view.features == 192
    assert not {id(p) for p in view.head.parameters()} & {id(p) for p in view.stages.parameters()}


def test_a_model_that_hands_tuples_from_stage_to_stage_is_not_cut():
    network = _network("timm/pit_ti_224")
    expected = network(_images(1, 224))
    view = staged(network)
    assert len(view.stages) == 1 and torch.equal(view(_images(1, 224)), expected)


def test_a_network_without_a_linear_head_is_one_line():
    with pytest.raises(
        StagedError, match=r"^Sequential: no linear layer at its end, so there is no head to fine-tune$"
    ):
        staged(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))


@torch.no_grad()
def test_a_network_of_nobodys_family_is_one_stage():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    view = staged(network)
    assert len(view.stages) == 1 and torch.equal(view(_images()), network(_images()))


@pytest.mark.parametrize(
    "name, mean, size",
    [("et-nas-a", 0.485, 224), ("efficientnet_b4", 0.485, 380), ("timm/inception_v3", 0.5, 299)],
)
def test_normalisation_and_size_by_name(name, mean, size):
    view = staged(ETNet(SMALL, 3), name)
    assert view.mean[0] == mean and len(view.mean) == len(view.std) == 3 and view.input_size == size


def test_parameters_are_shared_with_the_network():
    network = _network(SMALL)
    view = staged(network)
    assert {id(p) for p in view.parameters()} == {id(p) for p in network.parameters()}
    assert {id(b) for b in view.buffers()} == {id(b) for b in network.buffers()}
    with torch.no_grad():
        network.stem[0].conv.weight.mul_(2)
    assert torch.equal(view(_images()), network(_images()))


@pytest.mark.parametrize("name", [SMALL, "mobilenet_v3_small", "timm/resnet18"])
def test_training_gives_the_networks_own_gradients(name):
    network = _network(name)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    other = copy.deepcopy(network)
    view = staged(network)
    for model in (view, other):
        model.train()(_images()).square().sum().backward()
    theirs = dict(other.named_parameters())
    for parameter_name, parameter in network.named_parameters():
        assert torch.equal(parameter.grad, theirs[parameter_name].grad), parameter_name
    assert all(torch.equal(a, b) for a, b in zip(network.buffers(), other.buffers()))


@pytest.mark.parametrize("name", [SMALL, "mobilenet_v3_small"])
def test_dropout_and_mode_are_those_of_the_view(name):
    network = _network(name).train()
    view = staged(network)
    assert view.training and all(module.training for module in network.modules())
    view.eval()
    assert not any(module.training for module in view.modules())


@pytest.mark.parametrize("count", range(4))
def test_frozen_stages_keep_their_statistics_and_get_no_gradients(count):
    view = staged(_network(SMALL)).freeze(count)
    before = copy.deepcopy(view.state_dict())
    view.train()
    optimizer = torch.optim.SGD([p for p in view.parameters() if p.requires_grad], lr=0.1)
    view(_images()).square().sum().backward()
    for number, stage in enumerate(view.stages):
        for parameter in stage.parameters():
            assert (parameter.grad is None) == (number < count)
    assert view.head.weight.grad is not None
    optimizer.step()
    after = view.state_dict()
    for name, tensor in before.items():
        frozen = name.startswith("stages.") and int(name.split(".")[1]) < count
        assert torch.equal(tensor, after[name]) == frozen, name
    # Features of frozen stages are the same in training as in evaluation, so they can be computed once.
    with torch.no_grad():
        assert torch.equal(
            view.forward_stages(_images(), 0, count), view.eval().forward_stages(_images(), 0, count)
        )


def test_freezing_can_be_changed_and_is_bounded():
    view = staged(_network(SMALL)).train().freeze(3)
    assert [p.requires_grad for p in view.parameters()].count(True) == 2 and not view.stages[2].training
    view.freeze(1)
    assert (
        view.stages[1].training
        and all(p.requires_grad for p in view.stages[1].parameters())
        and not view.stages[0].training
    )
    view.freeze(0)
    assert all(p.requires_grad for p in view.parameters()) and all(
        module.training for module in view.modules()
    )
    for wrong in (-1, 4):
        with pytest.raises(
            ValueError,
            match=f"^frozen stages: {wrong} is not a number from 0 to 3, the stages of this network$",
        ):
            view.freeze(wrong)


def test_the_head_can_be_replaced_and_the_view_saved():
    view = staged(_network(SMALL))
    view.head = nn.Linear(view.features, 3)
    file = io.BytesIO()
    torch.save(view.state_dict(), file)
    file.seek(0)
    other = staged(_network(SMALL, 3))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert view(_images()).shape == (2, 3) and torch.equal(other(_images()), view(_images()))
    assert isinstance(copy.deepcopy(view), Staged) and torch.equal(
        copy.deepcopy(view)(_images()), view(_images())
    )


@torch.no_grad()
def test_other_sizes_than_those_it_was_cut_at():
    network = _network("regnet_y_400mf")
    view = staged(network)
    for n, size in ((1, 96), (3, 40)):
        assert torch.equal(view(_images(n, size)), network(_images(n, size)))


class Interrupted(nn.Module):
    """Ctrl-C comes as it is traced, or used."""

    def __init__(self):
        super().__init__()
        self.fc, self.after = nn.Linear(12, 2), 0

    def forward(self, x):
        signal.raise_signal(signal.SIGINT)
        self.after += 1
        return self.fc(torch.flatten(x, 1))


def test_ctrl_c_waits_for_the_end_of_tracing():
    """It would leave torch's modules patched for good, if it came at a bad moment."""

    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)]

    network, before = Interrupted(), handlers()
    with pytest.raises(KeyboardInterrupt):
        cut(network, 2)
    assert network.after == 1 and handlers() == before
    with pytest.raises(KeyboardInterrupt):
        network(torch.zeros(1, 3, 2, 2))
    assert network.after == 1


def test_a_thread_cuts_too():
    stages = []
    thread = threading.Thread(target=lambda: stages.extend(staged(ETNet(SMALL)).stages))
    thread.start()
    thread.join()
    assert len(stages) == 3
