"""`nasoa figures freezing`, `model-trade-off` and `along-time`: what is drawn from runs of fine-tuning."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import AUGMENTATION, ROOT
from .terminal import clear_errors

if TYPE_CHECKING:
    from nni_nasoa.data import Dataset
    from nni_nasoa.figures.runs import RecordedRun, RunSettings

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--dataset",
        "datasets",
        multiple=True,
        help="As `nasoa finetune` takes it; repeat it for more panels.",
    ),
    click.option(
        "--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Runs of each kind."
    ),
    click.option(
        "--records",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The JSON-lines file of runs; by default beside the picture, with the suffix .jsonl.",
    ),
    click.option("--no-run", is_flag=True, help="Draw recorded runs alone, as it is without --minutes."),
    click.option(
        "--weights",
        default="default",
        show_default=True,
        help="A file, 'default' for a model's pretrained weights, or 'none'.",
    ),
    click.option(
        "--regime",
        "regime_file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A .json or .yml file of settings; options go before it.",
    ),
    click.option("--learning-rate", type=float, help="At its peak, for a whole batch."),
    click.option("--batch-size", type=int),
    click.option("--input-size", type=int, help="In pixels; by default what a model was pretrained at."),
    AUGMENTATION,
    click.option("--optimizer", type=click.Choice(["sgd", "adamw"])),
    click.option("--device", default="auto", show_default=True),
    ROOT,
)


def _common(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def output_option(default: str) -> Callable[[Command], Command]:
    """The option that says which image to write."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(dir_okay=False, path_type=Path),
        default=default,
        show_default=True,
        help="The image to write; its suffix (.png, .svg, .pdf) says in which format.",
    )


@click.command()
@click.option(
    "--model", "models", multiple=True, help="As `nasoa finetune` takes it; repeat it for more lines."
)
@click.option("--minutes", type=float, multiple=True, help="The budget of a run; repeat it for more lines.")
@click.option(
    "--target",
    type=click.FloatRange(0, 100, min_open=True),
    help="Accuracy in percent to time runs to; by default about 90% of the best.",
)
@_common
@output_option("freezing.png")
def freezing(target: float | None, **options: Any) -> None:
    """Draw accuracy and time for each number of frozen stages.

    With --minutes, a model is fine-tuned with 0 to all of its stages frozen, each in the same time, and every
    run is recorded; runs that are recorded already are not made again, so a series goes on where it was
    interrupted. Without --minutes, the figure is drawn from recorded runs, of the models and datasets that
    are given, or all of them. The time of a run is that of fine-tuning alone: datasets are decoded before.
    """
    from nni_nasoa.figures.freezing import draw_freezing

    _figure(
        lambda runs, output: draw_freezing(runs, output, target=None if target is None else target / 100),
        True,
        **options,
    )


@click.command()
@click.option(
    "--model", "models", multiple=True, help="As `nasoa finetune` takes it; repeat it for more lines."
)
@click.option(
    "--minutes", type=float, multiple=True, help="The budget of a run; repeat it for points along the budget."
)
@_common
@output_option("along-time.png")
def along_time(**options: Any) -> None:
    """Draw accuracy along time for several models on one axis.

    With --minutes, each model is fine-tuned on each dataset within each budget, and every run is recorded;
    runs that are recorded already are not made again, so a series goes on where it was interrupted. Without
    --minutes, the figure is drawn from recorded runs, of the models and datasets that are given, or all of
    them. The time of a run is that of fine-tuning alone: datasets are decoded before.
    """
    from nni_nasoa.figures.along_time import draw_along_time

    _figure(draw_along_time, False, **options)


@click.command("model-trade-off")
@click.option(
    "--model", "models", multiple=True, help="As `nasoa finetune` takes it; repeat it for more lines."
)
@click.option("--minutes", type=float, multiple=True, help="The budget of a run; repeat it for more lines.")
@_common
@output_option("model-trade-off.png")
def model_trade_off(**options: Any) -> None:
    """Draw which of several models is best within which time.

    By default that is what was recorded of nine networks on six small tasks, which comes with the package.
    With --minutes, each model is fine-tuned on each dataset within each budget, and every run is recorded, as
    `along-time` does it; with --records, or runs recorded before, these are drawn.
    """
    from nni_nasoa.figures.model_trade_off import draw_model_trade_off, trade_off_of_limits, trade_off_of_runs
    from nni_nasoa.figures.paper import check_picture
    from nni_nasoa.figures.time_limits import shipped_time_limits

    output: Path = options["output"]
    own = options["datasets"] or options["models"] or options["minutes"] or options["records"]
    if own or output.with_suffix(".jsonl").exists():
        _figure(lambda runs, path: draw_model_trade_off(trade_off_of_runs(runs), path), False, **options)
        return
    with clear_errors():
        check_picture(output)
        limits = shipped_time_limits()
        click.echo(
            f"written to {draw_model_trade_off(trade_off_of_limits(limits), output)}, from {limits.where}"
        )


def _figure(
    draw: Callable[[list[RecordedRun], Path], Path],
    every_freeze: bool,
    *,
    output: Path,
    records: Path | None,
    no_run: bool,
    **options: Any,
) -> None:
    from nni_nasoa.figures.paper import check_picture

    records = records or output.with_suffix(".jsonl")
    with clear_errors():
        check_picture(output)
        run = options["minutes"] and not no_run
        runs = _made(records, every_freeze, **options) if run else _recorded(records, **options)
        click.echo(f"written to {draw(runs, output)}, from the {len(runs)} runs in {records}")


def _by_settings(records: Path) -> dict[RunSettings, RecordedRun]:
    """The runs of a file by their settings; none where it is not there yet.

    Each is there once, where files that were joined may have one twice.
    """
    from nni_nasoa.figures.runs import read_runs

    return {run.settings: run for run in read_runs(records)} if records.exists() else {}


def _recorded(
    records: Path,
    *,
    datasets: tuple[str, ...],
    models: tuple[str, ...],
    minutes: tuple[float, ...],
    **_: Any,
) -> list[RecordedRun]:
    """The recorded runs of what the options name."""
    from nni_nasoa.figures.runs import RunsError

    if not records.exists():
        raise RunsError(
            f"{records}: no such file of recorded runs; --dataset, --model and --minutes make some"
        )
    runs = list(_by_settings(records).values())
    if not runs:
        raise RunsError(f"{records}: there are no runs in it")
    from nni_nasoa.data import Dataset
    from nni_nasoa.figures.make_runs import identified_model

    for option, given, of_run in (
        ("--dataset", [Dataset(name).identity for name in datasets], lambda run: run.settings.dataset),
        ("--model", [identified_model(name) for name in models], lambda run: run.settings.regime.model),
        ("--minutes", minutes, lambda run: round(run.settings.budget / 60, 6)),
    ):
        known = list(dict.fromkeys(map(of_run, runs)))
        for value in given:
            if not any(_is(value, of_run(run)) for run in runs):
                raise RunsError(
                    f"{records}: no runs with {option} {value}; there are {', '.join(map(str, known))}"
                )
        runs = [run for run in runs if not given or any(_is(value, of_run(run)) for value in given)]
    return runs


def _is(given: str | float, recorded: str | float) -> bool:
    """Whether a value is the recorded one, of which a path may have been another machine's."""
    from nni_nasoa.figures.runs import last_part

    if isinstance(given, str) or isinstance(recorded, str):
        return given in (recorded, last_part(str(recorded)))
    return abs(given - recorded) < 1e-5


def _made(
    records: Path,
    every_freeze: bool,
    *,
    datasets: tuple[str, ...],
    models: tuple[str, ...],
    minutes: tuple[float, ...],
    seeds: int,
    weights: str,
    regime_file: Path | None,
    device: str,
    root: str | None,
    **settings: float | str | None,
) -> list[RecordedRun]:
    """All runs of the figure; those that are not recorded are made."""
    from nni_nasoa.training.regime import FineTuneRegime

    fields = FineTuneRegime.load(regime_file).to_json() if regime_file is not None else {}
    models = models or ((fields["model"],) if fields else ())
    for option, values in (("--dataset", datasets), ("--model", models)):
        if not values:
            raise click.UsageError(f"Missing option '{option}', which --minutes needs to make runs.")
    fields |= {key: value for key, value in settings.items() if value is not None}
    regimes = [FineTuneRegime.from_json(fields | {"model": model}) for model in dict.fromkeys(models)]
    from nni_nasoa.data import Dataset
    from nni_nasoa.figures.make_runs import RunInterrupted, plan

    given = [Dataset(name, root=root) for name in dict.fromkeys(datasets)]
    budgets = [round(60 * value, 6) for value in dict.fromkeys(minutes)]
    planned = plan(
        given,
        regimes,
        budgets,
        seeds,
        weights=None if weights == "none" else weights,
        device=device,
        every_freeze=every_freeze,
    )
    recorded = _by_settings(records)
    try:
        _make([settings for settings in planned if settings not in recorded], given, records, device)
    except KeyboardInterrupt as interruption:
        done = len(_by_settings(records).keys() & planned)
        click.echo(
            f"interrupted: {done} of {len(planned)} runs are recorded in {records}; "
            "the same command goes on from there",
            err=True,
        )
        if isinstance(interruption, RunInterrupted):
            raise SystemExit(interruption.outcome.exit_status) from None
        raise SystemExit(128 + signal.SIGINT) from None
    recorded = _by_settings(records)
    return [recorded[settings] for settings in planned]


def _make(missing: list[RunSettings], datasets: list[Dataset], records: Path, device: str) -> None:
    """Make what is missing, with a line for each run."""
    from nni_nasoa.figures.make_runs import make_runs, prepare
    from nni_nasoa.figures.runs import duration, last_part

    prepare(missing, datasets, records, device=device)
    left = [sum(settings.budget for settings in missing[number:]) for number in range(len(missing) + 1)]
    if missing:
        click.echo(f"{len(missing)} runs to make, in about {duration(left[0])}", err=True)
    for number, run in enumerate(make_runs(missing, datasets, records, device=device), start=1):
        described, frozen = run.settings.described(), run.settings.regime.frozen_stages
        click.echo(
            f"run {number} of {len(missing)}: {described['model']} on {last_part(run.settings.dataset)}, "
            f"{described['budget']}, "
            + (f"{min(frozen, run.stages)} of {run.stages} stages frozen, " if frozen else "")
            + f"seed {run.settings.seed}: {100 * run.accuracy:.2f} % after {run.record.epochs:.3g} epochs"
            + (f"; about {duration(left[number])} left" if left[number] else ""),
            err=True,
        )
