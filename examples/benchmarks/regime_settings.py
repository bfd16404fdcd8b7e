"""Test accuracy on folders of real images by a field of the regime: what it is worth, all else the same.

Each run fine-tunes one network with one value of the field; by default it trains the head alone, ends when
that is fitted, and so depends little on the machine. `--long-tail 50` first takes images away, class by
class, until the smallest has a fiftieth of the largest one's; the test parts stay as they are.

    python examples/benchmarks/real_images.py DEST
    python examples/benchmarks/regime_settings.py DEST --field geometry --value crop --value squish

Each result is a line of the output file as soon as it is there; what is there is not run again.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import click
import yaml
from real_folders import Results
from real_images import FOLDERS, made
from rich.console import Console
from rich.table import Table

from nni_nasoa.data import Dataset
from nni_nasoa.evaluation import evaluate
from nni_nasoa.finetune import FineTuneRegime, finetune
from nni_nasoa.training.regime import BALANCED_FIELDS, HEADS
from nni_nasoa.training.speed import environment

DATA = Path(__file__).with_name("data") / "regime_settings.jsonl"
GROUPS = {"balanced": {False: {}, True: BALANCED_FIELDS}}  # fields that go together, by a name of their own


def thinned(train: Path, ratio: float, place: Path) -> Path:
    """Links to a training part whose classes become smaller one by one, down to 1 / ratio of the first."""
    classes = sorted(path for path in train.iterdir() if path.is_dir())
    files = {path.name: sorted(path.iterdir()) for path in classes}
    most = max(map(len, files.values()))
    for number, (name, of_class) in enumerate(files.items()):
        (place / name).mkdir(parents=True)
        kept = max(2, round(most * ratio ** (-number / max(1, len(files) - 1))))
        for file in of_class[:kept]:
            (place / name / file.name).symlink_to(file.resolve())
    return place


def measured(folder: Path, regime: FineTuneRegime, minutes: float, seed: int, ratio: float) -> dict[str, Any]:
    """What comes of a run, on the test part."""
    with tempfile.TemporaryDirectory() as place:
        train = folder / "train" if ratio == 1 else thinned(folder / "train", ratio, Path(place, "train"))
        result = finetune(Dataset(train, seed=seed), regime, minutes, seed=seed)
        found = evaluate(result.classifier, folder / "test").to_json()
    return {
        "accuracy": found["accuracy"],
        "balanced_accuracy": found["balanced_accuracy"],
        "validated": result.accuracy,
        "seconds": result.seconds,
        "epochs": result.epochs,
        "geometry": result.classifier.about["rendering"]["geometry"],
    }


@click.command(help=__doc__)
@click.argument("dest", type=click.Path(file_okay=False, path_type=Path))
@click.option("--field", required=True, help="Of the regime, or 'balanced' for those of uneven classes.")
@click.option("--value", "values", multiple=True, required=True, help="As YAML; the first is compared with.")
@click.option("--only", multiple=True, type=click.Choice(list(FOLDERS)), help="Folders; by default all.")
@click.option("--model", default="lite0", show_default=True)
@click.option("--input-size", type=int, default=128, show_default=True)
@click.option("--frozen-stages", type=int, default=1000, show_default=True)
@click.option("--minutes", type=float, default=5.0, show_default=True)
@click.option(
    "--head",
    type=click.Choice(HEADS),
    default=HEADS[0],
    show_default=True,
    help="With 'last', trained stages count though a fitted head were better.",
)
@click.option("--long-tail", "ratio", type=click.FloatRange(1), default=1.0, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=2, show_default=True)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), default=DATA, show_default=True)
def main(
    dest: Path,
    field: str,
    values: tuple[str, ...],
    only: tuple[str, ...],
    model: str,
    input_size: int,
    frozen_stages: int,
    minutes: float,
    head: str,
    ratio: float,
    seeds: int,
    output: Path,
) -> None:
    results = Results(output)
    if not any(results.of(who="environment")):
        results.add(environment(), who="environment")
    base = FineTuneRegime(model, input_size=input_size, frozen_stages=frozen_stages, head=head)
    given = [yaml.safe_load(value) for value in values]
    common = {"field": field, "model": model, "input_size": input_size, "minutes": minutes}
    common |= {"frozen_stages": frozen_stages, "long_tail": ratio}
    common |= {} if head == HEADS[0] else {"head": head}
    names = only or tuple(FOLDERS)
    for name in names:
        folder = made(name, dest)
        for seed in range(seeds):
            for value in given:
                asked = {"who": "run", **common, "folder": name, "value": value, "seed": seed}
                if not any(results.of(**asked)):
                    changed = GROUPS[field][value] if field in GROUPS else {field: value}
                    found = measured(folder, replace(base, **changed), minutes, seed, ratio)
                    results.add(found, **asked)
                    click.echo(f"{name}: {field} {value}: {100 * found['accuracy']:.1f} %", err=True)
    show(results, names, given, common)


def show(results: Results, names: Sequence[str], values: Sequence[Any], common: dict[str, Any]) -> None:
    """Print accuracy and balanced accuracy, in per cent, of each value on each folder, and their means."""
    table = Table(title=f"{common['field']}, {common['model']} at {common['input_size']} pixels")
    table.add_column("folder")
    for value in values:
        table.add_column(json.dumps(value), justify="right")
        table.add_column("balanced", justify="right")
    rows = []
    for name in names:
        row: list[float] = []
        for value in values:
            runs = [*results.of(who="run", **common, folder=name, value=value)]
            row += [100 * mean(run[key] for run in runs) for key in ("accuracy", "balanced_accuracy")]
        rows.append(row)
        table.add_row(name, *(f"{number:.1f}" for number in row))
    table.add_row("mean", *(f"{mean(column):.1f}" for column in zip(*rows)))
    Console().print(table)


if __name__ == "__main__":
    main()
