"""`nasoa figures budgets` and `block-search`: drawn from what was recorded, here or by yourself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .figures_of_runs import output_option
from .terminal import clear_errors


def _records(what: str) -> Callable[[Any], Any]:
    """The option that names one's own records, in place of those that come with the package."""
    return click.option(
        "--records",
        type=click.Path(dir_okay=False, path_type=Path),
        help=f"{what}; by default what comes with the package.",
    )


@click.command()
@output_option("budgets.png")
@_records("An advisor_budgets.json as examples/benchmarks/advisor_budgets.py writes it")
def budgets(output: Path, records: Path | None) -> None:
    """Draw the advised run against the best of each series of networks, within several budgets.

    By default that is what was recorded on six small tasks, with the paper's claim beside it.
    """
    from nni_nasoa.figures.budgets import draw_budgets
    from nni_nasoa.figures.paper import check_picture
    from nni_nasoa.figures.time_limits import read_time_limits, shipped_time_limits

    with clear_errors():
        check_picture(output)
        limits = read_time_limits(records) if records else shipped_time_limits()
        click.echo(f"written to {draw_budgets(limits, output)}, from {limits.where}")


@click.command("block-search")
@output_option("block-search.png")
@_records("Results of a search, such as the results.csv that `nasoa report` writes")
def block_search(output: Path, records: Path | None) -> None:
    """Draw the blocks that a search tried, with the classic blocks in red.

    By default that is a search on the digits with the macro fixed; experiment_configs/search_block.yml is one
    of your own.
    """
    from nni_nasoa.figures.block_search import draw_block_search, read_block_search, shipped_block_search
    from nni_nasoa.figures.paper import check_picture

    with clear_errors():
        check_picture(output)
        search = read_block_search(records) if records else shipped_block_search()
        click.echo(f"written to {draw_block_search(search, output)}, from {search.where}")
