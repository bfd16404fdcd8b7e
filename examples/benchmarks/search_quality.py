"""How well NasoaEvolution searches, beside NNI's own strategies, at equal numbers of evaluated networks.

Every network of a small subspace of ET-NAS was trained once on the digits, and timed:
`data/search_table.json.gz`. The strategies then search that table through NNI's strategy interface, so 20
seeds of each take minutes. NNI's RegularizedEvolution maximises the scalar reward, as it has one objective.
What counts is the hypervolume of all networks evaluated so far, in accuracy and relative training speed, as a
share of that of the whole table.

    python examples/benchmarks/search_quality.py            # compare: data/search_quality.json and .png
    python examples/benchmarks/search_quality.py --record   # train and time the table again (10 minutes)
    python examples/benchmarks/search_quality.py --only "NasoaEvolution, 4 at a time"   # one; the rest stays

With several at a time, so many networks train at once in a simulation, in which each takes as long as its
speed says; results count in the order in which they come.
"""

from __future__ import annotations

import argparse
import functools
import heapq
import json
import logging
import math
import statistics
import time
from pathlib import Path

import numpy as np
from outputs import output_folder
from search_table import SPACE, TABLE, read_table, record

from nni_nasoa.architecture import Architecture
from nni_nasoa.search.choices import decode
from nni_nasoa.search.evolution import Evolution
from nni_nasoa.search.front import OBJECTIVES
from nni_nasoa.search.nsga2 import hypervolume, non_dominated_ranks
from nni_nasoa.search.operators import ArchitectureOperators

DATA = Path(__file__).parent / "data"
POPULATION, BUDGET, SEEDS = 20, 150, 20
OURS, PLAIN = "NasoaEvolution", "NasoaEvolution (surrogate: false)"
MEASURED, METERED = "NasoaEvolution (measure_speed: 8)", 8
NOISE = 0.02  # of a speed that is measured beforehand, beside what the trial measures: standard deviation
CONCURRENCIES, BUDGET_AT_A_TIME = (4, 8), 60


# -- the searches --


def table_engine(table: dict[str, dict], budget: int):
    """Return an NNI execution engine that looks networks up.

    A network that comes again is no further evaluation.
    """
    from nni.nas.execution import ExecutionEngine
    from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
    from nni.nas.space import ModelStatus

    class TableEngine(ExecutionEngine):
        def __init__(self):
            super().__init__()
            self.evaluated: dict[str, None] = {}  # in order
            self.submitted = []

        def submit_models(self, *models):
            for model in models:
                text = str(decode(model.sample))
                self.submitted.append(model)
                self.evaluated[text] = None
                model.status = ModelStatus.Training
                self.dispatch_model_event(FinalMetricEvent(model, dict(table[text])))
                self.dispatch_model_event(TrainingEndEvent(model, ModelStatus.Trained))

        def list_models(self, status=None):
            return [model for model in self.submitted if status in (None, model.status)]

        def idle_worker_available(self):
            return True

        def budget_available(self):
            return len(self.evaluated) < budget

    return TableEngine()


def strategies() -> dict:
    """Return functions from seed and table to strategy, by name; ours get the same population size."""
    from nni.nas.strategy import Random, RegularizedEvolution

    from nni_nasoa.plugin.strategy import NasoaEvolution

    ours = functools.partial(NasoaEvolution, population_size=POPULATION)
    return {
        OURS: lambda seed, _: ours(seed=seed),
        MEASURED: lambda seed, table: ours(meter=Meter(table, seed), metered=METERED, seed=seed),
        PLAIN: lambda seed, _: ours(surrogate=False, seed=seed),
        "RegularizedEvolution": lambda seed, _: RegularizedEvolution(
            population_size=POPULATION, sample_size=5, seed=seed
        ),
        "RegularizedEvolution (NNI's defaults)": lambda seed, _: RegularizedEvolution(seed=seed),
        "Random": lambda seed, _: Random(seed=seed),
    }


class Meter:
    """What a table says of speeds, with noise, as a network's trial measures anew."""

    def __init__(self, table: dict[str, dict], seed: int) -> None:
        self._table, self._rng = table, np.random.default_rng(seed)

    def __call__(self, architecture: Architecture) -> dict[str, float]:
        noise = math.exp(NOISE * self._rng.standard_normal())
        return {"relative_speed": noise * self._table[str(architecture)]["relative_speed"]}


def model_space():
    """Return the table's space as NNI's strategies take it."""
    from nni.nas.evaluator import FunctionalEvaluator
    from nni.nas.space import RawFormatModelSpace

    from nni_nasoa.plugin.model_space import ETNASSpace

    space = ETNASSpace(
        num_labels=10,
        layers=SPACE.layers,
        ops=SPACE.ops,
        ratios=SPACE.ratios,
        skips=SPACE.skips,
        channels=SPACE.channels,
        stages=SPACE.stages,
        blocks=SPACE.blocks,
        doublings=SPACE.doublings,
    )
    return RawFormatModelSpace.from_model(
        space, FunctionalEvaluator(len)
    )  # the table engine never calls the evaluator


def points(table: dict[str, dict], texts) -> np.ndarray:
    """Accuracy and relative speed, shape (n, 2)."""
    return np.array([(table[text]["accuracy"], table[text]["relative_speed"]) for text in texts])


def curve(
    table: dict[str, dict], evaluated: list[str], worst: np.ndarray, whole: float, budget: int
) -> list[float]:
    """Share of the table's hypervolume after 1, 2, ..

    `budget` networks; the last one stays where a search ended early.
    """
    found = points(table, evaluated[:budget])
    shares = [hypervolume(found[:n], worst) / whole for n in range(1, len(found) + 1)]
    return shares + shares[-1:] * (budget - len(shares))


def searches() -> dict:
    """Return functions from table, budget and seed to the networks in the order of their results, by name."""

    def by_engine(make):
        def search(table, budget, seed):
            engine = table_engine(table, budget)
            make(seed, table)(model_space(), engine)
            return list(engine.evaluated)

        return search

    def simulated(concurrency, surrogate):
        return lambda table, budget, seed: at_a_time(concurrency, table, budget, seed, surrogate)

    found = {name: by_engine(make) for name, make in strategies().items()}
    for concurrency in CONCURRENCIES:
        for name, surrogate in ((OURS, True), (PLAIN, False)):
            found[f"{name}, {concurrency} at a time"] = simulated(concurrency, surrogate)
    return found


def at_a_time(concurrency: int, table: dict[str, dict], budget: int, seed: int, surrogate: bool) -> list[str]:
    """The networks in the order of their results where so many train at once."""
    evolution = Evolution(
        ArchitectureOperators(SPACE), OBJECTIVES, population_size=POPULATION, surrogate=surrogate, seed=seed
    )
    now, started, training, results = 0.0, 0, [], []
    while len(results) < budget:
        while len(training) < concurrency and started < len(table):
            candidate = evolution.ask()
            started += 1
            takes = 1 / table[str(candidate)]["relative_speed"]
            heapq.heappush(training, (now + takes, started, candidate))
        now, _, candidate = heapq.heappop(training)
        evolution.tell(candidate, table[str(candidate)])
        results.append(str(candidate))
    return results


def compare(table: dict[str, dict], budget: int, seeds: int, only: list[str]) -> dict:
    """Run searches, by name, with every seed, and return the quartiles of the curves."""
    everything = points(table, table)
    worst = everything.min(axis=0)
    whole = hypervolume(everything, worst)
    result = {
        "networks": len(table),
        "front": int((non_dominated_ranks(everything) == 0).sum()),
        "budget": budget,
        "seeds": seeds,
        "reference_point": {"accuracy": worst[0], "relative_speed": worst[1]},
        "hypervolume_of_the_table": whole,
        "strategies": {},
    }
    for name in only:
        start, search = time.perf_counter(), searches()[name]
        limit = min(budget, BUDGET_AT_A_TIME) if name.endswith("at a time") else budget
        curves = [curve(table, search(table, limit, seed), worst, whole, limit) for seed in range(seeds)]
        low, median, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
        result["strategies"][name] = {
            "median": median.round(5).tolist(),
            "quartile_1": low.round(5).tolist(),
            "quartile_3": high.round(5).tolist(),
            "final": [round(one[-1], 5) for one in curves],
        }
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    return result


def beside(result: dict, path: Path) -> dict:
    """The result with what was recorded of other searches, in the order of all."""
    if path.exists():
        recorded = json.loads(path.read_text())
        if any(recorded[key] != result[key] for key in ("networks", "budget", "seeds")):
            raise SystemExit(f"{path} was recorded with another table, budget or number of seeds")
        result["strategies"] = recorded["strategies"] | result["strategies"]
    names = [name for name in searches() if name in result["strategies"]]
    return {**result, "strategies": {name: result["strategies"][name] for name in names}}


# -- what comes of it --


def show(result: dict) -> None:
    """Print the medians at some numbers of evaluated networks."""
    marks = [mark for mark in (20, 40, 60, 80, 100, 150, 200) if mark <= result["budget"]]
    print(
        f"\nShare of the hypervolume of all {result['networks']} networks, "
        f"median of {result['seeds']} seeds (quartiles)"
    )
    print(f"{'evaluated networks':48}" + "".join(f"{mark:>22}" for mark in marks))
    for name, run in result["strategies"].items():
        cells = (
            f"{run['median'][mark - 1]:.3f} "
            f"({run['quartile_1'][mark - 1]:.3f}..{run['quartile_3'][mark - 1]:.3f})"
            for mark in marks
            if mark <= len(run["median"])
        )
        print(f"{name:48}" + "".join(f"{cell:>22}" for cell in cells))


def plot(result: dict, path: Path) -> None:
    """Draw the median curves in their quartiles."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    shown = {name: run for name, run in result["strategies"].items() if "at a time" not in name}
    for name, run in shown.items():
        x = np.arange(1, result["budget"] + 1)
        (line,) = axes.plot(x, run["median"], label=name, linewidth=2 if name == OURS else 1.3)
        axes.fill_between(
            x, run["quartile_1"], run["quartile_3"], color=line.get_color(), alpha=0.15, linewidth=0
        )
    axes.set(
        xlabel="evaluated networks",
        ylabel="share of the table's hypervolume",
        xlim=(0, result["budget"]),
        ylim=(np.floor(10 * min(run["quartile_1"][14] for run in shown.values())) / 10, 1.005),
        title=f"Search on a table of {result['networks']} networks: "
        f"median and quartiles of {result['seeds']} seeds",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="complete the table first (remove it to measure all of it again)",
    )
    parser.add_argument("--table", type=Path, default=TABLE, help="the table's file")
    parser.add_argument("--budget", type=int, default=BUDGET, help="networks that each search evaluates")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each strategy")
    parser.add_argument(
        "--only", action="append", choices=list(searches()), help="a search; the others stay as recorded"
    )
    parser.add_argument(
        "--output",
        type=output_folder,
        metavar="FOLDER",
        default=DATA,
        help="folder for search_quality.json and .png",
    )
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)  # NNI tells of every duplicate
    if arguments.record:
        record(arguments.table)
    names = arguments.only or list(searches())
    result = compare(read_table(arguments.table), arguments.budget, arguments.seeds, names)
    path = arguments.output / "search_quality.json"
    if arguments.only:
        result = beside(result, path)
    show(result)
    path.write_text(json.dumps(result) + "\n")
    plot(result, path.with_suffix(".png"))
    best = {name: statistics.median(run["final"]) for name, run in result["strategies"].items()}
    print("\nHighest median at the end:", max(best, key=best.get))


if __name__ == "__main__":
    main()
