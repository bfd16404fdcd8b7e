"""The command `nasoa`. Every command imports what it needs when it runs, so that `nasoa --help` answers at once."""

from __future__ import annotations

import gc
import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from nni_nasoa import __version__

EXIT_SECONDS = 0.3  # of a budget are kept for the interpreter's end


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nasoa")
def main():
    """Search networks that train fast, and look at what was found."""


@dataclass(frozen=True)
class _Results:
    """What a report is made of. `trials` counts the experiment's trials by status; it is empty for a results file."""

    source: str
    records: list[dict]
    experiment: str | None = None
    trials: dict[str, int] = field(default_factory=dict)
    objectives: tuple | None = None
    limits: tuple = ()


@main.command()
@click.argument("source", default="latest")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default="nasoa-report", show_default=True,
              help="Folder for front.json, results.csv, front.png and the drawings.")
@click.option("--objective", "objectives", multiple=True, metavar="NAME[:min|max]",
              help="A metric to compare results by; repeat it for more. Without it: accuracy and relative_speed for networks, "
                   "default for anything else. More is better unless :min is given.")
@click.option("--block", "blocks", multiple=True, metavar="ENCODING", help="Draw this block in place of the front's; repeat it for more.")
def report(source: str, output: Path, objectives: tuple[str, ...], blocks: tuple[str, ...]):
    """Print the Pareto front of a search, and write it down.

    SOURCE is an NNI experiment of this machine, running or stopped, by its id (or 'latest', which is the default); or a file
    of results: the results.csv or front.json of an earlier report, a .json list or a .jsonl file.
    """
    with _clear_errors():
        _report(source, output, objectives, blocks)


@contextmanager
def _clear_errors():
    """Turn what a user can get wrong into one line on stderr and exit status 1."""
    from sqlite3 import Error as DatabaseError

    from nni_nasoa.finetune.results import FineTuneError

    try:
        yield
    except (ValueError, OSError, DatabaseError, FineTuneError) as error:
        raise click.ClickException(str(error)) from None


def _report(source: str, output: Path, objectives: tuple[str, ...], blocks: tuple[str, ...]) -> None:
    from nni_nasoa.figures.block_drawing import draw_block, typical_layout
    from nni_nasoa.figures.search_front import draw_objectives, draw_search_front
    from nni_nasoa.search.front import OBJECTIVES, pareto_front, write_front, write_records

    for encoding in blocks:
        typical_layout(encoding)  # a wrong one is reported before anything is written
    results = _read(source)
    compared = _objectives(objectives, results)
    front = pareto_front(results.records, compared, results.limits)
    if not front:
        raise ValueError(_why_empty(results, compared))

    output.mkdir(parents=True, exist_ok=True)
    write_front(output / "front.json", results.records, experiment=results.experiment, objectives=compared, limits=results.limits)
    write_records(output / "results.csv", results.records)
    picture = output / "front.png"
    if compared == OBJECTIVES and all("architecture" in record and "step_time_ms" in record for record in front):
        draw_search_front(results.records, picture, front=front)
    else:
        draw_objectives(results.records, compared, picture, front=front)
    for old in output.glob("block_*.png"):  # of an earlier, longer front
        if re.fullmatch(r"block_\d+\.png", old.name):
            old.unlink()
    drawn = blocks or [record["architecture"] for record in front if "architecture" in record]
    for number, encoding in enumerate(drawn, start=1):
        draw_block(encoding, output / f"block_{number}.png")
    _print_report(results, front, compared, output, len(drawn))


def _read(source: str) -> _Results:
    from nni_nasoa.plugin.class_args import EvolutionArgs
    from nni_nasoa.plugin.experiments import find_experiment, read_config, read_status, read_trials
    from nni_nasoa.search.front import read_records

    path = Path(source)
    if path.suffix in (".csv", ".json", ".jsonl"):
        return _Results(source, read_records(path))
    folder = find_experiment(source)
    status = read_status(folder)
    trials = {name: count for name, count in status.items() if isinstance(count, int) and name != "trials"}
    # A network says itself which one it is; any other result is of use only with its parameters.
    records = [{**trial.metrics, "trial_id": trial.trial_id, "sequence": trial.sequence}
               | ({} if "architecture" in trial.metrics else {"parameters": trial.parameters}) for trial in read_trials(folder)]
    tuner = read_config(folder).get("tuner") or {}
    ours = "NasoaEvolution" in (tuner.get("name"), tuner.get("className")) or str(tuner.get("className")).endswith(".EvolutionTuner")
    arguments = EvolutionArgs.parse(tuner.get("classArgs") or {}) if ours else EvolutionArgs()
    return _Results(f"experiment {status['id']}", records, status["id"], trials, arguments.objectives, arguments.limits)


def _objectives(given: tuple[str, ...], results: _Results):
    """The objectives that the options name, else the experiment's own, else those that suit the records."""
    from nni_nasoa.search.evolution import Objective
    from nni_nasoa.search.front import OBJECTIVES

    if not given:
        networks = not results.records or any("architecture" in record for record in results.records)
        return results.objectives or (OBJECTIVES if networks else (Objective("default"),))
    objectives = []
    for text in given:
        name, _, mode = text.partition(":")
        if not name or mode not in ("", "max", "min") or name in (objective.name for objective in objectives):
            raise click.UsageError(f"--objective '{text}': give NAME, NAME:max or NAME:min, and each metric once")
        objectives.append(Objective(name, mode != "min"))
    return tuple(objectives)


def _why_empty(results: _Results, objectives) -> str:
    from nni_nasoa.search.front import distinct

    if distinct(results.records, objectives) and results.limits:
        names = ", ".join(limit.name for limit in results.limits)
        return f"{results.source}: none of its {len(results.records)} results is within the limits on {names}"
    if results.records:
        keys = ", ".join(sorted({key for record in results.records for key in record}))
        names = " and ".join(objective.name for objective in objectives)
        return f"{results.source}: none of its {len(results.records)} results has {names} as numbers; there are: {keys}"
    return f"{results.source}: no results yet" + (f" (trials: {_counts(results.trials)})" if results.trials else "")


def _counts(trials: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in trials.items() if count or status in ("succeeded", "failed"))


_COLUMNS = (  # heading, key, factor, format
    ("accuracy\n%", "accuracy", 100, ".2f"), ("relative\nspeed", "relative_speed", 1, ".3f"), ("step\nms", "step_time_ms", 1, ".2f"),
    ("params\nM", "params_m", 1, ".3f"), ("GMACs", "gmacs", 1, ".4f"),
)


def _print_report(results: _Results, front: list[dict], objectives, output: Path, drawings: int) -> None:
    from nni_nasoa.search.front import comparable_step_times, distinct

    counted = distinct(results.records, objectives)
    lines = [f"{len(counted)} evaluated, {len(front)} on the front" + (f"; trials: {_counts(results.trials)}" if results.trials else "")]
    identity = "architecture" if all("architecture" in record for record in front) else "parameters"
    columns = list(_COLUMNS) if identity == "architecture" else [("trial", "trial_id", 1, "")]
    known = {key for _, key, _, _ in columns}
    columns += [(objective.name, objective.name, 1, ".5g") for objective in objectives if objective.name not in known]
    if identity == "architecture":
        times = comparable_step_times(counted)
        of = {record["architecture"]: ms for record, ms in zip(counted, times.ms)}
        front = [record | {"step_time_ms": of[record["architecture"]]} for record in front]
        if times.device:
            lines.append(f"step time: of training, on {times.device}, from the relative speed")
    lines.append(f"written to {output}: front.json, results.csv, front.png" + (", block_1.png" if drawings else "")
                 + (f" to block_{drawings}.png" if drawings > 1 else ""))

    rows = [[str(number), *(_cell(record.get(key), factor, form) for _, key, factor, form in columns), _text(record.get(identity))]
            for number, record in enumerate(front, start=1)]
    headings = ["#", *(heading for heading, *_ in columns), "encoding" if identity == "architecture" else identity]
    _print_table(f"Pareto front of {results.source}", headings, rows, lines)


def _cell(value, factor: float, form: str) -> str:
    return format(value * factor, form) if isinstance(value, (int, float)) and value == value else _text(value)


def _text(value) -> str:
    return "-" if value is None or value != value else value if isinstance(value, str) else json.dumps(value)


def _print_table(title: str, headings: list[str], rows: list[list[str]], lines: list[str]) -> None:
    """Print a table of which the first columns are figures and the last is text that may be long."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in headings[:-1]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(headings[-1], overflow="fold", min_width=8)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True)


@main.command()
@click.option("--family", help="Only this family of models, or the networks of a front.json.")
def zoo(family: str | None):
    """List the models of the zoo with their published figures."""
    from nni_nasoa.zoo import get, list_models

    columns = {"params\nM": "params_m", "GMACs\nat 224": "gmacs_224", "ImageNet\ntop-1 %": "imagenet_top1"}
    with _clear_errors():
        models = [get(name) for name in list_models(family)]
    rows = [[model.name, *(_cell(getattr(model, key), 1, ".2f") for key in columns.values()), _text(model.encoding)] for model in models]
    _print_table("Zoo", ["model", *columns, "encoding"], rows, [])


@main.command()
@click.option("--dataset", required=True, help="A folder of images (a folder for each class), or a dataset's name such as digits or flowers102.")
@click.option("--model", help="A model of the zoo, a network of a front file (front.json#1), or an encoding.")
@click.option("--minutes", required=True, type=float, help="The budget, from the start of this command to the saved classifier.")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), default="nasoa-classifier", show_default=True,
              help="Folder for the classifier; one that is there is replaced.")
@click.option("--regime", "regime_file", type=click.Path(dir_okay=False, path_type=Path), help="A .json or .yml file of settings; options go before it.")
@click.option("--learning-rate", type=float, help="At its peak, for a whole batch.")
@click.option("--weight-decay", type=float)
@click.option("--frozen-stages", type=int, help="0 trains everything, the number of stages or more only the head.")
@click.option("--batch-size", type=int)
@click.option("--input-size", type=int, help="In pixels; by default what the model was pretrained at.")
@click.option("--augmentation", type=click.Choice(["none", "crop", "crop-flip", "full"]))
@click.option("--mixup", type=float, help="Alpha; 0 mixes nothing.")
@click.option("--label-smoothing", type=float)
@click.option("--optimizer", type=click.Choice(["sgd", "adamw"]))
@click.option("--weights", default="default", show_default=True, help="A file, 'default' for the model's pretrained weights, or 'none'.")
@click.option("--device", default="auto", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--root", type=click.Path(file_okay=False), help="Where torchvision's datasets lie or are downloaded to.")
@click.option("--val-fraction", type=float, default=0.2, show_default=True, help="Held back for validation where the dataset brings no such part.")
@click.option("--compile/--no-compile", default=False, show_default=True, help="Train through torch.compile.")
@click.option("--tensorboard", type=click.Path(file_okay=False), help="Folder for TensorBoard's log.")
def finetune(dataset, model, minutes, output, regime_file, weights, device, seed, root, val_fraction, compile, tensorboard, **settings):
    """Fine-tune a classifier that is ready before the minutes are over.

    Ctrl-C saves the best so far.
    """
    from nni_nasoa.finetune.clock import default_margin, process_started
    from nni_nasoa.finetune.regime import FineTuneRegime

    with _clear_errors():
        fields = FineTuneRegime.load(regime_file).to_json() if regime_file is not None else {}
        fields |= {key: value for key, value in {"model": model, **settings}.items() if value is not None}
        if "model" not in fields:
            raise click.UsageError("Missing option '--model', or '--regime' with a file that names one.")
        regime = FineTuneRegime.from_json(fields)
        from nni_nasoa.finetune.trainer import finetune as run

        margin = default_margin(60 * minutes) + EXIT_SECONDS
        result = run(dataset, regime, minutes, output=output, device=device, seed=seed, weights=None if weights == "none" else weights, root=root,
                     val_fraction=val_fraction, compile=compile, bar=None, tensorboard=tensorboard, started=process_started(), margin=margin)
    gc.freeze()  # so that the interpreter's end does not walk through all of torch, past the deadline
    if result.folder is None:  # another process of torchrun's says it
        return
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"validation accuracy {100 * result.accuracy:.2f} % after {result.epochs:.3g} epochs, {result.seconds:.1f} of {result.budget:.0f} s"
               + ("" if result.stopped == "budget" else f" ({result.stopped})"))
    click.echo(f"written to {result.folder}")
    if result.stopped.startswith("interrupted"):
        raise SystemExit(128 + (15 if result.stopped.endswith("SIGTERM") else 2))


@main.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("images", nargs=-1, type=click.Path())
@click.option("-k", "--top-k", type=click.IntRange(1), default=3, show_default=True, help="How many classes to give for each image.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--device", default="auto", show_default=True)
@click.option("--onnx", type=click.Path(dir_okay=False, path_type=Path), help="Write the classifier as an ONNX file, too.")
def predict(folder: Path, images: tuple[str, ...], top_k: int, as_json: bool, device: str, onnx: Path | None):
    """Classify images by the classifier in FOLDER, as `nasoa finetune` has saved it."""
    if not images and onnx is None:
        raise click.UsageError("Missing argument 'IMAGES...'.")
    from nni_nasoa.finetune.classifier import load_classifier

    with _clear_errors():
        classifier = load_classifier(folder, device)
        if onnx is not None:
            click.echo(f"written to {classifier.export_onnx(onnx)}", err=as_json)
    found = [_predict_one(classifier, image, top_k) for image in images]
    if as_json:
        click.echo(json.dumps(found, indent=1))
    elif good := [entry for entry in found if "error" not in entry]:
        columns = range(len(good[0]["predictions"]))
        rows = [[*(f"{entry['predictions'][k]['label']} {100 * entry['predictions'][k]['probability']:.1f} %" for k in columns),
                 click.format_filename(entry["image"])] for entry in good]
        _print_table(f"Predictions of {folder}", [f"{k + 1}." for k in columns] + ["image"], rows, [])
    for entry in found:
        if "error" in entry:
            click.echo(f"Error: {entry['error']}", err=True)
    if any("error" in entry for entry in found):
        raise SystemExit(1)


def _predict_one(classifier, image: str, top_k: int) -> dict:
    try:
        predictions = classifier.predict([image], top_k)[0]
    except ValueError as error:
        return {"image": image, "error": str(error)}
    return {"image": image, "predictions": [prediction._asdict() for prediction in predictions]}


@main.group()
def figures():
    """Draw the paper's figures."""


@figures.command()
@click.argument("encoding")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default="block.png", show_default=True,
              help="The image to write; its suffix (.png, .svg, .pdf) says in which format.")
@click.option("--width", type=click.IntRange(1, 2**16), default=64, show_default=True, help="Channels of a block given alone.")
def block(encoding: str, output: Path, width: int):
    """Draw a block: operations, channels and skips.

    ENCODING is a block such as 10001- or a whole network such as 10001-_64_4-111-112-11.
    """
    from nni_nasoa.figures.block_drawing import draw_block

    with _clear_errors():
        click.echo(f"written to {draw_block(encoding, output, width=width)}")


if __name__ == "__main__":
    main(prog_name="nasoa")
