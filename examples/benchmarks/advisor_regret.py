r"""How far the advised regime is behind the best of a brute-force grid, cold and after 20 tasks.

On every task, all of a grid of regimes were run with the same seconds each: `data/advisor_grid.jsonl.gz`.
A regime's accuracy is the mean of its runs with several seeds: of single ones, the best of many would be
the luckiest. The tasks are of kinds that the package's prior has nothing of. The advisor starts from the
prior (cold), and then learns from some runs on each of 20 other tasks, one task after the other: the
regime that it would choose there, and random ones. These other tasks are the remaining ones of the grid,
and halves of their classes.

What a user is advised is the best of tens of thousands of candidates: `--own` carries that out, cold and
after the last task seen, with as many seeds as the grid has. The machine may be faster or slower than when
the grid was recorded, so the grid's eight best of each task are run again beside it, and the best of these
counts. Without any run, the advisor also chooses among the grid's regimes alone. Beside it: the documented
defaults, the regime that is best on average over the other tasks, and a random one.

    python examples/benchmarks/advisor_regret.py --own      # compare, and make the runs that are missing
    python examples/benchmarks/advisor_regret.py            # compare among the grid's regimes alone
    python examples/benchmarks/advisor_regret.py --record   # complete the grid first; if stopped, it goes on

The first two write data/advisor_regret.json and .png.

The predictor's settings are not chosen by these tasks, but by ten of the prior's own kinds, of
which it has nothing then:

    python examples/benchmarks/advisor_regret.py --leave-kinds-out --output /tmp \
        --grid examples/benchmarks/data/advisor_grid_settings.jsonl.gz
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from advisor_common import DATA, held_out_tasks, pack, read_lines, unpacked
from advisor_grid import GRID, Advisor, TaskGrid, cold_advisor, kind_of, read_grid, whole_grids
from advisor_regret_runs import AGAIN, advised_of, best_of, record, run_choices
from outputs import output_folder

from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor
from nni_nasoa.training.regime import FineTuneRegime

STREAM = 20  # tasks that are seen
METHODS = {
    "cold": "of these, cold",
    "seen": "of these, tasks seen",
    "defaults": "defaults",
    "average": "best on average",
    "random": "random",
}
OWN = {"own_cold": "advised, cold", "own_seen": "advised, tasks seen"}


# -- what is advised --


def judge_choices(
    lines: Sequence[Mapping[str, Any]], grids: Mapping[str, TaskGrid], result: dict[str, Any]
) -> None:
    """Put into the result how accurate what was advised is, and its regret.

    That is in points, against the best of what was run again.
    """
    against_recorded: dict[str, list[float]] = {method: [] for method in OWN}
    for name, task in result["tasks"].items():

        def accuracy(regime: Mapping[str, Any], name: str = name) -> float:
            return float(
                np.mean(
                    [
                        line["val_accuracy"]
                        for line in lines
                        if line["job"]["task"] == name and line["job"]["regime"] == regime
                    ]
                )
            )

        again, (cold, *seen) = max(map(accuracy, best_of(grids[name]))), map(accuracy, advised_of(task))
        task |= {
            "again": again,
            "own_cold_accuracy": cold,
            "own_seen_accuracies": seen,
            "own_cold": 100 * (again - cold),
            "own_seen": [100 * (again - value) for value in seen],
        }
        against_recorded["own_cold"].append(100 * (task["best"] - cold))
        against_recorded["own_seen"] += [100 * (task["best"] - value) for value in seen]
    result["speed"] = _speed(lines, grids)
    result["summary"] |= {method: summary(result["tasks"], method) for method in OWN}
    result["against_recorded"] = {
        method: float(np.median(values)) for method, values in against_recorded.items()
    }


def _speed(lines: Sequence[Mapping[str, Any]], grids: Mapping[str, TaskGrid]) -> float:
    """Epochs of the regimes that were run again, over those of their first run in the grid: the median."""
    ratios = []
    for line in lines:
        grid, regime = grids[line["job"]["task"]], FineTuneRegime.from_json(line["job"]["regime"])
        if regime in grid.regimes and line["epochs"]:
            ratios.append(line["epochs"] / grid.records[grid.regimes.index(regime)].epochs)
    return float(np.median(ratios))


# -- the comparison --


def average_best(grids: Mapping[str, TaskGrid], left_out: str) -> int:
    """Which regime has the best mean accuracy over all tasks but one."""
    return int(
        np.mean([grid.accuracies for name, grid in grids.items() if name != left_out], axis=0).argmax()
    )


def regrets_along(
    start: Advisor, test: TaskGrid, others: Sequence[TaskGrid], rng: np.random.Generator, runs: int
) -> list[float]:
    """Regret on a task before any other is seen, and after each of the others, in points.

    `start` is what learns.
    """
    regrets = [float(test.regrets()[test.advised(start)])]
    for other in others:
        chosen = other.advised(start)
        rest = [i for i in rng.permutation(len(other.records)) if i != chosen]
        for i in [chosen, *rest[: runs - 1]]:
            start.learn(other.records[i])
        regrets.append(float(test.regrets()[test.advised(start)]))
    return regrets


def compare(
    grids: Mapping[str, TaskGrid], orders: int, runs: int, cold: Advisor, own: bool = False
) -> dict[str, Any]:
    """Regrets of every method on each task, in points of accuracy.

    Those of the stream are in several orders of the tasks. With `own`, also what the advisor
    chooses among all candidates.
    """
    whole, nothing = whole_grids(grids), Advisor(AccuracyPredictor(), cold.time_model)
    tasks = {}
    for name, grid in whole.items():
        others = [other for key, other in {**grids, **whole}.items() if key.partition("@")[0] != name]
        curves, choices = [], []
        for seed in range(orders):
            rng, advisor = np.random.default_rng(seed), cold.copy()
            stream = [others[i] for i in islice(rng.permutation(len(others)), STREAM)]
            curves.append(regrets_along(advisor, grid, stream, rng, runs))
            if own:
                choices.append(grid.choice(advisor).to_json())
        regrets = grid.regrets()
        tasks[name] = {
            "best": max(grid.accuracies),
            "best_regime": grid.regimes[int(regrets.argmin())].to_json(),
            "cold_regime": grid.regimes[grid.advised(cold)].to_json(),
            "along": np.round(curves, 4).tolist(),
            "cold": curves[0][0],
            "seen": [curve[-1] for curve in curves],
            "defaults": float(regrets[grid.advised(nothing)]),
            "average": float(regrets[average_best(whole, name)]) if len(whole) > 1 else float("nan"),
            "random": float(regrets.mean()),
        }
        if own:
            tasks[name] |= {"own_cold_regime": grid.choice(cold).to_json(), "own_seen_regimes": choices}
        print(
            f"{name}: "
            + ", ".join(f"{METHODS[method]} {np.mean(tasks[name][method]):.2f}" for method in METHODS),
            flush=True,
        )
    grid = next(iter(whole.values()))
    return {
        "budget": grid.budget,
        "regimes": len(grid.regimes),
        "seeds": grid.seeds,
        "orders": orders,
        "runs_per_task": runs,
        "tasks_seen": len(curves[0]) - 1,
        "prior_runs": cold.predictor.seen,
        "tasks": tasks,
        "summary": {method: summary(tasks, method) for method in METHODS},
    }


def summary(tasks: Mapping[str, Mapping[str, Any]], method: str) -> dict[str, float]:
    """Median, mean and worst regret over the tasks.

    Of what has seen other tasks, it is over the orders of these, too.
    """
    values = np.concatenate([np.atleast_1d(task[method]) for task in tasks.values()])
    return {"median": float(np.median(values)), "mean": float(values.mean()), "worst": float(values.max())}


def show(result: dict) -> None:
    """Print the table."""
    print(
        f"\nRegret in points of accuracy against the best of {result['regimes']} regimes, "
        f"{result['seeds']} runs of "
        f"{result['budget']:g} s each ({result['prior_runs']} runs in the prior; "
        f"{result['tasks_seen']} tasks seen, "
        f"{result['orders']} orders, their mean for each task)"
    )
    columns = {method: title for method, title in {**OWN, **METHODS}.items() if method in result["summary"]}
    print(f"{'task':26}{'best %':>8}" + "".join(f"{title:>22}" for title in columns.values()))
    for name, task in result["tasks"].items():
        print(
            f"{name:26}{100 * task['best']:8.1f}"
            + "".join(f"{np.mean(task[method]):22.2f}" for method in columns)
        )
    for what in ("median", "mean", "worst"):
        print(f"{what:34}" + "".join(f"{result['summary'][method][what]:22.2f}" for method in columns))
    if "speed" in result:
        print(
            f"What is advised is held against the best of the grid's {AGAIN} best that were run again; "
            "they came to "
            f"{result['speed']:.2f} times as many epochs\n(median). Against the grid as it was recorded, "
            "medians: "
            + ", ".join(f"{OWN[method]} {value:.2f}" for method, value in result["against_recorded"].items())
        )


def plot(result: dict, path: Path) -> None:
    """Draw the regret along the tasks seen, and the regrets of all tasks by method."""
    from nni_nasoa.figures.paper import COLORS, FADED, INK, save, sheet, titles

    figure, ((left, right),) = sheet(1, 2, (6.2, 4.2))
    color = dict(zip((*METHODS, *OWN), COLORS))
    curves = np.concatenate([task["along"] for task in result["tasks"].values()])
    seen = np.arange(curves.shape[1])
    low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
    left.fill_between(seen, low, high, color=color["seen"], alpha=0.15, linewidth=0)
    left.plot(seen, middle, color=color["seen"], linewidth=2, label="advisor, of these")
    for method in ("defaults", "average", "random"):
        left.axhline(
            result["summary"][method]["median"],
            color=color[method],
            linestyle="--",
            linewidth=1.2,
            label=METHODS[method],
        )
    left.set(xlabel="tasks seen", ylabel="regret, points of accuracy", ylim=(0, 1.3 * left.get_ylim()[1]))
    left.legend(loc="upper center", ncols=2, framealpha=1, edgecolor="none", fontsize=8.5)
    methods = {method: title for method, title in {**OWN, **METHODS}.items() if method in result["summary"]}
    for place, method in enumerate(methods):
        values = np.array([np.mean(task[method]) for task in result["tasks"].values()])
        right.plot(
            place + np.linspace(-0.2, 0.2, len(values)),
            np.sort(values),
            "o",
            color=color[method],
            markersize=4.5,
        )
        right.plot(
            [place - 0.3, place + 0.3], [result["summary"][method]["median"]] * 2, color=INK, linewidth=2
        )
    right.set_xticks(
        range(len(methods)),
        [title.replace(", ", ",\n").replace("best on ", "best on\n") for title in methods.values()],
        fontsize=8,
    )
    right.axhline(0, color=FADED, linewidth=0.8, zorder=0)
    advised = "Advised: of all candidates, run. " if "own_cold" in methods else ""
    titles(
        figure,
        f"Regret of the advised regime against the best of {result['regimes']}, {result['budget']:g} s each",
        f"{len(result['tasks'])} tasks of kinds that the prior has nothing of, "
        f"{result['seeds']} runs of each regime. {advised}"
        f"Of these: chosen among the {result['regimes']}. Left: "
        f"median and quartiles over tasks and {result['orders']} orders of the "
        f"{result['tasks_seen']} tasks seen. Right: a dot for each task, a bar for the median.",
    )
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="complete the grid first")
    parser.add_argument(
        "--own", action="store_true", help="also carry out what is advised, of all candidates"
    )
    parser.add_argument("--grid", type=Path, default=GRID, help="the grid's file")
    parser.add_argument(
        "--tasks",
        nargs="+",
        help="record on these: names, or 'all' held-out ones; by default one of each kind and digits",
    )
    parser.add_argument("--regimes", type=int, default=42, help="record so many of each task")
    parser.add_argument(
        "--leave-kinds-out",
        action="store_true",
        help="make the prior anew, without runs on the kinds of the grid's tasks",
    )
    parser.add_argument("--budget", type=float, default=5.0, help="record with so many seconds a run")
    parser.add_argument(
        "--seeds", type=int, default=2, help="record so many runs of each regime on each task"
    )
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument("--orders", type=int, default=5, help="random orders of the tasks seen")
    parser.add_argument("--runs", type=int, default=8, help="learned from on each task seen")
    parser.add_argument(
        "--output",
        type=output_folder,
        metavar="FOLDER",
        default=DATA,
        help="folder for advisor_regret.json and .png",
    )
    arguments = parser.parse_args()
    if arguments.record:
        tasks = (
            held_out_tasks(every=arguments.tasks == ["all"])
            if arguments.tasks in (None, ["all"])
            else arguments.tasks
        )
        plain = unpacked(arguments.grid)
        record(plain, tasks, arguments.regimes, arguments.budget, arguments.seeds, arguments.jobs)
        pack(plain, arguments.grid)
        plain.unlink()
    grids = read_grid(arguments.grid)
    cold = cold_advisor(
        arguments.grid, {kind_of(task) for task in whole_grids(grids)} if arguments.leave_kinds_out else ()
    )
    result = compare(grids, arguments.orders, arguments.runs, cold, arguments.own)
    if arguments.own:
        path, whole = arguments.output / "advisor_own.jsonl.gz", whole_grids(grids)
        run_choices(path, whole, result, arguments.jobs)
        judge_choices(read_lines(path), whole, result)
    show(result)
    (arguments.output / "advisor_regret.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(result, arguments.output / "advisor_regret.png")


if __name__ == "__main__":
    main()
