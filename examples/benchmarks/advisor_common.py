"""What the advisor's benchmarks share: tasks, the recorded grid of regimes, and runs that can be stopped and go on.

Data files have a JSON object a line. A line is added when its run is over, so a recording that was stopped goes on there. A run in
little time judges itself by few of the validation images, and that is what the advisor learns from; runs are compared by
`val_accuracy`, that on all of them, which is measured after the run.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor, make_prior, prior_records
from nni_nasoa.advisor.candidates import (
    BATCHES,
    DECAYS,
    RATES,
    SMOOTHINGS,
    Candidates,
)
from nni_nasoa.advisor.fitting import fitting
from nni_nasoa.advisor.models import ModelFigures
from nni_nasoa.advisor.scored_candidates import scored
from nni_nasoa.advisor.task.profiles import TaskProfile
from nni_nasoa.advisor.time.step_times import step_times_for
from nni_nasoa.advisor.time.time_model import TimeModel
from nni_nasoa.device.device import resolve
from nni_nasoa.experience.old_records import upgraded_record
from nni_nasoa.experience.records import RunRecord, StepTime
from nni_nasoa.files import write_bytes
from nni_nasoa.training.regime import AUGMENTATIONS, FineTuneRegime

DATA = Path(__file__).parent / "data"
GRID = DATA / "advisor_grid.jsonl.gz"
STEP_TIMES = "advisor_step_times.sqlite"
SOURCE = "collect"  # of the records of all runs
_KEPT = (
    "status",
    "seconds",
    "accuracy",
    "epochs",
    "curve",
    "device",
    "threads",
    "versions",
    "outcome",
    "notes",
)  # of a record, beside its job


# -- tasks --


def held_out_tasks(every: bool = False) -> list[str]:
    """The digits, and of each kind that is held out the first task, or every one."""
    from nni_nasoa.data.tasks import get_task, list_tasks

    first: dict[str, str] = {}
    for name in list_tasks(held_out=True):
        first.setdefault(name if every else get_task(name).kind, f"task:{name}")
    return ["digits", *first.values()]


def open_task(name: str, input_size: int):
    """A dataset by its name; after an "@", 0 or 1 for one half of its classes."""
    from nni_nasoa.data import ImageArrays, ImageSplit, open_dataset

    whole, at, half = name.partition("@")
    split = open_dataset(whole, input_size=input_size)
    if not at:
        return split
    order = np.random.default_rng(zlib.crc32(whole.encode())).permutation(split.num_classes)
    kept = np.sort(np.array_split(order, 2)[int(half)])
    parts = []
    for part in (split.train, split.val):
        rows = np.flatnonzero(np.isin(part.labels, kept))
        parts.append(
            ImageArrays(
                np.ascontiguousarray(part.images[rows]),
                np.searchsorted(kept, part.labels[rows]).astype(np.int64),
            )
        )
    return ImageSplit(*parts, tuple(split.classes[label] for label in kept), name, mirrored=split.mirrored)


# -- files of lines --


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file, packed or not; none where there is no file. A last line that was cut off is left out.

    SystemExit says where another line is damaged.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    lines = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).split(b"\n")
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except ValueError:
                if number < len(lines):
                    raise SystemExit(f"{path}, line {number}: not JSON") from None
    return found


def append_line(path: Path, data: Mapping[str, Any]) -> None:
    """Add an object to a file that is not packed; the end of one that was cut off is overwritten."""
    with path.open("ab+") as file:
        end = file.seek(0, os.SEEK_END)
        if end:
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        file.write(json.dumps(data, separators=(",", ":"), allow_nan=False).encode() + b"\n")


def unpacked(path: Path) -> Path:
    """The file beside a packed one that lines are added to: a copy of it, or what a recording that was stopped has left there."""
    plain = path.with_suffix("")
    if path.exists() and not plain.exists():
        plain.write_bytes(gzip.decompress(path.read_bytes()))
    return plain


def pack(source: Path, target: Path, jobs: Sequence[Mapping[str, Any]] | None = None) -> None:
    """Write a packed copy in one piece, the same bytes for the same lines; with jobs, of their lines alone."""
    lines = (
        json.dumps(line, separators=(",", ":")).encode() + b"\n"
        for line in read_lines(source)
        if jobs is None or line["job"] in jobs
    )
    write_bytes(target, gzip.compress(b"".join(lines), mtime=0))


# -- runs --


def one_thread() -> None:
    """Let this process, and those it starts, train on one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    one_thread()
    import nni_nasoa.advisor.advising
    import nni_nasoa.advisor.task.probing
    import nni_nasoa.advisor.time.time_model  # noqa: F401

    finetuned(
        "digits", FineTuneRegime("nano-a", input_size=48), 1.0
    )  # what only a process's first run has to load does not count


def side_by_side(processes: int) -> ProcessPoolExecutor:
    """Processes of one thread each, ready to train."""
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_start)


def in_processes(
    jobs: Sequence[Mapping[str, Any]],
    work: Callable[[Mapping[str, Any]], dict | None],
    path: Path,
    processes: int,
) -> None:
    """Do the jobs that a file does not have, and add each to it, with what `work` gives, as soon as it is over.

    Parameters
    ----------
    jobs
        JSON values that say which run it is, in the order of preference.
    work
        A function of a module, from a job to what came of it; None for nothing that is worth a line.
    path
        Of the file, which is not packed.
    processes
        Side by side, one thread each.
    """
    done = {_key(line["job"]) for line in read_lines(path) if "job" in line}
    missing = [dict(job) for job in jobs if _key(job) not in done]
    if not missing:
        return
    others = set(active_children())
    with side_by_side(processes) as pool:
        futures = {pool.submit(work, job): job for job in missing}
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                if (result := future.result()) is not None:
                    append_line(path, {"job": futures[future], **result})
                print(
                    f"\r{number} of {len(missing)} runs",
                    end="" if number < len(missing) else "\n",
                    flush=True,
                )
        except BaseException as error:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(active_children()) - others:
                process.terminate()
            if isinstance(error, KeyboardInterrupt):
                raise SystemExit("\nInterrupted; the same command goes on there.") from None
            raise


def _key(job: Mapping[str, Any]) -> str:
    return json.dumps(job, sort_keys=True)


def finetuned(
    task: str,
    regime: FineTuneRegime,
    budget: float,
    seed: int = 0,
    started: float | None = None,
    weights: str | None = "default",
) -> dict[str, Any] | None:
    """Carry out a run; what is kept of its record, None where it was interrupted."""
    from nni_nasoa.finetune import Timing, finetune, record_of
    from nni_nasoa.zoo import get

    split = open_task(task, regime.input_size or get(regime.model).input_size)
    result = finetune(
        split, regime, budget / 60, device="cpu", seed=seed, weights=weights, timing=Timing(started)
    )
    record = record_of(result, task=task, source=SOURCE).to_json()
    if record["status"] == "killed":
        return None
    record["curve"] = [[round(seconds, 3), round(accuracy, 5)] for seconds, accuracy in record["curve"]]
    right = result.classifier.probabilities(split.val.images).argmax(1) == split.val.labels
    return {name: record[name] for name in _KEPT} | {"val_accuracy": round(float(right.mean()), 5)}


def measured_time_model(folder: Path, processes: int) -> TimeModel:
    """The time model of the nano family on one thread beside as many others as the runs will have; kept in a store in this folder.

    Processes side by side slow each other down, even with a core for each. So each of them measures at the same time.
    """
    from nni_nasoa.zoo import list_models

    store, device = ExperienceStore(folder / STEP_TIMES), resolve("cpu")
    if not store.step_times(device=device.key):
        with side_by_side(processes) as pool:
            measured = [
                pool.submit(step_times_for, list_models("nano"), device, None) for _ in range(processes)
            ]
            store.set_step_times(measured[0].result())
    return TimeModel(store.step_times(device=device.key), device.key)


# -- the grid --


def grid_regimes(models: Sequence[str], count: int, seed: int = 0) -> list[FineTuneRegime]:
    """Regimes that fill the space of candidates evenly: of each model its defaults and a Latin sample, `count` in all.

    Every value of each setting comes as often as any other. The lowest and the highest rates of the candidates are left out:
    few runs of seconds get far with them.
    """
    rng, rows = np.random.default_rng(seed), count - len(models)
    rates = [(kind, rate) for kind, all_rates in RATES.items() for rate in all_rates[1:-1]]

    def column(values: Sequence) -> list:
        return [values[i] for i in rng.permutation(np.arange(max(rows, 0)) % len(values))]

    columns = zip(
        np.resize(models, max(rows, 0)).tolist(),
        column(rates),
        column(range(2)),
        column(BATCHES),
        column(AUGMENTATIONS),
        column(SMOOTHINGS),
        column(np.linspace(0, 1, 5)),
        column(np.linspace(0, 1, 4)),
    )
    figures = {model: ModelFigures.of_zoo(model) for model in models}
    made = [FineTuneRegime(model, input_size=figures[model].known.get("input_size")) for model in models]
    for model, (optimizer, rate), decay, batch, augmentation, smoothing, frozen, size in columns:
        sizes = figures[model].input_sizes
        made.append(
            FineTuneRegime(
                model,
                learning_rate=rate,
                weight_decay=DECAYS[optimizer][decay],
                optimizer=optimizer,
                batch_size=batch,
                augmentation=augmentation,
                label_smoothing=smoothing,
                frozen_stages=round(frozen * figures[model].stages),
                input_size=sizes[round(size * (len(sizes) - 1))],
            )
        )
    return list(dict.fromkeys(made))[: max(count, len(models))]


@dataclass
class Advisor:
    """What the advisor knows, of accuracies and of times."""

    predictor: AccuracyPredictor
    time_model: TimeModel

    def learn(self, record: RunRecord) -> None:
        """Learn from a run."""
        self.predictor.learn(record)
        self.time_model.observe(record)

    def copy(self) -> Advisor:
        """One that learns by itself."""
        times = self.time_model
        return Advisor(
            AccuracyPredictor.from_bytes(self.predictor.to_bytes()),
            TimeModel.from_bytes(times.to_bytes(), times.step_times, times.device_key),
        )


@dataclass
class TaskGrid:
    """What was recorded of a task: its profile, and runs of the same budget.

    Parameters
    ----------
    regimes, records
        The n regimes, and for each the record of its first run.
    accuracies
        For each its accuracy on all validation images, the mean of its runs with several seeds.
    seeds
        So many runs of each there are, at least.
    """

    name: str
    budget: float
    profile: TaskProfile
    regimes: list[FineTuneRegime] = field(default_factory=list)
    records: list[RunRecord] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seeds: int = 1

    def advised(self, advisor: Advisor) -> int:
        """Which of the recorded regimes the advisor chooses, as it would among all candidates."""
        figures = {regime.model: self.profile.model_figures(regime.model) for regime in self.regimes}
        return self.regimes.index(self.choice(advisor, Candidates.of_regimes(self.regimes, figures)))

    def choice(self, advisor: Advisor, among: Candidates | None = None) -> FineTuneRegime:
        """What the advisor chooses here, of the models that were recorded; by default among all candidates."""
        from nni_nasoa.zoo import get

        models = [get(name) for name in dict.fromkeys(regime.model for regime in self.regimes)]
        fit = fitting(self.profile, models, advisor.time_model, self.budget, source=SOURCE, regimes=among)
        among = scored(fit, advisor.predictor)
        return among.regimes.regime(among.order(1)[0])

    def regrets(self) -> np.ndarray:
        """How far each run is behind the best, in points of accuracy, (n,)."""
        return 100 * (max(self.accuracies) - np.array(self.accuracies))


def read_grid(path: Path) -> dict[str, TaskGrid]:
    """The grids of a data file by task; SystemExit where there are none."""
    lines = read_lines(path)
    profiles = {line["task"]: TaskProfile.from_json(line["profile"]) for line in lines if "profile" in line}
    grids: dict[str, TaskGrid] = {}
    accuracies: dict[tuple[str, FineTuneRegime], list[float]] = {}
    for line in lines:
        if "job" in line:
            job = line["job"]
            regime, profile = FineTuneRegime.from_json(job["regime"]), profiles[job["task"]]
            accuracies.setdefault((job["task"], regime), []).append(line["val_accuracy"])
            if len(accuracies[job["task"], regime]) > 1:
                continue
            kept = upgraded_record(line)
            unknown = RunRecord(
                job["task"], regime.model, job["regime"], "cpu", 1, job["budget"], "failed", source=SOURCE
            )
            grid = grids.setdefault(job["task"], TaskGrid(job["task"], job["budget"], profile))
            grid.regimes.append(regime)
            grid.records.append(
                RunRecord.from_json(
                    {
                        **unknown.to_json(),
                        **{name: kept[name] for name in _KEPT},
                        "profile": profile.flat(),
                        "model_figures": profile.model_figures(regime.model).of_run(),
                    }
                )
            )
    if not grids:
        raise SystemExit(f"{path}: no recorded runs; 'advisor_regret.py --record' makes them")
    for name, grid in grids.items():
        runs = [accuracies[name, regime] for regime in grid.regimes]
        grid.accuracies, grid.seeds = [float(np.mean(of_regime)) for of_regime in runs], min(map(len, runs))
    return grids


def cold_advisor(path: Path, without: Collection[str] = ()) -> Advisor:
    """What the advisor knows before its first run: the package's prior, and the step times in a data file; SystemExit without.

    With names of kinds, the prior is made anew of what it has of other ones.
    """
    rows = [StepTime(**line["step_time"]) for line in read_lines(path) if "step_time" in line]
    if not rows:
        raise SystemExit(f"{path}: no step times; 'advisor_regret.py --record' measures them")
    prior = (
        AccuracyPredictor.from_prior()
        if not without
        else make_prior(record for record in prior_records() if kind_of(record.task) not in without)
    )
    return Advisor(prior, TimeModel(rows, rows[0].device))


def kind_of(task: str) -> str:
    """Of a task that is drawn: "letters", "counting", ...; of another dataset, or a half of one, its name."""
    from nni_nasoa.data.tasks import get_task

    prefix, _, name = task.partition(":")
    return get_task(name).kind if prefix == "task" and "@" not in name else task


def whole_grids(grids: Mapping[str, TaskGrid]) -> dict[str, TaskGrid]:
    """Those of whole tasks, all with the same regimes in the same order; of some that are not complete, what all have."""
    whole = {name: grid for name, grid in grids.items() if "@" not in name}
    common = [
        regime
        for regime in next(iter(whole.values())).regimes
        if all(regime in grid.regimes for grid in whole.values())
    ]
    seeds = min(grid.seeds for grid in whole.values())
    return {
        name: replace(_only(grid, [grid.regimes.index(regime) for regime in common]), seeds=seeds)
        for name, grid in whole.items()
    }


def _only(grid: TaskGrid, rows: Iterable[int]) -> TaskGrid:
    rows = list(rows)
    columns = ([values[i] for i in rows] for values in (grid.regimes, grid.records, grid.accuracies))
    return TaskGrid(grid.name, grid.budget, grid.profile, *columns)
