"""The type that passes without gradients are computed in, which is measured where it is not asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from nni_nasoa.device.precision import faster_type
from nni_nasoa.zoo.staged import Staged

from .context import RunContext

# It is chosen by so many images, in this share of the time that is left.
TYPE_IMAGES, TYPE_SHARE = 8, 0.1


def forward_type(network: Staged, images: Tensor, precision: str, context: RunContext) -> torch.dtype | None:
    """The type of passes without gradients, the same in all processes; None is float32.

    Parameters
    ----------
    network
        On the device; it is put into eval mode where a measurement has to tell.
    images
        Some of its images.
    precision
        "auto", or the type that is asked for.
    context
        Of the run.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else None
    network.eval()
    found = faster_type(
        context.device,
        lambda: network.forward_stages(images),
        seconds=TYPE_SHARE * context.clock.remaining,
    )
    slower = context.group.most(float(found is None))  # Where it is in one, none computes in another type.
    return None if slower else found
