"""Make the runs of a figure, those that are not recorded yet."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

from nni_nasoa.data import Dataset, ImageSplit
from nni_nasoa.finetune.results import FineTuneResult
from nni_nasoa.training.outcome import Outcome, StopReason
from nni_nasoa.training.regime import FineTuneRegime
from nni_nasoa.zoo import create_model, get
from nni_nasoa.zoo.searched import FrontFile

from .runs import RecordedRun, RunSettings, append_run

WARM_UP_SECONDS = 1.0


class RunInterrupted(KeyboardInterrupt):
    """A signal has interrupted the run at hand."""

    def __init__(self, outcome: Outcome):
        super().__init__(str(outcome))
        self.outcome = outcome


def plan(
    datasets: Sequence[Dataset],
    regimes: Sequence[FineTuneRegime],
    budgets: Sequence[float],
    seeds: int,
    *,
    weights: str | None = "default",
    device: str = "auto",
    every_freeze: bool = False,
) -> list[RunSettings]:
    """All runs of a figure.

    Those of a seed come together, so that a series that is interrupted has whole comparisons.

    Parameters
    ----------
    datasets, regimes, budgets
        Each dataset with each regime and each budget, in seconds. Input sizes that a regime leaves open are
        the model's own.
    seeds
        0 up to, not with, this one.
    weights, device
        As `finetune` takes them.
    every_freeze
        Whether to freeze 0 to all stages of the model, in place of the regime's number.

    Raises
    ------
    ValueError
        There is no such model or device, or a budget is not positive.
    """
    regimes = [_whole(regime) for regime in regimes]
    if every_freeze:
        regimes = [
            dataclasses.replace(regime, frozen_stages=k)
            for regime in regimes
            for k in range(stage_count(regime.model) + 1)
        ]
    if weights not in (None, "default"):
        weights = str(Path(weights).expanduser().resolve())
    return [
        RunSettings(dataset.identity, regime, budget, seed, weights, called(device))
        for seed in range(seeds)
        for dataset in datasets
        for regime in regimes
        for budget in budgets
    ]


def _whole(regime: FineTuneRegime) -> FineTuneRegime:
    """The regime with the input size filled in; a front file's path made absolute."""
    from nni_nasoa.finetune.sizes import DEFAULT_INPUT_SIZE

    model = identified_model(regime.model)
    stage_count(model)  # there is such a model
    try:
        own = get(model).input_size
    except ValueError:  # an encoding
        own = DEFAULT_INPUT_SIZE
    return dataclasses.replace(regime, model=model, input_size=regime.input_size or own)


def identified_model(model: str) -> str:
    """A model's name as the records have it: a front file's network with the absolute path of the file."""
    return str(Path(model).expanduser().resolve()) if FrontFile.owns(model) else model


@cache
def stage_count(model: str) -> int:
    """How many stages of a model can be frozen."""
    from nni_nasoa.zoo.staged import staged

    return len(staged(create_model(model, num_classes=2)).stages)


def called(device: str) -> str:
    """What a device is called, with the number of threads of a processor."""
    import torch

    from nni_nasoa.device.device import device_name, resolve_device

    found = resolve_device(device)
    threads = torch.get_num_threads()
    return device_name(found) + (f", {threads} thread{'s' * (threads > 1)}" if found.type == "cpu" else "")


def prepare(
    missing: Iterable[RunSettings],
    datasets: Iterable[Dataset],
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
) -> None:
    """Open each dataset, and give every model a second of training on it that is not recorded.

    What is wrong comes out before any run starts, and no run pays for what only a process's first one has to
    load.

    Parameters
    ----------
    missing, datasets, path, device
        As in `make_runs`, whose errors it has.
    """
    _check_writable(Path(path))
    named = {dataset.identity: dataset for dataset in datasets}
    one_of_each: dict[tuple, RunSettings] = {}
    for settings in missing:
        one_of_each.setdefault(
            (settings.dataset, settings.regime.model, settings.regime.input_size), settings
        )
    for settings in one_of_each.values():
        _finetuned(settings, WARM_UP_SECONDS, named[settings.dataset], device, bar=False)


def _check_writable(path: Path) -> None:
    """Fail now rather than after the first run; leave no empty file."""
    new = not path.exists()
    path.open("ab").close()
    if new:
        path.unlink()


def make_runs(
    missing: Iterable[RunSettings],
    datasets: Iterable[Dataset],
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
) -> Iterator[RecordedRun]:
    """Make runs, and append each to a file of records when it is over; see `prepare`.

    Parameters
    ----------
    missing
        The runs to make.
    datasets
        Those that the runs are on, at least; the seeds are the runs' own.
    path
        The file of records.
    device
        As `finetune` takes it.

    Raises
    ------
    RunInterrupted
        A signal came; the outcome names it. The run at hand is not recorded.
    DatasetError, FineTuneError, ValueError, OSError
        As in `finetune`; or the file cannot be written.
    """
    named = {dataset.identity: dataset for dataset in datasets}
    for settings in missing:
        result = _finetuned(settings, settings.budget, named[settings.dataset], device, bar=None)
        run = RecordedRun.of(settings, result, stage_count(settings.regime.model))
        append_run(path, run)
        yield run


def _finetuned(
    settings: RunSettings, seconds: float, dataset: Dataset, device: str, bar: bool | None
) -> FineTuneResult:
    from nni_nasoa.finetune import Monitoring, finetune

    split = _opened(dataset.but(seed=settings.seed), settings.regime.input_size)
    result = finetune(
        split,
        settings.regime,
        seconds / 60,
        device=device,
        seed=settings.seed,
        weights=settings.weights,
        monitoring=Monitoring(bar),
    )
    if result.outcome.reason is StopReason.INTERRUPTED:
        raise RunInterrupted(result.outcome)
    return result


@lru_cache(maxsize=16)
def _opened(dataset: Dataset, input_size: int) -> ImageSplit:
    return dataset.open(input_size)
