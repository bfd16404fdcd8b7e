"""Runs that times are asked for, as columns; numpy only."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.training.regime import ADVISED_AUGMENTATIONS as AUGMENTATIONS
from nni_nasoa.training.regime import OPTIMIZERS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class RunColumns:
    """Runs of a model; arrays (n,).

    Parameters
    ----------
    frozen_stages, batch_size, input_size
        Of their regimes.
    augmentation, optimizer
        Places in AUGMENTATIONS and OPTIMIZERS.
    train_images, val_images, budget
        Counts, and seconds.
    start_up
        Seconds before the first pass, decoding included.
    """

    frozen_stages: np.ndarray
    batch_size: np.ndarray
    input_size: np.ndarray
    augmentation: np.ndarray
    optimizer: np.ndarray
    train_images: np.ndarray
    val_images: np.ndarray
    budget: np.ndarray
    start_up: np.ndarray

    def __len__(self) -> int:
        return len(self.frozen_stages)

    @classmethod
    def of(cls, *, augmentation: ArrayLike, optimizer: ArrayLike, **columns: ArrayLike) -> RunColumns:
        """Columns of arrays (n,) and single values; augmentations and optimizers may be names, too."""
        given = {
            **columns,
            "augmentation": _places(augmentation, AUGMENTATIONS),
            "optimizer": _places(optimizer, OPTIMIZERS),
        }
        names = [field.name for field in fields(cls)]
        if set(given) != set(names):
            raise TypeError(f"columns: {', '.join(sorted(set(given) ^ set(names)))} missing or unknown")
        return cls(*np.broadcast_arrays(*(np.atleast_1d(given[name]) for name in names)))


def _places(values: ArrayLike, names: tuple[str, ...]) -> np.ndarray:
    """Places in `names` of a name, of names, or of what are places already."""
    values = np.asarray(values)
    if values.dtype.kind in "iu":
        return values
    return np.vectorize(names.index, otypes=[np.int64])(values)
