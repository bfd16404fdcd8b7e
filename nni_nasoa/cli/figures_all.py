"""`nasoa figures overview` and `nasoa figures all`: with what the user has, and all figures on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .figures_of_runs import output_option
from .options import STORE
from .terminal import clear_errors

if TYPE_CHECKING:
    from nni_nasoa.figures.overview import Inventory


@click.command()
@output_option("overview.png")
@STORE
def overview(output: Path, store: str | None) -> None:
    """Draw how search and advice work together, with the experiments, networks and runs that you have."""
    from nni_nasoa.figures.overview import draw_overview
    from nni_nasoa.figures.paper import check_picture

    with clear_errors():
        check_picture(output)
        click.echo(f"written to {draw_overview(inventory(store), output)}")


@click.command("all")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default="nasoa-figures",
    show_default=True,
    help="Folder for the figures and index.html; what the page's commands have made there is drawn, too.",
)
@STORE
def all_figures(output: Path, store: str | None) -> None:
    """Make all figures that need no runs, and a page that shows them.

    Each is there as PNG and as SVG. For those that need runs, the page has the command that makes them.
    """
    from nni_nasoa.figures.gallery import draw_all

    with clear_errors():
        page, *files = draw_all(output, inventory(store))
        click.echo(f"written to {page}, with {len(files)} files beside it")


def inventory(store: str | None) -> Inventory:
    """Count what the user has; a default store that is not there yet has no runs.

    Raises
    ------
    StoreError
        The store cannot be read.
    """
    from nni_nasoa import zoo
    from nni_nasoa.advisor import ExperienceStore
    from nni_nasoa.advisor.accuracy.predictor import prior_records
    from nni_nasoa.figures.overview import Inventory
    from nni_nasoa.files import default_store
    from nni_nasoa.plugin.experiments import known_experiments
    from nni_nasoa.zoo.available import available_models

    location, tasks = store or default_store(), []
    if store or "://" in location or Path(location).exists():
        with ExperienceStore(location, create=False) as opened:
            location, tasks = opened.location, [run.task for run in opened.records()]
    return Inventory(
        len(known_experiments()),
        len(zoo.list_models()),
        len(available_models()),
        len(prior_records()),
        len(tasks),
        len(set(tasks)),
        location,
    )
