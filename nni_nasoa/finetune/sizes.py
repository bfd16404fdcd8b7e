"""At which sizes a run takes images, as is known without its network."""

from __future__ import annotations

import math

from nni_nasoa.data import Dataset
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import MAX_INPUT_SIZE
from nni_nasoa.zoo import ModelInfo, get

DEFAULT_INPUT_SIZE = 224  # Pixels that models take which nothing is known about.
# A random crop has a third of an image's area at least, so 1.7 times as many pixels a side would never blur.
DETAIL = 1.5


def known_model(model: str) -> ModelInfo | None:
    """What the zoo knows of a model; nothing of an encoding."""
    try:
        return get(model)
    except ValueError:
        return None


def input_size_of(regime: FineTuneRegime, dataset: Dataset) -> int:
    """The input size of a run: that of an opened dataset, else the regime's, else the model's own.

    Raises
    ------
    FineTuneError
        The regime asks for another one than an opened dataset has.
    """
    if dataset.input_size is not None:
        size = dataset.input_size
    elif regime.input_size is not None:
        return regime.input_size
    else:
        info = known_model(regime.model)
        size = info.input_size if info is not None else DEFAULT_INPUT_SIZE
    if regime.input_size not in (None, size):
        raise FineTuneError(
            f"input_size: {regime.input_size}, "
            f"where the images of the dataset that is given are {size} pixels wide"
        )
    return size


def has_resized_crops(regime: FineTuneRegime) -> bool:
    """Whether a run takes random resized crops of images, so that it wants them larger, too."""
    return regime.augmentation == "full"


def larger_size(input_size: int) -> int:
    """Height and width, in pixels, at which images are decoded of which random resized crops are taken."""
    return min(MAX_INPUT_SIZE, math.ceil(DETAIL * input_size))
