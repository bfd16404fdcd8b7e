"""What accuracy to expect where no run tells: what probes saw of a user's own images, and little more.

A probe fits a linear head to the features that a network, as it is, gives of a sample of the images, and asks
it of each image without having seen that. A run that fits a head does the same with more images and another
size. What these change is small, and much the same for all data: it is told in log-odds.

The constants are rules of thumb. The gains of sizes and of all stages are about what cross-validation with
EfficientNet-Lite gave on three folders of drawings, the others were set by some ten runs, and held to 194 on
parts of six folders (examples/benchmarks/promises.py). They are for as long as no runs on such data tell
more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nni_nasoa.advisor.models import LARGE_FROM, ModelFigures
from nni_nasoa.training.gains import MORE_IMAGES_GAIN

from .features import log_odds

# Twice the input size gains so much, up to a network's own, with this standard deviation between datasets.
# Two probes of the same images show it with this part of their variances: mostly they err on the same images.
SIZE_GAIN, SIZE_DEVIATION, NOT_SHARED = 0.17, 0.13, 0.3
MOST_DOUBLINGS = 3.0  # Eight times as many images gain the most.
ALL_STAGES_GAIN = 0.1  # A head on all stages is so much better than one on the last.
# A run of the head alone learns from the validation images and from mirrored ones, too.
HEAD_ALONE_GAIN = 0.12
# Training stages gains so much for twice as many epochs as those from which it pays, and at most so much.
LARGE_TRAINING, SMALL_TRAINING = (0.03, 0.15), (0.04, 0.2)
FIRST_EPOCHS, LEAST_TRAINING_GAIN = 6.0, -0.2
# With fewer images than these, each halving takes so much of what training all of a large network's stages
# gains, and of some their share. Little, as a run keeps its fitted head until trained stages are better: by
# 79 runs on parts of real folders, which this was chosen by, hardly any.
ENOUGH_TO_TRAIN, TOO_FEW_LOSS = 600.0, 0.05
TOP1_GAIN, TYPICAL_TOP1 = 0.03, 75.0  # A point of published accuracy gains so much.
# What networks are taken to reach of whose kind none was probed, as of so many images.
TYPICAL_LARGE, TYPICAL_SMALL, TYPICAL_COUNT = 0.7, -0.8, 500
# A small network's linear head beside a large one's, on five folders of photographs and drawings: by so much
# less, with this standard deviation. An image tells log-odds to about this variance.
SMALL_BESIDE_LARGE, BESIDE_DEVIATION, LOG_ODDS_VARIANCE = -0.75, 0.5, 5.0
# Beyond what their published accuracies tell, large networks of a family differ by this standard deviation:
# chosen by 122 runs on parts of real folders.
FAMILY_DEVIATION = 0.1
# Standard deviations: of a run beside its probe; more, for twice the size or twice the images; where stages
# are trained; where another network was probed in place of this one; where none was.
RUN_DEVIATION, STEP_DEVIATION, TRAINING_DEVIATION = 0.3, 0.12, 0.25
OTHER_DEVIATION, TYPICAL_DEVIATION = 0.2, 1.0
EIGHTY_PERCENT = 1.28  # So many standard deviations to both sides hold 80 %.

Probes = Mapping[str, Mapping[str, Any]]
"""What `TaskProfile.probes` holds."""


def probe_estimates(
    probes: Probes,
    figures: ModelFigures,
    input_size: np.ndarray,
    train_images: float | np.ndarray,
    epochs: np.ndarray,
    trained: np.ndarray,
) -> np.ndarray:
    """Accuracies to expect of runs of a model, by probes alone.

    Parameters
    ----------
    probes
        Those of a dataset, by the names of models; on images of another size than a model's own by
        "model@pixels".
    figures
        What is known of the model.
    input_size, epochs, trained
        Columns of the n runs, (n,): pixels; passes over the images; the share of stages that are trained, 0
        for a head alone.
    train_images
        How many images a run learns from, (n,) or one number.

    Returns
    -------
    Means and both ends of ranges for 80 %, from 0 to 1, (3, n). Where the model was not probed, by probes of
    another; where there are none, what such networks typically reach, in a wide range.
    """
    own, wide = figures.own_size, 0.0
    seen = list(_of_model(probes, figures))
    if not seen:
        seen, wide = _of_another(probes, figures)
    sizes, odds, counts = (np.array(column, dtype=np.float64) for column in zip(*seen))
    odds = (
        _beside_large(probes, odds, counts)
        if own < LARGE_FROM
        else _beside_family(probes, figures, sizes, odds, counts)
    )
    nearest = np.abs(np.log2(sizes[:, None] / input_size)).argmin(0)
    size, base, images = sizes[nearest], odds[nearest], counts[nearest]
    most = own if own >= LARGE_FROM else 2 * own
    doublings = np.log2(np.minimum(input_size, most) / np.minimum(size, most))
    more = np.minimum(np.log2(np.maximum(train_images, 2) / np.maximum(images, 2)), MOST_DOUBLINGS)
    mean = base + _size_gain(probes) * doublings + MORE_IMAGES_GAIN * more + ALL_STAGES_GAIN
    with np.errstate(divide="ignore", invalid="ignore"):
        more_epochs = np.log2(np.nan_to_num(epochs) / FIRST_EPOCHS)
    gain, most_gain = LARGE_TRAINING if own >= LARGE_FROM else SMALL_TRAINING
    training = np.clip(gain * more_epochs, LEAST_TRAINING_GAIN, most_gain)
    if own >= LARGE_FROM:
        halvings = np.log2(ENOUGH_TO_TRAIN / np.maximum(train_images, 2))
        training = training - TOO_FEW_LOSS * trained * np.maximum(halvings, 0)
    mean = mean + np.where(trained == 0, HEAD_ALONE_GAIN, training)
    share = 1 / (1 + np.exp(-base))
    variance = (
        1 / np.maximum(images * share * (1 - share), 1)
        + RUN_DEVIATION**2
        + STEP_DEVIATION**2 * (doublings**2 + more**2)
        + np.where(trained == 0, 0.0, TRAINING_DEVIATION**2)
        + wide**2
    )
    reach = EIGHTY_PERCENT * np.sqrt(variance)
    return 1 / (1 + np.exp(-np.stack([mean, mean - reach, mean + reach])))


def head_figures(probes: Probes, figures: ModelFigures, train_images: float) -> dict[str, float]:
    """What probes tell of heads on a large network, as records keep it and the predictor begins with.

    Parameters
    ----------
    probes, figures, train_images
        As `probe_estimates` takes them.

    Returns
    -------
    `head_expected`, the accuracy of a head alone on images of the network's own size, from 0 to 1, and
    `doubling_gain`, what twice the size gains, in log-odds. Nothing of small networks, which are probed as
    they are run, and where no large network was probed.
    """
    if figures.own_size < LARGE_FROM or not kind_was_probed(probes, figures):
        return {}
    size, once, none = np.array([figures.own_size]), np.ones(1), np.zeros(1)
    mean = probe_estimates(probes, figures, size, train_images, once, none)[0]
    return {"head_expected": float(mean[0]), "doubling_gain": _size_gain(probes)}


def _beside_large(probes: Probes, odds: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Log-odds of probes of a small network, drawn towards what such ones usually are beside a large one.

    By few images, networks are compared by chance.
    """
    large = [
        (log_odds(found["linear"]), int(found["images"]))
        for name, found in probes.items()
        if ModelFigures.of_zoo(name.partition("@")[0]).own_size >= LARGE_FROM
        and found.get("linear") is not None
        and found.get("images")
    ]
    if not large:
        return odds
    best, images = max(large)
    noise = LOG_ODDS_VARIANCE * (1 / counts + 1 / images)
    own = BESIDE_DEVIATION**2 / (BESIDE_DEVIATION**2 + noise)
    return own * odds + (1 - own) * (best + SMALL_BESIDE_LARGE)


def _beside_family(
    probes: Probes, figures: ModelFigures, sizes: np.ndarray, odds: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Log-odds of probes of a large network, drawn towards what those of its family see on average.

    The fewer images there were, the more: by few, networks are compared by chance.

    Parameters
    ----------
    sizes, odds, counts
        Of the network's own k probes, (k,): sizes of images in pixels, log-odds, and numbers of images.

    Returns
    -------
    Log-odds, (k,).
    """
    gain, alike = _size_gain(probes), [odds]
    for other in _probed_of_kind(probes, figures):
        if other.model != figures.model and other.known.get("family") == figures.known.get("family"):
            at, seen, _ = (np.array(column, dtype=np.float64) for column in zip(*_of_model(probes, other)))
            doublings = np.log2(sizes[:, None] / figures.own_size) - np.log2(at / other.own_size)
            nearest = np.abs(doublings).argmin(1)
            larger = doublings[np.arange(len(sizes)), nearest]
            better = TOP1_GAIN * (_top1(figures) - _top1(other))
            alike.append(seen[nearest] + gain * larger + better)
    own = FAMILY_DEVIATION**2 / (FAMILY_DEVIATION**2 + NOT_SHARED * LOG_ODDS_VARIANCE / counts)
    return own * odds + (1 - own) * np.mean(alike, axis=0)


def _of_another(probes: Probes, figures: ModelFigures) -> tuple[list[tuple[int, float, int]], float]:
    """What stands for the probes of a model that has none, and the standard deviation that this adds.

    It is the probes of the network of its kind whose published accuracy is the nearest; where there is none,
    what such networks typically reach.
    """
    large, others = figures.own_size >= LARGE_FROM, _probed_of_kind(probes, figures)
    if not others:
        typical = TYPICAL_LARGE + TOP1_GAIN * (_top1(figures) - TYPICAL_TOP1) if large else TYPICAL_SMALL
        return [(figures.own_size, typical, TYPICAL_COUNT)], TYPICAL_DEVIATION
    nearest = min(others, key=lambda other: abs(_top1(other) - _top1(figures)))
    better = TOP1_GAIN * (_top1(figures) - _top1(nearest)) if large else 0.0
    return [(size, odds + better, count) for size, odds, count in _of_model(probes, nearest)], OTHER_DEVIATION


def kind_was_probed(probes: Probes, figures: ModelFigures) -> bool:
    """Whether the model was probed, or another one of its kind, large or small."""
    return bool(_probed_of_kind(probes, figures))


def _probed_of_kind(probes: Probes, figures: ModelFigures) -> list[ModelFigures]:
    """The models of this one's kind that were probed, on images of any size."""
    names = dict.fromkeys(name.partition("@")[0] for name in probes)
    others = [other for name in names if any(_of_model(probes, other := ModelFigures.of_zoo(name)))]
    large = figures.own_size >= LARGE_FROM
    return [other for other in others if (other.own_size >= LARGE_FROM) == large]


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
    """What twice the size gains on a dataset: what probes at two sizes show, as far as images tell it."""
    gains = []
    for name, found in probes.items():
        model, _, size = name.partition("@")
        figures = ModelFigures.of_zoo(model)
        at_own = probes.get(model, {}).get("linear_few")
        if not size or at_own is None or found.get("linear") is None or figures.own_size < LARGE_FROM:
            continue
        doublings = np.log2(figures.own_size / int(size))
        shown = (log_odds(at_own) - log_odds(found["linear"])) / doublings
        noise = NOT_SHARED * 2 * LOG_ODDS_VARIANCE / (found.get("images") or 1) / doublings**2
        weight = SIZE_DEVIATION**2 / (SIZE_DEVIATION**2 + noise)
        gains.append(weight * shown + (1 - weight) * SIZE_GAIN)
    return float(max(0.0, np.mean(gains))) if gains else SIZE_GAIN
