"""Images and labels as tensors, where a trainer draws its batches from."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from .arrays import ImageArrays


def to_tensors(part: ImageArrays, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the images (n, 3, size, size) uint8 and the labels (n,) of a part.

    The labels lie on the device, and the images too where half of its free memory holds them. Otherwise these
    stay in the host's memory (or mapped from the cache), to travel batch by batch.
    """
    with warnings.catch_warnings():  # nobody writes to them
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images, labels = torch.from_numpy(part.images), torch.from_numpy(np.ascontiguousarray(part.labels))
    if device.type == "cuda" and part.images.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        images = images.to(device)
    return images, labels.to(device)
