"""TrivialAugment for whole batches: one operation an image, drawn at random, at a random strength.

Source: Müller and Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021,
arXiv 2103.10158, with the operations and ranges of its wide space. Strengths are drawn evenly from their
ranges instead of from thirty steps of them, and where an image is moved its edges are repeated.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .grey import grey

MOST_SHEAR, MOST_SHIFT, MOST_ANGLE = 0.99, 32 / 224, math.radians(135)
MOST_CHANGE = 0.99  # brightness, colour, contrast and sharpness are multiplied by 1 - this to 1 + this
LEAST_BITS = 2  # of 8, that posterising leaves


def trivial_augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Vary each image of a batch by one operation.

    Parameters
    ----------
    images
        (n, 3, height, width), 0..255.
    generator
        On the device of the images.

    Returns
    -------
    (n, 3, height, width) float32, 0..255.
    """
    images, device = images.float(), images.device
    n = len(images)
    drawn = torch.randint(1 + len(MOVES) + len(COLOURS), (n,), generator=generator, device=device)
    strength = 2 * torch.rand(n, generator=generator, device=device) - 1
    moved = moves(drawn, strength)
    where = (drawn >= 1) & (drawn <= len(MOVES))
    out = images.clone()
    if where.any():
        grid = F.affine_grid(moved[where], list(images[where].shape), align_corners=False)
        out[where] = F.grid_sample(images[where], grid, padding_mode="border", align_corners=False)
    for number, change in enumerate(COLOURS, 1 + len(MOVES)):
        where = drawn == number
        if where.any():
            out[where] = change(images[where], strength[where].view(-1, 1, 1, 1))
    return out.clamp_(0, 255)


MOVES = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")


def moves(drawn: Tensor, strength: Tensor) -> Tensor:
    """Affine transforms (n, 2, 3) of the images for which the places of MOVES, from 1, were drawn.

    `strength` is (n,), from -1 to 1. Of others they change nothing.
    """
    transform = torch.eye(2, 3, device=strength.device).repeat(len(strength), 1, 1)
    shear_x, shear_y, translate_x, translate_y, rotate = (
        torch.where(drawn == 1 + place, strength, 0.0) for place in range(len(MOVES))
    )
    angle = MOST_ANGLE * rotate
    transform[:, 0, 0] = transform[:, 1, 1] = angle.cos()
    transform[:, 0, 1] = MOST_SHEAR * shear_x - angle.sin()
    transform[:, 1, 0] = MOST_SHEAR * shear_y + angle.sin()
    # Coordinates go from -1 to 1: a share of the image is twice that.
    transform[:, 0, 2], transform[:, 1, 2] = 2 * MOST_SHIFT * translate_x, 2 * MOST_SHIFT * translate_y
    return transform


def brightness(x: Tensor, strength: Tensor) -> Tensor:
    """Mix with black. Here and below x is (n, 3, height, width), the strength (n, 1, 1, 1), -1 to 1."""
    return x * (1 + MOST_CHANGE * strength)


def colour(x: Tensor, strength: Tensor) -> Tensor:
    """Mix with the image in grey."""
    return torch.lerp(grey(x).expand_as(x), x, 1 + MOST_CHANGE * strength)


def contrast(x: Tensor, strength: Tensor) -> Tensor:
    """Mix with the image's mean grey."""
    return torch.lerp(grey(x).mean((2, 3), keepdim=True).expand_as(x), x, 1 + MOST_CHANGE * strength)


def sharpness(x: Tensor, strength: Tensor) -> Tensor:
    """Mix with the image, smoothed."""
    kernel = x.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]).div(13).expand(3, 1, 3, 3)
    smooth = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return torch.lerp(smooth, x, 1 + MOST_CHANGE * strength)


def posterize(x: Tensor, strength: Tensor) -> Tensor:
    """Leave the upper bits, 8 to LEAST_BITS of them."""
    step = 2.0 ** ((8 - LEAST_BITS) * strength.abs()).round()
    return (x / step).floor() * step


def solarize(x: Tensor, strength: Tensor) -> Tensor:
    """Invert what is brighter than a threshold, from none to all."""
    return torch.where(x >= 255 * (1 - strength.abs()), 255 - x, x)


def autocontrast(x: Tensor, strength: Tensor) -> Tensor:  # noqa: ARG001  # as the others
    """Stretch each channel to all of 0..255; one of a single value stays."""
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) * (255 / (high - low).clamp(min=1e-3)), x)


def equalize(x: Tensor, strength: Tensor) -> Tensor:  # noqa: ARG001  # as the others
    """Have the values of each channel come about equally often."""
    n, channels, height, width = x.shape
    values = x.round().clamp(0, 255).long().view(n * channels, height * width)
    counts = torch.zeros(n * channels, 256, device=x.device)
    counts.scatter_add_(1, values, torch.ones_like(values, dtype=counts.dtype))
    darker = counts.cumsum(1) - counts  # than each value
    most = darker.gather(1, values.amax(1, keepdim=True))
    table = 255 * darker / most.clamp(min=1)
    return torch.where(most > 0, table.gather(1, values), values.float()).view_as(x)


COLOURS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    brightness,
    colour,
    contrast,
    sharpness,
    posterize,
    solarize,
    autocontrast,
    equalize,
)
