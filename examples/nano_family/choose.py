"""Choose the networks of the nano family from the front of a search, and write its table.

    python examples/nano_family/choose.py nasoa-report/front.json -o nni_nasoa/zoo/nano.csv
    nasoa zoo pretrain -o nni_nasoa/zoo/nano_weights

Each network chosen is on the front, has more parameters than the one before, and is slower and more accurate,
as the front is; their parameters are spaced as evenly as the front allows, on a logarithmic scale.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import click

from nni_nasoa.architecture import Architecture
from nni_nasoa.search.front import FrontError, pareto_front, read_front


def parameters_m(record: Mapping[str, Any]) -> float:
    """Millions of parameters with a head for 1000 classes, as all of the zoo's figures."""
    return Architecture.parse(record["architecture"]).parameters() / 1e6


def choose(
    records: Sequence[Mapping[str, Any]], count: int, smallest: float, largest: float
) -> list[Mapping[str, Any]]:
    """Choose `count` records with `smallest` to `largest` million parameters, smallest first.

    Raises
    ------
    ValueError
        The front has no row of so many networks that grow in parameters as they get slower.
    """
    front = [
        record for record in reversed(pareto_front(records)) if smallest <= parameters_m(record) <= largest
    ]
    sizes = [math.log(parameters_m(record)) for record in front]
    wanted = (
        [min(sizes) + (max(sizes) - min(sizes)) * i / max(1, count - 1) for i in range(count)]
        if front
        else []
    )
    # (squared distance from what is wanted, networks), the best for each last network,
    # as networks are appended
    rows = [((size - wanted[0]) ** 2, (i,)) for i, size in enumerate(sizes)]
    for number, target in enumerate(wanted[1:], start=1):
        longer = [
            min(
                (
                    (cost + (size - target) ** 2, (*row, i))
                    for cost, row in rows
                    if row[-1] < i and sizes[row[-1]] < size
                ),
                default=None,
            )
            for i, size in enumerate(sizes)
        ]
        if not any(longer):
            raise ValueError(
                f"of {len(front)} networks on the front with {smallest:g} to {largest:g} M parameters, "
                "at most "
                f"{number} in a row get slower as they get larger, where {count} are wanted; "
                "search longer, or "
                "widen the range"
            )
        rows = [row for row in longer if row is not None]
    if not rows:
        raise ValueError(f"no network on the front has {smallest:g} to {largest:g} M parameters")
    return [front[i] for i in min(rows)[1]]


def write_table(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write the table of the family, one row a network, named in the order of the records."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "encoding", "params_m", "gmacs_224", "search_accuracy", "relative_speed"])
        for letter, record in zip(ascii_lowercase, records):
            architecture = Architecture.parse(record["architecture"])
            writer.writerow(
                [
                    f"nano-{letter}",
                    architecture,
                    f"{parameters_m(record):.4f}",
                    f"{architecture.macs() / 1e9:.4f}",
                    f"{record['accuracy']:.4f}",
                    f"{record['relative_speed']:.3f}",
                ]
            )


@click.command()
@click.argument("front", type=click.Path(dir_okay=False))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default="nano.csv", show_default=True
)
@click.option("--count", type=click.IntRange(1, len(ascii_lowercase)), default=6, show_default=True)
@click.option(
    "--min-params",
    type=float,
    default=0.05,
    show_default=True,
    help="In millions, with a head for 1000 classes.",
)
@click.option("--max-params", type=float, default=2.0, show_default=True)
def main(front: str, output: Path, count: int, min_params: float, max_params: float):
    """Choose the networks of the nano family from the front file FRONT."""
    try:
        chosen = choose(read_front(front), count, min_params, max_params)
        write_table(output, chosen)
    except FrontError as error:
        sys.exit(f"Error: {error}")
    except (ValueError, OSError) as error:
        sys.exit(f"Error: {front}: {error}")
    click.echo(output.read_text(encoding="utf-8"), nl=False)


if __name__ == "__main__":
    main()
