"""`nasoa predict`: classify images by a saved classifier."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nni_nasoa.data.left_out import files_by_suffix
from nni_nasoa.messages import readable

from .terminal import clear_errors

if TYPE_CHECKING:
    from nni_nasoa.finetune.classifier import Classifier
    from nni_nasoa.finetune.predicted_image import PredictedImage

STDIN = "-"


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("images", nargs=-1, type=click.Path(allow_dash=True))
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How many classes to give for each image.",
)
@click.option(
    "--reject-below",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Give no class to images whose best one has a probability below P, from 0 to 1.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, a row for each image.")
@click.option("--device", default="auto", show_default=True)
@click.option(
    "--onnx",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the classifier as an ONNX file, too, with its classes and preprocessing in the metadata.",
)
@click.option(
    "--openvino",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.xml",
    help="Write it in OpenVINO's format, too, with the weights in FILE.bin.",
)
@click.option(
    "--onnx-pixels",
    is_flag=True,
    help="With --onnx or --openvino: it takes pixels of any size, and resizes them.",
)
def predict(
    folder: Path,
    images: tuple[str, ...],
    top_k: int,
    reject_below: float | None,
    as_json: bool,
    as_csv: bool,
    device: str,
    onnx: Path | None,
    openvino: Path | None,
    onnx_pixels: bool,
) -> None:
    """Classify IMAGES by the classifier in FOLDER, as `nasoa finetune` has saved it.

    IMAGES are files, folders, whose images are taken however deep they lie, or - for names from standard
    input, one a line (or as `find -print0` writes them), or for the image that comes from there itself.
    """
    exports = onnx is not None or openvino is not None
    if not images and not exports:
        raise click.UsageError("Missing argument 'IMAGES...'.")
    if as_json and as_csv:
        raise click.UsageError("--json and --csv: give one of them.")
    if onnx_pixels and not exports:
        raise click.UsageError("--onnx-pixels: give --onnx FILE, too, or --openvino FILE.xml.")
    from nni_nasoa.finetune.loading import load_classifier

    with clear_errors():
        if onnx is not None:
            from nni_nasoa.finetune.onnx_export import require_onnx

            require_onnx()
        if openvino is not None:
            from nni_nasoa.finetune.openvino_export import check_openvino

            check_openvino(openvino)
        names, items = _listed(images)
        classifier = load_classifier(folder, device)
        if onnx is not None:
            click.echo(f"written to {classifier.export_onnx(onnx, onnx_pixels)}", err=as_json or as_csv)
        if openvino is not None:
            written = classifier.export_openvino(openvino, onnx_pixels)
            click.echo(f"written to {written}", err=as_json or as_csv)
        if not images:
            return
    found = _predicted(classifier, names, items, top_k, reject_below or 0.0)
    show = _show_json if as_json else _show_csv if as_csv else _show_table if _on_terminal() else _show_lines
    from nni_nasoa.finetune.image_inputs import without_pillows_warnings

    with without_pillows_warnings():
        bad = show(found, min(top_k, len(classifier.classes)))
    if bad:
        raise SystemExit(1)


def _listed(images: Sequence[str]) -> tuple[list[str], list[Any]]:
    """Names of the images, and what is to be read: the same, but for an image from standard input."""
    from nni_nasoa.data.walk import images_below

    names: list[str] = []
    given: dict[int, bytes] = {}
    for image in images:
        if image == STDIN:
            data = sys.stdin.buffer.read()
            if _is_image(data):
                given[len(names)] = data
                names.append("standard input")
            else:
                separator = b"\0" if b"\0" in data else b"\n"
                names += [os.fsdecode(name) for name in data.split(separator) if name.strip()]
        elif os.path.isdir(image):
            below, others = images_below(image)
            names += below
            if others or not below:
                passed = f", passed over: {files_by_suffix([*others.items()])}" if others else ""
                click.echo(f"note: {readable(image)}: {len(below)} images{passed}", err=True)
        else:
            names.append(image)
    if images and not names:
        raise ValueError("no images: give files, or a folder with images in it")
    return names, [given.get(place, name) for place, name in enumerate(names)]


def _is_image(data: bytes) -> bool:
    from PIL import Image

    try:
        with Image.open(BytesIO(data)):
            return True
    except Exception:  # whatever a decoder says of it, it is taken for names
        return False


def _predicted(
    classifier: Classifier, names: Sequence[str], items: Sequence[Any], top_k: int, least: float
) -> Iterator[PredictedImage]:
    """What comes of each image, as it is done; errors are told at the end."""
    from nni_nasoa.data.parallel import progress_bar
    from nni_nasoa.finetune.predicted_image import PredictedImage

    show, errors = len(names) > 1 and sys.stderr is not None and sys.stderr.isatty(), []
    with progress_bar("predicting", len(names), show) as advance:
        for name, row in zip(names, classifier.stream(items)):
            advance(1)
            found = PredictedImage.of(name, row, classifier, top_k, least)
            if found.error is not None:
                errors.append(found.error)
            yield found
    for error in errors:
        click.echo(f"Error: {readable(error)}", err=True)


def _on_terminal() -> bool:
    """Whether a person looks at what is printed."""
    return sys.stdout.isatty()


def _show_json(found: Iterator[PredictedImage], _: int) -> bool:
    every = list(found)
    click.echo(json.dumps([one.to_json() for one in every], indent=1))
    return any(one.error for one in every)


def _show_csv(found: Iterator[PredictedImage], columns: int) -> bool:
    """A row for each image, those that cannot be read too; the same columns whatever was asked for."""
    writer, bad = csv.writer(sys.stdout, lineterminator="\n"), False
    more = [f"{name}_{k}" for k in range(2, columns + 1) for name in ("label", "probability")]
    writer.writerow(["image", "rejected", "error", "label", "probability", *more])
    for one in found:
        cells = [text for label, share in one.predictions for text in (readable(label), f"{share:.6f}")] or [
            ""
        ] * (2 * columns)
        error, bad = readable(one.error or ""), bad or one.error is not None
        writer.writerow([readable(one.name), str(one.rejected).lower(), error, *cells])
    return bad


def _show_lines(found: Iterator[PredictedImage], _: int) -> bool:
    """A line for each image, with tabs between its parts: what a pipe or a file gets, nothing cut off."""
    bad = False
    for one in found:
        if one.error is not None:
            bad = True
            continue
        parts = [f"{readable(label)} {100 * share:.1f} %" for label, share in one.predictions]
        click.echo("\t".join([readable(one.name), *["rejected"] * one.rejected, *parts]))
    return bad


def _show_table(found: Iterator[PredictedImage], _: int) -> bool:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("image", overflow="fold", min_width=8)
    table.add_column("class", overflow="fold", min_width=8)
    table.add_column("%", justify="right", no_wrap=True)
    bad = False
    for one in found:
        bad = bad or one.error is not None
        for place, (label, share) in enumerate(one.predictions):
            first = place == 0
            name = Text(readable(one.name)) if first else Text()
            shown = Text(readable(label), style="" if first and not one.rejected else "dim")
            if first and one.rejected:
                shown = Text("rejected: ").append(shown)
            table.add_row(name, shown, Text(f"{100 * share:.1f}", style="bold" if first else "dim"))
    if table.row_count:
        Console(markup=False, highlight=False, emoji=False).print(table)
    return bad
