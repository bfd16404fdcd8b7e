"""What enters the trainable part of a network: augmented images, or what frozen stages make of them.

Features are computed when they are first needed and kept, so that frozen stages cost one pass over the images
and not one an epoch (NASOA, arXiv 2108.03434, section 3.2, counts on it too). Where augmentation is on, an
image has several kept views, which are renewed by and by.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch
from torch import Tensor

from nni_nasoa.device.precision import autocast
from nni_nasoa.device.settings import synchronize
from nni_nasoa.files import cache_folder, own_folder

from .images import Images, to_device
from .time_shares import RENEWAL_SHARE

if TYPE_CHECKING:
    from nni_nasoa.zoo.staged import Staged

MAX_VIEWS = 8
# The part of the free memory, and of the free disk for the mapped form, that may hold features.
MEMORY_SHARE = 0.25


class FeatureStore:
    """Features of images, up to `views` of each, in the order in which they are made; the oldest makes room.

    Parameters
    ----------
    buffer
        (views, n, ...) tensor that holds them.
    """

    def __init__(self, buffer: Tensor) -> None:
        self.buffer = buffer
        self.views, self.images = buffer.shape[:2]
        self.made = torch.zeros(self.images, dtype=torch.long)  # how many times, for each image
        self._complete = False

    @classmethod
    def for_features(
        cls, example: Tensor, images: int, views: int, memory_limit: float | None = None
    ) -> FeatureStore | None:
        """A store for features like `example`, (1, ...), in memory or a mapped file; None without room.

        Parameters
        ----------
        images, views
            How many images there are, and views of each at most. In memory, fewer views are kept where it is
            short.
        memory_limit
            Bytes that the features may take in memory; None is a quarter of what is free. Above it, one view
            is mapped.
        """
        view = images * example.numel() * example.element_size()
        limit = MEMORY_SHARE * _free_memory(example.device) if memory_limit is None else memory_limit
        shape = (images, *example.shape[1:])
        views = min(views, int(limit // max(1, view)))
        if views >= 1:
            return cls(torch.empty((views, *shape), dtype=example.dtype, device=example.device))
        return cls._mapped(example, shape, view)

    @classmethod
    def _mapped(cls, example: Tensor, shape: tuple[int, ...], size: int) -> FeatureStore | None:
        try:
            folder = own_folder(cache_folder() / "features")
            disk = os.statvfs(folder)
            if size > MEMORY_SHARE * disk.f_bavail * disk.f_frsize:
                return None
            # Without a name, so that it is gone however the process ends; and a full disk shows here, and not
            # as a signal later.
            with tempfile.TemporaryFile(dir=folder) as file:
                os.posix_fallocate(file.fileno(), 0, max(1, size))
                mapped = np.memmap(file, dtype=np.uint8, mode="r+", shape=(size,))
        except OSError:
            return None
        return cls(torch.from_numpy(mapped).view(example.dtype).view(1, *shape))

    def missing(self, indices: Tensor) -> Tensor | None:
        """Which of the images, as a mask, have no view yet; None where all have one."""
        if self._complete:
            return None
        self._complete = bool(self.made.all())
        missing = self.made[indices] == 0
        return missing if missing.any() else None

    def put(self, indices: Tensor, features: Tensor) -> None:
        """Keep one more view of each of the images."""
        slots = self.made[indices] % self.views
        self.made[indices] += 1
        where = self.buffer.device
        self.buffer[slots.to(where), indices.to(where)] = features.to(where, self.buffer.dtype)

    def kept_images(self) -> Tensor:
        """Indices of the images that have a view."""
        return self.made.nonzero().flatten()

    def any(self, indices: Tensor, generator: torch.Generator) -> Tensor:
        """A random one of the kept views of each image; all of them must have one.

        `generator` is a CPU generator.
        """
        where = self.buffer.device
        if self.views == 1:
            return self.buffer[0].index_select(0, indices.to(where))
        kept = self.made[indices].clamp(max=self.views)
        slots = (torch.rand(len(indices), generator=generator) * kept).long()
        return self.buffer[slots.to(where), indices.to(where)]


class Inputs:
    """Inputs of the network's trainable part, for images by their indices (CPU tensors).

    Parameters
    ----------
    images
        The images, which know their augmentation.
    network
        On the device, its first `frozen` stages in eval mode.
    frozen
        How many stages to leave behind; 0 gives images.
    cached
        Whether features are kept.
    memory_limit
        See `FeatureStore.for_features`.
    seed
        What the choice among kept views follows from.
    now
        A clock that never goes back, in seconds; renewing views keeps to a share of its time.
    """

    def __init__(
        self,
        images: Images,
        network: Staged,
        frozen: int,
        *,
        cached: bool = True,
        memory_limit: float | None = None,
        seed: int = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.images, self.network, self.frozen = images, network, frozen
        self.labels, self.augmented = images.labels, images.varied
        self.generator = torch.Generator().manual_seed(seed)
        self.store: FeatureStore | None = None
        self._want_store, self._memory_limit = cached and frozen > 0, memory_limit
        self.computed = 0  # how many images, so far
        self.now = now
        self._begin, self._renewing = now(), 0.0

    def __len__(self) -> int:
        return len(self.images)

    def clean(self, indices: Tensor) -> Tensor:
        """Inputs from images as they are, or from a view that is kept already."""
        return self._kept(indices, self.images.clean) if self.frozen else self.images.clean(indices)

    def training(self, indices: Tensor, renew: bool = True) -> Tensor:
        """Inputs from augmented images; of features, mostly kept views, some made anew if `renew` says so."""
        if not self.frozen:
            return self.images.augmented(indices)
        if renew and self.store is not None and self.augmented and self._renewal_due():
            synchronize(self.images.device)
            begin = self.now()
            features = self._features(self.images.augmented(indices))
            self.store.put(indices, features)
            synchronize(self.images.device)
            self._renewing += self.now() - begin
            return features
        return self._kept(indices, self.images.augmented)

    def keep(self, indices: Tensor, features: Tensor) -> None:
        """Keep features that were computed elsewhere."""
        if self._want_store:
            self._make_store(features)
        if self.store is not None:
            self.store.put(indices, features)

    def put(self, features: Tensor, indices: Tensor) -> None:
        """Have these be the only features of some images whose features are kept."""
        assert self.store is not None, "no features are kept"
        self.store.made[indices] = 0
        self.store.put(indices, features)

    def _make_store(self, features: Tensor) -> None:
        self._want_store = False
        self.store = FeatureStore.for_features(
            features[:1], len(self), MAX_VIEWS if self.augmented else 1, self._memory_limit
        )

    def cheap(self, indices: Tensor) -> Tensor:
        """As many images as `indices`, whose features are kept: those among them, filled up with others."""
        if self.store is None:
            return indices
        missing = self.store.missing(indices)
        if missing is None:
            return indices
        kept = indices[~missing]
        others = self.store.kept_images()
        more = torch.randint(len(others), (len(indices) - len(kept),), generator=self.generator)
        return torch.cat([kept, others[more]])

    def _kept(self, indices: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        if self.store is None:
            features = self._features(draw(indices))
            self.keep(indices, features)
            return features
        missing = self.store.missing(indices)
        if missing is not None:
            self.store.put(indices[missing], self._features(draw(indices[missing])))
        return to_device(self.store.any(indices, self.generator), self.images.device)

    def _renewal_due(self) -> bool:
        return self._renewing < RENEWAL_SHARE * (self.now() - self._begin)

    @torch.no_grad()
    def _features(self, images: Tensor) -> Tensor:
        self.computed += len(images)
        with autocast(images.device, self.network.forward_type):
            features = self.network.forward_stages(images, 0, self.frozen)
        # What is trained on a processor is computed in float32, whatever its inputs were computed in.
        return features.float() if images.device.type == "cpu" else features


def _free_memory(device: torch.device) -> float:
    """Bytes of memory that the device, or the host, has free."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
