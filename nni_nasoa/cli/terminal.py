"""What the commands share: errors of one line, and tables."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from nni_nasoa.values import NUMBER


class OneLine(click.Command):
    """A command that says what is wrong with its options in one line, without its usage before it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The command as a process, which ends here.

        The interpreter's own end walks through all of torch, past a deadline.
        """
        try:
            return super().__call__(*args, **kwargs)
        except SystemExit as ending:
            if "torch" in sys.modules and isinstance(ending.code, (int, type(None))):
                _end_now(ending.code or 0)
            raise

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options, as `click.Command` does it."""
        with _without_usage():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, as `click.Command` does it."""
        with _without_usage():
            return super().invoke(ctx)


class OneLineGroup(OneLine, click.Group):
    """A group whose commands are so, too."""


def _end_now(status: int) -> None:
    """End the process, when all that asked for it has been called and all that was written is out."""
    atexit._run_exitfuncs()  # `os._exit` would leave them out, and there is no public way to call them
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # the interpreter says so
    os._exit(status)


@contextmanager
def _without_usage() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        # A newer click has this error for a group alone, whose help it shows.
        if not isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            error.ctx = None  # else its usage would be shown
        raise


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn what a user can get wrong into one line on stderr and exit status 1."""
    from sqlite3 import Error as DatabaseError

    from nni_nasoa.training.errors import FineTuneError

    try:
        yield
    except (ValueError, OSError, DatabaseError, FineTuneError) as error:
        raise click.ClickException(str(error)) from None


def cell(value: Any, factor: float, form: str) -> str:
    """A value in a table.

    Parameters
    ----------
    value
        Any JSON value; what is no number stands as `text` gives it.
    factor, form
        What a number is multiplied by, such as 100 for percent, and a format such as ".2f".
    """
    return format(value * factor, form) if NUMBER.allows(value) else text(value)


def text(value: Any) -> str:
    """A JSON value as text: a text as it is, and a dash for None and NaN."""
    return "-" if value is None or value != value else value if isinstance(value, str) else json.dumps(value)


def printable(text: str) -> str:
    """A text from outside, such as the name of a file, as it may be printed on one line of a terminal."""
    from nni_nasoa.data.left_out import readable

    return readable(text)


def print_table(title: str, headings: list[str], rows: list[list[str]], lines: list[str]) -> None:
    """Print a table of which the first columns are figures and the last is text that may be long."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    for heading in headings[:-1]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column(headings[-1], overflow="fold", min_width=8)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, highlight=False, emoji=False)
    console.print(table)
    for line in lines:
        console.print(line, soft_wrap=True)
