"""How long NNI's own tuners take to the accuracy that the advice reaches in one run.

They search the recorded grid (`data/advisor_grid.jsonl.gz`, see advisor_regret.py), so that 20 seeds of each
cost nothing: a sample of the settings is answered with the recorded run of the same model whose other
settings are nearest. One evaluation takes the budget of a run. The advice is the advisor's choice among the
same runs, with the package's prior, which has nothing of such tasks; it takes one evaluation. Time counts
until a run is as accurate as the advised one.

BOHB has its default budgets, 1 to 3: a budget of 1 takes a third of the time, and gives the best accuracy on
the recorded curve until then, be it measured on few images. In NNI 3.0 its check for trials of an earlier
experiment fails at the first result (text ids compared with a number, microsoft/nni issue 5263); here nothing
was resumed, so the check is answered with no.

    pip install "nni[BOHB]"     # for BOHB; without, it is left out
    python examples/benchmarks/advisor_vs_tuners.py
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from advisor_common import DATA
from advisor_grid import GRID, Advisor, TaskGrid, cold_advisor, read_grid, whole_grids
from outputs import output_folder

from nni_nasoa.advisor.models import ModelFigures
from nni_nasoa.training.regime import FineTuneRegime

BOHB_BUDGETS = 3  # its largest budget by default; the smallest is 1
Evaluate = Callable[[dict[str, Any], float], float | None]
"""From a sample and a share of the budget to an accuracy; None where the search is over."""
Tune = Callable[[dict[str, Any], int, Evaluate], None]
"""From a search space, a seed and what evaluates; it ends when that gives None."""


class GridProblem:
    """The recorded runs of a task as what a tuner searches.

    Every run is a point: its network, and numbers for its settings, each from 0 to 1.
    """

    def __init__(self, grid: TaskGrid):
        self.grid = grid
        self._figures = {
            model: ModelFigures.of_zoo(model)
            for model in dict.fromkeys(regime.model for regime in grid.regimes)
        }
        self._settings = [self.described(regime) for regime in grid.regimes]
        names = self._settings[0]
        values = {name: sorted({settings[name] for settings in self._settings}) for name in names}
        self.search_space = {name: {"_type": "choice", "_value": values[name]} for name in names}
        self._points = [self._point(settings) for settings in self._settings]

    def described(self, regime: FineTuneRegime) -> dict[str, Any]:
        """A regime as a sample of the search space; frozen stages and sizes relative to the network's."""
        figures = self._figures[regime.model]
        sizes = figures.input_sizes
        return {
            "model": regime.model,
            "frozen": round(regime.frozen_stages / figures.stages, 3),
            "batch_size": regime.batch_size,
            "optimizer_and_rate": f"{regime.optimizer} {regime.learning_rate:.6f}",
            "augmentation": regime.augmentation,
            "size": round(sizes.index(regime.input_size) / max(1, len(sizes) - 1), 3),
        }

    def _point(self, settings: dict[str, Any]) -> np.ndarray:
        """A sample's settings but the model as numbers.

        Kinds are about 1 apart, and so are the ends of the scale of a number.
        """
        optimizer, rate = settings["optimizer_and_rate"].split()
        augmentations = self.search_space["augmentation"]["_value"]
        rates = [
            value.split()[1]
            for value in self.search_space["optimizer_and_rate"]["_value"]
            if value.startswith(optimizer)
        ]
        rates = np.log(np.array(rates, dtype=float))
        batches = np.log2(self.search_space["batch_size"]["_value"])
        return np.array(
            [
                settings["frozen"],
                settings["size"],
                (np.log2(settings["batch_size"]) - batches.min()) / max(np.ptp(batches), 1),
                optimizer == "adamw",
                (np.log(float(rate)) - rates.min()) / max(np.ptp(rates), 1e-9),
                *(0.5 * (settings["augmentation"] == name) for name in augmentations),
            ],
            dtype=float,
        )

    def nearest(self, sample: dict[str, Any]) -> int:
        """The recorded run that answers for a sample: of its model, with the nearest settings."""
        point = self._point(sample)
        distances = [
            np.square(own - point).sum() if settings["model"] == sample["model"] else np.inf
            for own, settings in zip(self._points, self._settings)
        ]
        return int(np.argmin(distances))

    def accuracy(self, run: int, share: float = 1.0) -> float:
        """Accuracy of a recorded run; of a share of its budget, the best that its curve had until then."""
        if share >= 1:
            return self.grid.accuracies[run]
        until = share * self.grid.budget
        return max(
            (accuracy for seconds, accuracy in self.grid.records[run].curve if seconds <= until), default=0.0
        )


def search(problem: GridProblem, tuner: Tune, seed: int, target: float, most: int) -> tuple[float, bool]:
    """Budgets spent, at most `most`, until a run was as accurate as `target`, and whether one was."""
    spent, reached = 0.0, False

    def evaluate(sample: dict[str, Any], share: float = 1.0) -> float | None:
        nonlocal spent, reached
        if reached or spent + share > most + 1e-9:
            return None
        spent += share
        accuracy = problem.accuracy(problem.nearest(sample), share)
        reached = accuracy >= target
        return accuracy

    tuner(problem.search_space, seed, evaluate)
    return (spent if reached else float(most)), reached


# -- the tuners --


def tune(make: Callable[[int], Any], search_space: dict, seed: int, evaluate: Evaluate) -> None:
    """Let one of NNI's tuners ask, one trial at a time."""
    tuner = make(seed)
    tuner.update_search_space(search_space)
    number = 0
    while (accuracy := evaluate(parameters := tuner.generate_parameters(number), 1.0)) is not None:
        tuner.receive_trial_result(number, parameters, accuracy)
        tuner.trial_end(number, True)
        number += 1


def tpe(search_space: dict, seed: int, evaluate: Evaluate) -> None:
    """NNI's default tuner."""
    from nni.algorithms.hpo.tpe_tuner import TpeTuner

    tune(lambda seed: TpeTuner(optimize_mode="maximize", seed=seed), search_space, seed, evaluate)


def random(search_space: dict, seed: int, evaluate: Evaluate) -> None:
    """NNI's random search."""
    from nni.algorithms.hpo.random_tuner import RandomTuner

    tune(lambda seed: RandomTuner(seed=seed), search_space, seed, evaluate)


def bohb(search_space: dict, seed: int, evaluate: Evaluate) -> None:
    """NNI's BOHB, as its manager would talk to it, one trial at a time."""
    import nni
    from nni.algorithms.hpo.bohb_advisor import BOHB
    from nni.runtime.tuner_command_channel import CommandType

    class SeededBOHB(BOHB):
        def __init__(self, **arguments):
            self.sent: list[str] = []
            super().__init__(**arguments)

        def send(self, command, data):
            if command is CommandType.NewTrialJob:
                self.sent.append(data)

        def handle_update_search_space(self, data):
            super().handle_update_search_space(data)
            self.search_space.seed(seed)  # before the first configurations, which are sampled next

        def is_created_in_previous_exp(self, _parameter_id):
            return False

    np.random.seed(seed)  # noqa: NPY002  # its model is sampled by numpy's global state
    with unconnected():
        advisor = SeededBOHB(optimize_mode="maximize", min_budget=1, max_budget=BOHB_BUDGETS)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        advisor.handle_initialize(search_space)
        trial = 0
        while True:
            advisor.handle_request_trial_jobs(1)
            job = nni.load(advisor.sent.pop(0))
            budget = job["parameters"]["TRIAL_BUDGET"]
            sample = {
                name: plain(value) for name, value in job["parameters"].items() if name != "TRIAL_BUDGET"
            }
            if (accuracy := evaluate(sample, budget / BOHB_BUDGETS)) is None:
                return
            advisor.handle_report_metric_data(
                {
                    "parameter_id": job["parameter_id"],
                    "trial_job_id": str(trial),
                    "type": "FINAL",
                    "sequence": budget,
                    "value": nni.dump(accuracy),
                }
            )
            advisor.handle_trial_end(
                {"hyper_params": nni.dump(job), "trial_job_id": str(trial), "event": "SUCCEEDED"}
            )
            trial += 1


def plain(value):
    """A value without numpy's type."""
    return value.item() if isinstance(value, np.generic) else value


def unconnected():
    """A context to make an advisor in outside of an experiment, at an address that NNI has for its tests."""
    from nni.runtime import msg_dispatcher_base

    channel = msg_dispatcher_base.dispatcher_env_vars._replace(
        NNI_TUNER_COMMAND_CHANNEL="ws://_unittest_benchmark"
    )
    return mock.patch.object(msg_dispatcher_base, "dispatcher_env_vars", channel)


def tuners() -> dict[str, Tune]:
    """By name; BOHB where what it needs is installed."""
    found = {"TPE": tpe, "random": random}
    if all(importlib.util.find_spec(name) for name in ("ConfigSpace", "statsmodels")):
        return found | {"BOHB": bohb}
    print("BOHB is left out: it needs pip install 'nni[BOHB]'")
    return found


# -- the comparison --


def compare(grids: dict[str, TaskGrid], advisor: Advisor, seeds: int, most: int) -> dict[str, Any]:
    """Seconds to the advice's accuracy of each tuner, on each task with each seed."""
    searchers, tasks = tuners(), {}
    for name, grid in grids.items():
        problem, chosen = GridProblem(grid), grid.advised(advisor)
        target = grid.accuracies[chosen]
        tasks[name] = {
            "target": target,
            "as_good": sum(accuracy >= target for accuracy in grid.accuracies),
            "evaluations": {},
            "reached": {},
        }
        for title, tuner in searchers.items():
            runs = [search(problem, tuner, seed, target, most) for seed in range(seeds)]
            tasks[name]["evaluations"][title] = [round(spent, 3) for spent, _ in runs]
            tasks[name]["reached"][title] = float(np.mean([reached for _, reached in runs]))
        medians = ", ".join(
            f"{title} {np.median(values):g}" for title, values in tasks[name]["evaluations"].items()
        )
        print(
            f"{name}: accuracy {100 * target:.1f} %, "
            f"{tasks[name]['as_good']} of {len(grid.regimes)} regimes as good; "
            f"budgets spent, median: {medians}",
            flush=True,
        )
    grid = next(iter(grids.values()))
    ratios = {
        title: [float(np.median(task["evaluations"][title])) for task in tasks.values()]
        for title in searchers
    }
    return {
        "budget": grid.budget,
        "regimes": len(grid.regimes),
        "seeds": seeds,
        "most": most,
        "tasks": tasks,
        "ratio": {
            title: {
                "median": float(np.median(values)),
                "mean": float(np.mean(values)),
                "least": min(values),
                "most": max(values),
            }
            for title, values in ratios.items()
        },
    }


def show(result: dict) -> None:
    """Print the ratios."""
    print(
        "\nTime until a run is as accurate as the advised one, "
        f"over the time of that run ({result['budget']:g} s): "
        f"median of {result['seeds']} seeds on each of {len(result['tasks'])} tasks; "
        f"{result['most']} where it is not reached in so many"
    )
    print(f"{'':10}{'median':>10}{'mean':>10}{'least':>10}{'most':>10}")
    for title, ratio in result["ratio"].items():
        print(f"{title:10}" + "".join(f"{ratio[key]:10.1f}" for key in ("median", "mean", "least", "most")))


def plot(result: dict, path: Path) -> None:
    """Draw each task's distribution over the seeds, a colour a tuner."""
    from nni_nasoa.figures.paper import COLORS, log_axis, save, sheet, titles

    figure, ((axes,),) = sheet(1, 1, (9.0, 0.6 + 0.5 * len(result["tasks"])))
    names: Sequence[str] = list(result["ratio"])
    for row, task in enumerate(result["tasks"].values()):
        for place, title in enumerate(names):
            low, middle, high = np.quantile(task["evaluations"][title], [0.25, 0.5, 0.75])
            y = row + 0.22 * (place - (len(names) - 1) / 2)
            axes.plot([low, high], [y, y], color=COLORS[place], linewidth=2.5, alpha=0.45)
            axes.plot(middle, y, "o", color=COLORS[place], markersize=6, label=title if row == 0 else None)
    axes.axvline(1, color="#d1242f", linewidth=1.4, label="the advised run")
    axes.set_yticks(range(len(result["tasks"])), [name.removeprefix("task:") for name in result["tasks"]])
    axes.set(xlabel=f"time, in runs of {result['budget']:g} s")
    axes.legend(frameon=False, loc="upper right", fontsize=8.5)
    log_axis(axes.xaxis, 0.5)
    titles(
        figure,
        "Time until NNI's tuners find a run as accurate as the advised one",
        f"Median and quartiles of {result['seeds']} seeds, "
        f"on {result['regimes']} recorded regimes of each task; a search ends after "
        f"{result['most']} runs.",
    )
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--grid", type=Path, default=GRID, help="the grid's file")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--most", type=int, default=200, help="budgets that a search may spend")
    parser.add_argument(
        "--output",
        type=output_folder,
        metavar="FOLDER",
        default=DATA,
        help="folder for advisor_vs_tuners.json and .png",
    )
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.disable(logging.WARNING)  # the tuners', of every trial
    try:
        result = compare(
            whole_grids(read_grid(arguments.grid)),
            cold_advisor(arguments.grid),
            arguments.seeds,
            arguments.most,
        )
    finally:
        logging.disable(logging.NOTSET)
    show(result)
    (arguments.output / "advisor_vs_tuners.json").write_text(json.dumps(result) + "\n")
    plot(result, arguments.output / "advisor_vs_tuners.png")


if __name__ == "__main__":
    main()
