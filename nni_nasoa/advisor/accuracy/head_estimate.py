"""What accuracy to expect where no run tells: what probes saw of a user's own images, and little more.

A probe fits a linear head to the features that a network, as it is, gives of a sample of the images, and asks
it of each image without having seen that. A run that fits a head does the same with more images and another
size. What these change is small, and much the same for all data: it is told in log-odds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nni_nasoa.advisor.models import LARGE_FROM, ModelFigures

from .features import log_odds

# In log-odds: those of EfficientNet-Lite on folders of real images, at 64 to 260 pixels.
SIZE_GAIN = 0.17  # of twice the input size, up to a network's own
MORE_IMAGES_GAIN = 0.2  # of twice as many images to learn from
MOST_DOUBLINGS = 3.0
ALL_STAGES_GAIN = 0.1  # of a head on all stages over one on the last
# A run of the head alone learns from the validation images and from mirrored ones, too.
HEAD_ALONE_GAIN = 0.12
# Of training stages for twice as many epochs as those from which it pays, and at most.
LARGE_TRAINING, SMALL_TRAINING = (0.03, 0.15), (0.04, 0.2)
FIRST_EPOCHS, LEAST_TRAINING_GAIN = 6.0, -0.2
# Of a point of published accuracy; and what networks that were not probed are taken to reach, with the
# standard deviation of that, and of what another network's probe says.
TOP1_GAIN, TYPICAL_TOP1 = 0.03, 75.0
TYPICAL_LARGE, TYPICAL_SMALL, TYPICAL_COUNT, TYPICAL_DEVIATION = 0.7, -0.8, 500, 1.0
OTHER_DEVIATION = 0.2
# Standard deviations: of a run beside its probe; more, for twice the size or twice the images; and where
# stages are trained.
RUN_DEVIATION, STEP_DEVIATION, TRAINING_DEVIATION = 0.3, 0.12, 0.25
EIGHTY_PERCENT = 1.28  # standard deviations to both sides
OWN_WEIGHT = 0.5  # of a gain that two probes of a dataset show, beside the usual one

Probes = Mapping[str, Mapping[str, Any]]
"""What `TaskProfile.probes` holds."""


def head_estimates(
    probes: Probes,
    figures: ModelFigures,
    input_size: np.ndarray,
    train_images: float | np.ndarray,
    epochs: np.ndarray,
    head_only: np.ndarray,
) -> np.ndarray:
    """Accuracies to expect of runs of a model, by probes alone.

    Parameters
    ----------
    probes
        Of a dataset, by the names of models; those of images of another size than the model's own by
        "model@pixels".
    figures
        What is known of the model.
    input_size, epochs, head_only
        Of the n runs, (n,): pixels; passes over the images; whether no stage is trained.
    train_images
        That a run learns from, (n,) or one number.

    Returns
    -------
    Means and both ends of ranges for 80 %, (3, n). Where the model was not probed, by probes of another;
    where there are none, what such networks typically reach, in a wide range.
    """
    own, wide = figures.own_size, 0.0
    seen = list(_of_model(probes, figures))
    if not seen:
        seen, wide = _of_another(probes, figures)
    sizes, odds, counts = (np.array(column, dtype=np.float64) for column in zip(*seen))
    nearest = np.abs(np.log2(sizes[:, None] / input_size)).argmin(0)
    size, base, images = sizes[nearest], odds[nearest], counts[nearest]
    most = own if own >= LARGE_FROM else 2 * own
    doublings = np.log2(np.minimum(input_size, most) / np.minimum(size, most))
    more = np.minimum(np.log2(np.maximum(train_images, 2) / np.maximum(images, 2)), MOST_DOUBLINGS)
    mean = base + _size_gain(probes) * doublings + MORE_IMAGES_GAIN * more + ALL_STAGES_GAIN
    with np.errstate(divide="ignore", invalid="ignore"):
        more_epochs = np.log2(np.nan_to_num(epochs) / FIRST_EPOCHS)
    gain, most_gain = LARGE_TRAINING if own >= LARGE_FROM else SMALL_TRAINING
    mean = mean + np.where(
        head_only, HEAD_ALONE_GAIN, np.clip(gain * more_epochs, LEAST_TRAINING_GAIN, most_gain)
    )
    share = 1 / (1 + np.exp(-base))
    variance = (
        1 / np.maximum(images * share * (1 - share), 1)
        + RUN_DEVIATION**2
        + STEP_DEVIATION**2 * (doublings**2 + more**2)
        + np.where(head_only, 0.0, TRAINING_DEVIATION**2)
        + wide**2
    )
    reach = EIGHTY_PERCENT * np.sqrt(variance)
    return 1 / (1 + np.exp(-np.stack([mean, mean - reach, mean + reach])))


def _of_another(probes: Probes, figures: ModelFigures) -> tuple[list[tuple[int, float, int]], float]:
    """What stands for the probes of a model that has none, and the standard deviation that this adds.

    It is the probes of the network of its kind whose published accuracy is the nearest; where there is none,
    what such networks typically reach.
    """
    large = figures.own_size >= LARGE_FROM
    others = [
        other
        for name in dict.fromkeys(name.partition("@")[0] for name in probes)
        if ((other := ModelFigures.of_zoo(name)).own_size >= LARGE_FROM) == large
        and any(True for _ in _of_model(probes, other))
    ]
    if not others:
        typical = TYPICAL_LARGE + TOP1_GAIN * (_top1(figures) - TYPICAL_TOP1) if large else TYPICAL_SMALL
        return [(figures.own_size, typical, TYPICAL_COUNT)], TYPICAL_DEVIATION
    nearest = min(others, key=lambda other: abs(_top1(other) - _top1(figures)))
    better = TOP1_GAIN * (_top1(figures) - _top1(nearest)) if large else 0.0
    return [(size, odds + better, count) for size, odds, count in _of_model(probes, nearest)], OTHER_DEVIATION


def _top1(figures: ModelFigures) -> float:
    """Published accuracy on ImageNet, in per cent; that of a common network where it is not known."""
    found = figures.known.get("imagenet_top1")
    return float(found) if found is not None else TYPICAL_TOP1


def _of_model(probes: Probes, figures: ModelFigures) -> Iterator[tuple[int, float, int]]:
    """Of each probe of a model the size of images, the log-odds of its linear head, and how many images."""
    for name, found in probes.items():
        model, _, size = name.partition("@")
        if model == figures.model and found.get("linear") is not None and found.get("images"):
            yield int(size or figures.own_size), log_odds(found["linear"]), int(found["images"])


def _size_gain(probes: Probes) -> float:
    """What twice the size gains on a dataset: what probes at two sizes show, and the usual."""
    shown = []
    for name, found in probes.items():
        model, _, size = name.partition("@")
        figures = ModelFigures.of_zoo(model)
        at_own = probes.get(model, {}).get("linear_few")
        if not size or at_own is None or found.get("linear") is None or figures.own_size < LARGE_FROM:
            continue
        doublings = np.log2(figures.own_size / int(size))
        shown.append((log_odds(at_own) - log_odds(found["linear"])) / doublings)
    if not shown:
        return SIZE_GAIN
    return float(max(0.0, OWN_WEIGHT * np.mean(shown) + (1 - OWN_WEIGHT) * SIZE_GAIN))
