"""How much memory training needs, counted on the shapes of tensors alone.

Nothing is computed, and no GPU is needed.

In float32, a training step needs

- the weights, and for those that are trained their gradients and what the optimiser remembers;
- for each image of the batch, what the layers of the trained stages save for the backward pass; and of the
  largest tensor two more, the gradients that pass through it, or three where it is of a frozen stage, which
  keeps nothing.

Half precision needs less. The interpreter and its libraries, the images, and kept features of frozen stages
are not counted. Importing this module loads no torch; counting does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.training.regime import OPTIMIZERS

if TYPE_CHECKING:
    import torch

    from nni_nasoa.zoo.staged import Staged

MIB = 2**20
IMAGES = 2  # the memory of so many is counted: batch normalisation takes no less
BACKWARD, FORWARD = 2, 3  # copies of the largest tensor of the trained, and of the frozen stages
STATES = {"sgd": 1, "adamw": 2}  # values that an optimiser keeps for each weight


@dataclass(frozen=True, eq=False)
class StepMemory:
    """The memory of a network's training steps.

    Parameters
    ----------
    weights
        Bytes of all weights.
    trained
        Bytes of those that are trained, by the number of frozen stages, (stages + 1,).
    image
        Bytes for an image, by its size in pixels and the number of frozen stages, (stages + 1,) each.
    """

    weights: int
    trained: np.ndarray
    image: Mapping[int, np.ndarray]

    def mib(
        self,
        frozen_stages: np.ndarray,
        batch_size: np.ndarray,
        input_size: np.ndarray,
        optimizer: np.ndarray,
    ) -> np.ndarray:
        """MiB of steps, (n,); the arguments are arrays (n,), `optimizer` of places in `regime.OPTIMIZERS`."""
        frozen = np.minimum(frozen_stages, len(self.trained) - 1)
        states = np.array([STATES[name] for name in OPTIMIZERS])[optimizer]
        sizes = np.array(sorted(self.image))
        images = np.stack([self.image[size] for size in sizes])[np.searchsorted(sizes, input_size), frozen]
        return (self.weights + (1 + states) * self.trained[frozen] + batch_size * images) / MIB


def step_memory(model: str, input_sizes: Iterable[int], classes: int) -> StepMemory:
    """Count for a network of the zoo, with images of some sizes.

    Raises
    ------
    ValueError
        There is no such model.
    """
    import torch

    from nni_nasoa.zoo import create_model
    from nni_nasoa.zoo.staged import staged

    with torch.device("meta"):
        view = staged(create_model(model, num_classes=classes), model).train()
        stages = [sum(weight.nbytes for weight in part.parameters()) for part in (*view.stages, view.head)]
        trained = np.cumsum(stages[::-1])[::-1]
        return StepMemory(
            int(trained[0]), trained, {int(size): _of_an_image(view, int(size)) for size in input_sizes}
        )


def _of_an_image(view: Staged, size: int) -> np.ndarray:
    """Bytes for an image, by the number of frozen stages."""
    import torch
    from torch.autograd.graph import saved_tensors_hooks

    # A storage by its address, which is that of no other one as long as it is kept: meta tensors have no data
    # to tell them by.
    weights = {weight.untyped_storage()._cdata for weight in view.parameters()}
    saved: dict[int, tuple[int, int]] = {}  # a storage's bytes, and the last part that saves it
    kept, parts = [], (*view.stages, view.head)
    x, place = torch.empty(IMAGES, 3, size, size), 0

    def save(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept.append(storage)
        if storage._cdata not in weights:
            saved[storage._cdata] = storage.nbytes(), place
        return tensor

    with saved_tensors_hooks(save, lambda tensor: tensor):
        for place, part in enumerate(parts):  # noqa: B007 - `save` reads the place
            x = part(x)
    found = np.array(list(saved.values()), dtype=np.int64).reshape(-1, 2)
    sizes, last = found[:, 0], found[:, 1]
    largest = np.array([sizes[last == part].max(initial=0) for part in range(len(parts))])
    return (
        np.array(
            [
                sizes[last >= frozen].sum()
                + max(BACKWARD * largest[frozen:].max(), FORWARD * largest[:frozen].max(initial=0))
                for frozen in range(len(parts))
            ]
        )
        / IMAGES
    )
