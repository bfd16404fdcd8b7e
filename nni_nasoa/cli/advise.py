"""`nasoa advise`, which is `nasoa-advise` too: the network to fine-tune in the minutes at hand, and how."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nni_nasoa.experience.location import PASSWORD_BY, without_password
from nni_nasoa.files import check_can_be_written
from nni_nasoa.values import MINUTES

from .advised_command import command_of
from .options import (
    BALANCED,
    COLUMNS,
    DATASET,
    GEOMETRY,
    GROUP_BY,
    LOG_TO,
    REPORT,
    ROOT,
    STORE,
    TEST,
    VALIDATION,
    columns,
)
from .terminal import OneLine, clear_errors, closed_at_the_end, output_may_be_lost, tell_aside

if TYPE_CHECKING:
    from rich.console import JustifyMethod

    from nni_nasoa.advisor.advice import Advice, Choice
    from nni_nasoa.data import Dataset
    from nni_nasoa.experience.store import ExperienceStore
    from nni_nasoa.finetune.callbacks import Callback
    from nni_nasoa.finetune.results import FineTuneResult

TABLE: tuple[tuple[str, JustifyMethod], ...] = (
    ("network", "left"),
    ("learning\nrate", "right"),
    ("frozen\nstages", "right"),
    ("batch", "right"),
    ("input\nsize", "right"),
    ("augmen-\ntation", "left"),
    ("epochs", "right"),
    ("expected\naccuracy %", "right"),
    ("takes", "right"),
)


@click.command(cls=OneLine)
@DATASET
@click.option(
    "--minutes",
    required=True,
    type=float,
    help="The budget of the fine-tuning, from its command's start to the saved classifier.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the advice as JSON.")
@click.option(
    "--top-k",
    type=click.IntRange(1, 50),
    help="How many regimes, the best and alternatives; with --nni, how many runs.  "
    "[default: 3; with --nni 1]",
)
@click.option(
    "--zoo",
    default="auto",
    show_default=True,
    help="A family, names of models with commas between them, or a front file (front.json); auto is all that "
    "can be had here without a download.",
)
@click.option(
    "--offline", is_flag=True, help="Download nothing, as NASOA_OFFLINE=1 does; choose from what is here."
)
@click.option("--device", default="auto", show_default=True, help="Where it will run: auto, cpu, cuda, ...")
@STORE
@click.option("--max-params", type=float, help="Millions of parameters that the classifier may have.")
@click.option("--max-latency-ms", type=float, help="Milliseconds that it may take for an image.")
@click.option("--max-memory", type=float, help="MiB of memory that a step of its training may need.")
@click.option(
    "--run", "run_here", is_flag=True, help="Carry it out here: all of it, the advice too, takes the minutes."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="nasoa-classifier",
    show_default=True,
    help="With --run, the folder for the classifier.",
)
@click.option(
    "--nni",
    "nni_config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="CONFIG.yml",
    help="Carry it out on the training service that a config of NNI describes.",
)
@REPORT
@TEST
@LOG_TO
@GEOMETRY
@BALANCED
@ROOT
@COLUMNS
@VALIDATION
@GROUP_BY
def advise(
    dataset: str,
    minutes: float,
    as_json: bool,
    top_k: int | None,
    zoo: str,
    offline: bool,
    device: str,
    store: str | None,
    max_params: float | None,
    max_latency_ms: float | None,
    max_memory: float | None,
    run_here: bool,
    output: os.PathLike[str],
    nni_config: Path | None,
    report_file: Path | None,
    test: bool,
    log_to: tuple[str, ...],
    geometry: str | None,
    balanced: bool,
    root: str | None,
    val_fraction: float,
    group_by: str | None,
) -> None:
    """Say which network to fine-tune on a dataset in the minutes at hand, and how.

    What is not known yet is found out first, and kept: what the dataset is like, how well the networks
    separate its classes as they are, and how fast they are here. The advice rests on all runs that the store
    knows, and on those that this package was made with.
    """
    _check_together(as_json, run_here, nni_config, report_file, test, log_to)
    if nni_config is not None:
        _check_of_nni(group_by=group_by, geometry=geometry, balanced=balanced or None)
    if offline:
        os.environ["NASOA_OFFLINE"] = "1"  # libraries and processes that are started read it, too
    with clear_errors():
        from nni_nasoa.advisor import ExperienceStore
        from nni_nasoa.advisor.advice import Limits
        from nni_nasoa.advisor.advising import advise as ask
        from nni_nasoa.data import Dataset
        from nni_nasoa.finetune.callbacks import callback_of
        from nni_nasoa.finetune.clock import process_started
        from nni_nasoa.training.regime import BALANCED_FIELDS

        callbacks = [callback_of(text) for text in log_to]
        check_can_be_written(report_file)
        limits = Limits(max_params, max_latency_ms, max_memory)
        asked = Dataset(
            dataset,
            root=root,
            val_fraction=val_fraction,
            group_by=group_by,
            geometry=geometry,
            columns=columns(),
        )
        if test:
            from .run_end import check_test_part

            check_test_part(asked)
        if nni_config is not None:
            from nni_nasoa.plugin.advice_experiment import run as run_on_nni

            run_on_nni(nni_config, asked, minutes, zoo=zoo, store=store, top_k=top_k or 1, limits=limits)
            return
        opened: ExperienceStore
        if run_here:
            from nni_nasoa.advisor.store_in_time import StoreInTime
            from nni_nasoa.finetune.output_folder import reserved

            from .finetune import store_seconds

            output = click.get_current_context().with_resource(reserved(output))
            budget = 60 * MINUTES("minutes", minutes, click.ClickException)
            opened = in_time = closed_at_the_end(StoreInTime(store, store_seconds(budget)))
        else:
            opened = closed_at_the_end(ExperienceStore(store))
        beside = click.get_current_context().with_resource(ExitStack())
        advice = ask(
            asked,
            minutes,
            zoo=zoo,
            device=device,
            store=opened,
            top_k=top_k or 3,
            limits=limits,
            started=process_started() if run_here else None,
            tell=tell_aside,
            beside=beside,
        )
        advice = advice.but(**(BALANCED_FIELDS if balanced else {}))
        if run_here and in_time.failure:
            tell_aside(f"note: the advice is without the store ({in_time.failure})")
    if not run_here:
        _tell_notes(asked, store)
        _tell_uneven(advice)
    if as_json:
        commands = [command_of(choice, asked, minutes, device, store) for choice in advice.choices]
        click.echo(json.dumps(advice.to_json() | {"commands": commands}, indent=2))
    elif not run_here:
        _show(advice)
        click.echo("\n" + command_of(advice.best, asked, minutes, device, store))
    else:
        with output_may_be_lost():
            _show(advice)
        _run(
            advice,
            opened,
            asked,
            output=output,
            device=device,
            report_file=report_file,
            test=test,
            callbacks=callbacks,
        )


def _check_together(
    as_json: bool,
    run_here: bool,
    nni_config: Path | None,
    report_file: Path | None,
    test: bool,
    log_to: tuple[str, ...],
) -> None:
    """Raise a UsageError where options do not go together."""
    if as_json + run_here + (nni_config is not None) > 1:
        raise click.UsageError("--json, --run and --nni: give one of them.")
    if report_file is not None and not run_here:
        raise click.UsageError("--report: give --run, too; the page is about the classifier.")
    if test and not run_here:
        raise click.UsageError("--test: give --run, too; it is the classifier that is tried.")
    if log_to and not run_here:
        raise click.UsageError("--log-to: give --run, too; it is the run that is logged.")


def _check_of_nni(**options: str | bool | None) -> None:
    """Raise a UsageError for what trials of NNI do not know."""
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(
                f"--{name.replace('_', '-')}: not with --nni, whose trials do not know it."
            )


def _tell_notes(dataset: Dataset, store: str | None) -> None:
    """Say what of a folder is left out or may be wrong, which a run does itself, and what no command has."""
    from nni_nasoa.data.dataset import Kind

    if dataset.kind is Kind.FILES and (line := dataset.files.left_out(dataset.holdout).summary()):
        tell_aside(f"note: {dataset.name}: {line}")
    if store and without_password(store)[1]:
        tell_aside(f"note: the store's password is not in the command: {PASSWORD_BY}")


def _tell_uneven(advice: Advice) -> None:
    """Say that classes are uneven, which a run does itself."""
    from nni_nasoa.data.uneven import BALANCED_HINT, are_uneven

    profile = advice.profile.dataset
    least, most = profile.class_min or 0, profile.class_max or 0
    if are_uneven(least, most):
        hint = "" if advice.best.regime.is_balanced else BALANCED_HINT
        tell_aside(f"note: {profile.name}: classes are uneven: they have from {least} to {most} images{hint}")


def _show(advice: Advice) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    title = f"{advice.dataset} in {_time(advice.budget)} on {advice.device}"
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
    for heading, justify in TABLE:
        table.add_column(
            heading,
            justify=justify,
            overflow="fold",
            **({"min_width": 8} if heading == "network" else {"no_wrap": True}),
        )
    for choice in advice.choices:
        table.add_row(*_row(choice))
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(table)
    for line in advice.best.why:
        console.print(f"- {line}", soft_wrap=True)
    for note in advice.notes:
        console.print(f"note: {note}", soft_wrap=True)


def _row(choice: Choice) -> list[str]:
    regime = choice.regime
    return [
        regime.model,
        f"{regime.learning_rate:g} {regime.optimizer}",
        f"{min(regime.frozen_stages, choice.stages)} of {choice.stages}",
        str(regime.batch_size),
        str(regime.input_size),
        regime.augmentation,
        f"{choice.epochs:.3g}",
        f"{100 * choice.accuracy:.0f} ({100 * choice.low:.0f}-{100 * choice.high:.0f})",
        _time(choice.seconds),
    ]


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"


def _run(
    advice: Advice,
    store: ExperienceStore,
    dataset: Dataset,
    *,
    output: os.PathLike[str],
    device: str,
    report_file: Path | None,
    test: bool,
    callbacks: Sequence[Callback],
) -> None:
    """Carry out the best choice in what is left of the minutes, and record it with what was expected."""
    from nni_nasoa.advisor.recording import Recorder

    from .finetune import margin_of
    from .run_end import exit_seconds, tell_run

    choice = advice.best
    deadline = advice.made + advice.budget
    recorder = Recorder(store, advice.about(choice), deadline=deadline - exit_seconds())
    tested = None if test or report_file else dataset
    with clear_errors():
        from nni_nasoa.finetune import Monitoring, Timing
        from nni_nasoa.finetune.api import finetune
        from nni_nasoa.training.errors import FineTuneError

        try:
            result = finetune(
                dataset,
                choice.regime,
                advice.budget / 60,
                weights=choice.weights,
                monitoring=Monitoring(bar=None),
                callbacks=callbacks,
                timing=Timing(advice.made, margin_of(advice.budget, recorder, tested)),
                output=output,
                device=device,
            )
        except FineTuneError as error:
            recorder.record_failure(error, dataset, choice.regime, advice.budget, device, source="advise")
            raise
    untold = _tell_promise(result, choice)
    recorded = recorder.record(result, source="advise")
    tell_run(result, recorded, untold, deadline=deadline, dataset=dataset, test=test, report_file=report_file)


def _tell_promise(result: FineTuneResult, choice: Choice) -> str | None:
    """Put what was expected into the classifier; a note where that fails."""
    from nni_nasoa.finetune.classifier import tell_advice
    from nni_nasoa.finetune.errors import ClassifierError

    result.classifier.about["advice"] = choice.predicted
    try:
        if result.folder is not None:
            tell_advice(result.folder, choice.predicted)
    except ClassifierError as error:
        return str(error)
    return None
