"""What a run is made of before it trains: the regime made whole, the network, and images on the device."""

from __future__ import annotations

import os
import warnings
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.data import Dataset, ImageArrays, ImageSplit
from nni_nasoa.data.dataset import Kind
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.pace import known_pace, measured_pace
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import shown
from nni_nasoa.zoo import ModelInfo, create_model, get
from nni_nasoa.zoo.stage_pooling import PooledStages
from nni_nasoa.zoo.staged import Staged, staged

from .clock import Clock
from .context import RunContext
from .sizes import known_model

# The part of the time that may go to moving images to a GPU, and the bytes that are moved in a second.
RESIDENT_SHARE, READING_SPEED = 0.05, 500e6
# With fewer seconds left, none go to finding out how fast a network is; else about this share of them.
LEAST_SECONDS, PACE_SHARE = 3.0, 0.05


def check_model(
    model: str, input_size: int, weights: str | os.PathLike[str] | None, thorough: bool
) -> nn.Module | None:
    """Raise what `create_model` would raise about a name, and if `thorough` about its weights, too.

    That costs a fraction of a second, to be spent before images are decoded or downloaded for nothing. An
    input size that is too small for the network is found then, too. What is given is the network, if it was
    made for that.
    """
    info = known_model(model)
    if info is None:
        if not (model[:1].isdigit() and "_" in model):
            get(model)
        try:
            Architecture.parse(model)
        except ArchitectureError as error:
            raise FineTuneError(f"model: {shown(model)} is no encoding ({error})") from None
    encoding = model if info is None else info.encoding
    if encoding is not None:
        _check_size(Architecture.parse(encoding), input_size)
    if info is not None and not _takes(info, input_size):
        sizes = (
            f"multiples of {info.size_step}"
            if info.size_step
            else f"images of {info.input_size} pixels alone"
        )
        raise FineTuneError(f"input size {input_size}: {model} takes {sizes}")
    if weights is not None and weights != "default" and not Path(weights).is_file():
        raise FineTuneError(f"weights: {weights}: no such file")
    if thorough and weights is not None:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*starts afresh")
            return create_model(model, weights=weights)
    return None


def pace_of_head(
    network: nn.Module, regime: FineTuneRegime, dataset: Dataset, device: torch.device, clock: Clock
) -> float | None:
    """Seconds of a forward pass for an image, by which a run decides how long a folder is decoded.

    None where that does not depend on it: of runs that train stages, and of images that are decoded. Where
    next to no time is left, it is told only if it is known already.

    Parameters
    ----------
    network
        The regime's model.
    regime
        With the input size of the run.
    dataset, device, clock
        Of the run.
    """
    size = regime.input_size
    assert size is not None, "the regime was made whole"
    if dataset.kind is not Kind.FILES or dataset.decoded([size]):
        return None
    view = staged(network, regime.model if known_model(regime.model) is not None else None)
    if regime.frozen_stages < len(view.stages):
        return None
    pace = known_pace(regime.model, device)
    if pace is None and clock.remaining >= LEAST_SECONDS:
        begun = dataset.decoding_under_way(size)
        with nullcontext() if begun is None else begun.paused():
            pace = measured_pace(regime.model, view, size, device, seconds=PACE_SHARE * clock.remaining)
    return None if pace is None else pace.at(size)


def _takes(info: ModelInfo, size: int) -> bool:
    return (
        info.size_step is None
        or size == info.input_size
        or bool(info.size_step and not size % info.size_step)
    )


def _check_size(architecture: Architecture, size: int) -> None:
    if size < architecture.total_stride:
        raise FineTuneError(
            f"input size {size} is too small: the network's total stride is {architecture.total_stride}"
        )


def built(
    network: nn.Module | None,
    regime: FineTuneRegime,
    split: ImageSplit,
    weights: str | os.PathLike[str] | None,
    device: torch.device,
    *,
    pooled: bool = False,
) -> tuple[nn.Module, Staged]:
    """The network and its view, on the device, with a head for the dataset's classes.

    Parameters
    ----------
    network
        One that is there already; None builds the regime's model with `weights`, see `create_model`.
    pooled
        Whether the view's head is on what all stages give, see `PooledStages`, and not the network's own.

    Raises
    ------
    FineTuneError
        It has not as many outputs as there are classes, or is too deep for images of their size.
    """
    if network is None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*starts afresh")  # another head has to
            network = create_model(regime.model, num_classes=split.num_classes, weights=weights)
    view = staged(network, regime.model if known_model(regime.model) is not None else None)
    if view.head.out_features != split.num_classes:
        raise FineTuneError(
            f"network: {view.head.out_features} outputs, where the dataset has {split.num_classes} classes"
        )
    architecture = getattr(network, "architecture", None)
    if architecture is not None:
        _check_size(architecture, split.input_size)
    view.to(device).to(memory_format=torch.channels_last)
    if pooled:
        view = PooledStages(view, split.num_classes, split.input_size)
    return network, view


def images_of_process(
    split: ImageSplit,
    view: Staged,
    regime: FineTuneRegime,
    context: RunContext,
    seed: int,
    detail: np.ndarray | None = None,
) -> tuple[Images, Images]:
    """The shares that this process has of the training images, which are augmented, and of the others.

    Parameters
    ----------
    split
        All images.
    view
        The network's, whose normalisation they get.
    regime
        Says how they are augmented.
    context
        Of the run: where batches are wanted, and which processes share them. The time that is left limits how
        many images are moved to the device beforehand.
    seed
        Of augmentation.
    detail
        The training images larger, as `Images` takes them.

    Raises
    ------
    FineTuneError
        There is not an image for each process.
    """
    group, device = context.group, context.device
    if len(split.train) < group.size:
        raise FineTuneError(
            f"dataset: {len(split.train)} training images are too few for {group.size} processes"
        )
    resident_limit = RESIDENT_SHARE * max(0.0, context.clock.remaining) * READING_SPEED
    normalization = Normalization.of(view.mean, view.std)
    train, val = (
        Images(
            ImageArrays(part.images[group.rank :: group.size], part.labels[group.rank :: group.size]),
            device,
            normalization,
            augmentation,
            split.mirrored,
            torch.Generator(device).manual_seed(seed + group.rank),
            resident_limit,
            None if larger is None else larger[group.rank :: group.size],
            erasing,
        )
        for part, augmentation, larger, erasing in (
            (split.train, regime.augmentation, detail, regime.erasing),
            (split.val, "none", None, 0.0),
        )
    )
    return train, val
