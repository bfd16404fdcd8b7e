"""`nasoa evaluate`: how good a saved classifier is on images whose classes are known."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nni_nasoa.data.split_defaults import VAL_FRACTION
from nni_nasoa.files import check_can_be_written
from nni_nasoa.messages import readable

from .options import COLUMNS, REPORT, ROOT, columns
from .terminal import clear_errors, tell_aside

if TYPE_CHECKING:
    from nni_nasoa.data import Dataset
    from nni_nasoa.evaluation import Evaluation
    from nni_nasoa.finetune.classifier import Classifier

CLASSES, CONFUSIONS = 20, 5  # that are shown to a person

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "calibration_error")


@click.command()
@click.argument("folder", metavar="CLASSIFIER", type=click.Path(file_okay=False, path_type=Path))
@click.argument("dataset")
@click.option(
    "--part",
    type=click.Choice(["test", "val", "train", "all"]),
    help="Of the dataset. [default: test, else val; of a folder without such parts all]",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a row for each class.")
@click.option(
    "--images",
    "images_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="Write what was predicted of each image, too.",
)
@REPORT
@click.option("--device", default="auto", show_default=True)
@ROOT
@COLUMNS
@click.option(
    "--val-fraction",
    type=float,
    default=VAL_FRACTION,
    show_default=True,
    help="What the classifier's own run has held back, for --part val of a folder that brings no such part.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of that, too.")
@click.option("--group-by", metavar="REGEX", help="Of that, too.")
def evaluate(
    folder: Path,
    dataset: str,
    part: str | None,
    as_json: bool,
    as_csv: bool,
    images_file: Path | None,
    report_file: Path | None,
    device: str,
    root: str | None,
    val_fraction: float,
    seed: int,
    group_by: str | None,
) -> None:
    """Say how good the classifier in the folder CLASSIFIER is on DATASET.

    DATASET is a folder of images with a folder for each class, which is matched by its name, or with test/,
    val/ or train/ with those in them; a file that lists images, as nasoa finetune takes it, of which that
    part is taken; or a dataset's name, of which the test part is taken where it has one.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv: give one of them.")
    with clear_errors():
        from nni_nasoa.data import Dataset
        from nni_nasoa.finetune.loading import load_classifier

        check_can_be_written(images_file, report_file)
        asked = Dataset(
            dataset,
            root=root,
            val_fraction=val_fraction,
            seed=seed,
            group_by=group_by,
            columns=columns(),
        )
        asked.check()
        classifier = load_classifier(folder, device)
        evaluation = evaluated(classifier, asked, part)
        if images_file is not None:
            _write_images(evaluation, images_file)
        if report_file is not None:
            write_report(report_file, evaluation, classifier, folder)
    if as_json:
        click.echo(json.dumps(evaluation.to_json(), indent=1))
    elif as_csv:
        _print_csv(evaluation)
    elif sys.stdout.isatty():
        show(evaluation)
    else:
        _print_lines(evaluation)


def write_report(path: Path, evaluation: Evaluation, classifier: Classifier, folder: Path) -> None:
    """Write the page, with the run's evaluations where they lie beside the classifier."""
    from nni_nasoa.evaluation import write_page
    from nni_nasoa.files import read_lines

    file = folder / "evaluations.jsonl"
    lines = read_lines(file, damaged=lambda *_: None) if file.is_file() else ()
    write_page(path, evaluation, classifier.about, [line for _, line in lines])
    tell_aside(f"page written to {path}")


def evaluated(classifier: Classifier, dataset: Dataset, part: str | None) -> Evaluation:
    """Evaluate, with a bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from nni_nasoa.evaluation import evaluate

    console = Console(stderr=True)
    columns = (TextColumn("evaluating"), BarColumn(bar_width=30), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        return evaluate(
            classifier,
            dataset,
            part,
            total=lambda images: progress.update(task, total=images),
            advance=lambda images: progress.advance(task, images),
        )


def headline(evaluation: Evaluation) -> str:
    """The accuracy with its interval, on how many images of which part."""
    low, high = evaluation.interval
    return (
        f"{100 * evaluation.accuracy:.1f} % of {len(evaluation)} {evaluation.kind} right "
        f"({100 * low:.1f} to {100 * high:.1f})"
    )


def show(evaluation: Evaluation) -> None:
    """Print what a person wants to see first."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False, highlight=False, emoji=False)
    console.print(Text(f"{readable(evaluation.dataset)}: ").append(headline(evaluation), style="bold"))
    console.print(
        f"balanced accuracy {100 * evaluation.balanced_accuracy:.1f} %, "
        f"macro F1 {100 * evaluation.macro_f1:.1f} %, "
        f"log loss {evaluation.log_loss:.3f}, "
        f"calibration error {100 * evaluation.calibration_error:.1f} %",
        soft_wrap=True,
    )
    worst = evaluation.worst
    title = "classes, from the worst" + (
        f" ({CLASSES} of {len(worst)}; --csv has all)" if len(worst) > CLASSES else ""
    )
    table = Table(
        title=title, title_justify="left", title_style="dim", box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0)
    )
    table.add_column("class", overflow="fold", min_width=8)
    for name in ("precision", "recall", "F1", "images"):
        table.add_column(name, justify="right", no_wrap=True)
    for score in worst[:CLASSES]:
        figures = [_percent(value) for value in (score.precision, score.recall, score.f1)]
        table.add_row(Text(readable(score.name)), *figures, str(score.support))
    console.print(table)
    for pair in evaluation.confusions[:CONFUSIONS]:
        names = f"{readable(pair.label)} taken for {readable(pair.predicted)}"
        console.print(f"{names}: {_images(pair.images)}, {100 * pair.share:.0f} %", soft_wrap=True)
    for note in evaluation.notes:
        console.print(f"note: {note}", soft_wrap=True)


def _images(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _print_lines(evaluation: Evaluation) -> None:
    """A line for each item, with tabs between its parts."""
    figures = evaluation.to_json()
    click.echo(f"dataset\t{readable(evaluation.dataset)}\t{evaluation.part}\t{_images(len(evaluation))}")
    for name in METRICS:
        shown = [name, "accuracy_low", "accuracy_high"] if name == "accuracy" else [name]
        click.echo("\t".join([name, *(f"{figures[one]:.4f}" for one in shown)]))
    for score in evaluation.worst:
        shares = (f"{name} {_percent(getattr(score, name))}" for name in ("precision", "recall", "f1"))
        click.echo("\t".join(["class", readable(score.name), *shares, _images(score.support)]))
    for pair in evaluation.confusions:
        names = f"{readable(pair.label)}\t{readable(pair.predicted)}"
        click.echo(f"confusion\t{names}\t{_images(pair.images)}\t{100 * pair.share:.1f} %")
    for note in evaluation.notes:
        click.echo(f"note\t{note}")


def _print_csv(evaluation: Evaluation) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["class", "precision", "recall", "f1", "support"])
    for score in evaluation.scores:
        writer.writerow([readable(score.name), *map(_cell, score[1:4]), score.support])


def _write_images(evaluation: Evaluation, path: Path) -> None:
    from nni_nasoa.files import replacing

    with replacing(path) as draft, open(draft, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "label", "predicted", "probability", "probability_of_label"])
        for number, name in enumerate(evaluation.names):
            label, given = int(evaluation.labels[number]), int(evaluation.predicted[number])
            shares = evaluation.probabilities[number]
            names = [readable(text) for text in (name, evaluation.classes[label], evaluation.classes[given])]
            writer.writerow([*names, f"{shares[given]:.6f}", f"{shares[label]:.6f}"])


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.6f}"
