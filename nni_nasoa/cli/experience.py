"""`nasoa experience`: the runs of fine-tuning that the advisor learns from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from nni_nasoa.values import shown

from .options import STORE
from .terminal import cell, clear_errors, closed_at_the_end, print_table

COLUMNS = {
    "budget\ns": ("budget_seconds", 1, ".3g"),
    "took\ns": ("seconds", 1, ".3g"),
    "accuracy\n%": ("accuracy", 100, ".2f"),
}

Command = TypeVar("Command", bound=Callable[..., Any])


def _filters(command: Command) -> Command:
    """The options that say which runs."""
    for option in (
        click.option("--limit", type=click.IntRange(1), help="Only the newest so many of them."),
        click.option(
            "--since",
            metavar="TIME",
            help="Only runs from then on, such as 2026-01-31 or 2026-01-31T12:00:00Z.",
        ),
        click.option(
            "--status", type=click.Choice(["ok", "failed", "killed"]), help="Only runs that ended so."
        ),
        click.option("--device", help="Only runs on this device."),
        click.option("--model", help="Only runs of this model."),
        click.option("--task", help="Only runs on this dataset."),
    ):
        command = option(command)
    return command


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


@click.group()
def experience() -> None:
    """Collect, list, export and import the runs of fine-tuning that the advisor learns from.

    They are in a file of the user's data folder (~/.local/share/nni_nasoa/experience.db), or where the
    environment variable NASOA_STORE says: another file, or a PostgreSQL server that a team shares.
    """


@experience.command("list")
@_filters
@STORE
def list_(store: str | None, limit: int | None, **filters: str | None) -> None:
    """List runs, the newest last: 20 of them, unless --limit says otherwise."""
    from nni_nasoa.advisor import ExperienceStore

    with clear_errors():
        opened = closed_at_the_end(ExperienceStore(store, create=False))
        count, runs = opened.count(**filters), list(opened.records(**filters, limit=limit or 20))
    rows = [
        [
            f"{run.created[:10]} {run.created[11:16]}",
            *(cell(getattr(run, name), factor, form) for name, factor, form in COLUMNS.values()),
            cell((run.predicted or {}).get("accuracy"), 100, ".2f"),
            run.status,
            f"{run.model} on {run.task}",
        ]
        for run in runs
    ]
    print_table(
        "Runs",
        ["created\nUTC", *COLUMNS, "expected\n%", "status", "run"],
        rows,
        [f"{len(runs)} of {_runs(count)} in {opened.location}"],
    )


@experience.command()
@click.argument("file", type=click.Path(dir_okay=False))
@_filters
@STORE
def export(file: str, store: str | None, **filters: str | int | None) -> None:
    """Write runs to FILE, a JSON object a line, in order of their creation."""
    from nni_nasoa.advisor import ExperienceStore

    with clear_errors():
        opened = closed_at_the_end(ExperienceStore(store, create=False))
        count = opened.export(file, **filters)
    click.echo(f"{_runs(count)} of {opened.location} written to {file}")


@experience.command("import")
@click.argument("file", type=click.Path(dir_okay=False))
@STORE
def import_(file: str, store: str | None) -> None:
    """Add the runs of FILE, as 'nasoa experience export' writes it, and learn from them.

    Every line is checked first: all runs are added, or none. Those that are there already stay as they are.
    """
    from nni_nasoa.advisor import ExperienceStore
    from nni_nasoa.advisor.recording import import_results

    with clear_errors():
        opened = closed_at_the_end(ExperienceStore(store))
        added = import_results(opened, file)
    click.echo(f"{_runs(added)} added to {opened.location}, which has {opened.count()}")


def _seconds(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.ClickException(f"budgets: {shown(text)} is not a list of seconds such as 3,5,8") from None


def _names(_context: click.Context, _parameter: click.Parameter, text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in (text or "").split(","))))


@experience.command()
@click.option(
    "--runs",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="How many runs there shall be in the end.",
)
@click.option(
    "--tasks",
    metavar="NAME,...",
    callback=_names,
    help="Only these tasks.  [default: all that are not held out, or none beside folders]",
)
@click.option("--include", metavar="NAME,...", callback=_names, help="These tasks too, held out or not.")
@click.option(
    "--folder",
    "folders",
    metavar="DIR",
    multiple=True,
    help="Folder of real images, of which parts are taken; may be given several times.",
)
@click.option(
    "--parts",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Of each folder: most of its images, and others of fewer classes and images.",
)
@click.option("--zoo", default="nano", show_default=True, metavar="FAMILY", help="Family of the models.")
@click.option(
    "--budgets",
    metavar="SECONDS,...",
    default="3,5,8,13,20",
    show_default=True,
    callback=_seconds,
    help="Of a run; short ones more often.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 1024),
    default=2,
    show_default=True,
    help="Runs side by side, one thread each.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the plan.")
@STORE
def collect(store: str | None, runs: int, jobs: int, **plan: Any) -> None:
    """Collect runs: regimes at random, on small tasks that are drawn here, or on folders of real images.

    The same options give the same plan. What has been done stays done: started again, the command goes on
    where it was stopped, and with more --runs it does more.
    """
    from .experience_collect import collect_runs

    collect_runs(store, runs, jobs, **plan)


@experience.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the two files of the prior.",
)
@STORE
def prior(store: str | None, output: Path) -> None:
    """Make of the store's runs what the advisor starts from: the prior that the package brings was made so.

    It is used from where the package has it, in nni_nasoa/advisor/prior.
    """
    from nni_nasoa.advisor import ExperienceStore
    from nni_nasoa.advisor.accuracy.predictor import write_prior

    with clear_errors():
        opened = closed_at_the_end(ExperienceStore(store, create=False))
        made = write_prior(opened.records(), output)
    click.echo(f"learned from {_runs(made.seen)}; written to {output}")
