"""Landmarks: how far a small network comes on a dataset in short trainings, before any run is made.

Probes tell how far a network gets as it is. By how much it gets better when all of it learns, and whether it learns more from
larger images or by a higher learning rate, they cannot tell: landmarks try it ("Meta-Learning by Landmarking Various Learning
Algorithms": Pfahringer, Bensusan and Giraud-Carrier, ICML 2000). The trainings are the same for all datasets, in steps and not in
seconds, so that what they reach can be compared between them and between machines.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from nni_nasoa.data.arrays import ImageArrays, classes_in_turn

if TYPE_CHECKING:
    from nni_nasoa.data import ImageSplit
    from nni_nasoa.training.inputs import Images
    from nni_nasoa.zoo.staged import Staged

RATE, HIGH_RATE = (
    0.02,
    0.14,
)  # of SGD: a sound one, and one that is too high for some datasets and better for others
STEPS, BATCH, WEIGHT_DECAY, WARMUP = (
    48,
    32,
    1e-4,
    0.1,
)  # as in `FineTuneRegime`; the warm-up is a share of the steps
TRAIN_IMAGES, VAL_IMAGES = 500, 250  # at most, all classes in turn
FIRST_STEPS = 3  # that tell what all will take
EVALUATION_STEPS = 4  # that take as long as the evaluation does, at most


def landmark(
    split: ImageSplit, model: str, rate: float = RATE, *, device="cpu", seconds: float | None = None
) -> float | None:
    """Train all of a pretrained network on a sample for 48 steps of 32 images, and evaluate it on images that it has not seen.

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

    Returns
    -------
    The accuracy, 0 to 1, on the validation images; None where there was no time, there are no training images of several classes
    or no validation images, or the training diverged.

    Raises
    ------
    ValueError
        There is no such model, or it has no weights.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    import torch

    from nni_nasoa.training.inputs import Images
    from nni_nasoa.zoo import create_model
    from nni_nasoa.zoo.staged import staged

    if len(np.unique(split.train.labels)) < 2 or not len(split.val):
        return None
    network = staged(create_model(model, split.num_classes, weights="default"), model).to(
        device, memory_format=torch.channels_last
    )
    train, val = (
        Images(_some(part, count), torch.device(device), network.mean, network.std)
        for part, count in ((split.train, TRAIN_IMAGES), (split.val, VAL_IMAGES))
    )
    return _accuracy(network, val) if _trained(network, train, rate, deadline) else None


def _some(part: ImageArrays, count: int) -> ImageArrays:
    rows = classes_in_turn(part.labels, 0)[:count]
    return ImageArrays(part.images[rows], part.labels[rows])


def _trained(network: Staged, images: Images, rate: float, deadline: float | None) -> bool:
    """Train it; False as soon as the time will not do."""
    import torch
    from torch.nn import functional

    from nni_nasoa.device.settings import synchronize
    from nni_nasoa.finetune.clock import learning_rate_share
    from nni_nasoa.training.optimizers import Optimizer

    for values in network.head.parameters():  # of which there is one start
        torch.nn.init.zeros_(values)
    network.freeze(0).train()
    optimizer, rng, order, begin = (
        Optimizer("sgd", network.parameters(), WEIGHT_DECAY),
        np.random.default_rng(0),
        [],
        time.monotonic(),
    )
    for step in range(STEPS):
        while len(order) < BATCH:
            order += rng.permutation(len(images)).tolist()
        batch, order = torch.tensor(order[:BATCH]), order[BATCH:]
        optimizer.learning_rate = rate * learning_rate_share(step / STEPS, WARMUP)
        optimizer.zero_grad()
        functional.cross_entropy(
            network(images.clean(batch)), images.labels[batch.to(images.device)]
        ).backward()
        optimizer.step()
        if deadline is not None and step + 1 >= FIRST_STEPS:
            synchronize(images.device)
            now = time.monotonic()
            if now + (now - begin) / (step + 1) * (STEPS + EVALUATION_STEPS - step - 1) > deadline:
                return False
    return True


def _accuracy(network: Staged, images: Images) -> float | None:
    """On all images; None where what the network gives is no longer finite."""
    import torch

    network.eval()
    with torch.inference_mode():
        logits = torch.cat([network(images.clean(rows)) for rows in torch.arange(len(images)).split(64)])
    return (
        (logits.argmax(1) == images.labels).double().mean().item() if torch.isfinite(logits).all() else None
    )
