"""`finetune`: from a dataset, a regime and minutes to a saved classifier, before the minutes are over."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nni_nasoa.data import Dataset, ImageSplit
from nni_nasoa.data.dataset import Kind, Source
from nni_nasoa.data.split_defaults import MAX_BAD, VAL_FRACTION
from nni_nasoa.data.uneven import BALANCED_HINT, uneven_line
from nni_nasoa.device.allocation import keep_freed_memory
from nni_nasoa.device.device import resolve_device
from nni_nasoa.device.interruption import interruptions
from nni_nasoa.device.settings import settings_of_run
from nni_nasoa.device.turns import Turns
from nni_nasoa.training.distributed import device_of_process, processes
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import MINUTES, SEED

from .building import built, check_model, images_of_process, pace_of_head
from .callbacks import Callback, TensorBoard
from .classifier import Classifier
from .clock import Clock
from .context import RunContext
from .errors import memory_errors
from .open_in_time import look_in_time, open_in_time
from .options import DEFAULT_RESOURCES, FROM_NOW, NOBODY_WATCHES, Monitoring, Resources, Timing
from .output import RunOutput
from .output_folder import reserved
from .progress import watching
from .results import FineTuneResult
from .resuming import HOLDOUT, VALIDATED, Resumed, validated
from .sizes import has_resized_crops, input_size_of
from .trainer import Trainer


def finetune(
    dataset: Dataset | Source,
    regime: FineTuneRegime | None,
    minutes: float,
    *,
    resume: Resumed | Classifier | str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    seed: int = 0,
    weights: str | os.PathLike[str] | None = "default",
    network: nn.Module | None = None,
    root: str | os.PathLike[str] | None = None,
    val_fraction: float = VAL_FRACTION,
    max_bad: float = MAX_BAD,
    resources: Resources = DEFAULT_RESOURCES,
    monitoring: Monitoring = NOBODY_WATCHES,
    callbacks: Sequence[Callback] = (),
    timing: Timing = FROM_NOW,
) -> FineTuneResult:
    """Fine-tune a classifier within a number of minutes.

    They are for everything: decoding, training, evaluating, saving. The learning rate follows the clock:
    warm-up, then cosine, ending when the budget does, less what the end needs. Under torchrun the processes
    train together, each on its share of the images; the first one saves.

    Parameters
    ----------
    dataset
        A Dataset, or the source of one: a name, a folder, a file that lists images, a table of pandas, or an
        ImageSplit, which is not resized.
    regime
        The model, and how to fine-tune it. None, beside `resume`, is the regime of that classifier.
    minutes
        The budget, from this call until the classifier is saved.
    resume
        A classifier, or its folder, to go on from: its network, input size and normalisation are kept, and so
        are the weights of its head for classes that the dataset has; there may be new classes and images.
        Where the classes are the same, what comes out is no worse on the validation images than it was. The
        learning rate begins anew, as in any run.
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
    callbacks
        Are told how the run goes; see `callbacks.Callback`, and there those for MLflow and others.
    timing
        When the budget began, and what is kept back of it.

    Raises
    ------
    DatasetError, RegimeError, ClassifierError, FineTuneError, ValueError
        The dataset, the regime, the output folder, the run, or the model: one line that says what is wrong.
    """
    minutes, seed = MINUTES("minutes", minutes, FineTuneError), SEED("seed", seed, FineTuneError)
    clock = Clock(60 * minutes, started=timing.started)
    resumed = None if resume is None else _resumed(resume, weights, network)
    regime = _regime(regime, resumed)
    split_by = {} if isinstance(dataset, Dataset) else {"seed": seed}
    dataset = Dataset.of(dataset, root=root, val_fraction=val_fraction, max_bad=max_bad, **split_by)
    dataset.check()
    device = device_of_process(resolve_device(device))
    keep_freed_memory()
    input_size = input_size_of(regime, dataset)
    regime = dataclasses.replace(regime, input_size=input_size)
    dataset = _in_geometry(dataset, regime, resumed)
    checked = None
    if resumed is not None:
        checked, weights = resumed.network(len(resumed.classifier.classes)), None
    elif network is None:
        checked = check_model(regime.model, input_size, weights, thorough=dataset.kind is not Kind.ARRAYS)
    if monitoring.tensorboard is not None:
        callbacks = (*callbacks, TensorBoard(monitoring.tensorboard))
    with processes(device, clock.budget) as group, settings_of_run(device, seed), memory_errors(device):
        clock = Clock(clock.budget, started=clock.now() - group.from_first([clock.elapsed])[0])
        if group.rank > 0:  # the first process saves, and is watched
            output, monitoring, callbacks = None, NOBODY_WATCHES, ()
        folder = None if output is None else Path(output)
        with (
            nullcontext() if output is None else reserved(output),
            watching(clock.budget, folder, monitoring, callbacks) as watcher,
        ):
            turns = Turns.of_run(device, clock.budget)
            context = RunContext(clock, device, turns, group, watcher=watcher)
            look_in_time(dataset, clock)
            pace = None if checked is None else pace_of_head(checked, regime, dataset, device, clock)
            opened = open_in_time(
                dataset,
                clock,
                input_size=input_size,
                pace=pace,
                in_detail=has_resized_crops(regime),
                show_progress=monitoring.bar,
            )
            if resumed is not None and resumed.pooled and group.size > 1:
                raise FineTuneError("resume: its head sees all stages, and goes on in one process alone")
            # A head on all stages is fitted by one process, to features that pretrained weights give.
            pooled = regime.head == "stages" and network is None and weights is not None and group.size == 1
            if resumed is not None:
                pooled, classes = resumed.pooled, opened.split.num_classes
                same = classes == len(resumed.classifier.classes)
                network = checked if same else resumed.network(classes)
            network, view = built(network, regime, opened.split, weights, device, pooled=pooled)
            going_on = (
                None if resumed is None else resumed.put_into(view, opened.split, regime, dataset.holdout)
            )
            train, val = images_of_process(opened.split, view, regime, context, seed, opened.detail)
            more: dict[str, Any] = {
                VALIDATED: validated(opened.split),
                HOLDOUT: dataclasses.asdict(dataset.holdout),
            }
            if resumed is not None:
                more["resumed_from"] = resumed.describe()
            made = RunOutput(folder, network, view, opened.split, opened.sampled, more)
            watcher.start(opened.split.name, regime)
            with interruptions() as interruption:  # from here on, there is something to save
                run = Trainer(
                    view,
                    train,
                    val,
                    regime,
                    dataclasses.replace(context, interruption=interruption),
                    seed=seed,
                    head_start=weights is not None or (going_on is not None and going_on.head.needs_fit),
                    going_on=going_on,
                    resources=resources,
                    margin=timing.margin,
                    save=None if folder is None else made.save,
                )
                notes = (
                    *opened.notes,
                    *(going_on.notes if going_on else ()),
                    *_on_uneven(opened.split, regime),
                )
                for line in notes:
                    run.log.note(line)
                if clock.remaining < clock.budget / 2:
                    run.log.note(
                        f"opening the dataset and the model took {clock.elapsed:.1f} s "
                        f"of the {clock.budget:.0f} s"
                    )
                run.execute()
                run.log.notes.extend(watcher.lost)
                made.tell_outcome(run)
            result, told = made.result(run), len(watcher.lost)
            watcher.end(result)
    return dataclasses.replace(result, notes=(*result.notes, *watcher.lost[told:]))


def _resumed(
    given: Resumed | Classifier | str | os.PathLike[str],
    weights: str | os.PathLike[str] | None,
    network: nn.Module | None,
) -> Resumed:
    if network is not None or weights != "default":
        name = "weights" if network is None else "network"
        raise FineTuneError(f"{name}: the classifier that is resumed brings its own; leave one of them out")
    return Resumed.of(given)


def _regime(asked: FineTuneRegime | None, resumed: Resumed | None) -> FineTuneRegime:
    if resumed is not None:
        return resumed.regime(asked)
    if asked is None:
        raise FineTuneError("regime: is missing; it names the model, where no classifier is resumed")
    return asked


def _in_geometry(dataset: Dataset, regime: FineTuneRegime, resumed: Resumed | None) -> Dataset:
    """The dataset in the regime's geometry, or in that which a classifier that goes on has seen."""
    if resumed is None:
        return dataset.but(geometry=regime.geometry)
    return dataset.but(geometry=resumed.geometry) if dataset.kind is Kind.FILES else dataset


def _on_uneven(split: ImageSplit, regime: FineTuneRegime) -> list[str]:
    """A line where classes are uneven."""
    line = uneven_line(split.classes, split.train.labels)
    return [] if line is None else [line if regime.is_balanced else line + BALANCED_HINT]
