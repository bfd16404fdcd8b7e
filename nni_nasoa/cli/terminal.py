"""What the commands share: errors of one line, and tables."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager

import click


@contextmanager
def clear_errors():
    """Turn what a user can get wrong into one line on stderr and exit status 1."""
    from sqlite3 import Error as DatabaseError

    from nni_nasoa.finetune.results import FineTuneError

    try:
        yield
    except (ValueError, OSError, DatabaseError, FineTuneError) as error:
        raise click.ClickException(str(error)) from None


def cell(value, factor: float, form: str) -> str:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return format(value * factor, form) if is_number else text(value)


def text(value) -> str:
    return "-" if value is None or value != value else value if isinstance(value, str) else json.dumps(value)


def print_table(title: str, headings: list[str], rows: list[list[str]], lines: list[str]) -> None:
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
