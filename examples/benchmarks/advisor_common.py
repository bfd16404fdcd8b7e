"""What the advisor's benchmarks share: tasks, files of lines, and runs that can be stopped and go on.

Data files have a JSON object a line. A line is added when its run is over, so a recording that
was stopped goes on there. A run in little time judges itself by few of the validation images, and
that is what the advisor learns from; runs are compared by `val_accuracy`, that on all of them,
which is measured after the run.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Any

import numpy as np

from nni_nasoa.advisor import ExperienceStore
from nni_nasoa.advisor.time.step_times import step_times_for
from nni_nasoa.advisor.time.time_model import TimeModel
from nni_nasoa.device.device import resolve
from nni_nasoa.files import write_bytes
from nni_nasoa.training.regime import FineTuneRegime

DATA = Path(__file__).parent / "data"
STEP_TIMES = "advisor_step_times.sqlite"
SOURCE = "collect"  # what the records of all runs say of who ran them
# Fields of a run's record that are kept beside its job.
KEPT = (
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
)


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
    """The objects in a file, packed or not; none where there is no file.

    A last line that was cut off is left out.

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
    """The file beside a packed one that lines are added to.

    It is a copy of it, or what a recording that was stopped has left there.
    """
    plain = path.with_suffix("")
    if path.exists() and not plain.exists():
        plain.write_bytes(gzip.decompress(path.read_bytes()))
    return plain


def pack(source: Path, target: Path, jobs: Sequence[Mapping[str, Any]] | None = None) -> None:
    """Write a packed copy in one piece, the same bytes for the same lines; with jobs, their lines alone."""
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

    # What only a process's first run has to load does not count.
    finetuned("digits", FineTuneRegime("nano-a", input_size=48), 1.0)


def side_by_side(processes: int) -> ProcessPoolExecutor:
    """Processes of one thread each, ready to train."""
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_start)


def in_processes(
    jobs: Sequence[Mapping[str, Any]],
    work: Callable[[Mapping[str, Any]], dict | None],
    path: Path,
    processes: int,
) -> None:
    """Do the jobs that a file does not have, and add each, with what `work` gives, as soon as it is over.

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
    return {name: record[name] for name in KEPT} | {"val_accuracy": round(float(right.mean()), 5)}


def measured_time_model(folder: Path, processes: int) -> TimeModel:
    """The time model of the nano family on one thread beside as many others as the runs will have.

    It is kept in a store in this folder. Processes side by side slow each other down, even with a core for
    each. So each of them measures at the same time.
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
