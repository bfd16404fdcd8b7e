"""A quick look at a dataset through a pretrained network: how separable its classes are, how new its images.

Nothing is trained. A sample of images goes through the network once; what is found in the features tells,
long before a run would, how far the network as it is will get.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.advisor.models import LARGE_FROM
from nni_nasoa.data.arrays import ImageSplit, classes_in_turn

if TYPE_CHECKING:
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    from nni_nasoa.zoo.staged import Staged

IMAGES = 1000  # the most images of a sample that a probe looks at
FEW = 250  # the most in another size than the network's own, and for a linear head on few
MIN_IMAGES = 40  # fewer, where the sample has more, tell nothing
DISTANCE_IMAGES = 250  # so many tell how far a dataset is from the images that the network was pretrained on
FIRST_BATCH, MAX_BATCH = 8, 32
ITERATIONS, TOLERANCE = 100, 1e-5  # the fixed point of LogME is found with these
# Bounds of alpha / beta, in units of the largest eigenvalue: from a fit without a prior to none at all.
RATIOS = 1e-8, 1e8
RIDGES = np.logspace(-2, 4, 13)  # penalties of a linear head, for features of variance 1
# They tell how far the network as it is will get.
ACCURACIES = ("nearest_mean", "nearest_neighbour", "linear", "linear_few", "log_me")


def probe(
    split: ImageSplit,
    model: str,
    *,
    device: str = "cpu",
    seconds: float | None = None,
    images: int | None = None,
) -> dict[str, float | int | None]:
    """Look at a sample of images through a pretrained network.

    Parameters
    ----------
    split
        The sample.
    model
        A name of the zoo, with weights of its own.
    device
        Where the network runs.
    seconds
        After which no more images are looked at; None looks at all. The network is made in any case.
    images
        To look at, at most, all classes in turn; by default 1000.

    Returns
    -------
    - nearest_mean, nearest_neighbour: share of the images whose class is found by the nearest class mean and
      by the nearest image, among the training images of the sample other than the image itself; see
      `nearest_accuracies`.
    - linear, linear_few: the same for a linear head; see `linear_accuracy`. The second is that on the first
      250 images, to be compared with probes on images of other sizes, which look at no more.
    - log_me: see `log_me`.
    - distance: how far the images lie from those of the pretraining, 0 to 1; see `PretrainingDistance`. Of
      small networks alone.
    - images: how many were looked at.
    - stages: of the network.

    A measure that has no value is None: too few images were seen, or all are of one class.

    Raises
    ------
    ValueError
        There is no such model, or it has no weights.
    """
    import torch

    from nni_nasoa.zoo import create_model
    from nni_nasoa.zoo.staged import staged

    deadline = None if seconds is None else time.monotonic() + seconds
    network = staged(create_model(model, 2, weights="default"), model).to(device).eval()
    labels = np.concatenate([split.train.labels, split.val.labels])
    order = classes_in_turn(labels, 0)[: IMAGES if images is None else images]
    with torch.inference_mode():
        features, distance = _look(network, split, order, torch.device(device), deadline)
    seen = order[: len(features)]
    result = {**dict.fromkeys((*ACCURACIES, "distance")), "images": len(seen), "stages": len(network.stages)}
    if len(seen) < min(MIN_IMAGES, len(order)) or not np.isfinite(features).all():
        return result
    labels, training = labels[seen], seen < len(split.train)
    linear = linear_accuracy(features, labels, training)
    few = linear if len(seen) <= FEW else linear_accuracy(features[:FEW], labels[:FEW], training[:FEW])
    found = *nearest_accuracies(features, labels, training), linear, few, log_me(features, labels)
    return result | dict(zip(ACCURACIES, found)) | {"distance": distance}


def _look(
    network: Staged, split: ImageSplit, order: np.ndarray, device: torch.device, deadline: float | None
) -> tuple[np.ndarray, float | None]:
    """Features of the images and the distance of the first of them.

    The features are in this order, of as many images as there is time for.
    """
    import torch

    from nni_nasoa.device.precision import autocast, faster_type

    mean, std = (
        255 * torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (network.mean, network.std)
    )

    def prepared(indices: np.ndarray) -> torch.Tensor:
        images = torch.from_numpy(_images(split, indices)).to(device)
        return images.to(dtype=torch.float32, memory_format=torch.channels_last).sub_(mean).div_(std)

    features, start, batch = [np.empty((0, network.features), np.float32)], 0, FIRST_BATCH
    dtype: torch.dtype | None = None
    if (
        network.input_size >= LARGE_FROM
    ):  # small ones take next to no time, and are compared with earlier probes
        dtype = faster_type(device, partial(network.forward_stages, prepared(order[:FIRST_BATCH])))
    # It takes as long again as the passes of a large network; runs are compared by that of a small one.
    with PretrainingDistance(network if network.input_size < LARGE_FROM else None) as distance:
        while start < len(order) and (deadline is None or time.monotonic() < deadline):
            images = prepared(order[start : start + batch])
            with autocast(device, dtype):
                features.append(network.forward_stages(images).float().cpu().numpy())
            start, batch = start + batch, min(2 * batch, MAX_BATCH)
            if start >= DISTANCE_IMAGES:
                distance.stop()
    return np.concatenate(features), distance.value()


def _images(split: ImageSplit, indices: np.ndarray) -> np.ndarray:
    """Images by their numbers, those of the validation part after those of the training part."""
    images = np.empty((len(indices), *split.train.images.shape[1:]), np.uint8)
    training = indices < len(split.train)
    images[training] = split.train.images[indices[training]]
    images[~training] = split.val.images[indices[~training] - len(split.train)]
    return images


class PretrainingDistance:
    """How far what a network sees lies from what it was pretrained on.

    Batch normalisation keeps the mean and the variance of every channel over the pretraining images. The
    distance is that of Hellinger between the normal distributions with these and with the present ones, from
    0 to 1, averaged over all channels of a layer, and over the layers.

    Parameters
    ----------
    network
        In eval mode. The images that pass through it count until `stop`, or the end of the context. Of None,
        there is no distance.
    """

    def __init__(self, network: torch.nn.Module | None):
        from torch.nn.modules.batchnorm import _BatchNorm

        self._layers = [
            layer
            for layer in (() if network is None else network.modules())
            if isinstance(layer, _BatchNorm) and layer.running_var is not None
        ]
        self._sums: dict[_BatchNorm, tuple[int, torch.Tensor, torch.Tensor]] = {}
        self._hooks: list = []

    def __enter__(self) -> PretrainingDistance:
        self._hooks = [layer.register_forward_pre_hook(self._take) for layer in self._layers]
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Count no more images."""
        while self._hooks:
            self._hooks.pop().remove()

    def _take(self, layer: _BatchNorm, inputs: tuple[torch.Tensor, ...]) -> None:
        import torch

        axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
        variance, mean = torch.var_mean(inputs[0].float(), axes, correction=0)
        mean, variance, n = mean.double(), variance.double(), len(inputs[0])
        first, second = n * mean, n * (variance + mean**2)
        if layer in self._sums:
            before = self._sums[layer]
            n, first, second = before[0] + n, before[1] + first, before[2] + second
        self._sums[layer] = n, first, second

    def value(self) -> float | None:
        """The distance; None for a network without batch normalisation, or without images."""
        import torch

        distances = []
        for layer, (n, first, second) in self._sums.items():
            assert layer.running_mean is not None and layer.running_var is not None  # see `_layers`
            mean, known = first / n, layer.running_var.double() + layer.eps
            variance = (second / n - mean**2).clamp(min=0) + layer.eps
            overlap = torch.sqrt(2 * torch.sqrt(variance * known) / (variance + known))
            overlap *= torch.exp(-((mean - layer.running_mean) ** 2) / (4 * (variance + known)))
            distances.append(torch.sqrt((1 - overlap).clamp(min=0)).mean().item())
        return float(np.mean(distances)) if distances and np.isfinite(distances).all() else None


def nearest_accuracies(
    features: np.ndarray, labels: np.ndarray, training: np.ndarray
) -> tuple[float | None, float | None]:
    """How often the nearest class mean, and the nearest image, have the right class.

    Means and neighbours are of training images alone, and an image never counts for itself: a training image
    is left out of the mean of its class, and is no neighbour of its own. Features are scaled to equal
    variance, distances are Euclidean. Images whose class has no other training image are not asked, but stand
    in the way of others.

    Parameters
    ----------
    features
        (n, width).
    labels
        (n,) integers.
    training
        (n,) bool.

    Returns
    -------
    Both accuracies, 0 to 1; None where no image can be asked, or all are of one class.
    """
    labels, asked = _asked(labels, training)
    if not asked.any():
        return None, None
    x = _scaled(features)
    return _nearest_mean(x, labels, training)[asked].mean().item(), _nearest_neighbour(x, labels, training)[
        asked
    ].mean().item()


def _asked(labels: np.ndarray, training: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels from 0 on, and of which images the class can be found: another training image has it.

    That is none of them, if there is one class.
    """
    classes, labels = np.unique(labels, return_inverse=True)
    others = np.bincount(labels[training], minlength=len(classes))[labels] - training
    return labels, (others > 0) & (len(classes) > 1)


def _scaled(features: np.ndarray) -> np.ndarray:
    """Features of mean 0 and variance 1; those that hardly vary stay small."""
    x = features.astype(np.float64)
    return (x - x.mean(0)) / np.maximum(x.std(0), 1e-12 + 1e-6 * x.std())


def _nearest_mean(x: np.ndarray, labels: np.ndarray, training: np.ndarray) -> np.ndarray:
    counts = np.bincount(labels[training], minlength=labels.max() + 1)
    sums = np.zeros((len(counts), x.shape[1]))
    np.add.at(sums, labels[training], x[training])
    distances = _squared_distances(x, sums / np.maximum(counts, 1)[:, None])
    distances[:, counts == 0] = np.inf
    # A class of n images has its mean n / (n - 1) times as far from one of them when that one is left out.
    own, n = (np.arange(len(x)), labels), counts[labels].astype(np.float64)
    distances[own] *= np.where(training, n / np.maximum(n - 1, 1), 1) ** 2
    distances[own] = np.where(training & (n == 1), np.inf, distances[own])
    return distances.argmin(1) == labels


def _nearest_neighbour(x: np.ndarray, labels: np.ndarray, training: np.ndarray) -> np.ndarray:
    distances = _squared_distances(x, x)
    np.fill_diagonal(distances, np.inf)
    distances[:, ~training] = np.inf
    return labels[distances.argmin(1)] == labels


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum((x**2).sum(1)[:, None] - 2 * x @ y.T + (y**2).sum(1), 0)


def linear_accuracy(features: np.ndarray, labels: np.ndarray, training: np.ndarray) -> float | None:
    """How often a linear head has the right class.

    The head is a ridge regression on the indicators of the classes ("regularized least-squares
    classification": Rifkin and Lippert, MIT-CSAIL-TR-2007-025), of the training images alone, whose intercept
    is not penalised: with one that is, the boundary goes through the mean of all images, and of uneven
    classes most of the large one lies beyond it. Each training image is asked of the head that was fitted
    without it, which has a closed form. Of several penalties the best counts.

    Parameters
    ----------
    features, labels, training
        As `nearest_accuracies` takes them.

    Returns
    -------
    The accuracy, 0 to 1; None where no image can be asked, or all are of one class.
    """
    labels, asked = _asked(labels, training)
    if not asked.any():
        return None
    x = _scaled(features)
    x -= x[training].mean(0)
    y = np.eye(labels.max() + 1)[labels[training]]
    shares = y.mean(0)
    u, s, vt = np.linalg.svd(x[training], full_matrices=False)
    projected, elsewhere = u.T @ (y - shares), x[~training] @ vt.T
    right = np.empty(len(x), dtype=bool)
    best = 0.0
    for ridge in RIDGES:
        shrunk = s**2 / (s**2 + ridge)
        # Its own label's share of each training image's prediction.
        own = np.minimum(1 / len(y) + u**2 @ shrunk, 1 - 1e-9)
        left_out = y - (y - shares - u @ (shrunk[:, None] * projected)) / (1 - own)[:, None]
        others = shares + elsewhere @ ((s / (s**2 + ridge))[:, None] * projected)
        right[training] = left_out.argmax(1) == labels[training]
        right[~training] = others.argmax(1) == labels[~training]
        best = max(best, right[asked].mean().item())
    return best


def log_me(features: np.ndarray, labels: np.ndarray) -> float | None:
    """LogME: logarithm of the maximum evidence of linear models on the features.

    It is for an image and averaged over the classes.

    "LogME: Practical Assessment of Pre-trained Models for Transfer Learning" (You et al., ICML 2021, arXiv
    2102.11005, algorithm 1): for each class, y = F w + noise of variance 1 / beta, with w of variance
    1 / alpha, y being 1 for images of the class and 0 for others. The evidence is maximised over alpha and
    beta by MacKay's fixed point.

    Parameters
    ----------
    features
        F, (n, width).
    labels
        (n,) integers.

    Returns
    -------
    None where there are not two classes.
    """
    classes, labels = np.unique(labels, return_inverse=True)
    f = features.astype(np.float64)
    scale = np.sqrt((f**2).mean()) if f.size else 0.0
    if len(classes) < 2 or not scale:
        return None
    y = np.eye(len(classes))[labels]
    # F F^T = U diag(s) U^T: all that follows needs no more of F.
    u, singular, _ = np.linalg.svd(f / scale, full_matrices=False)
    s, z = singular**2, (u.T @ y) ** 2
    rest = np.maximum((y**2).sum(0) - z.sum(0), 0)  # the part of y that lies outside the span of F
    low, high = (ratio * s.max() for ratio in RATIOS)
    t = np.ones(len(classes))
    for _ in range(ITERATIONS):
        alpha, beta = _fixed_point_step(t, s, z, rest, len(f))
        before, t = t, np.clip(alpha / beta, low, high)
        if np.all(np.abs(t - before) <= TOLERANCE * before):
            break
    return float(log_evidence(t, s, z, rest, len(f)).mean() / len(f))


def _fixed_point_step(
    t: np.ndarray, s: np.ndarray, z: np.ndarray, rest: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Alpha and beta of each class from their ratio t."""
    gamma = (s[:, None] / (s[:, None] + t)).sum(0)
    weights = (s[:, None] * z / (s[:, None] + t) ** 2).sum(0)  # squared norm of the mean of w
    errors = rest + (z * (t / (s[:, None] + t)) ** 2).sum(0)  # squared norm of y - F w
    tiny = np.finfo(np.float64).tiny
    return gamma / np.maximum(weights, tiny), np.maximum(n - gamma, tiny) / np.maximum(errors, tiny)


def log_evidence(t: np.ndarray, s: np.ndarray, z: np.ndarray, rest: np.ndarray, n: int) -> np.ndarray:
    """Logarithm of N(y; 0, (I + F F^T / t) / beta) of each class, with the beta that is best for this t.

    Parameters
    ----------
    t
        (classes,): alpha / beta.
    s, z
        (rank,) and (rank, classes): the eigenvalues of F F^T, and the squares of the labels' coordinates in
        its eigenvectors.
    rest
        (classes,): of the squared norm of the labels, what lies outside the span of F.
    n
        How many images there are.
    """
    quadratic = rest + (z * t / (s[:, None] + t)).sum(0)
    beta = n / np.maximum(quadratic, n * np.finfo(np.float64).tiny)
    return 0.5 * (n * np.log(beta / (2 * np.pi)) - np.log1p(s[:, None] / t).sum(0) - n)
