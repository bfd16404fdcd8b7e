"""What an image is in grey."""

from __future__ import annotations

from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def grey(images: Tensor) -> Tensor:
    """Luma (n, 1, height, width) of float images (n, 3, height, width), in their units."""
    return (images * images.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
