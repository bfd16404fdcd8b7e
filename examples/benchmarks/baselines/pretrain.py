"""Pretrain the baselines of `baselines.csv` as the nano family was, for comparisons at equal time.

ResNet-like networks have basic blocks, MobileNet-like ones inverted residuals with depthwise convolutions,
RegNet-like ones bottlenecks with grouped convolutions and a ratio of 1; all in the ET-NAS encoding, so that
what differs is the architecture alone. Images, epochs and rates are those of the nano family's cards. An
interrupted run goes on from its last whole epoch.

    python examples/benchmarks/baselines/pretrain.py --jobs 2
    python examples/benchmarks/baselines/pretrain.py --jobs 2 resnet-like-a resnet-like-c    # these alone
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from dataclasses import replace
from pathlib import Path

from nni_nasoa.making.pretraining import Epoch, pretrain_all
from nni_nasoa.making.pretraining_recipe import PretrainError, PretrainRecipe
from nni_nasoa.zoo import add_model, list_models, nano, remove_model

HERE = Path(__file__).resolve().parent
WEIGHTS = HERE / "weights"


def baselines() -> dict[str, dict[str, str]]:
    """The rows of the table by name."""
    with (HERE / "baselines.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def use_zoo(weights: Path = WEIGHTS) -> None:
    """Let this process, and those it starts, know the baselines by name.

    They get a zoo of their own beside their weights.
    """
    os.environ["NASOA_ZOO"] = str(weights / "zoo")


def recipe() -> PretrainRecipe:
    """The one of the nano family."""
    return PretrainRecipe(**nano.FAMILY.card("nano-a")["recipe"])


def told(epoch: Epoch) -> None:
    """Print how an epoch went."""
    print(
        f"{epoch.name}  epoch {epoch.number}  loss {epoch.loss:.3f}  accuracy {100 * epoch.accuracy:.1f} % "
        f" {epoch.seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="of the table; by default all")
    parser.add_argument(
        "--jobs", type=int, default=2, help="networks side by side, each with its share of the cores"
    )
    parser.add_argument(
        "--weights",
        type=Path,
        default=WEIGHTS,
        help="folder for the weights, and for the zoo that they are added to",
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, help="in place of the recipe's, to try this out")
    parser.add_argument("--classes", type=int, help="in place of the recipe's, to try this out")
    arguments = parser.parse_args()
    table = baselines()
    if unknown := [name for name in arguments.names if name not in table]:
        parser.error(f"no baseline '{unknown[0]}'; there are {', '.join(table)}")
    settings = {
        name: value for name in ("epochs", "classes") if (value := getattr(arguments, name)) is not None
    }
    networks = {name: table[name]["encoding"] for name in arguments.names or table}
    use_zoo(arguments.weights)
    try:
        pretrain_all(
            networks,
            arguments.weights,
            replace(recipe(), **settings),
            jobs=arguments.jobs,
            device=arguments.device,
            on_epoch=told,
        )
        for name in networks:
            if name in list_models("searched"):
                remove_model(name)  # of earlier weights
            add_model(name, arguments.weights / f"{name}.safetensors")
    except (PretrainError, ValueError) as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
