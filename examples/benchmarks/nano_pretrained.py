"""What the nano family's pretraining is worth: fine-tuned from its weights and from scratch, side by side.

Both have the same wall-clock. The two run at the same time, each in a process of its own with one thread.
None of the tasks was used in pretraining. Half of the validation part is a test part, whose accuracy is
reported. Each side has the learning rate that suits it best (by the validation part): weights that know
something want a smaller one.

    python examples/benchmarks/nano_pretrained.py --models nano-a nano-c nano-e --budgets 3 10 --seeds 3
"""

from __future__ import annotations

import argparse
import json
import statistics
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from multiprocessing import get_context
from pathlib import Path

from outputs import output_file
from rich.console import Console
from rich.table import Table
from small_tasks import tasks

from nni_nasoa.data import ImageArrays
from nni_nasoa.training.speed import environment

SIDES = {"scratch": None, "pretrained": "default"}


def start() -> None:
    """One thread, and the imports, which do not count."""
    import torch
    import torchvision  # noqa: F401

    import nni_nasoa.finetune.trainer  # noqa: F401

    torch.set_num_threads(1)


def run(
    task: str, model: str, side: str, budget: float, learning_rate: float, seed: int, input_size: int
) -> dict:
    """One run."""
    from nni_nasoa.finetune import FineTuneRegime, finetune

    split = tasks(input_size)[task]()
    half = len(split.val) // 2
    val, test = (
        ImageArrays(split.val.images[part], split.val.labels[part])
        for part in (slice(half), slice(half, None))
    )
    regime = FineTuneRegime(
        model,
        learning_rate,
        batch_size=32,
        label_smoothing=0.1,
        input_size=input_size,
        augmentation="crop-flip" if split.mirrored else "crop",
    )
    result = finetune(
        replace(split, val=val), regime, budget / 60, weights=SIDES[side], seed=seed, device="cpu"
    )
    test_accuracy = float((result.classifier.probabilities(test.images).argmax(1) == test.labels).mean())
    return {
        "task": task,
        "model": model,
        "side": side,
        "budget": budget,
        "learning_rate": learning_rate,
        "seed": seed,
        "val_accuracy": result.accuracy,
        "test_accuracy": test_accuracy,
        "epochs": result.epochs,
        "seconds": result.seconds,
    }


def best(runs: list[dict], **where) -> dict | None:
    """Medians over the seeds, at the learning rate with the best median on the validation part."""
    runs = [run for run in runs if all(run[key] == value for key, value in where.items())]
    by_rate = [
        [run for run in runs if run["learning_rate"] == rate]
        for rate in sorted({run["learning_rate"] for run in runs})
    ]
    medians = [
        {
            key: statistics.median(run[key] for run in group)
            for key in ("val_accuracy", "test_accuracy", "learning_rate")
        }
        for group in by_rate
    ]
    return max(medians, key=lambda median: median["val_accuracy"], default=None)


def print_table(runs: list[dict]) -> None:
    """A row for each task and budget, two columns a model."""
    names = {key: list(dict.fromkeys(run[key] for run in runs)) for key in ("task", "model", "budget")}
    table = Table("task", "seconds", *names["model"], title="test accuracy %, from scratch -> pretrained")
    for task, budget in product(names["task"], names["budget"]):
        cells = []
        for model in names["model"]:
            pair = [best(runs, task=task, model=model, side=side, budget=budget) for side in SIDES]
            cells.append(
                " -> ".join("-" if side is None else f"{100 * side['test_accuracy']:.1f}" for side in pair)
            )
        table.add_row(task, f"{budget:g}", *cells)
    Console(width=140).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["nano-a", "nano-c", "nano-e"])
    parser.add_argument("--tasks", nargs="+", default=["digits", "letters", "shapes", "textures", "counts"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[3, 10], help="in seconds")
    parser.add_argument("--learning-rates", nargs="+", type=float, default=[0.02, 0.1])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--input-size", type=int, default=48)
    parser.add_argument(
        "--output",
        type=output_file,
        metavar="FILE",
        default=Path(__file__).parent / "data" / "nano_pretrained.json",
    )
    arguments = parser.parse_args()
    runs = []
    with ProcessPoolExecutor(len(SIDES), mp_context=get_context("spawn"), initializer=start) as pool:
        for seed, task, model, budget, rate in product(
            range(arguments.seeds),
            arguments.tasks,
            arguments.models,
            arguments.budgets,
            arguments.learning_rates,
        ):
            pair = [
                pool.submit(run, task, model, side, budget, rate, seed, arguments.input_size)
                for side in SIDES
            ]
            runs += [side.result() for side in pair]
            arguments.output.write_text(
                json.dumps(
                    {
                        "environment": environment("cpu"),
                        "arguments": {k: str(v) for k, v in vars(arguments).items() if k != "output"},
                        "runs": runs,
                    },
                    indent=1,
                )
                + "\n"
            )
    print_table(runs)


if __name__ == "__main__":
    main()
