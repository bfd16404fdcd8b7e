r"""How far is the advised regime behind the best of a brute-force grid, cold and after 20 tasks?

On every task, all of a grid of regimes were run with the same seconds each: `data/advisor_grid.jsonl.gz`. A regime's accuracy is
the mean of its runs with several seeds: of single ones, the best of many would be the luckiest. The tasks are of kinds that the
package's prior has nothing of. The advisor chooses among these regimes alone, so its choice needs no further run. It starts from
the prior (cold), and then learns from some runs on each of 20 other tasks, one task after the other: the regime that it would
choose there, and random ones. These other tasks are the remaining ones of the grid, and halves of their classes. Beside it: the
documented defaults, the regime that is best on average over the other tasks, and a random one.

    python examples/benchmarks/advisor_regret.py            # compare: data/advisor_regret.json and .png
    python examples/benchmarks/advisor_regret.py --record   # complete the grid first; it can be stopped and goes on there
    python examples/benchmarks/advisor_regret.py --own      # also carry out what the advisor chooses among all candidates

The predictor's settings are not chosen by these tasks, but by ten of the prior's own kinds, of which it has nothing then:

    python examples/benchmarks/advisor_regret.py --leave-kinds-out --output /tmp \
        --grid examples/benchmarks/data/advisor_grid_settings.jsonl.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from advisor_common import (DATA, GRID, STEP_TIMES, Advisor, TaskGrid, append_line, cold_advisor, finetuned, grid_regimes,
                            held_out_tasks, in_processes, kind_of, measured_time_model, one_thread, open_task, pack, read_grid,
                            read_lines, side_by_side, whole_grids)

from nni_nasoa.advisor.landmarks import landmark
from nni_nasoa.advisor.predictor import AccuracyPredictor
from nni_nasoa.advisor.probing import FEW, probe
from nni_nasoa.advisor.profiles import PROBE_MODEL, TaskProfile, landmark_settings, sized_probes, task_profile
from nni_nasoa.finetune.regime import FineTuneRegime

MODELS = tuple(f"nano-{letter}" for letter in "abcdef")
STREAM = 20  # tasks that are seen
HALF_RUNS = 8  # on each half of a task's classes
METHODS = {"cold": "advisor, cold", "seen": "advisor, tasks seen", "defaults": "its defaults alone", "average": "best on average",
           "random": "random"}


# -- recording --

def run_regime(job: Mapping[str, Any]) -> dict | None:
    """Carry out a run of the grid."""
    return finetuned(job["task"], FineTuneRegime.from_json(job["regime"]), job["budget"], job["seed"])


def run_advised(job: Mapping[str, Any]) -> dict | None:
    """Carry out a choice of the advisor; it was made, and the dataset profiled, beforehand."""
    return finetuned(job["task"], FineTuneRegime.from_json(job["advised"]), job["budget"], job["seed"])


def record(path: Path, tasks: Sequence[str], count: int, budget: float, seeds: int, processes: int) -> None:
    """Complete the grid in a file that is not packed: all regimes on whole tasks with each seed, some on the halves of each."""
    if others := {line["job"]["budget"] for line in read_lines(path) if "job" in line} - {budget}:
        raise SystemExit(f"{path}: has runs of {others.pop():g} s; --grid names another file for those of {budget:g} s")
    one_thread()
    regimes = grid_regimes(MODELS, count)
    halves = [f"{task}@{half}" for task in tasks for half in (0, 1)]
    jobs = [(task, regime, 0) for task in tasks for regime in regimes]
    for task in halves:
        rng = np.random.default_rng(len(jobs))
        jobs += [(task, regimes[i], 0) for i in np.sort(rng.choice(len(regimes), min(HALF_RUNS, len(regimes)), replace=False))]
    _prepare(path, [*tasks, *halves], sorted({regime.input_size for regime in regimes}), processes)
    jobs += [(task, regime, seed) for seed in range(1, seeds) for task in tasks for regime in regimes]
    jobs = [{"task": task, "regime": regime.to_json(), "budget": budget, "seed": seed} for task, regime, seed in jobs]
    in_processes(jobs, run_regime, path, processes)


def _prepare(path: Path, tasks: Sequence[str], sizes: Sequence[int], processes: int) -> None:
    """Write the step times and the profiles that are missing."""
    lines = read_lines(path)
    if not any("step_time" in line for line in lines):
        for row in measured_time_model(path.parent, processes).step_times:
            append_line(path, {"step_time": asdict(row)})
    missing = [task for task in tasks if not any(line.get("task") == task for line in lines)]
    with side_by_side(processes) as pool:
        for number, (task, profile) in enumerate(zip(missing, pool.map(partial(_profile, sizes=sizes), missing)), start=1):
            append_line(path, {"task": task, "profile": profile.to_json()})
            print(f"\rprofile of {number} of {len(missing)} tasks", end="" if number < len(missing) else "\n", flush=True)


def _profile(task: str, sizes: Sequence[int]) -> TaskProfile:
    """Draw a task at all sizes; what the advisor would know of it. Half of one, too, is looked at in other sizes."""
    for size in sizes:
        open_task(task, size)
    if "@" not in task:
        return task_profile(task, None, MODELS, device="cpu", show_progress=False)
    known = task_profile(open_task(task, 48), None, MODELS, device="cpu", show_progress=False)
    sized = {name: probe(open_task(task, size), name.partition("@")[0], images=FEW) for name, size in sized_probes(MODELS).items()}
    marks = {name: landmark(open_task(task, size), PROBE_MODEL, rate) for name, (size, rate) in landmark_settings().items()}
    return known.with_more(sized, marks)


def own_choices(path: Path, grids: Mapping[str, TaskGrid], processes: int) -> dict[str, float]:
    """Accuracies of what the advisor chooses among all candidates, cold, by task; runs that are not in the file are made."""
    from nni_nasoa.advisor import ExperienceStore
    from nni_nasoa.advisor.advising import advise

    one_thread()
    measured_time_model(path.parent, processes)
    store, jobs = ExperienceStore(path.parent / STEP_TIMES), []
    there = {line["job"]["task"]: line["job"] for line in read_lines(path) if "job" in line}
    for task, grid in grids.items():
        if task not in there:
            regime = advise(task, grid.budget / 60, device="cpu", store=store, show_progress=False).best.regime
            open_task(task, regime.input_size)
            there[task] = {"task": task, "advised": regime.to_json(), "budget": grid.budget, "seed": 0}
        jobs.append(there[task])
    in_processes(jobs, run_advised, path, processes)
    return {line["job"]["task"]: line["val_accuracy"] for line in read_lines(path) if line["job"]["task"] in grids}


# -- the comparison --

def average_best(grids: Mapping[str, TaskGrid], left_out: str) -> int:
    """Which regime has the best mean accuracy over all tasks but one."""
    return int(np.mean([grid.accuracies for name, grid in grids.items() if name != left_out], axis=0).argmax())


def regrets_along(start: Advisor, test: TaskGrid, others: Sequence[TaskGrid], rng: np.random.Generator, runs: int) -> list[float]:
    """Regret on a task before any other is seen, and after each of the others, in points. `start` is what learns."""
    regrets = [float(test.regrets()[test.advised(start)])]
    for other in others:
        chosen = other.advised(start)
        rest = [i for i in rng.permutation(len(other.records)) if i != chosen]
        for i in [chosen, *rest[:runs - 1]]:
            start.learn(other.records[i])
        regrets.append(float(test.regrets()[test.advised(start)]))
    return regrets


def compare(grids: Mapping[str, TaskGrid], orders: int, runs: int, cold: Advisor) -> dict[str, Any]:
    """Regrets of every method on each task, in points of accuracy; those of the stream in several orders of the tasks."""
    whole, nothing = whole_grids(grids), Advisor(AccuracyPredictor(), cold.time_model)
    tasks = {}
    for name, grid in whole.items():
        others = [other for key, other in {**grids, **whole}.items() if key.partition("@")[0] != name]
        curves = []
        for seed in range(orders):
            rng = np.random.default_rng(seed)
            stream = [others[i] for i in islice(rng.permutation(len(others)), STREAM)]
            curves.append(regrets_along(cold.copy(), grid, stream, rng, runs))
        regrets = grid.regrets()
        tasks[name] = {
            "best": max(grid.accuracies), "best_regime": grid.regimes[int(regrets.argmin())].to_json(),
            "cold_regime": grid.regimes[grid.advised(cold)].to_json(), "along": np.round(curves, 4).tolist(),
            "cold": curves[0][0], "seen": [curve[-1] for curve in curves], "defaults": float(regrets[grid.advised(nothing)]),
            "average": float(regrets[average_best(whole, name)]) if len(whole) > 1 else float("nan"), "random": float(regrets.mean())}
        print(f"{name}: " + ", ".join(f"{METHODS[method]} {np.mean(tasks[name][method]):.2f}" for method in METHODS), flush=True)
    grid = next(iter(whole.values()))
    return {"budget": grid.budget, "regimes": len(grid.regimes), "seeds": grid.seeds, "orders": orders, "runs_per_task": runs,
            "tasks_seen": len(curves[0]) - 1, "prior_runs": cold.predictor.seen, "tasks": tasks,
            "summary": {method: summary(tasks, method) for method in METHODS}}


def summary(tasks: Mapping[str, Mapping[str, Any]], method: str) -> dict[str, float]:
    """Median, mean and worst regret over the tasks; of what has seen others, over the tasks and the orders of the others."""
    values = np.concatenate([np.atleast_1d(task[method]) for task in tasks.values()])
    return {"median": float(np.median(values)), "mean": float(values.mean()), "worst": float(values.max())}


def show(result: dict) -> None:
    """Print the table."""
    print(f"\nRegret in points of accuracy against the best of {result['regimes']} regimes, {result['seeds']} runs of "
          f"{result['budget']:g} s each ({result['prior_runs']} runs in the prior; {result['tasks_seen']} tasks seen, "
          f"{result['orders']} orders, their mean for each task)")
    own = {"own": "own choice, run"} if any("own" in task for task in result["tasks"].values()) else {}
    columns = METHODS | own
    print(f"{'task':26}{'best %':>8}" + "".join(f"{title:>25}" for title in columns.values()))
    for name, task in result["tasks"].items():
        print(f"{name:26}{100 * task['best']:8.1f}" + "".join(f"{np.mean(task[method]):25.2f}" for method in columns))
    for what in ("median", "mean", "worst"):
        print(f"{what:34}" + "".join(f"{summary(result['tasks'], method)[what]:25.2f}" for method in columns))


def plot(result: dict, path: Path) -> None:
    """Draw the regret along the tasks seen, and the regrets of all tasks by method."""
    from nni_nasoa.figures.paper import COLORS, FADED, INK, save, sheet, titles

    figure, ((left, right),) = sheet(1, 2, (6.2, 4.2))
    curves = np.concatenate([task["along"] for task in result["tasks"].values()])
    seen = np.arange(curves.shape[1])
    low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
    left.fill_between(seen, low, high, color=COLORS[1], alpha=0.15, linewidth=0)
    left.plot(seen, middle, color=COLORS[1], linewidth=2, label="advisor")
    for method, color in (("defaults", COLORS[0]), ("average", COLORS[2]), ("random", FADED)):
        left.axhline(result["summary"][method]["median"], color=color, linestyle="--", linewidth=1.2, label=METHODS[method])
    left.set(xlabel="tasks seen", ylabel="regret, points of accuracy")
    left.set_ylim(bottom=0)
    left.legend(loc="center right", framealpha=1, edgecolor="none", fontsize=8.5).set_zorder(5)
    for place, method in enumerate(METHODS):
        values = np.array([np.mean(task[method]) for task in result["tasks"].values()])
        right.plot(place + np.linspace(-0.2, 0.2, len(values)), np.sort(values), "o", color=COLORS[place], markersize=4.5)
        right.plot([place - 0.3, place + 0.3], [result["summary"][method]["median"]] * 2, color=INK, linewidth=2)
    right.set_xticks(range(len(METHODS)), [title.replace(", ", ",\n") for title in METHODS.values()], fontsize=8.5)
    right.set_ylim(bottom=-0.5)
    titles(figure, f"Regret of the advised regime against the best of {result['regimes']}, {result['budget']:g} s each",
           f"{len(result['tasks'])} tasks of kinds that the prior has nothing of, {result['seeds']} runs of each regime. Left: median and "
           f"quartiles over them and {result['orders']} orders of the {result['tasks_seen']} tasks seen. Right: a dot for each task, "
           "a bar for the median.")
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="complete the grid first")
    parser.add_argument("--own", action="store_true", help="also carry out the choice among all candidates")
    parser.add_argument("--grid", type=Path, default=GRID, help="the grid's file")
    parser.add_argument("--tasks", nargs="+", help="record on these: names, or 'all' held-out ones; by default one of each kind and digits")
    parser.add_argument("--regimes", type=int, default=42, help="record so many of each task")
    parser.add_argument("--leave-kinds-out", action="store_true", help="make the prior anew, without runs on the kinds of the grid's tasks")
    parser.add_argument("--budget", type=float, default=5.0, help="record with so many seconds a run")
    parser.add_argument("--seeds", type=int, default=2, help="record so many runs of each regime on each task")
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--orders", type=int, default=5, help="random orders of the tasks seen")
    parser.add_argument("--runs", type=int, default=8, help="learned from on each task seen")
    parser.add_argument("--output", type=Path, default=DATA, help="folder for advisor_regret.json and .png")
    arguments = parser.parse_args()
    if arguments.record:
        tasks = held_out_tasks(every=arguments.tasks == ["all"]) if arguments.tasks in (None, ["all"]) else arguments.tasks
        plain = arguments.grid.with_suffix("")
        if arguments.grid.exists() and not plain.exists():
            plain.write_bytes(gzip.decompress(arguments.grid.read_bytes()))
        record(plain, tasks, arguments.regimes, arguments.budget, arguments.seeds, arguments.jobs)
        pack(plain, arguments.grid)
        plain.unlink()
    grids = read_grid(arguments.grid)
    cold = cold_advisor(arguments.grid, {kind_of(task) for task in whole_grids(grids)} if arguments.leave_kinds_out else ())
    result = compare(grids, arguments.orders, arguments.runs, cold)
    if arguments.own:
        own = own_choices(arguments.output / "advisor_own.jsonl", whole_grids(grids), arguments.jobs)
        for name, accuracy in own.items():
            result["tasks"][name] |= {"own_accuracy": accuracy, "own": 100 * (result["tasks"][name]["best"] - accuracy)}
    show(result)
    (arguments.output / "advisor_regret.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(result, arguments.output / "advisor_regret.png")


if __name__ == "__main__":
    main()
