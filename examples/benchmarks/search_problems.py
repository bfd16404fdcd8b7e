"""After how many evaluations a search has 95 % of the hypervolume of a problem, beside optuna's samplers.

Three problems: pymoo's ZDT1 with 10 variables (two objectives) and DTLZ2 with 7 (three), and one of choices
and numbers whose front is known. All are minimised. The hypervolume is counted from a point a tenth beyond
the worst values on the front, as a share of that of the front itself.

    python examples/benchmarks/search_problems.py                                   # all: some 20 minutes
    python examples/benchmarks/search_problems.py --problem mixed --search NSGA-II  # a part; the rest stays

The results are `data/search_problems.json`, a list for each problem and search: evaluations until 95 %, one
for each seed, and null where the limit came first. `search_problems.png` beside it shows them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from outputs import output_file

from nni_nasoa.files import write_bytes
from nni_nasoa.search.dimensions import Categorical, Dimension, Integer, Uniform
from nni_nasoa.search.evolution import Evolution, Objective
from nni_nasoa.search.nsga2 import hypervolume, non_dominated_ranks
from nni_nasoa.search.operators import SampleOperators

RESULTS = Path(__file__).parent / "data" / "search_problems.json"
SHARE, SEEDS = 0.95, 5
LIMITS = {"NasoaEvolution": 500, "NasoaEvolution (surrogate: false)": 3000, "NSGA-II": 3000, "TPE": 500}
"""Evaluations after which a search is given up: those that take long for each have fewer."""


@dataclass(frozen=True)
class Problem:
    """What is to be minimised.

    Parameters
    ----------
    dimensions
        What each label may be.
    evaluate
        A function from sample to objectives.
    front
        Points of the best front, shape (n, objectives).
    """

    dimensions: dict[str, Dimension]
    evaluate: Callable[[dict[str, Any]], list[float]]
    front: np.ndarray

    @property
    def reference(self) -> np.ndarray:
        """The point from which the hypervolume is counted."""
        return 1.1 * self.front.max(axis=0)

    @cached_property
    def whole(self) -> float:
        """Hypervolume of the front."""
        return hypervolume(-self.front, -self.reference)


def of_pymoo(name: str, **arguments: Any) -> Problem:
    """One of pymoo's problems on the unit cube."""
    from pymoo.problems import get_problem
    from pymoo.util.ref_dirs import get_reference_directions

    problem = get_problem(name, **arguments)
    labels = [f"x{i}" for i in range(problem.n_var)]
    front = (
        problem.pareto_front(get_reference_directions("das-dennis", 3, n_partitions=30))
        if problem.n_obj == 3
        else problem.pareto_front(500)
    )

    def evaluate(sample: dict[str, Any]) -> list[float]:
        return problem.evaluate(np.array([sample[label] for label in labels])).tolist()

    return Problem({label: Uniform(0.0, 1.0) for label in labels}, evaluate, front)


def mixed() -> Problem:
    """Two choices, a whole number and five others, with a front in the manner of ZDT1's."""
    losses = {"a": 0.5, "b": 0.0, "c": 1.0, "d": 0.7}
    dimensions: dict[str, Dimension] = {
        "kind": Categorical(tuple(losses)),
        "width": Categorical((16, 32, 64, 128)),
        "n": Integer(0, 11),
        "rate": Uniform(1e-4, 1.0, log=True),
        **{f"x{i}": Uniform(0.0, 1.0) for i in range(4)},
    }

    def evaluate(sample: dict[str, Any]) -> list[float]:
        far = losses[sample["kind"]] + abs(math.log2(sample["width"] / 64)) / 2 + abs(sample["n"] - 7) / 5
        far += abs(math.log10(sample["rate"]) + 2) / 2 + sum(abs(sample[f"x{i}"] - 0.3) for i in (1, 2, 3))
        return [sample["x0"], (1 + far) * (1 - math.sqrt(sample["x0"] / (1 + far)))]

    x = np.linspace(0, 1, 500)
    return Problem(dimensions, evaluate, np.column_stack([x, 1 - np.sqrt(x)]))


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "ZDT1": partial(of_pymoo, "zdt1", n_var=10),
    "DTLZ2": partial(of_pymoo, "dtlz2", n_var=7, n_obj=3),
    "mixed": mixed,
}


def ours(problem: Problem, seed: int, surrogate: bool) -> Iterator[list[float]]:
    """Yield the objectives of one candidate of the evolution after the other."""
    names = [f"f{i}" for i in range(problem.front.shape[1])]
    objectives = [Objective(name, maximize=False) for name in names]
    evolution = Evolution(SampleOperators(problem.dimensions), objectives, surrogate=surrogate, seed=seed)
    while True:
        candidate = evolution.ask()
        found = problem.evaluate(candidate)
        evolution.tell(candidate, dict(zip(names, found)))
        yield found


def optunas(problem: Problem, seed: int, sampler: str) -> Iterator[list[float]]:
    """Yield the objectives of one trial of optuna's after the other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    make = {
        "NSGA-II": lambda: optuna.samplers.NSGAIISampler(population_size=20, seed=seed),
        "TPE": lambda: optuna.samplers.TPESampler(multivariate=True, seed=seed),
    }
    study = optuna.create_study(directions=["minimize"] * problem.front.shape[1], sampler=make[sampler]())
    while True:
        trial = study.ask()
        found = problem.evaluate(
            {label: _suggested(trial, label, one) for label, one in problem.dimensions.items()}
        )
        study.tell(trial, found)
        yield found


def _suggested(trial: Any, label: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Categorical):
        return trial.suggest_categorical(label, list(dimension.values))
    if isinstance(dimension, Integer):
        return trial.suggest_int(label, dimension.low, dimension.high - 1)
    assert isinstance(dimension, Uniform)
    return trial.suggest_float(label, dimension.low, dimension.high, log=dimension.log)


SEARCHES: dict[str, Callable[[Problem, int], Iterator[list[float]]]] = {
    "NasoaEvolution": partial(ours, surrogate=True),
    "NasoaEvolution (surrogate: false)": partial(ours, surrogate=False),
    "NSGA-II": partial(optunas, sampler="NSGA-II"),
    "TPE": partial(optunas, sampler="TPE"),
}


def evaluations(problem: Problem, found: Iterator[list[float]], limit: int) -> int | None:
    """After how many there is 95 % of the hypervolume; None where the limit comes first."""
    front = np.empty((0, problem.front.shape[1]))
    for count, point in enumerate(found, start=1):
        if (point < problem.reference).all() and not (front <= point).all(axis=1).any():
            front = np.vstack([front, point])
            front = front[non_dominated_ranks(-front) == 0]
            if hypervolume(-front, -problem.reference) >= SHARE * problem.whole:
                return count
        if count >= limit:
            return None
    return None


def show(result: dict[str, Any]) -> None:
    """Print the medians; where most seeds came to no end, the limit."""
    print(f"\n{'evaluations, median':36}" + "".join(f"{name:>10}" for name in PROBLEMS))
    for search in SEARCHES:
        cells = []
        for problem in PROBLEMS:
            counts = result["evaluations"].get(problem, {}).get(search)
            middle = statistics.median([count or math.inf for count in counts]) if counts else None
            late = f"> {result['limits'].get(problem, {}).get(search)}"
            cells.append("" if middle is None else late if middle == math.inf else f"{middle:g}")
        print(f"{search:36}" + "".join(f"{cell:>10}" for cell in cells))


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the evaluations of each seed, problem by problem; those that were given up are arrows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    problems = [name for name in PROBLEMS if name in result["evaluations"]]
    searches = [
        search for search in SEARCHES if any(search in result["evaluations"][name] for name in problems)
    ]
    height = 1.2 + 0.4 * len(searches)
    figure, panels = plt.subplots(
        1, len(problems), figsize=(9, height), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, problem in zip(panels[0], problems):
        for row, search in enumerate(searches):
            counts, color = result["evaluations"][problem].get(search, []), f"C{row}"
            ended = [count for count in counts if count is not None]
            axes.plot(ended, [row] * len(ended), "o", color=color, alpha=0.6)
            if len(ended) < len(counts):
                axes.plot(
                    result["limits"][problem][search], row, ">", color=color, markersize=9, fillstyle="none"
                )
        axes.set(title=problem, xscale="log", xlim=(20, 5000), xlabel="evaluations until 95 %")
        axes.grid(alpha=0.3)
    panels[0][0].set_yticks(range(len(searches)), searches)
    panels[0][0].invert_yaxis()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problem", action="append", choices=list(PROBLEMS), help="by default all")
    parser.add_argument("--search", action="append", choices=list(SEARCHES), help="by default all")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each")
    parser.add_argument("--limit", type=int, help="evaluations at most, for all")
    parser.add_argument("--output", type=output_file, default=RESULTS, metavar="FILE", help="the JSON file")
    arguments = parser.parse_args()
    result: dict[str, Any] = (
        json.loads(arguments.output.read_text())
        if arguments.output.exists()
        else {"limits": {}, "evaluations": {}}
    )
    for name in arguments.problem or PROBLEMS:
        problem, rows = PROBLEMS[name](), result["evaluations"].setdefault(name, {})
        for search in arguments.search or SEARCHES:
            start, limit = time.perf_counter(), arguments.limit or LIMITS[search]
            result["limits"].setdefault(name, {})[search] = limit
            rows[search] = [
                evaluations(problem, SEARCHES[search](problem, seed), limit)
                for seed in range(arguments.seeds)
            ]
            print(f"{name}, {search}: {rows[search]}, {time.perf_counter() - start:.0f} s", flush=True)
            write_bytes(arguments.output, (json.dumps(result, indent=1) + "\n").encode())
    show(result)
    plot(result, arguments.output.with_suffix(".png"))


if __name__ == "__main__":
    main()
