"""Landmarks: how far a small network comes on a dataset in short trainings, before any run is made.

Probes tell how far a network gets as it is. By how much it gets better when all of it learns, and whether it
learns more from larger images or by a higher learning rate, they cannot tell: landmarks try it
("Meta-Learning by Landmarking Various Learning Algorithms": Pfahringer, Bensusan and Giraud-Carrier, ICML
2000). The trainings are the same for all datasets, in steps and not in seconds, so that what they reach can
be compared between them and between machines.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.data.arrays import ImageArrays, classes_in_turn

if TYPE_CHECKING:
    from nni_nasoa.data import ImageSplit
    from nni_nasoa.training.images import Images
    from nni_nasoa.zoo.staged import Staged

# Learning rates of SGD: a sound one, and one that is too high for some datasets and better for others.
RATE, HIGH_RATE = 0.02, 0.14
STEPS, BATCH, WEIGHT_DECAY = 48, 32, 1e-4
WARMUP = 0.1  # share of the steps in which the learning rate rises
EVALUATION_BATCH = 64
TRAIN_IMAGES, VAL_IMAGES = 500, 250  # the most images, taken from all classes in turn
FIRST_STEPS = 3  # so many steps tell what all will take
EVALUATION_STEPS = 4  # the evaluation takes as long as so many steps, at most


def landmark(
    split: ImageSplit,
    model: str,
    rate: float = RATE,
    *,
    device: str = "cpu",
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> float | None:
    """Train all of a pretrained network on a sample, and evaluate it on images that it has not seen.

    The training takes 48 steps of 32 images.

    Parameters
    ----------
    split
        The sample, in the size that the network shall see.
    model
        A name of the zoo, with weights of its own.
    rate
        The peak learning rate, of SGD.
    device
        Where the network runs.
    seconds
        For all of it. It is given up as soon as it turns out not to fit; None has all the time.
    clock
        What tells the seconds.

    Returns
    -------
    The accuracy, 0 to 1, on the validation images; None where there was no time, there are no training images
    of several classes or no validation images, or the training diverged.

    Raises
    ------
    ValueError
        There is no such model, or it has no weights.
    """
    deadline = None if seconds is None else clock() + seconds
    import torch

    from nni_nasoa.training.images import Images, Normalization
    from nni_nasoa.zoo import create_model
    from nni_nasoa.zoo.staged import staged

    if len(np.unique(split.train.labels)) < 2 or not len(split.val):
        return None
    network = staged(create_model(model, split.num_classes, weights="default"), model)
    network.to(device).to(memory_format=torch.channels_last)
    normalization = Normalization.of(network.mean, network.std)
    train, val = (
        Images(_some(part, count), torch.device(device), normalization)
        for part, count in ((split.train, TRAIN_IMAGES), (split.val, VAL_IMAGES))
    )
    return _accuracy(network, val) if _trained(network, train, rate, deadline, clock) else None


def _some(part: ImageArrays, count: int) -> ImageArrays:
    rows = classes_in_turn(part.labels, 0)[:count]
    return ImageArrays(part.images[rows], part.labels[rows])


def _trained(
    network: Staged, images: Images, rate: float, deadline: float | None, clock: Callable[[], float]
) -> bool:
    """Train it; False as soon as the time will not do."""
    import torch

    from nni_nasoa.device.settings import synchronize
    from nni_nasoa.training.optimizers import Optimizer
    from nni_nasoa.training.schedule import warmup_cosine
    from nni_nasoa.training.supervised import endless, train_step

    for values in network.head.parameters():  # so that no two landmarks differ by how their heads began
        torch.nn.init.zeros_(values)
    network.freeze(0).train()
    optimizer, rng = Optimizer("sgd", network.parameters(), WEIGHT_DECAY), np.random.default_rng(0)
    batches, begin = (
        endless(lambda: BATCH, lambda: torch.from_numpy(rng.permutation(len(images)))),
        clock(),
    )
    for step in range(STEPS):
        indices = next(batches)
        optimizer.learning_rate = rate * warmup_cosine(step / STEPS, WARMUP)
        train_step(network, optimizer, images.clean(indices), images.labels[indices.to(images.device)])
        if deadline is not None and step + 1 >= FIRST_STEPS:
            synchronize(images.device)
            now = clock()
            if now + (now - begin) / (step + 1) * (STEPS + EVALUATION_STEPS - step - 1) > deadline:
                return False
    return True


def _accuracy(network: Staged, images: Images) -> float | None:
    """On all images; None where what the network gives is no longer finite."""
    from nni_nasoa.training.supervised import logits_of, share_right

    logits = logits_of(network, images, batch_size=EVALUATION_BATCH)
    return share_right(logits, images.labels) if logits.isfinite().all() else None
