"""The advised run, in one shot, against every single model of three series, at equal time.

That is figure 5 of the paper. On each task and within each budget, what the advisor chooses is carried out
once; its prior has nothing of such tasks, and nothing is learned from one run to the next. Every baseline
(baselines/baselines.csv, pretrained as the nano family is) has the same seconds and the default
hyperparameters. The best of a series, known in hindsight, is its upper bound. The advised run pays for the
dataset's profile and the probes out of its budget; it is also made with the profile known beforehand.

    python examples/benchmarks/baselines/pretrain.py     # first: the baselines' weights
    python examples/benchmarks/advisor_budgets.py        # it can be stopped, and goes on there
    python examples/benchmarks/advisor_budgets.py --show # the table and the figure of what is recorded
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from advisor_common import (
    DATA,
    STEP_TIMES,
    finetuned,
    held_out_tasks,
    in_processes,
    measured_time_model,
    one_thread,
    open_task,
    read_lines,
)
from outputs import output_folder

sys.path.insert(0, str(Path(__file__).parent / "baselines"))
from pretrain import WEIGHTS, baselines, use_zoo

from nni_nasoa.figures.budgets import draw_budgets
from nni_nasoa.figures.time_limits import ADVISED, read_time_limits
from nni_nasoa.training.regime import FineTuneRegime

PROFILED = "advised, profile known"
NANO = "nano, defaults"
SIZES = (32, 48, 64, 96)  # that an advice for the nano family can ask for
INPUT_SIZE = 48  # of the baselines' pretraining


# -- the runs --


def run(job: Mapping[str, Any], step_times: str) -> dict[str, Any] | None:
    """Carry out a run."""
    if job["series"] in (ADVISED, PROFILED):
        return run_advised(job, step_times)
    return finetuned(
        job["task"], FineTuneRegime(job["model"], input_size=INPUT_SIZE), job["budget"], job["seed"]
    )


def run_advised(job: Mapping[str, Any], step_times: str) -> dict[str, Any] | None:
    """Ask for advice, and follow it, both within the budget.

    Of the store, only the step times of this device are known before.
    """
    from nni_nasoa.advisor import ExperienceStore
    from nni_nasoa.advisor.advising import advise
    from nni_nasoa.advisor.task.look import task_profile
    from nni_nasoa.data import Dataset
    from nni_nasoa.zoo import list_models

    with TemporaryDirectory() as folder:
        store = ExperienceStore(Path(folder) / "experience.sqlite")
        store.set_step_times(ExperienceStore(step_times).step_times())
        if job["series"] == PROFILED:
            task_profile(Dataset(job["task"]), store, list_models("nano"), show_progress=False)
        begin = time.monotonic()
        choice = advise(
            job["task"], job["budget"] / 60, device="cpu", store=store, started=begin, show_progress=False
        ).best
        asked = time.monotonic() - begin
        result = finetuned(
            job["task"], choice.regime, job["budget"], job["seed"], started=begin, weights=choice.weights
        )
    return result and {
        **result,
        "regime": choice.regime.to_json(),
        "predicted": choice.predicted,
        "advice_seconds": round(asked, 3),
    }


def jobs_of(
    tasks: Sequence[str], budgets: Sequence[float], models: Mapping[str, str], seeds: int
) -> list[dict[str, Any]]:
    """All runs, those that are compared one after the other; `models` are the series by the model."""
    series = [(ADVISED, None), (PROFILED, None), *((series, model) for model, series in models.items())]
    return [
        {"task": task, "budget": budget, "series": name, "model": model, "seed": seed}
        for seed in range(seeds)
        for task in tasks
        for budget in budgets
        for name, model in series
    ]


def prepare(tasks: Sequence[str], folder: Path, processes: int) -> None:
    """Draw the tasks, and measure the networks' step times on this device, once: neither is part of a run."""
    one_thread()
    measured_time_model(folder, processes)
    for task in tasks:
        for size in SIZES:
            open_task(task, size)


# -- what comes of them --


def cells(lines: Sequence[Mapping[str, Any]]) -> dict[tuple[str, float], dict[str, dict[str | None, float]]]:
    """Mean accuracy over the seeds, of each model of each series, by task and budget.

    Only where all models have been run.
    """
    found: dict[tuple[str, float], dict] = {}
    for line in lines:
        job = line["job"]
        series = found.setdefault((job["task"], job["budget"]), {}).setdefault(job["series"], {})
        series.setdefault(job["model"], []).append(line["val_accuracy"])
    models = {(name, model) for cell in found.values() for name, series in cell.items() for model in series}
    whole = {
        place: cell
        for place, cell in found.items()
        if {(name, model) for name in cell for model in cell[name]} == models
    }
    return {
        place: {
            name: {model: float(np.mean(values)) for model, values in cell[name].items()} for name in cell
        }
        for place, cell in sorted(whole.items(), key=lambda item: item[0][1])
    }


def compare(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By how many points the advised run is better than the upper bound of each series.

    Means over the tasks, and all of them.
    """
    whole = cells(lines)
    if not whole:
        raise SystemExit("there is no task and budget yet that all networks have been run with")
    budgets = sorted({budget for _, budget in whole})
    tasks = list(
        dict.fromkeys(
            line["job"]["task"] for line in lines if any(line["job"]["task"] == task for task, _ in whole)
        )
    )
    first = next(iter(whole.values()))
    others = [name for name in first if name not in (ADVISED, PROFILED)]
    result = {
        "environment": environment_of(lines),
        "tasks": tasks,
        "budgets": budgets,
        "series": {name: list(first[name]) for name in others},
        "difference": {},
        "cells": [{"task": task, "budget": budget, **cell} for (task, budget), cell in whole.items()],
    }
    for kind in (ADVISED, PROFILED):
        result["difference"][kind] = {}
        for name in others:
            points = {
                place: 100 * (cell[kind][None] - max(cell[name].values())) for place, cell in whole.items()
            }
            by_budget = [
                float(np.mean([value for (_, budget), value in points.items() if budget == wanted]))
                for wanted in budgets
            ]
            result["difference"][kind][name] = {
                "by_budget": by_budget,
                "mean": float(np.mean(list(points.values()))),
                "least": float(min(points.values())),
                "most": float(max(points.values())),
            }
    return result


def environment_of(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Device, threads and versions that all runs share."""
    each = [
        {name: line[name] for name in ("device", "threads") if name in line} | line.get("versions", {})
        for line in lines
    ]
    return {name: value for name, value in each[0].items() if all(one.get(name) == value for one in each)}


def show(result: dict) -> None:
    """Print the accuracies, and the mean differences."""
    series = list(result["series"])
    print(
        f"\n{'':26}{'seconds':>8}{ADVISED:>12}{'(profiled)':>12}" + "".join(f"{name:>22}" for name in series)
    )
    for cell in result["cells"]:
        best = {name: max(cell[name].items(), key=lambda item: item[1]) for name in series}
        print(
            f"{cell['task']:26}{cell['budget']:8g}"
            f"{100 * cell[ADVISED][None]:12.1f}{100 * cell[PROFILED][None]:12.1f}"
            + "".join(
                f"{100 * accuracy:14.1f} ({model.rpartition('-')[2]})".rjust(22)
                for model, accuracy in best.values()
            )
        )
    for kind, differences in result["difference"].items():
        print(f"\n{kind}: points above the upper bound of a series, mean over {len(result['tasks'])} tasks")
        print(
            f"{'':22}"
            + "".join(f"{budget:>8g} s" for budget in result["budgets"])
            + f"{'all':>10}{'least':>10}{'most':>10}"
        )
        for name, values in differences.items():
            row = (*values["by_budget"], values["mean"], values["least"], values["most"])
            print(f"{name:22}" + "".join(f"{value:+10.2f}" for value in row))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--show", action="store_true", help="run nothing")
    parser.add_argument(
        "--tasks",
        nargs="+",
        help="names, or 'all' that are held out; by default one of each kind, and digits",
    )
    parser.add_argument("--budgets", nargs="+", type=float, default=[3, 6, 12, 24], help="in seconds")
    parser.add_argument("--baselines", nargs="+", help="names; by default all of the table")
    parser.add_argument(
        "--weights",
        type=Path,
        default=WEIGHTS,
        help="folder of the baselines, as baselines/pretrain.py makes it",
    )
    parser.add_argument(
        "--nano", action="store_true", help="also the nano family with the default hyperparameters"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, one thread each")
    parser.add_argument(
        "--output",
        type=output_folder,
        metavar="FOLDER",
        default=DATA,
        help="folder for advisor_budgets.jsonl, .json and .png",
    )
    arguments = parser.parse_args()
    use_zoo(arguments.weights)
    from nni_nasoa.zoo import list_models

    path = arguments.output / "advisor_budgets.jsonl"
    if not arguments.show:
        table = baselines()
        names = arguments.baselines or list(table)
        if missing := [name for name in names if name not in table or name not in list_models("searched")]:
            parser.error(f"no weights of {', '.join(missing)}; baselines/pretrain.py makes them")
        models = {name: table[name]["series"] for name in names}
        models |= dict.fromkeys(list_models("nano"), NANO) if arguments.nano else {}
        tasks = (
            held_out_tasks(every=arguments.tasks == ["all"])
            if arguments.tasks in (None, ["all"])
            else arguments.tasks
        )
        prepare(tasks, arguments.output, arguments.jobs)
        work = partial(run, step_times=str(arguments.output / STEP_TIMES))
        in_processes(jobs_of(tasks, arguments.budgets, models, arguments.seeds), work, path, arguments.jobs)
    result = compare(read_lines(path))
    show(result)
    found = [
        {**cell, ADVISED: cell[ADVISED][None], PROFILED: cell[PROFILED][None]} for cell in result["cells"]
    ]
    table = arguments.output / "advisor_budgets.json"
    table.write_text(json.dumps({**result, "cells": found}, indent=1) + "\n")
    draw_budgets(read_time_limits(table), table.with_suffix(".png"))


if __name__ == "__main__":
    main()
