"""Each operation against torchvision's, which knows one image at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from nni_nasoa.data import trivial_augment as ta

SIZE = 24


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    smooth = torch.rand((6, 3, 6, 6), generator=generator)
    images = torch.nn.functional.interpolate(smooth, SIZE, mode="bilinear") * 200 + 20
    images[0], images[1, 0] = 90.0, 40.0  # an image, and a channel, of one colour
    return images.round()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def theirs(function, batch, strengths, argument):
    return torch.stack([function(image.byte(), argument(s)).float() for image, s in zip(batch, strengths)])


FACTOR = {
    ta.brightness: TF.adjust_brightness,
    ta.colour: TF.adjust_saturation,
    ta.contrast: TF.adjust_contrast,
    ta.sharpness: TF.adjust_sharpness,
}


@pytest.mark.parametrize("change", FACTOR)
def test_colours_are_mixed_as_torchvision_does(change, batch):
    strengths = [-1.0, -0.5, 0.0, 0.3, 0.8, 1.0]
    ours = change(batch, torch.tensor(strengths).view(-1, 1, 1, 1)).clamp(0, 255)
    expected = theirs(FACTOR[change], batch, strengths, lambda s: 1 + ta.MOST_CHANGE * s)
    inside = (..., slice(1, -1), slice(1, -1))  # torchvision does not sharpen the edge
    assert (ours - expected)[inside].abs().max() <= 2  # it rounds, some of it twice


def test_solarizing_and_posterizing_are_torchvisions(batch):
    strengths = [-1.0, -0.7, 0.0, 0.2, 0.5, 1.0]
    column = torch.tensor(strengths).view(-1, 1, 1, 1)
    solarized = theirs(TF.solarize, batch, strengths, lambda s: 255 * (1 - abs(s)))
    assert torch.equal(ta.solarize(batch, column), solarized)
    bits = theirs(TF.posterize, batch, strengths, lambda s: 8 - round(6 * abs(s)))
    assert torch.equal(ta.posterize(batch, column), bits)


@pytest.mark.parametrize("change, function", [(ta.autocontrast, TF.autocontrast), (ta.equalize, TF.equalize)])
def test_contrast_is_stretched_as_torchvision_does(change, function, batch):
    batch = torch.nn.functional.interpolate(batch, 12 * SIZE)  # torchvision's is coarse with few pixels
    ours = change(batch, torch.zeros(len(batch), 1, 1, 1))
    expected = torch.stack([function(image.byte()).float() for image in batch])
    assert (ours - expected).abs().max() <= 2  # it rounds
    assert torch.equal(ours[0], batch[0]) and torch.equal(ours[1, 0], batch[1, 0])


def moved(batch, name, strength):
    drawn = torch.full((len(batch),), 1 + ta.MOVES.index(name))
    transform = ta.moves(drawn, torch.full((len(batch),), float(strength)))
    grid = torch.nn.functional.affine_grid(transform, list(batch.shape), align_corners=False)
    return torch.nn.functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)


def test_images_are_moved_turned_and_sheared(batch):
    turned = moved(batch, "rotate", math.radians(90) / ta.MOST_ANGLE)
    assert torch.allclose(turned, torch.rot90(batch, 1, (2, 3)), atol=0.1) or torch.allclose(
        turned, torch.rot90(batch, -1, (2, 3)), atol=0.1
    )
    pixels = 2 / SIZE / ta.MOST_SHIFT  # the strength of two pixels
    assert torch.allclose(moved(batch, "translate_x", pixels)[..., :-2], batch[..., 2:], atol=0.05)
    assert torch.allclose(moved(batch, "translate_y", -pixels)[..., 2:, :], batch[..., :-2, :], atol=0.05)
    ramp = torch.arange(SIZE, dtype=torch.float32).expand(1, 3, SIZE, SIZE)
    sheared = moved(ramp, "shear_x", 0.5)[0, 0]
    middle = sheared[:, SIZE // 2]
    assert torch.allclose(middle.diff(), torch.full((SIZE - 1,), 0.5 * ta.MOST_SHEAR), atol=0.01)
    assert torch.allclose(moved(batch, "shear_y", 0.0), batch, atol=0.01)


def test_every_operation_is_drawn_and_one_an_image():
    image = 255 * torch.rand((1, 3, 16, 16), generator=generator(7)).round(decimals=2)
    batch = image.expand(400, -1, -1, -1).byte()
    varied = ta.trivial_augment(batch, generator())
    assert varied.shape == batch.shape and varied.min() >= 0 and varied.max() <= 255
    same = (varied - batch).abs().flatten(1).amax(1) < 0.5
    operations = 1 + len(ta.MOVES) + len(ta.COLOURS)
    assert (
        400 / operations / 2 < same.sum() < 3 * 400 / operations
    )  # identity, and what changes next to nothing
    assert torch.equal(varied, ta.trivial_augment(batch, generator()))
    assert not torch.equal(varied, ta.trivial_augment(batch, generator(1)))
