"""Batches of images, as networks take them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nni_nasoa.data import ImageArrays
from nni_nasoa.data.augment import augment, erase
from nni_nasoa.data.tensors import to_tensors

MEASURED = 1000  # About how many images a normalisation is measured on.


@dataclass(frozen=True, eq=False)
class Normalization:
    """What is subtracted from images and what they are divided by, in each channel.

    Parameters
    ----------
    mean, std
        (1, 3, 1, 1) float32, for images from 0 to 255.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, mean: Sequence[float], std: Sequence[float]) -> Normalization:
        """The normalisation of a network that names three numbers each, for images from 0 to 1."""
        return cls(*(255 * torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std)))

    @classmethod
    def measured(cls, part: ImageArrays, device: torch.device) -> Normalization:
        """The normalisation that gives each channel of a part mean 0 and deviation 1, by some of its images.

        Deviations below 1, as of images of one colour, are taken for 1.
        """
        some = torch.from_numpy(np.array(part.images[:: max(1, len(part) // MEASURED)])).to(device).float()
        return cls(some.mean((0, 2, 3), keepdim=True), some.std((0, 2, 3), keepdim=True).clamp_(min=1))

    def to(self, device: torch.device) -> Normalization:
        """The same on a device."""
        return Normalization(self.mean.to(device), self.std.to(device))


class Images:
    """Batches of images, drawn, augmented and normalised on the device, in channels_last order.

    Images that do not lie on the device (see `data.tensors.to_tensors`) travel batch by batch through pinned
    memory.

    Parameters
    ----------
    part
        Images (n, 3, size, size) uint8 and labels (n,).
    device
        Where batches are wanted.
    normalization
        As the network wants it.
    augmentation, mirrored, generator
        As `data.augment.augment` takes them.
    resident_limit
        Bytes of images up to which there is time to move them all to the device.
    detail
        The same images larger, (n, 3, larger, larger) uint8, of which augmentation "full" cuts its parts.
    erasing
        The probability that an augmented image loses a part, see `data.augment.erase`.
    """

    def __init__(
        self,
        part: ImageArrays,
        device: torch.device,
        normalization: Normalization,
        augmentation: str = "none",
        mirrored: bool = True,
        generator: torch.Generator | None = None,
        resident_limit: float = math.inf,
        detail: np.ndarray | None = None,
        erasing: float = 0.0,
    ) -> None:
        held = part.images.nbytes + (0 if detail is None else detail.nbytes)
        place = device if held <= resident_limit else torch.device("cpu")
        self.images, labels = to_tensors(part, place)
        self._detail = self.images
        if detail is not None and augmentation == "full":
            self._detail, _ = to_tensors(ImageArrays(detail, part.labels), place)
        self.labels, self.device = labels.to(device), device
        self.normalization = normalization.to(device)
        self.augmentation, self.mirrored, self.erasing = augmentation, mirrored, erasing
        self.generator = torch.Generator(device) if generator is None else generator

    def __len__(self) -> int:
        return len(self.labels)

    def clean(self, indices: Tensor) -> Tensor:
        """The images as they are, (n, 3, size, size) float32, normalised."""
        return self._normalized(self._fetched(indices))

    @property
    def varied(self) -> bool:
        """Whether `augmented` gives other images each time."""
        return self.augmentation != "none" or self.erasing > 0

    def augmented(self, indices: Tensor) -> Tensor:
        """The images, freshly augmented and normalised."""
        images = to_device(self._detail[indices.to(self._detail.device)], self.device)
        size = self.images.shape[-1]
        images = self._normalized(augment(images, self.augmentation, self.generator, self.mirrored, size))
        return erase(images, self.erasing, self.generator) if self.erasing else images

    def _fetched(self, indices: Tensor) -> Tensor:
        return to_device(self.images[indices.to(self.images.device)], self.device)

    def _normalized(self, images: Tensor) -> Tensor:
        # Never the dataset itself: indexing has made a copy.
        images = images.to(dtype=torch.float32, memory_format=torch.channels_last)
        return images.sub_(self.normalization.mean).div_(self.normalization.std)


def to_device(batch: Tensor, device: torch.device) -> Tensor:
    """A batch on the device; from the host it goes through pinned memory, so that nothing waits for it."""
    if device.type == "cuda" and batch.device.type == "cpu":
        return batch.pin_memory().to(device, non_blocking=True)
    return batch
