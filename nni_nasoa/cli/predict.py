"""`nasoa predict`: classify images by a saved classifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .terminal import clear_errors, print_table

if TYPE_CHECKING:
    from nni_nasoa.finetune.classifier import Classifier


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("images", nargs=-1, type=click.Path())
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How many classes to give for each image.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--device", default="auto", show_default=True)
@click.option(
    "--onnx",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the classifier as an ONNX file, too.",
)
def predict(
    folder: Path, images: tuple[str, ...], top_k: int, as_json: bool, device: str, onnx: Path | None
) -> None:
    """Classify images by the classifier in FOLDER, as `nasoa finetune` has saved it."""
    if not images and onnx is None:
        raise click.UsageError("Missing argument 'IMAGES...'.")
    from nni_nasoa.finetune.classifier import load_classifier

    with clear_errors():
        if onnx is not None:
            from nni_nasoa.finetune.onnx_export import require_onnx

            require_onnx()
        classifier = load_classifier(folder, device)
        if onnx is not None:
            click.echo(f"written to {classifier.export_onnx(onnx)}", err=as_json)
    found = [_predict_one(classifier, image, top_k) for image in images]
    if as_json:
        click.echo(json.dumps(found, indent=1))
    elif good := [entry for entry in found if "error" not in entry]:
        columns = range(len(good[0]["predictions"]))
        rows = [
            [
                *(
                    f"{entry['predictions'][k]['label']} {100 * entry['predictions'][k]['probability']:.1f} %"
                    for k in columns
                ),
                click.format_filename(entry["image"]),
            ]
            for entry in good
        ]
        print_table(f"Predictions of {folder}", [f"{k + 1}." for k in columns] + ["image"], rows, [])
    for entry in found:
        if "error" in entry:
            click.echo(f"Error: {entry['error']}", err=True)
    if any("error" in entry for entry in found):
        raise SystemExit(1)


def _predict_one(classifier: Classifier, image: str, top_k: int) -> dict[str, Any]:
    try:
        predictions = classifier.predict([image], top_k)[0]
    except ValueError as error:
        return {"image": image, "error": str(error)}
    return {"image": image, "predictions": [prediction._asdict() for prediction in predictions]}
