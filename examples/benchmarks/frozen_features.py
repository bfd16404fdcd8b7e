"""Epochs per second with frozen stages: features kept against features computed each time.

The accuracy of both is told, too. For each number of frozen stages, the two take turns for the same
wall-clock.

    python examples/benchmarks/frozen_features.py --model 2-_16_2-11-11 --seconds 10
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from outputs import output_file
from rich.console import Console
from rich.table import Table
from small_tasks import tasks

from nni_nasoa.finetune import FineTuneRegime, Resources, finetune
from nni_nasoa.training.speed import environment
from nni_nasoa.zoo import create_model
from nni_nasoa.zoo.staged import staged


def epochs_per_second(result) -> float:
    """Between the first and the last evaluation."""
    first, last = result.evaluations[0], result.evaluations[-1]
    return (last["epochs"] - first["epochs"]) / (last["elapsed"] - first["elapsed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="2-_16_2-11-11")
    parser.add_argument("--weights", default="none", help="'default', 'none', or a file")
    parser.add_argument("--task", default="digits")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--input-size", type=int, default=32)
    parser.add_argument("--augmentations", nargs="+", default=["none", "crop"])
    parser.add_argument(
        "--output",
        type=output_file,
        metavar="FILE",
        default=Path(__file__).parent / "data" / "frozen_features.json",
    )
    arguments = parser.parse_args()
    weights = None if arguments.weights == "none" else arguments.weights
    split, results = tasks(arguments.input_size)[arguments.task](), []
    stages = len(staged(create_model(arguments.model, split.num_classes)).stages)
    table = Table(
        "frozen stages",
        "augmentation",
        "epochs/s computed",
        "epochs/s kept",
        "ratio",
        "accuracy computed",
        "accuracy kept",
    )
    for augmentation in arguments.augmentations:
        for frozen in range(1, stages + 1):
            regime = FineTuneRegime(
                arguments.model,
                0.05,
                frozen_stages=frozen,
                augmentation=augmentation,
                input_size=arguments.input_size,
            )
            runs = {kept: [] for kept in (False, True)}
            for seed in range(arguments.seeds):
                for kept, of_kind in runs.items():
                    of_kind.append(
                        finetune(
                            split,
                            regime,
                            arguments.seconds / 60,
                            weights=weights,
                            seed=seed,
                            device="cpu",
                            resources=Resources(feature_cache=kept),
                        )
                    )
            rate = {kept: statistics.median(map(epochs_per_second, of)) for kept, of in runs.items()}
            accuracy = {
                kept: statistics.median(result.accuracy for result in of) for kept, of in runs.items()
            }
            results.append(
                {
                    "frozen_stages": frozen,
                    "stages": stages,
                    "augmentation": augmentation,
                    "ratio": rate[True] / rate[False],
                    "epochs_per_second": {"computed": rate[False], "kept": rate[True]},
                    "accuracy": {"computed": accuracy[False], "kept": accuracy[True]},
                }
            )
            table.add_row(
                f"{frozen} of {stages}",
                augmentation,
                f"{rate[False]:.2f}",
                f"{rate[True]:.2f}",
                f"{rate[True] / rate[False]:.1f}",
                f"{accuracy[False]:.3f}",
                f"{accuracy[True]:.3f}",
            )
    arguments.output.write_text(
        json.dumps(
            {
                "environment": environment("cpu"),
                "arguments": {k: str(v) for k, v in vars(arguments).items() if k != "output"},
                "results": results,
            },
            indent=1,
        )
        + "\n"
    )
    Console().print(table)


if __name__ == "__main__":
    main()
