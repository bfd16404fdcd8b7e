"""`finetune`: from a dataset, a regime and minutes to a saved classifier, before the minutes are over."""

from __future__ import annotations

import dataclasses
import os
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn

from nni_nasoa.data import Dataset, ImageSplit
from nni_nasoa.data.dataset import Kind
from nni_nasoa.data.split_defaults import MAX_BAD, VAL_FRACTION
from nni_nasoa.device.device import resolve_device
from nni_nasoa.device.interruption import interruptions
from nni_nasoa.device.settings import settings_of_run
from nni_nasoa.device.turns import Turns
from nni_nasoa.training.distributed import device_of_process, processes
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.values import MINUTES, SEED

from .building import built, check_model, images_of_process, input_size_of, pace_of_head
from .clock import Clock
from .context import RunContext
from .errors import memory_errors
from .open_in_time import open_in_time
from .options import DEFAULT_RESOURCES, FROM_NOW, NOBODY_WATCHES, Monitoring, Resources, Timing
from .output import RunOutput
from .output_folder import reserved
from .progress import require_tensorboard, watching
from .results import FineTuneResult
from .trainer import Trainer


def finetune(
    dataset: Dataset | str | os.PathLike[str] | ImageSplit,
    regime: FineTuneRegime,
    minutes: float,
    *,
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
    timing: Timing = FROM_NOW,
) -> FineTuneResult:
    """Fine-tune a classifier within a number of minutes.

    They are for everything: decoding, training, evaluating, saving. The learning rate follows the clock:
    warm-up, then cosine, ending when the budget does, less what the end needs. Under torchrun the processes
    train together, each on its share of the images; the first one saves.

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
    input_size = input_size_of(regime, dataset)
    regime = dataclasses.replace(regime, input_size=input_size)
    checked = None
    if network is None:
        checked = check_model(regime.model, input_size, weights, thorough=dataset.kind is not Kind.ARRAYS)
    if monitoring.tensorboard is not None:
        require_tensorboard()
    with processes(device, clock.budget) as group, settings_of_run(device, seed), memory_errors(device):
        clock = Clock(clock.budget, started=clock.now() - group.from_first([clock.elapsed])[0])
        if group.rank > 0:  # the first process saves, and is watched
            output, monitoring = None, NOBODY_WATCHES
        folder = None if output is None else Path(output)
        with (
            nullcontext() if output is None else reserved(output),
            watching(clock.budget, folder, monitoring) as watcher,
        ):
            turns = Turns.of_run(device, clock.budget)
            context = RunContext(clock, device, turns, group, watcher=watcher)
            pace = None if checked is None else pace_of_head(checked, regime, dataset, device, clock)
            opened = open_in_time(
                dataset, clock, input_size=input_size, pace=pace, show_progress=monitoring.bar
            )
            # A head on all stages is fitted by one process, to features that pretrained weights give.
            pooled = regime.head == "stages" and network is None and weights is not None and group.size == 1
            network, view = built(network, regime, opened.split, weights, device, pooled=pooled)
            train, val = images_of_process(opened.split, view, regime, context, seed)
            made = RunOutput(folder, network, view, opened.split, opened.sampled)
            with interruptions() as interruption:  # from here on, there is something to save
                run = Trainer(
                    view,
                    train,
                    val,
                    regime,
                    dataclasses.replace(context, interruption=interruption),
                    seed=seed,
                    head_start=weights is not None,
                    resources=resources,
                    margin=timing.margin,
                    save=None if folder is None else made.save,
                )
                for line in opened.notes:
                    run.log.note(line)
                if clock.remaining < clock.budget / 2:
                    run.log.note(
                        f"opening the dataset and the model took {clock.elapsed:.1f} s "
                        f"of the {clock.budget:.0f} s"
                    )
                run.execute()
                run.log.notes.extend(watcher.lost)
                made.tell_outcome(run)
    return made.result(run)
