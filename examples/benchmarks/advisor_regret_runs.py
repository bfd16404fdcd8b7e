"""The runs of advisor_regret.py: the grid of regimes, and what the advisor chose, carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from advisor_common import (
    append_line,
    finetuned,
    in_processes,
    measured_time_model,
    one_thread,
    open_task,
    pack,
    read_lines,
    side_by_side,
    unpacked,
)
from advisor_grid import TaskGrid, grid_regimes

from nni_nasoa.advisor.task.landmarks import landmark
from nni_nasoa.advisor.task.look import task_profile
from nni_nasoa.advisor.task.plan import PROBE_MODEL, landmark_settings, sized_probes
from nni_nasoa.advisor.task.probing import FEW, probe
from nni_nasoa.advisor.task.profiles import TaskProfile
from nni_nasoa.data import Dataset
from nni_nasoa.training.regime import FineTuneRegime

MODELS = tuple(f"nano-{letter}" for letter in "abcdef")
HALF_RUNS = 8  # runs on each half of a task's classes
AGAIN = 8  # the best of a grid's regimes are run again, so many


def run_regime(job: Mapping[str, Any]) -> dict | None:
    """Carry out a run of the grid."""
    return finetuned(job["task"], FineTuneRegime.from_json(job["regime"]), job["budget"], job["seed"])


def record(path: Path, tasks: Sequence[str], count: int, budget: float, seeds: int, processes: int) -> None:
    """Complete the grid in a file that is not packed.

    It has all regimes on whole tasks with each seed, and some on the halves of each.
    """
    if others := {line["job"]["budget"] for line in read_lines(path) if "job" in line} - {budget}:
        raise SystemExit(
            f"{path}: has runs of {others.pop():g} s; --grid names another file for those of {budget:g} s"
        )
    one_thread()
    regimes = grid_regimes(MODELS, count)
    halves = [f"{task}@{half}" for task in tasks for half in (0, 1)]
    jobs = [(task, regime, 0) for task in tasks for regime in regimes]
    for task in halves:
        rng = np.random.default_rng(len(jobs))
        jobs += [
            (task, regimes[i], 0)
            for i in np.sort(rng.choice(len(regimes), min(HALF_RUNS, len(regimes)), replace=False))
        ]
    _prepare(path, [*tasks, *halves], sorted({regime.input_size for regime in regimes}), processes)
    jobs += [(task, regime, seed) for seed in range(1, seeds) for task in tasks for regime in regimes]
    jobs = [
        {"task": task, "regime": regime.to_json(), "budget": budget, "seed": seed}
        for task, regime, seed in jobs
    ]
    in_processes(jobs, run_regime, path, processes)


def _prepare(path: Path, tasks: Sequence[str], sizes: Sequence[int], processes: int) -> None:
    """Write the step times and the profiles that are missing."""
    lines = read_lines(path)
    if not any("step_time" in line for line in lines):
        for row in measured_time_model(path.parent, processes).step_times:
            append_line(path, {"step_time": asdict(row)})
    missing = [task for task in tasks if not any(line.get("task") == task for line in lines)]
    with side_by_side(processes) as pool:
        for number, (task, profile) in enumerate(
            zip(missing, pool.map(partial(_profile, sizes=sizes), missing)), start=1
        ):
            append_line(path, {"task": task, "profile": profile.to_json()})
            print(
                f"\rprofile of {number} of {len(missing)} tasks",
                end="" if number < len(missing) else "\n",
                flush=True,
            )


def _profile(task: str, sizes: Sequence[int]) -> TaskProfile:
    """Draw a task at all sizes; what the advisor would know of it.

    Half of one, too, is looked at in other sizes.
    """
    for size in sizes:
        open_task(task, size)
    if "@" not in task:
        return task_profile(Dataset(task), None, MODELS, device="cpu", show_progress=False)
    known = task_profile(Dataset(open_task(task, 48)), None, MODELS, device="cpu", show_progress=False)
    sized = {
        name: probe(open_task(task, size), name.partition("@")[0], images=FEW)
        for name, size in sized_probes(MODELS).items()
    }
    marks = {
        name: landmark(open_task(task, size), PROBE_MODEL, rate)
        for name, (size, rate) in landmark_settings().items()
    }
    return known.with_more(sized, marks)


def run_choices(path: Path, grids: Mapping[str, TaskGrid], result: Mapping[str, Any], processes: int) -> None:
    """Complete a packed file of the runs of what was advised for each task, and of the grid's best again.

    Runs of other choices leave it.
    """
    seeds = range(result["seeds"], 2 * result["seeds"])  # others than the grid's
    jobs = [
        {"task": name, "regime": regime, "budget": result["budget"], "seed": seed}
        for seed in seeds
        for name, task in result["tasks"].items()
        for regime in _once([*best_of(grids[name]), *advised_of(task)])
    ]
    plain = unpacked(path)
    one_thread()
    for job in jobs:
        open_task(job["task"], job["regime"]["input_size"])  # drawn before the clock runs
    in_processes(jobs, run_regime, plain, processes)
    pack(plain, path, jobs)
    plain.unlink()


def best_of(grid: TaskGrid) -> list[dict[str, Any]]:
    """The best regimes of a grid, as JSON."""
    return [grid.regimes[i].to_json() for i in np.argsort(grid.regrets(), kind="stable")[:AGAIN]]


def advised_of(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What was advised for a task, cold and then after each order of the others, as JSON."""
    return [task["own_cold_regime"], *task["own_seen_regimes"]]


def _once(values: Sequence) -> list:
    """Each of some values that have no hash, once."""
    return [value for place, value in enumerate(values) if value not in values[:place]]
