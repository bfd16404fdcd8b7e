"""What a dataset is looked at with: through which networks, on images of which sizes, in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nni_nasoa.advisor.models import LARGE_FROM, ModelFigures
from nni_nasoa.zoo import get

from .landmarks import HIGH_RATE, RATE

PROBE_MODEL = "nano-a"
# The trainings of `PROBE_MODEL`, see `landmark_settings`.
LANDMARKS = ("landmark", "landmark_high_rate", "landmark_large")
QUICK_SIZE = 128  # pixels of a cheap look through a large network


def other_sizes(model: str) -> tuple[int | None, int | None]:
    """The smallest and the largest images that there are candidates of, in pixels.

    None stands for the model's own size.
    """
    figures = ModelFigures.of_zoo(model)
    smallest, largest = (
        None if size == figures.own_size else size
        for size in (figures.input_sizes[0], figures.input_sizes[-1])
    )
    return smallest, largest


def sized_probes(models: Sequence[str] = ()) -> dict[str, int]:
    """Probes on images of another size than a model's own, with their sizes.

    `PROBE_MODEL` looks at the smallest, all look at the largest.
    """
    names = dict.fromkeys((PROBE_MODEL, *models))
    sizes = [
        (PROBE_MODEL, other_sizes(PROBE_MODEL)[0]),
        *((model, other_sizes(model)[1]) for model in names),
    ]
    return {f"{model}@{size}": size for model, size in sizes if size is not None}


def planned_probes(models: Sequence[str], sized: bool = True) -> dict[str, int]:
    """All probes of some models, with the sizes of images, in the order in which they are made.

    Of files, large networks come first, the cheapest on small images, too: they know photographs, and most is
    to be expected of them.

    Parameters
    ----------
    sized
        Whether images can be had in any size, as files can.
    """
    large = sorted(
        (model for model in dict.fromkeys(models) if is_large(model)),
        key=lambda model: ModelFigures.of_zoo(model).gmacs or math.inf,
    )
    own = {model: get(model).input_size for model in dict.fromkeys((PROBE_MODEL, *models))}
    others = sized_probes(models) if sized else {}
    names = [PROBE_MODEL, *models, *others]
    if large and sized:
        quick = f"{large[0]}@{QUICK_SIZE}"
        if QUICK_SIZE in ModelFigures.of_zoo(large[0]).input_sizes[:-1]:
            others[quick] = QUICK_SIZE
            names = [quick, *names]
        names = [*names[:1], large[0], large[-1], PROBE_MODEL, *large, *names]
    sizes = own | others
    return {name: sizes[name] for name in dict.fromkeys(names)}


def is_large(model: str) -> bool:
    """Whether a network was pretrained at the sizes of photographs."""
    return get(model).input_size >= LARGE_FROM


def landmark_settings() -> dict[str, tuple[int, float]]:
    """Size of images, in pixels, and peak learning rate of each landmark."""
    own, large = get(PROBE_MODEL).input_size, ModelFigures.of_zoo(PROBE_MODEL).input_sizes[-1]
    return dict(zip(LANDMARKS, ((own, RATE), (own, HIGH_RATE), (large, RATE))))
