"""How well the hedge predictor learns along a stream of tasks.

It stands beside networks of fixed depth, ridge regression and a constant. Runs come task by task, in several
random orders of the tasks; each run's accuracy is predicted before it is learned from, and the mean absolute
error (MAE) of those predictions is told for each third of the stream. Networks of fixed depth are trained in
every way as the hedge predictor is, but have a single head, on their last layer.

    python examples/benchmarks/predictor.py --prior          # the runs that the package's prior was made of
    nasoa experience export runs.jsonl && python examples/benchmarks/predictor.py runs.jsonl
    python examples/benchmarks/predictor.py --synthetic 0    # runs out of formulas, from this seed
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from outputs import output_folder
from synthetic_runs import synthetic_runs

from nni_nasoa.advisor.accuracy.features import features_of
from nni_nasoa.advisor.accuracy.hedge import HedgeRegressor
from nni_nasoa.advisor.accuracy.predictor import learnable, prior_records
from nni_nasoa.experience.records import RunRecord

DEPTH, MOST_CATEGORIES, RIDGE = 4, 12, 1.0
PARTS = ("first third", "second third", "last third", "all")


# -- the records --


def read_records(path: Path) -> list[RunRecord]:
    """The runs of a JSON-lines export, packed or not, that there is something to learn from."""
    records, place = [], f"{path}"
    try:
        data = path.read_bytes()
        lines = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            place = f"{path}, line {number}"
            if line.strip():
                records.append(RunRecord.from_json(json.loads(line)))
    except (OSError, EOFError) as error:
        raise SystemExit(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except ValueError as error:
        raise SystemExit(f"{place}: not a record ({' '.join(str(error).split())[:150]})") from None
    return records


def of_records(records: list[RunRecord], source: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Features as the advisor has them, shape (runs, features); accuracies; tasks."""
    records = [record for record in records if learnable(record)]
    if len({record.task for record in records}) < 2:
        raise SystemExit(f"{source}: runs with an accuracy and a profile on at least two tasks are needed")
    return (
        np.concatenate([features_of(record) for record in records]),
        np.array([record.accuracy for record in records]),
        [record.task for record in records],
    )


def synthetic_features(runs: list[dict[str, Any]]) -> np.ndarray:
    """Features of runs out of formulas, (runs, features), NaN for unknown.

    They are numbers (sizes and rates as logarithms), and an indicator for each value of a text.
    """
    rows = []
    for run in runs:
        parts = {
            "profile": run["profile"],
            "model": run["model_figures"],
            "regime": {**run["regime"], "model": None},
            "run": {"budget_seconds": run["budget_seconds"], "threads": run.get("threads")},
        }
        rows.append(
            {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
        )
    columns = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row.get(name) for row in rows]
        if any(isinstance(value, str) for value in values):
            categories = sorted({value for value in values if isinstance(value, str)})
            columns += [
                [float(value == category) for value in values]
                for category in categories
                if len(categories) <= MOST_CATEGORIES
            ]
            continue
        column = np.array([np.nan if value is None else value for value in values], dtype=float)
        if not np.isnan(column).all():
            low, high = np.nanmin(column), np.nanmax(column)
            columns.append(np.log(column) if low > 0 and high > 10 * low else column)
    return np.array(columns).T


def stream(tasks: list[str], seed: int) -> np.ndarray:
    """Positions of the runs, task after task: a random order of the tasks, and of the runs of each."""
    rng, tasks = np.random.default_rng(seed), np.array(tasks)
    return np.concatenate(
        [rng.permutation(np.flatnonzero(tasks == task)) for task in rng.permutation(np.unique(tasks))]
    )


# -- the learners --


def fixed_depth(count: int, depth: int, seed: int) -> HedgeRegressor:
    """A plain multilayer perceptron, trained as the hedge predictor is: its other heads have no weight."""
    network = HedgeRegressor(count, depth=depth, residual=False, beta=1.0, smoothing=0.0, seed=seed)
    network.load_state_dict({**network.state_dict(), "weights": np.eye(depth + 1)[depth]})
    return network


class Ridge:
    """Ridge regression on all runs so far, exact, from their running sums.

    Features are standardised, unknown ones take the mean.
    """

    def __init__(self, count: int):
        self.sums = np.zeros((count + 2, count + 2))  # of products of (1, x, y)

    def _row(self, x: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(x), self.sums[0, 1:-1] / max(self.sums[0, 0], 1), x)

    def predict(self, x: np.ndarray) -> tuple[np.ndarray]:
        n = self.sums[0, 0]
        if not n:
            return (np.array([0.5]),)
        mean = self.sums[0, 1:] / n
        covariance = self.sums[1:, 1:] / n - np.outer(mean, mean)
        deviation = np.sqrt(np.maximum(np.diag(covariance)[:-1], 0))
        scale = np.divide(
            1, deviation, out=np.zeros_like(deviation), where=deviation > 1e-6 * (1 + abs(mean[:-1]))
        )
        correlation = scale[:, None] * covariance[:-1, :-1] * scale
        slopes = np.linalg.solve(correlation + RIDGE / n * np.eye(len(scale)), scale * covariance[:-1, -1])
        return (np.clip([mean[-1] + slopes @ ((self._row(x[0]) - mean[:-1]) * scale)], 0, 1),)

    def update(self, x: np.ndarray, y: np.ndarray) -> None:
        row = np.concatenate([[1.0], self._row(x[0]), y])
        self.sums += np.outer(row, row)


class Constant:
    """The mean of all runs so far."""

    def __init__(self):
        self.total, self.count = 0.0, 0

    def predict(self, _x: np.ndarray) -> tuple[np.ndarray]:
        return (np.array([self.total / self.count if self.count else 0.5]),)

    def update(self, _x: np.ndarray, y: np.ndarray) -> None:
        self.total, self.count = self.total + y[0], self.count + 1


def learners(count: int) -> dict[str, Callable[[int], Any]]:
    """Functions from seed to learner, by name."""
    return {
        "hedge": lambda seed: HedgeRegressor(count, depth=DEPTH, seed=seed),
        **{
            f"depth {depth}": lambda seed, depth=depth: fixed_depth(count, depth, seed)
            for depth in range(DEPTH + 1)
        },
        "ridge": lambda _: Ridge(count),
        "constant": lambda _: Constant(),
    }


# -- the comparison --


def parts(values: np.ndarray) -> list[float]:
    """Means over the thirds of the stream, and over all of it."""
    return [float(part.mean()) for part in (*np.array_split(values, 3), values)]


def compare(x: np.ndarray, y: np.ndarray, tasks: list[str], orders: int) -> dict:
    """Let every learner go through the stream in every order."""
    errors: dict[str, list] = {name: [] for name in learners(x.shape[1])}
    weights, covered, widths = [], [], []
    for seed in range(orders):
        order = stream(tasks, seed)
        for name, make in learners(x.shape[1]).items():
            learner, predictions, heads = make(seed), [], []
            for i in order:
                predictions.append([values[0] for values in learner.predict(x[i : i + 1])])
                heads.append(learner.weights if name == "hedge" else None)
                learner.update(x[i : i + 1], y[i : i + 1])
            predictions = np.array(predictions).T
            errors[name].append(np.abs(predictions[0] - y[order]))
            if name == "hedge":
                weights.append(heads)
                covered.append((predictions[1] <= y[order]) & (y[order] <= predictions[2]))
                widths.append(predictions[2] - predictions[1])
            print(f"order {seed + 1} of {orders}, {name}: MAE {errors[name][-1].mean():.4f}", flush=True)
    return {
        "runs": len(y),
        "tasks": len(set(tasks)),
        "features": x.shape[1],
        "orders": orders,
        "mae": {name: [parts(each) for each in values] for name, values in errors.items()},
        "coverage": parts(np.mean(covered, axis=0)),
        "width": parts(np.mean(widths, axis=0)),
        "error_curves": {name: smooth(np.mean(values, axis=0)) for name, values in errors.items()},
        "weight_curves": np.mean(weights, axis=0).round(4).T.tolist(),
    }


def smooth(values: np.ndarray) -> list[float]:
    """Moving averages over a tenth of the stream, centred, over what there is of it at the ends."""
    sums, reach = np.cumsum([0.0, *values]), max(len(values) // 20, 1)
    low, high = (
        np.maximum(np.arange(len(values)) - reach, 0),
        np.minimum(np.arange(len(values)) + reach + 1, len(values)),
    )
    return ((sums[high] - sums[low]) / (high - low)).round(5).tolist()


def verdict(mae: dict[str, list]) -> str:
    """How the hedge predictor compares, in a sentence or two."""
    means = {name: np.mean(values, axis=0) for name, values in mae.items()}
    best = np.min([values for name, values in means.items() if name != "hedge"], axis=0)
    worst = max(means["hedge"][:3] / best[:3] - 1)
    beaten = [name for name in means if name.startswith("depth") and means["hedge"][3] < means[name][3]]
    return (
        f"In each third, the hedge predictor's MAE is at most {100 * worst:+.1f} % of that of the best "
        "other learner there. "
        f"Over the whole stream it is below that of {len(beaten)} of the {DEPTH + 1} fixed depths."
    )


def show(result: dict) -> None:
    """Print the table."""
    print(
        f"\nPrequential MAE over {result['runs']} runs on {result['tasks']} tasks, "
        f"mean of {result['orders']} orders of the tasks (least and most)"
    )
    print(f"{'':10}" + "".join(f"{part:>26}" for part in PARTS))
    for name, values in result["mae"].items():
        cells = (
            f"{mean:.4f} ({low:.4f}..{high:.4f})"
            for mean, low, high in zip(np.mean(values, 0), np.min(values, 0), np.max(values, 0))
        )
        print(f"{name:10}" + "".join(f"{cell:>26}" for cell in cells))
    print(f"{'coverage':10}" + "".join(f"{value:>26.3f}" for value in result["coverage"]))
    print(f"{'width':10}" + "".join(f"{value:>26.3f}" for value in result["width"]))
    print("\n" + verdict(result["mae"]))


def plot(result: dict, path: Path) -> None:
    """Draw the errors along the stream, and the weights of the heads below."""
    from nni_nasoa.figures.paper import COLORS, FADED, INK, label_ends, save, sheet, titles

    figure, ((above,), (below,)) = sheet(2, 1, (8.0, 3.4), sharex=True)
    x = np.arange(result["runs"])
    colors = {"hedge": INK, "ridge": "#d1242f", "constant": FADED}
    for name, curve in result["error_curves"].items():
        color = colors.get(name) or COLORS[int(name.split()[1])]
        above.plot(
            x,
            curve,
            color=color,
            linewidth=2.4 if name == "hedge" else 1.2,
            zorder=4 if name == "hedge" else 3,
            linestyle="--" if name in ("ridge", "constant") else "-",
            label=f"{name}: {np.mean(result['mae'][name], axis=0)[3]:.4f}",
        )
    above.set(ylabel="error (MAE)", ylim=(0, 1.25 * max(map(max, result["error_curves"].values()))))
    above.legend(loc="upper left", ncols=4, frameon=False, fontsize=8.5, columnspacing=1.2, handlelength=1.6)
    below.set(ylabel="weight of the head", xlabel="runs seen")
    heads = [
        (x[-1], curve[-1], f"head on depth {depth}", COLORS[depth])
        for depth, curve in enumerate(result["weight_curves"])
    ]
    for depth, curve in enumerate(result["weight_curves"]):
        below.plot(x, curve, color=COLORS[depth], linewidth=1.6)
    below.set_ylim(bottom=0)
    for axes in (above, below):
        axes.set_xlim(-0.01 * len(x), 1.01 * len(x))
    titles(
        figure,
        f"Accuracy predicted along a stream of {result['runs']} runs on {result['tasks']} tasks",
        "Each run is predicted before it is learned from; "
        f"mean of {result['orders']} random orders of the tasks. "
        "Above: moving average over a tenth of the stream; beside the names, the MAE over all of it. "
        "Below: what the hedge predictor gives to each of its heads.",
    )
    label_ends(figure, below, heads)
    save(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "runs", type=Path, nargs="?", help="a JSON-lines export of run records, packed by gzip or not"
    )
    source.add_argument("--prior", action="store_true", help="the runs that the package's prior was made of")
    source.add_argument("--synthetic", type=int, metavar="SEED", help="make the runs up instead")
    parser.add_argument("--orders", type=int, default=3, help="random orders of the tasks")
    parser.add_argument(
        "--output",
        type=output_folder,
        metavar="FOLDER",
        default=Path(__file__).parent / "data",
        help="folder for predictor.json and .png",
    )
    arguments = parser.parse_args()
    if arguments.orders < 1:
        parser.error("--orders: at least 1 is needed")
    if arguments.synthetic is not None:
        runs = synthetic_runs(arguments.synthetic)
        x, y, tasks = (
            synthetic_features(runs),
            np.array([run["accuracy"] for run in runs]),
            [run["task"] for run in runs],
        )
    else:
        records = prior_records() if arguments.prior else read_records(arguments.runs)
        x, y, tasks = of_records(records, "the prior" if arguments.prior else str(arguments.runs))
    result = compare(x, y, tasks, arguments.orders)
    show(result)
    (arguments.output / "predictor.json").write_text(json.dumps(result) + "\n")
    plot(result, arguments.output / "predictor.png")


if __name__ == "__main__":
    main()
