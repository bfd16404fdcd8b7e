"""How soon searches find the front among networks of `search.yml`'s whole space, trained on real images.

    python examples/benchmarks/real_images.py DEST --only clipart
    python examples/benchmarks/search_real.py --record DEST/clipart/train   # hours; if stopped, it goes on
    python examples/benchmarks/search_real.py

The first two draw networks at random and train each, on images of 32 pixels, for one epoch and anew for four,
and time it: `data/search_real_table.json.gz`. The last one lets searches choose among these networks: what a
search proposes stands for the nearest network of the table that it has not evaluated yet (Euclidean distance
of `ArchitectureOperators.features`). Counted is what the training costs, in trainings of four epochs, until
the networks that were trained so have a share of the hypervolume of the whole table.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from outputs import output_file

from nni_nasoa.architecture import Architecture, ArchitectureError, random_architecture
from nni_nasoa.files import write_bytes
from nni_nasoa.search.choices import architecture_space, choices, decode
from nni_nasoa.search.evolution import Evolution, SpaceExhausted
from nni_nasoa.search.fidelity import BriefFirst, bare, is_brief
from nni_nasoa.search.front import OBJECTIVES
from nni_nasoa.search.nsga2 import hypervolume
from nni_nasoa.search.operators import ArchitectureOperators
from nni_nasoa.search.reward import reward

DATA = Path(__file__).parent / "data"
TABLE, RESULTS = DATA / "search_real_table.json.gz", DATA / "search_real.json"
CONFIG = Path(__file__).parents[2] / "experiment_configs" / "search.yml"
SPACE = architecture_space(yaml.safe_load(CONFIG.read_text())["searchSpace"])
NETWORKS, BRIEF, FULL = 420, 1, 4
PROXY = {"input_size": 32, "batch_size": 64, "brief_epochs": BRIEF, "epochs": FULL}
POPULATION, SEEDS, BUDGET = 20, 20, 100
METERED, NOISE = 8, 0.02  # as in `search_quality.py`
MARKS = (10, 20, 40, 60, 80, 100)


# -- the table --


def drawn(count: int) -> list[Architecture]:
    """So many different networks of the space; more begin with the same ones."""
    rng, found = np.random.default_rng(0), {}
    while len(found) < count:
        found[random_architecture(rng, SPACE)] = None
    return list(found)


def measured(encoding: str, folder: str) -> dict[str, Any]:
    """What training a network for either number of epochs gives, and its speed; on one thread."""
    import torch

    from nni_nasoa.data import Dataset
    from nni_nasoa.networks import ETNet
    from nni_nasoa.training.proxy import train_proxy
    from nni_nasoa.training.speed import relative_speed

    torch.set_num_threads(1)
    size, batch = PROXY["input_size"], PROXY["batch_size"]
    split = Dataset(folder).open(size, show_progress=False)
    accuracies = []
    for epochs in (BRIEF, FULL):
        torch.manual_seed(0)
        network = ETNet(encoding, split.num_classes)
        accuracies.append(train_proxy(network, split, epochs=epochs, batch_size=batch))
    speed = relative_speed(network, size, batch, repeats=5, warmup=1)
    return {
        "brief_accuracy": round(accuracies[0], 5),
        "accuracy": round(accuracies[1], 5),
        "relative_speed": round(speed.relative_speed, 4),
    }


def record(folder: Path, path: Path, count: int, jobs: int) -> None:
    """Complete the table at `path`."""
    from nni_nasoa.training.speed import environment

    about = {**PROXY, "dataset": folder.parent.name}
    kept = (
        json.loads(gzip.decompress(path.read_bytes())) if path.exists() else {"proxy": about, "networks": {}}
    )
    if kept["proxy"] != about:
        raise SystemExit(f"{path} was recorded under other settings: {kept['proxy']}")
    kept["environment"] = environment()
    missing = [str(one) for one in drawn(count) if str(one) not in kept["networks"]]
    with ProcessPoolExecutor(jobs) as pool:
        found = pool.map(partial(measured, folder=str(folder)), missing)
        for number, (encoding, row) in enumerate(zip(missing, found), start=1):
            kept["networks"][encoding] = row
            if number % 10 == 0 or number == len(missing):
                write_bytes(path, gzip.compress(json.dumps(kept, indent=0).encode(), mtime=0))
                print(f"{number} of {len(missing)}", flush=True)


class Table:
    """Networks, what is known of each, and which is nearest to any other.

    Parameters
    ----------
    rows
        "accuracy", "brief_accuracy" and "relative_speed" by encoding.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, float]]) -> None:
        self.rows, self.operators = rows, ArchitectureOperators(SPACE)
        self.networks = [Architecture.parse(encoding) for encoding in rows]
        self._features = np.array([self.operators.features(one) for one in self.networks])
        self.points = np.array([(row["accuracy"], row["relative_speed"]) for row in rows.values()])
        self.worst = self.points.min(axis=0)
        self.whole = hypervolume(self.points, self.worst)

    @classmethod
    def read(cls, path: Path) -> Table:
        """A recorded one."""
        return cls(json.loads(gzip.decompress(path.read_bytes()))["networks"])

    def nearest(self, architecture: Architecture, without: Mapping[str, Any]) -> Architecture:
        """The network of the table that is most like another one; those named are none."""
        far = ((self._features - self.operators.features(architecture)) ** 2).sum(axis=1)
        order = np.argsort(far, kind="stable")
        return next(self.networks[i] for i in order if str(self.networks[i]) not in without)

    def result(self, candidate: Any) -> dict[str, float]:
        """What training a candidate gives, as a trial reports it."""
        row = self.rows[str(bare(candidate))]
        accuracy = row["brief_accuracy" if is_brief(candidate) else "accuracy"]
        return {"accuracy": accuracy, "relative_speed": row["relative_speed"]}

    def share(self, encodings: list[str]) -> float:
        """Of the hypervolume, what networks that were trained in full have."""
        points = [(self.rows[one]["accuracy"], self.rows[one]["relative_speed"]) for one in encodings]
        return hypervolume(np.array(points), self.worst) / self.whole if points else 0.0


@dataclass(frozen=True)
class Among(ArchitectureOperators):
    """Operators of architectures that stay among the networks of a table."""

    table: Table

    def random(self, rng: np.random.Generator) -> Architecture:
        """Draw a network."""
        return self.table.networks[rng.integers(len(self.table.networks))]

    def mutate(self, candidate: Architecture, rng: np.random.Generator) -> Architecture:
        """Return the network that is most like a mutated one, and another than this."""
        return self.table.nearest(super().mutate(candidate, rng), {str(candidate): None})

    def crossover(self, a: Architecture, b: Architecture, rng: np.random.Generator) -> Architecture:
        """Return the network that is most like a child of both, and neither of them."""
        return self.table.nearest(super().crossover(a, b, rng), dict.fromkeys(map(str, (a, b))))


# -- the searches: they yield encodings, and whether these were trained briefly --

Found = Iterator[tuple[str, bool]]
Search = Callable[[Table, int], Found]


def ours(
    table: Table, seed: int, *, surrogate: bool = True, metered: bool = False, brief: bool = False
) -> Found:
    """The evolution."""
    rng = np.random.default_rng(seed)

    def meter(candidate: Architecture) -> dict[str, float]:
        noise = math.exp(NOISE * rng.standard_normal())
        return {"relative_speed": noise * table.rows[str(candidate)]["relative_speed"]}

    among = Among(SPACE, table)
    evolution = Evolution(
        BriefFirst(among) if brief else among,
        OBJECTIVES,
        population_size=POPULATION,
        surrogate=surrogate,
        meter=meter if metered else None,
        metered=METERED,
        seed=seed,
    )
    while True:
        try:
            candidate = evolution.ask()
        except SpaceExhausted:
            return
        evolution.tell(candidate, table.result(candidate))
        yield str(bare(candidate)), is_brief(candidate)


def random(table: Table, seed: int) -> Found:
    """One network after the other, in any order."""
    for place in np.random.default_rng(seed).permutation(len(table.networks)):
        yield str(table.networks[place]), False


def valid(sample: dict[str, Any]) -> Architecture | None:
    """The network of a sample; None where it is none: that is known at once, and costs nothing."""
    try:
        return decode(sample)
    except ArchitectureError:
        return None


def optunas(table: Table, seed: int, sampler: str) -> Found:
    """One of optuna's samplers, over the choices of the space."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    make = {
        "NSGA-II": lambda: optuna.samplers.NSGAIISampler(population_size=POPULATION, seed=seed),
        "MOTPE": lambda: optuna.samplers.TPESampler(multivariate=True, seed=seed),
    }
    study, seen = optuna.create_study(directions=["maximize"] * 2, sampler=make[sampler]()), {}
    while len(seen) < len(table.networks):
        trial = study.ask()
        sample = {one.label: trial.suggest_categorical(one.label, list(one.values)) for one in choices(SPACE)}
        if (proposed := valid(sample)) is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        network = table.nearest(proposed, seen)
        seen[str(network)] = None
        found = table.result(network)
        study.tell(trial, [found[one.name] for one in OBJECTIVES])
        yield str(network), False


def nnis_tpe(table: Table, seed: int) -> Found:
    """NNI's TPE, which maximises the scalar reward."""
    from nni.algorithms.hpo.tpe_tuner import TpeTuner

    tuner, seen = TpeTuner("maximize", seed), {}
    tuner.update_search_space(
        {one.label: {"_type": "choice", "_value": list(one.values)} for one in choices(SPACE)}
    )
    for number in itertools.count():
        if len(seen) == len(table.networks):
            return
        if (proposed := valid(tuner.generate_parameters(number))) is None:
            tuner.trial_end(number, False)
            continue
        network = table.nearest(proposed, seen)
        seen[str(network)] = None
        found = table.result(network)
        tuner.receive_trial_result(number, None, reward(found["accuracy"], found["relative_speed"]))
        yield str(network), False


SEARCHES: dict[str, Search] = {
    "NasoaEvolution": ours,
    "NasoaEvolution (measure_speed: 8)": partial(ours, metered=True),
    "NasoaEvolution (brief_epochs: 1)": partial(ours, brief=True),
    "NasoaEvolution (surrogate: false)": partial(ours, surrogate=False),
    "the same (brief_epochs: 1)": partial(ours, surrogate=False, brief=True),
    "NNI's TPE": nnis_tpe,
    "optuna's NSGA-II": partial(optunas, sampler="NSGA-II"),
    "optuna's TPE (multivariate)": partial(optunas, sampler="MOTPE"),
    "Random": random,
}


def curve(table: Table, found: Found, budget: int) -> list[float]:
    """Shares of the hypervolume when the training has cost 1, 2, .. `budget` trainings in full."""
    spent, trained, shares = 0.0, [], []
    for encoding, brief in found:
        spent += BRIEF / FULL if brief else 1.0
        while len(shares) < min(math.ceil(spent) - 1, budget):  # what was known when that much was spent
            shares.append(table.share(trained))
        if len(shares) >= budget:
            break
        if not brief:
            trained.append(encoding)
    return shares + [table.share(trained)] * (budget - len(shares))


def compare(table: Table, names: list[str], seeds: int, budget: int) -> dict[str, Any]:
    """Quartiles of the curves of searches, by name."""
    result = {}
    for name in names:
        start = time.perf_counter()
        curves = [curve(table, SEARCHES[name](table, seed), budget) for seed in range(seeds)]
        low, middle, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0).round(5).tolist()
        result[name] = {"median": middle, "quartile_1": low, "quartile_3": high}
        cells = "  ".join(f"{mark}: {middle[mark - 1]:.3f}" for mark in MARKS if mark <= budget)
        print(f"{name:36} {cells}  ({time.perf_counter() - start:.0f} s)", flush=True)
    return result


def plot(result: dict[str, Any], path: Path) -> None:
    """Draw the median curves."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for name, run in result["searches"].items():
        x = np.arange(1, len(run["median"]) + 1)
        (line,) = axes.plot(x, run["median"], label=name, linewidth=2.2 if name == "NasoaEvolution" else 1.3)
        axes.fill_between(
            x, run["quartile_1"], run["quartile_3"], color=line.get_color(), alpha=0.1, linewidth=0
        )
    axes.set(
        xlabel=f"cost of the training, in trainings of {FULL} epochs",
        ylabel="share of the table's hypervolume",
        title=f"Search among {result['networks']} networks on {result['dataset']}: "
        f"median and quartiles of {result['seeds']} seeds",
        ylim=(0.5, 1.005),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="complete the table by these images")
    parser.add_argument("--networks", type=int, default=NETWORKS, help="of the table")
    parser.add_argument("--jobs", type=int, default=2, help="networks trained at once")
    parser.add_argument("--table", type=Path, default=TABLE, metavar="FILE")
    parser.add_argument("--only", action="append", choices=list(SEARCHES), help="the others stay as recorded")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="runs of each search")
    parser.add_argument("--budget", type=int, default=BUDGET, help="what the training may cost")
    parser.add_argument("--output", type=output_file, default=RESULTS, metavar="FILE", help="the JSON file")
    arguments = parser.parse_args()
    if arguments.record is not None:
        record(arguments.record, arguments.table, arguments.networks, arguments.jobs)
        return
    table = Table.read(arguments.table)
    about = json.loads(gzip.decompress(arguments.table.read_bytes()))["proxy"]
    output: Path = arguments.output
    result = json.loads(output.read_text()) if output.exists() and arguments.only else {"searches": {}}
    found = compare(table, arguments.only or list(SEARCHES), arguments.seeds, arguments.budget)
    result |= {
        "networks": len(table.networks),
        "seeds": arguments.seeds,
        "dataset": about["dataset"],
        "searches": {**result["searches"], **found},
    }
    write_bytes(output, (json.dumps(result) + "\n").encode())
    plot(result, output.with_suffix(".png"))


if __name__ == "__main__":
    main()
