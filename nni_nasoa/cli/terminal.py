"""What the commands share: errors of one line, and tables."""

from __future__ import annotations

import atexit
import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, TextIO, TypeVar

import click

from nni_nasoa.values import NUMBER, one_line, reason

Resource = TypeVar("Resource", bound=AbstractContextManager)
MAX_LINE = 1000  # characters of an error, in which paths may stand
_LOST = "what was to be printed is lost"


class OneLine(click.Command):
    """A command that says what is wrong with its options in one line, without its usage before it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The command as a process, which ends here.

        The interpreter's own end walks through all of torch, past a deadline.
        """
        prepare_streams()
        try:
            return super().__call__(*args, **kwargs)
        except SystemExit as ending:
            if isinstance(ending.code, (int, type(None))):
                status = _flushed(ending.code or 0)
                if "torch" in sys.modules:
                    _end_now(status)
                raise SystemExit(status) from None
            raise

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options, as `click.Command` does it."""
        with _without_usage():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, as `click.Command` does it."""
        with _without_usage(), _clear_system_errors():
            return super().invoke(ctx)


class OneLineGroup(OneLine, click.Group):
    """A group whose commands are so, too."""


def prepare_streams() -> None:
    """Have the standard streams take all that is written to them.

    Those that were closed (`>&-`) lead nowhere, or the next file that is opened would have their number. What
    a stream cannot encode, such as a file's name that is not in UTF-8, is escaped.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        if getattr(sys, name) is None:
            opened = open(number, "w" if number else "r", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, opened)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def output_may_be_lost() -> Iterator[None]:
    """Print in this context what is not the point of a command: where it cannot be printed, its work stands.

    The disk may be full where the output goes, the pipe or the terminal closed.
    """
    try:
        yield
    except OSError as error:
        _lead_nowhere(sys.stdout)
        tell_aside(f"note: {_LOST} ({reason(error)})")


def tell_aside(line: str) -> None:
    """Print a line on stderr, if that can be."""
    with suppress(OSError):
        click.echo(line, err=True)


@contextmanager
def _clear_system_errors() -> Iterator[None]:
    """Turn an error of the system, such as of writing to stdout, into one line; a closed pipe is click's."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT) and error.filename is None:
            _lead_nowhere(sys.stdout)
            raise click.ClickException(f"{_LOST} ({reason(error)})") from None
        raise click.ClickException(str(error)) from None


def _lead_nowhere(stream: TextIO) -> None:
    """Have what is still to be written to a stream go nowhere, also what it holds in its buffer."""
    with suppress(OSError, ValueError):  # a stream without a number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _flushed(status: int) -> int:
    """The status to end with, when all that was written is out; 1 in place of 0 where it cannot be."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            _lead_nowhere(stream)
            status = status or 1
    return status


def _end_now(status: int) -> None:
    """End the process, when all that asked for it has been called."""
    atexit._run_exitfuncs()  # `os._exit` would leave them out, and there is no public way to call them
    os._exit(_flushed(status))


@contextmanager
def _without_usage() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        # A newer click has this error for a group alone, whose help it shows.
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            raise
        if len(said := error.format_message()) > MAX_LINE:
            raise click.UsageError(one_line(said, MAX_LINE)) from None
        error.ctx = None  # else its usage would be shown
        raise
    except click.ClickException as error:
        if len(said := error.format_message()) > MAX_LINE:
            raise click.ClickException(one_line(said, MAX_LINE)) from None
        raise


def closed_at_the_end(resource: Resource) -> Resource:
    """A store, or what else can be closed, which is closed when the command ends."""
    return click.get_current_context().with_resource(resource)


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
