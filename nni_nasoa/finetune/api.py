"""`finetune`: a dataset, a regime and a number of minutes to a saved classifier, before the minutes are over."""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from pathlib import Path

import torch
from torch import nn

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.data import Dataset, ImageArrays, ImageSplit
from nni_nasoa.data.dataset import Kind
from nni_nasoa.data.defaults import MAX_BAD, VAL_FRACTION
from nni_nasoa.device.device import device_name, resolve_device
from nni_nasoa.device.interruption import interruptions
from nni_nasoa.device.settings import settings_of_run
from nni_nasoa.device.turns import Turns
from nni_nasoa.training.distributed import Alone, Together, device_of_process, processes
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.images import Images, Normalization
from nni_nasoa.training.outcome import Outcome
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import MINUTES, SEED
from nni_nasoa.zoo import ModelInfo, create_model, get
from nni_nasoa.zoo.staged import Staged, staged

from .classifier import Classifier, ClassifierError, check_folder, describe, save_classifier, tell_outcome
from .clock import Clock
from .context import RunContext
from .errors import memory_errors
from .open_in_time import open_in_time
from .options import DEFAULT_RESOURCES, FROM_NOW, NOBODY_WATCHES, Monitoring, Resources, Timing
from .progress import require_tensorboard, watching
from .results import FineTuneResult
from .trainer import Trainer

DEFAULT_INPUT_SIZE = 224  # of models that nothing is known about
RESIDENT_SHARE, READING_SPEED = 0.05, 500e6  # of the time may go to moving images to a GPU; bytes per second


def finetune(
    dataset: Dataset | str | os.PathLike[str] | ImageSplit,
    regime: FineTuneRegime,
    minutes: float,
    *,
    output: str | os.PathLike | None = None,
    device="auto",
    seed: int = 0,
    weights: str | os.PathLike | None = "default",
    network: nn.Module | None = None,
    root: str | os.PathLike[str] | None = None,
    val_fraction: float = VAL_FRACTION,
    max_bad: float = MAX_BAD,
    resources: Resources = DEFAULT_RESOURCES,
    monitoring: Monitoring = NOBODY_WATCHES,
    timing: Timing = FROM_NOW,
) -> FineTuneResult:
    """Fine-tune a classifier within a number of minutes, everything included: decoding, training, evaluating, saving.

    The learning rate follows the clock: warm-up, then cosine, ending when the budget does, less what the end
    needs. Under torchrun the processes train together, each on its share of the images; the first one saves.

    Parameters
    ----------
    dataset
        A Dataset, or the source of one: a name, a folder, or an ImageSplit, which is not resized.
    regime
        The model, and how to fine-tune it.
    minutes
        The budget, from this call until the classifier is saved.
    output
        Folder for the classifier and `evaluations.jsonl`; None saves nothing.
    device
        "auto", "cpu", "cuda", ...
    seed
        Of the head, the order of images and augmentation; and of the split, where no Dataset is given. How
        many steps fit into the budget, the clock says.
    weights
        As `zoo.create_model` takes them: "default" for the model's pretrained ones, None for none, or a file.
    network
        A network to fine-tune, in place of one that is built by the regime's model and `weights`; it is
        changed. It needs as many outputs as the dataset has classes.
    root, val_fraction, max_bad
        As `Dataset` takes them; a Dataset brings its own.
    resources
        What may be used of the machine: memory for features, torch.compile.
    monitoring
        How the run is watched: a live bar, TensorBoard.
    timing
        When the budget began, and what is kept back of it.

    Raises
    ------
    DatasetError, RegimeError, ClassifierError, FineTuneError, ValueError
        The dataset, the regime, the output folder, the run, or the model: one line that says what is wrong.
    """
    minutes, seed = MINUTES("minutes", minutes, FineTuneError), SEED("seed", seed, FineTuneError)
    clock = Clock(60 * minutes, started=timing.started)
    split_by = {} if isinstance(dataset, Dataset) else {"seed": seed}
    dataset = Dataset.of(dataset, root=root, val_fraction=val_fraction, max_bad=max_bad, **split_by)
    dataset.check()
    device = device_of_process(resolve_device(device))
    regime = _with_input_size(regime, dataset)
    if network is None:
        _check_model(regime, weights, thorough=dataset.kind is not Kind.ARRAYS)
    if monitoring.tensorboard is not None:
        require_tensorboard()
    with processes(device, clock.budget) as group, settings_of_run(device, seed), memory_errors(device):
        clock = Clock(clock.budget, started=clock.now() - group.from_first([clock.elapsed])[0])
        if group.rank > 0:  # the first process saves, and is watched
            output, monitoring = None, NOBODY_WATCHES
        folder = check_folder(output) if output is not None else None
        with watching(clock.budget, folder, monitoring) as watcher:
            split, note, sampled = open_in_time(
                dataset,
                clock,
                input_size=regime.input_size,
                show_progress=monitoring.bar,
            )
            network, view = _network(network, regime, split, weights, device)
            resident = RESIDENT_SHARE * max(0.0, clock.remaining) * READING_SPEED
            train, val = (
                _images(part, split, view, regime, device, seed, group, resident)
                for part in (split.train, split.val)
            )
            turns = Turns.of_run(device, clock.budget)
            with interruptions() as interruption:
                run = Trainer(
                    view,
                    train,
                    val,
                    regime,
                    RunContext(clock, device, turns, group, interruption, watcher),
                    seed=seed,
                    head_start=weights is not None,
                    resources=resources,
                    margin=timing.margin,
                    save=None if folder is None else lambda run: _save(folder, run, network, split, sampled),
                )
                if note is not None:
                    run.note(note)
                if clock.remaining < clock.budget / 2:
                    run.note(
                        f"opening the dataset and the model took {clock.elapsed:.1f} s of the {clock.budget:.0f} s"
                    )
                run.execute()
                if folder is not None:
                    _tell_outcome(folder, run, split, sampled)
    classifier = Classifier(_saved_module(network, view), _about(run, network, split, sampled), device)
    seconds = clock.elapsed
    if seconds > clock.budget:
        run.notes.append(f"the run ended {seconds - clock.budget:.2f} s after its deadline")
    return FineTuneResult(
        classifier,
        folder,
        run.best.evaluation.accuracy,
        regime,
        run.frozen,
        clock.budget,
        seconds,
        _outcome(run, split, sampled),
        run.epochs,
        tuple(run.evaluations),
        tuple(run.notes),
    )


def _with_input_size(regime: FineTuneRegime, dataset: Dataset) -> FineTuneRegime:
    """The regime with the input size that it leaves open: that of an opened dataset, else the model's own."""
    if dataset.input_size is not None:
        size = dataset.input_size
    elif regime.input_size is not None:
        return regime
    else:
        info = _info(regime.model)
        size = info.input_size if info is not None else DEFAULT_INPUT_SIZE
    if regime.input_size not in (None, size):
        raise FineTuneError(
            f"input_size: {regime.input_size}, where the images of the dataset that is given are {size} pixels wide"
        )
    return dataclasses.replace(regime, input_size=size)


def _info(model: str) -> ModelInfo | None:
    """What the zoo knows of a model; nothing of an encoding."""
    try:
        return get(model)
    except ValueError:
        return None


def _check_model(regime: FineTuneRegime, weights, thorough: bool) -> None:
    """Raise what `create_model` would raise about a name, and if `thorough` about weights that cannot be had, too.

    That costs a fraction of a second, to be spent before images are decoded or downloaded for nothing. An
    input size that is too small for the network is found then, too.
    """
    model, info = regime.model, _info(regime.model)
    if info is None:
        if not (model[:1].isdigit() and "_" in model):
            get(model)
        try:
            Architecture.parse(model)
        except ArchitectureError as error:
            raise FineTuneError(f"model: '{model}' is no encoding ({error})") from None
    encoding = model if info is None else info.encoding
    if encoding is not None:
        _check_size(Architecture.parse(encoding), regime.input_size)
    if weights not in (None, "default") and not Path(weights).is_file():
        raise FineTuneError(f"weights: {weights}: no such file")
    if thorough and weights is not None:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*starts afresh")
            create_model(model, weights=weights)


def _check_size(architecture: Architecture, size: int) -> None:
    if size < architecture.total_stride:
        raise FineTuneError(
            f"input size {size} is too small: the network's total stride is {architecture.total_stride}"
        )


def _network(
    network: nn.Module | None, regime: FineTuneRegime, split: ImageSplit, weights, device
) -> tuple[nn.Module, Staged]:
    """The network and its view, on the device, with a head for the dataset's classes."""
    if network is None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*starts afresh")  # as it has to
            network = create_model(regime.model, num_classes=split.num_classes, weights=weights)
    view = staged(network, regime.model if _info(regime.model) is not None else None)
    if view.head.out_features != split.num_classes:
        raise FineTuneError(
            f"network: {view.head.out_features} outputs, where the dataset has {split.num_classes} classes"
        )
    architecture = getattr(network, "architecture", None)
    if architecture is not None:
        _check_size(architecture, split.input_size)
    view.to(device=device, memory_format=torch.channels_last)
    return network, view


def _images(
    part: ImageArrays,
    split: ImageSplit,
    view: Staged,
    regime: FineTuneRegime,
    device: torch.device,
    seed: int,
    group: Alone | Together,
    resident_limit: float,
) -> Images:
    """This process's share of a part; the validation part is not augmented."""
    if part is split.train and len(part) < group.size:
        raise FineTuneError(f"dataset: {len(part)} training images are too few for {group.size} processes")
    share = ImageArrays(part.images[group.rank :: group.size], part.labels[group.rank :: group.size])
    augmentation = regime.augmentation if part is split.train else "none"
    generator = torch.Generator(device).manual_seed(seed + group.rank)
    normalization = Normalization.of(view.mean, view.std)
    return Images(share, device, normalization, augmentation, split.mirrored, generator, resident_limit)


def _saved_module(network: nn.Module, view: Staged) -> nn.Module:
    """Whose state_dict is saved: the network's, but where it has lost its head to the view."""
    return network if any(module is view.head for module in network.modules()) else view


def _outcome(run: Trainer, split: ImageSplit, sampled: bool) -> Outcome:
    """What a run has come to, with what it had and did."""
    return dataclasses.replace(
        run.outcome,
        sampled=sampled,
        train_images=len(split.train),
        val_images=len(split.val),
        steps=run.steps,
        images=run.images,
    )


def _save(folder: Path, run: Trainer, network: nn.Module, split: ImageSplit, sampled: bool) -> None:
    about = _about(run, network, split, sampled)
    save_classifier(folder, _saved_module(network, run.network).state_dict(), about)


def _tell_outcome(folder: Path, run: Trainer, split: ImageSplit, sampled: bool) -> None:
    """Write down how the run ended; where that fails, the classifier is there all the same."""
    try:
        tell_outcome(folder, _outcome(run, split, sampled), run.notes)
    except ClassifierError as error:
        run.note(str(error))


def _about(run: Trainer, network: nn.Module, split: ImageSplit, sampled: bool) -> dict:
    best, clock = run.best.evaluation, run.clock
    metrics = {
        "val_accuracy": best.accuracy,
        "val_loss": best.loss if math.isfinite(best.loss) else None,
        "val_images": best.images,
        "train_images": len(split.train),
        "epochs": run.epochs,
        "steps": run.steps,
        "frozen_stages": run.frozen,
        "budget_seconds": clock.budget,
        "elapsed_seconds": clock.elapsed,
        "device": device_name(run.device),
    }
    architecture = getattr(network, "architecture", None)
    return describe(
        classes=split.classes,
        dataset=split.name,
        regime=run.regime,
        encoding=None if architecture is None else str(architecture),
        weights_of="network" if _saved_module(network, run.network) is network else "staged",
        mean=run.network.mean,
        std=run.network.std,
        metrics=metrics,
        outcome=_outcome(run, split, sampled),
        notes=run.notes,
    )
