from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.inputs import MAX_VIEWS, FeatureStore, Inputs

CPU = torch.device("cpu")


@pytest.fixture
def images(blobs):
    def make(augmentation="none"):
        return Images(
            blobs.train,
            CPU,
            Normalization.of((0.5, 0.4, 0.3), (0.2, 0.2, 0.1)),
            augmentation,
            True,
            torch.Generator().manual_seed(0),
        )

    return make


class Counting:
    """A view that counts the images that its stages see."""

    forward_type = None

    def __init__(self, view):
        self.view, self.seen = view, 0

    def forward_stages(self, x, start=0, stop=None):
        self.seen += len(x)
        return self.view.forward_stages(x, start, stop)


@pytest.fixture
def network(shallow):
    torch.manual_seed(0)
    return Counting(shallow().view())


def test_without_frozen_stages_inputs_are_images(images, network):
    inputs = Inputs(images(), network, 0)
    assert (
        inputs.training(torch.arange(4)).shape == (4, 3, 16, 16)
        and inputs.store is None
        and network.seen == 0
    )


@pytest.mark.parametrize("frozen", [1, 2, 3])
def test_features_are_computed_once_and_are_right(images, network, frozen):
    source = images()
    inputs = Inputs(source, network, frozen)
    order = torch.randperm(120)
    for _ in range(4):
        for batch in order.split(32):
            with torch.no_grad():
                expected = network.view.forward_stages(source.clean(batch), 0, frozen)
            torch.testing.assert_close(inputs.training(batch), expected)
            torch.testing.assert_close(inputs.clean(batch), expected)
    assert network.seen == 120
    assert not inputs.training(order[:2]).requires_grad


def test_without_a_cache_each_use_computes(images, network):
    inputs = Inputs(images(), network, 3, cached=False)
    for _ in range(3):
        inputs.training(torch.arange(10))
    assert inputs.store is None and network.seen == 30


def test_augmented_views_are_several_and_renewed_within_their_share(images, network):
    now = [0.0]
    inputs = Inputs(images("crop"), network, 1, now=lambda: now[0])
    batch = torch.arange(16)
    inputs.training(batch)
    for _ in range(50):  # no time goes by, so nothing is renewed
        inputs.training(batch)
    assert network.seen == 16
    views = set()
    for _ in range(30):
        now[0] += 1.0
        views.add(inputs.training(batch).sum().item())
    assert network.seen == 16 * 31 and len(views) == 30
    assert inputs.store.made[:16].eq(31).all() and inputs.store.views == MAX_VIEWS
    inputs.training(batch, renew=False)
    assert network.seen == 16 * 31


def test_renewal_keeps_to_its_share(images, network):
    now = [0.0]

    class Slow:
        """The network, where each pass through its stages takes a second."""

        forward_type = None

        def forward_stages(self, *arguments):
            now[0] += 1
            return network.forward_stages(*arguments)

    inputs = Inputs(images("crop"), Slow(), 2, now=lambda: now[0])
    batch, renewed = torch.arange(16), 0
    inputs.training(batch)
    for _ in range(400):
        before = network.seen
        inputs.training(batch)
        renewed += network.seen > before
        now[0] += 0.1
    assert 0.2 < renewed / now[0] < 0.3


def test_cheap_replaces_images_that_would_have_to_be_computed(images, network):
    inputs = Inputs(images(), network, 3)
    assert torch.equal(inputs.cheap(torch.arange(5)), torch.arange(5))
    inputs.clean(torch.arange(10))
    cheap = inputs.cheap(torch.tensor([2, 50, 7, 60]))
    assert len(cheap) == 4 and {2, 7} <= set(cheap.tolist()) <= set(range(10))
    inputs.training(cheap)
    assert network.seen == 10


def test_above_the_limit_features_are_mapped_from_a_file_that_has_no_name(
    images, network, tmp_path, monkeypatch
):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "cache"))
    inputs = Inputs(images("crop"), network, 1, memory_limit=1000)
    values = inputs.training(torch.arange(120))
    assert inputs.store.views == 1 and not any(path.is_file() for path in (tmp_path / "cache").rglob("*"))
    torch.testing.assert_close(inputs.training(torch.arange(120), renew=False), values)
    assert any(
        str(tmp_path) in line and "deleted" in line
        for line in Path("/proc/self/maps").read_text().splitlines()
    )


def test_without_room_anywhere_features_are_computed_each_time(images, network, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path / "file" / "cache"))  # no folder can be made there
    inputs = Inputs(images(), network, 1, memory_limit=0)
    for _ in range(3):
        inputs.training(torch.arange(10))
    assert inputs.store is None and network.seen == 30


def test_memory_decides_how_many_views():
    example = torch.zeros(1, 10)
    assert FeatureStore.for_features(example, 100, 8, 3.5 * 100 * 40).views == 3
    assert FeatureStore.for_features(example, 100, 8, None).views == 8
    for limit in (0, None):  # no disk has room for so many either
        assert FeatureStore.for_features(example, 10**15, 8, limit) is None
