from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from nni_nasoa.data.augment import (
    ERASED,
    LEVELS,
    augment,
    cutmix,
    erase,
    jitter_colors,
    mixup,
    resized_crop,
    shift,
)


def images(n=16, size=24, seed=0):
    return torch.randint(
        0, 256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("level", LEVELS)
def test_levels_keep_shape_and_range_and_repeat_with_the_seed(level):
    batch = images()
    first, again, other = (augment(batch, level, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == batch.shape and first.min() >= 0 and first.max() <= 255
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (level == "none")
    assert torch.equal(batch, images())


def test_an_unknown_level_is_named():
    with pytest.raises(ValueError, match="'flip' is not one of"):
        augment(images(), "flip", generator())


def test_shift_is_a_crop_of_the_edge_padded_image():
    batch = images(n=40)
    padded = torch.nn.functional.pad(batch.float(), (3, 3, 3, 3), mode="replicate").to(torch.uint8)
    crops = torch.stack([padded[..., y : y + 24, x : x + 24] for y in range(7) for x in range(7)])
    found = (crops == shift(batch, 3, False, generator())).flatten(2).all(2)
    assert found.any(0).all()
    assert len(found.float().argmax(0).unique()) > 10


def test_flip_mirrors_about_half():
    batch = images(n=200)
    flipped = (shift(batch, 0, True, generator()) == batch.flip(3)).flatten(1).all(1)
    kept = (shift(batch, 0, True, generator()) == batch).flatten(1).all(1)
    assert (flipped ^ kept).all() and 60 < flipped.sum() < 140


@pytest.mark.parametrize("level", [level for level in LEVELS if level != "trivial"])
def test_nothing_is_mirrored_where_that_would_be_wrong(level):
    ramp = torch.arange(32, dtype=torch.uint8).mul(8).expand(64, 3, 32, 32)
    varied = augment(ramp, level, generator(), mirrored=False).float()
    assert (varied[..., -1] - varied[..., 0] > 0).all()


def test_resized_crop_agrees_with_torchvision_on_crops():
    """Every crop is a rectangle within the image of the right area and ratio, resized: a
    linear ramp stays linear.
    """
    size = 64
    x = torch.linspace(0, 252, size).expand(200, 1, size, size)
    ramps = torch.cat([x, x.transpose(2, 3), torch.zeros_like(x)], 1)
    cropped = resized_crop(ramps, generator(), mirrored=False)
    step = 252 / (size - 1)
    width, height = (
        (cropped[:, 0, 10, 40] - cropped[:, 0, 10, 20]) / 20 / step,
        (cropped[:, 1, 40, 10] - cropped[:, 1, 20, 10]) / 20 / step,
    )
    area, ratio = width * height, width / height
    assert (area > 0.33).all() and (area <= 1.001).all() and area.std() > 0.1
    assert (ratio > 0.74).all() and (ratio < 1.34).all()
    for i in range(5):  # the same rectangle through torchvision's crop and resize
        left = (cropped[i, 0, 32, 32] - width[i] * step * 32) / step + 0.5 * width[i] - 0.5
        w = round(float(width[i]) * size)
        expected = TF.resized_crop(
            ramps[i], 0, max(0, round(float(left) + 0.5)), size, min(w, size), [size, size], antialias=False
        )
        assert (expected[0, 32] - cropped[i, 0, 32])[4:-4].abs().max() < 1.5 * step


def test_full_size_crop_is_the_image():
    batch = images()
    cropped = resized_crop(batch, generator(), mirrored=False, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    torch.testing.assert_close(cropped, batch.float(), atol=0.01, rtol=0)


def test_jitter_is_torchvisions_brightness_contrast_and_saturation():
    batch = images(n=3).float()
    factors = 1 + 0.3 * (2 * torch.rand((3, 3, 1, 1, 1), generator=generator(5)) - 1)
    found = jitter_colors(batch.clone(), generator(5))
    for i in range(3):
        brightness, contrast, saturation = (float(f[i]) for f in factors)
        image = batch[i] / 255
        # Unclipped between the steps, where ours has one joint step.
        grey = TF.rgb_to_grayscale(image, 3)
        image = saturation * image + (1 - saturation) * grey
        image = contrast * image + (1 - contrast) * TF.rgb_to_grayscale(batch[i] / 255).mean()
        torch.testing.assert_close(found[i], (255 * brightness * image).clamp(0, 255), atol=0.2, rtol=1e-3)


def test_mixup_mixes_inputs_as_targets():
    inputs = torch.eye(8)
    mixed, targets = mixup(inputs, 2 * inputs, 0.7, generator())
    torch.testing.assert_close(targets, 2 * mixed)
    torch.testing.assert_close(mixed.sum(0), torch.ones(8))
    assert (mixed.diagonal() >= 0.7).all() and ((mixed - 0.3).abs() < 1e-6).sum() >= 6


def test_a_crop_of_larger_images_is_sharper():
    lines = (torch.arange(96) % 4 < 2).float().mul(255).expand(16, 3, 96, 96)
    small = torch.nn.functional.avg_pool2d(lines, 2)  # the lines are as fine as the pixels of these
    large, small = (resized_crop(batch, generator(), size=48, scale=(0.35, 0.5)) for batch in (lines, small))
    assert large.shape == small.shape == (16, 3, 48, 48)
    assert large.std((2, 3)).mean() > 1.2 * small.std((2, 3)).mean()


def test_a_rectangle_of_some_images_is_erased():
    batch = torch.full((2000, 3, 32, 32), 5.0)
    erased = erase(batch, 0.4, generator())
    assert erased is batch
    changed = (erased != 5).all(1)
    hit = changed.flatten(1).any(1)
    assert 0.35 < hit.float().mean() < 0.45
    area = changed[hit].float().mean((1, 2))
    # Sides are whole pixels, and no longer than the image.
    assert area.min() > ERASED[0] / 2 and area.max() < ERASED[1] + 0.05 and 0.13 < area.mean() < 0.2
    rows, columns = changed[hit].any(2).sum(1), changed[hit].any(1).sum(1)
    assert torch.equal(rows * columns, changed[hit].sum((1, 2)))
    noise = erased[changed[:, None].expand_as(erased)]
    assert noise.mean().abs() < 0.02 and (noise.std() - 1).abs() < 0.02
    assert torch.equal(erase(torch.ones(9, 3, 8, 8), 0.0, generator()), torch.ones(9, 3, 8, 8))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.75, 1.0])
def test_cutmix_mixes_targets_by_the_areas(share):
    numbers = torch.arange(8.0)
    batch, targets = numbers.view(8, 1, 1, 1).expand(8, 3, 20, 20), torch.eye(8)
    mixed, both = cutmix(batch, targets, share, generator())
    own = (mixed[:, 0] == numbers.view(8, 1, 1)).float().mean((1, 2))
    assert torch.allclose(both.sum(1), torch.ones(8))
    for image in range(8):
        others = mixed[image][mixed[image] != image].unique()
        assert len(others) <= 1
        assert both[image, image].item() == pytest.approx(own[image].item())
        if len(others):
            assert own[image].item() == pytest.approx(share, abs=0.1)
            assert both[image, int(others)].item() == pytest.approx(1 - own[image].item())
