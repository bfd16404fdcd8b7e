"""A head on what all stages give: the same wherever the network is cut, scaled, mirrored, and restored."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.stage_pooling import EARLIER_WEIGHT, EPS, NORM, PooledStages
from nni_nasoa.zoo.staged import Staged, staged

SIZE = 32


@pytest.fixture(params=["nano-a", "mobilenet_v3_small", "timm/vit_tiny_patch16_224"])
def view(request):
    torch.manual_seed(0)
    size = 224 if request.param.startswith("timm/") else SIZE
    network = create_model(request.param, 3, weights=None)
    return PooledStages(staged(network, request.param), 5, size).eval(), size


@pytest.fixture
def small():
    torch.manual_seed(0)
    return PooledStages(staged(create_model("nano-a", 3), "nano-a"), 5, SIZE).eval()


def images(size, count=3):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_it_gives_the_same_wherever_stages_are_frozen(view):
    network, size = view
    x = images(size)
    whole = network.forward_stages(x)
    assert whole.shape == (3, network.head.in_features) and network(x).shape == (3, 5)
    for frozen in range(1, len(network.stages)):
        kept = network.forward_stages(x, 0, frozen)
        assert kept.ndim == 2  # so that it can be kept, mixed and sampled as other features are
        torch.testing.assert_close(network.forward_stages(kept, frozen), whole, atol=1e-4, rtol=1e-4)
    assert network.forward_stages(whole, len(network.stages)) is whole


def test_gradients_reach_all_stages_and_never_what_is_frozen(small):
    small.freeze(1).train()
    F.cross_entropy(small(images(SIZE)), torch.tensor([0, 1, 2])).backward()
    for number, stage in enumerate(small.stages):
        gradients = [parameter.grad for parameter in stage.parameters() if parameter.requires_grad]
        assert bool(gradients) == (number > 0)
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@torch.no_grad()
def test_features_are_scaled_to_equal_deviations_and_earlier_ones_weigh_less(small):
    x = images(SIZE, 1000)
    scaled = small.scale_to(small.forward_stages(x))
    torch.testing.assert_close(small.forward_stages(x), scaled, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(scaled.shape[1]), atol=1e-3, rtol=0)
    earlier = scaled.shape[1] - small.last
    last, before = (part.square().sum(1).mean().item() for part in (scaled[:, earlier:], scaled[:, :earlier]))
    # Features that never vary, as of units that are never active, stay 0.
    varying = (scaled.std(0, correction=0) > 1e-4).float()
    assert last == pytest.approx(NORM * varying[earlier:].mean().item(), rel=0.1)
    assert before == pytest.approx(EARLIER_WEIGHT**2 * NORM * varying[:earlier].mean().item(), rel=0.1)
    torch.testing.assert_close(small.scale_to(scaled), scaled, atol=0.02, rtol=0.02)


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_make_no_feature_large(small, count):
    """One image tells no variance: features keep their proportions."""
    seen = small.forward_stages(images(SIZE, count))
    small.scale_to(seen)
    others = small.forward_stages(images(SIZE, 64))
    assert others.isfinite().all() and small.scale.isfinite().all()
    assert others.square().sum(1).mean() < 30 * NORM
    if count > 1:
        assert small.scale[-small.last :].max() < 6 * small.scale[-small.last :].min()


@torch.no_grad()
def test_mirrored_views_are_taken_in_eval_mode_alone_and_are_part_of_the_state(small):
    x = images(SIZE)
    plain = (small.forward_stages(x) + small.forward_stages(x.flip(3))) / 2
    small.mirrored = True
    torch.testing.assert_close(small.forward_stages(x), plain)
    torch.testing.assert_close(small.forward_stages(x.flip(3)), plain)
    other = PooledStages(staged(create_model("nano-a", 3), "nano-a"), 5, SIZE).eval()
    assert not other.mirrored
    other.load_state_dict(small.state_dict())
    assert other.mirrored
    torch.testing.assert_close(other(x), small(x))


@torch.no_grad()
def test_the_head_is_computed_in_float32(small):
    x = images(SIZE)
    with torch.autocast("cpu", torch.bfloat16):
        features = small.forward_stages(x)
        logits = small.head(features)
        assert small(x).dtype == torch.float32
    torch.testing.assert_close(logits, F.linear(features.float(), small.head.weight, small.head.bias))


@pytest.mark.parametrize(
    "shape, places",
    [
        ((4, 9, 5), (1,)),  # tokens
        ((4, 6, 6, 5), (1, 2)),  # channels last
        ((4, 5, 6, 6), (2, 3)),
        ((4, 5, 6, 7), (2, 3)),
        ((4, 5, 1, 1), (2, 3)),
        ((4, 3, 2, 4, 6), (2, 3, 4)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_pooled_is_mean_maximum_and_deviation(shape, places, dtype):
    x = 3 + torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    exact = x.double()
    parts = [exact.mean(places), exact.amax(places), exact.var(places, correction=0).add(1e-6).sqrt()]
    expected = torch.cat(parts, 1)
    expected = expected.sign() * ((expected.abs() + EPS).sqrt() - EPS**0.5)
    for given in (x, x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x):
        view = PooledStages(Staged([Gives(given), Last()], nn.Linear(2, 3), (0.5,) * 3, (0.5,) * 3, 8), 3, 8)
        found = view.eval().forward_stages(torch.zeros(4, 3, 8, 8))
        assert found.shape[1] == expected.shape[1] + 2
        assert torch.allclose(found[:, :-2], expected.float(), atol=1e-5)


class Gives(nn.Module):
    """A stage that gives the same, whatever it is given; for a batch of one, the first of it."""

    def __init__(self, output):
        super().__init__()
        self.output, self.weight = output, nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.output[: len(x)]


class Last(nn.Module):
    """A stage that gives two features."""

    def forward(self, x):
        return x.float().flatten(1)[:, :2]
