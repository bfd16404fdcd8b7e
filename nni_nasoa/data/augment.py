"""Augmentation of whole batches, on the device that they are on.

Images are (n, 3, size, size) uint8 from the decoded cache; a batch costs a few tensor operations, however
many images it has. Every draw comes from the generator that is given, so that a seed makes it again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from nni_nasoa.values import one_of

from .grey import grey
from .trivial_augment import trivial_augment

LEVELS = ("none", "crop", "crop-flip", "full", "trivial")
SCALE = (0.35, 1.0)  # share of the image's area that a random resized crop keeps, at least and at most
RATIO = (3 / 4, 4 / 3)  # width of what it keeps over its height, at least and at most
JITTER = 0.3  # brightness, contrast and saturation are multiplied by 1 - JITTER .. 1 + JITTER
# A part that is erased: its share of the image's area, and the most that it is longer than wide, or wider
# (Zhong et al., arXiv 1708.04896).
ERASED, LONGEST = (0.02, 0.33), 3.3


def augment(
    images: Tensor, level: str, generator: torch.Generator, mirrored: bool = True, size: int | None = None
) -> Tensor:
    """Vary a batch of images.

    Parameters
    ----------
    images
        (n, 3, size, size) uint8.
    level
        "none"; "crop": shifted by up to an eighth of the size; "crop-flip": and half of them mirrored;
        "full": a random resized crop, half of them mirrored, with varied colours; "trivial": as "crop-flip",
        and then TrivialAugment.
    generator
        On the device of the images.
    mirrored
        Whether images may be mirrored at all.
    size
        Height and width of what "full" gives, in pixels, where the images are larger, so that what is cut out
        of them is not blurred; None is theirs.

    Returns
    -------
    (n, 3, size, size), 0..255; uint8, or float32 for "full" and "trivial".
    """
    if level == "none":
        return images
    if level == "full":
        return jitter_colors(resized_crop(images, generator, mirrored, size=size), generator)
    one_of(LEVELS)("augmentation", level)
    flip = mirrored and level in ("crop-flip", "trivial")
    shifted = shift(images, max(1, images.shape[-1] // 8), flip, generator)
    return trivial_augment(shifted, generator) if level == "trivial" else shifted


def shift(images: Tensor, pixels: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Shift each image by up to `pixels` both ways, edges repeated, and with `flip` mirror half of them."""
    n, channels, height, width = images.shape
    device = images.device
    rows, columns = (_places(n, size, pixels, generator, device) for size in (height, width))
    if flip:
        columns = torch.where(
            torch.rand((n, 1), generator=generator, device=device) < 0.5, columns.flip(1), columns
        )
    images = images.gather(2, rows[:, None, :, None].expand(n, channels, height, width))
    return images.gather(3, columns[:, None, None, :].expand(n, channels, height, width))


def _places(n: int, size: int, pixels: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """(n, size): which row or column each one is taken from."""
    offset = torch.randint(-pixels, pixels + 1, (n, 1), generator=generator, device=device)
    return (torch.arange(size, device=device) + offset).clamp_(0, size - 1)


def resized_crop(
    images: Tensor,
    generator: torch.Generator,
    mirrored: bool = True,
    *,
    scale: tuple[float, float] = SCALE,
    ratio: tuple[float, float] = RATIO,
    size: int | None = None,
) -> Tensor:
    """Cut out a random part of each image and resize it to the whole, or to some size, in one resampling.

    Source: Szegedy et al., arXiv 1409.4842.
    """
    n, device = len(images), images.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=generator, device=device)

    area, log_ratio = uniform(*scale), uniform(*torch.tensor(ratio).log().tolist())
    width = (area.sqrt() * (log_ratio / 2).exp()).clamp_(max=1)
    height = (area.sqrt() * (-log_ratio / 2).exp()).clamp_(max=1)
    transform = torch.zeros(n, 2, 3, device=device)
    # In coordinates from -1 to 1, a part of half-width w may be centred anywhere from w - 1 to 1 - w.
    transform[:, 0, 2], transform[:, 1, 2] = uniform(-1, 1) * (1 - width), uniform(-1, 1) * (1 - height)
    if mirrored:
        width = torch.where(uniform(0, 1) < 0.5, -width, width)
    transform[:, 0, 0], transform[:, 1, 1] = width, height
    shape = [n, images.shape[1], *((size, size) if size else images.shape[2:])]
    grid = F.affine_grid(transform, shape, align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def jitter_colors(images: Tensor, generator: torch.Generator) -> Tensor:
    """Vary brightness, contrast and saturation of float images from 0 to 255, in place."""
    brightness, contrast, saturation = 1 + JITTER * (
        2 * torch.rand((3, len(images), 1, 1, 1), generator=generator, device=images.device) - 1
    )
    luma = grey(images)
    mean = luma.mean((2, 3), keepdim=True)
    # Saturation mixes with the image's grey, contrast with its mean, brightness with
    # black: all linear, so joined.
    images.mul_(saturation * contrast * brightness).add_(luma * ((1 - saturation) * contrast * brightness))
    return images.add_(mean * ((1 - contrast) * brightness)).clamp_(0, 255)


def erase(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Put noise in place of a random part of some images, in place (Zhong et al., arXiv 1708.04896).

    Parameters
    ----------
    images
        (n, channels, height, width) float, normalised: the noise has mean 0 and deviation 1.
    probability
        That an image loses a part.
    """
    n, _, height, width = images.shape
    area, log_ratio, chance = torch.rand((3, n), generator=generator, device=images.device)
    area = ERASED[0] + (ERASED[1] - ERASED[0]) * area
    ratio = (math.log(LONGEST) * (2 * log_ratio - 1)).exp()
    sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()]).clamp(max=1)
    inside = _rectangles(sides, height, width, generator) & (chance < probability).view(-1, 1, 1)
    noise = torch.randn(images.shape, generator=generator, device=images.device, dtype=images.dtype)
    return torch.where(inside[:, None], noise, images, out=images)


def _rectangles(sides: Tensor, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Rectangles that lie inside of images at random places, as masks (n, height, width).

    `sides` are (2, n): heights and widths, as shares of the image's.
    """
    device = sides.device
    starts = torch.rand(sides.shape, generator=generator, device=device) * (1 - sides)
    masks = []
    for size, start, side in zip((height, width), starts, sides):
        at = (torch.arange(size, device=device) + 0.5) / size
        masks.append((at >= start[:, None]) & (at < (start + side)[:, None]))
    return masks[0][:, :, None] & masks[1][:, None, :]


def cutmix(
    images: Tensor, targets: Tensor, share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Put a part of another image of the batch into each, and mix their targets by the areas.

    Source: Yun et al., arXiv 1905.04899.

    Parameters
    ----------
    images, targets
        (n, channels, height, width), and the probabilities of their classes (n, classes).
    share
        Of the area that is the image's own, about; cutmix draws it from a Beta distribution for each batch.

    Returns
    -------
    The mixed images and targets. The part lies at the same place in all.
    """
    side = torch.full((2, 1), (1 - share) ** 0.5, device=images.device)
    inside = _rectangles(side, images.shape[2], images.shape[3], generator)
    partner = torch.randperm(len(images), generator=generator, device=images.device)
    own = 1 - inside.float().mean()
    mixed = torch.where(inside[:, None], images[partner], images)
    return mixed, torch.lerp(targets[partner], targets, own)


def mixup(inputs: Tensor, targets: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mix each input with another one of the batch, and their targets alike (Zhang et al., arXiv 1710.09412).

    Parameters
    ----------
    inputs, targets
        (n, ...) float, images or the features of frozen stages, and the probabilities of
        their classes (n, classes).
    share
        Share of the input itself, 0 to 1; mixup draws it from a Beta distribution for each batch.

    Returns
    -------
    The mixed inputs and targets.
    """
    partner = torch.randperm(len(inputs), generator=generator, device=inputs.device)
    return torch.lerp(inputs[partner], inputs, share), torch.lerp(targets[partner], targets, share)
