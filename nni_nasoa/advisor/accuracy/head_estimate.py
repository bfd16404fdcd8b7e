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
ALL_STAGES_GAIN = 0.1  # of a head on all stages over one on the last
# Of training stages for twice as many epochs as those from which it pays, and at most: little for a network
# that knows photographs, much for a small one that has seen less.
LARGE_TRAINING, SMALL_TRAINING = (0.05, 0.25), (0.12, 0.5)
FIRST_EPOCHS = 6.0
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
    Means and both ends of ranges for 80 %, (3, n); NaN where the model was not probed.
    """
    seen = list(_of_model(probes, figures))
    if not seen:
        return np.full((3, len(input_size)), np.nan)
    own = figures.own_size
    sizes, odds, counts = (np.array(column, dtype=np.float64) for column in zip(*seen))
    nearest = np.abs(np.log2(sizes[:, None] / input_size)).argmin(0)
    size, base, images = sizes[nearest], odds[nearest], counts[nearest]
    most = own if own >= LARGE_FROM else 2 * own
    doublings = np.log2(np.minimum(input_size, most) / np.minimum(size, most))
    more = np.log2(np.maximum(train_images, 2) / np.maximum(images, 2))
    mean = base + _size_gain(probes) * doublings + MORE_IMAGES_GAIN * more + ALL_STAGES_GAIN
    with np.errstate(divide="ignore", invalid="ignore"):
        more_epochs = np.log2(np.nan_to_num(epochs) / FIRST_EPOCHS)
    gain, most_gain = LARGE_TRAINING if own >= LARGE_FROM else SMALL_TRAINING
    trained = np.clip(gain * more_epochs, 0, most_gain)
    mean = mean + np.where(head_only, 0.0, trained)
    share = 1 / (1 + np.exp(-base))
    variance = (
        1 / np.maximum(images * share * (1 - share), 1)
        + RUN_DEVIATION**2
        + STEP_DEVIATION**2 * (doublings**2 + more**2)
        + np.where(head_only, 0.0, TRAINING_DEVIATION**2)
    )
    wide = EIGHTY_PERCENT * np.sqrt(variance)
    return 1 / (1 + np.exp(-np.stack([mean, mean - wide, mean + wide])))


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
