"""A loss that makes up for classes of very different numbers of images."""

from __future__ import annotations

import torch
from torch import Tensor

from .distributed import Alone, Together

ALONE = Alone()


def logit_offsets(
    labels: Tensor, classes: int, strength: float, group: Alone | Together = ALONE
) -> Tensor | None:
    """What is added to logits while they are trained, so that rare classes are predicted as often as others.

    Source: Menon et al., "Long-tail learning via logit adjustment", arXiv 2007.07314, equation 10.

    Parameters
    ----------
    labels
        Of this process's training images, (n,) integers.
    strength
        Their tau: 1 makes up for all of it, 0 for nothing.
    group
        The processes that train on the images; by default this one alone.

    Returns
    -------
    (classes,) float32, on the labels' device: the logarithms of the classes' shares, times the strength; None
    where that is 0.
    """
    if not strength:
        return None
    images = torch.bincount(labels, minlength=classes).float()
    group.sum([images])
    return strength * (images.clamp(min=1) / images.sum()).log()


def shifted(logits: Tensor, offsets: Tensor | None) -> Tensor:
    """Logits (n, classes) with offsets (classes,) added, if there are any."""
    return logits if offsets is None else logits + offsets
