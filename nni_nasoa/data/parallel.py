"""Work on many files: in threads, with a progress bar."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import TypeVar

from nni_nasoa.device.processor import allowed_processors
from nni_nasoa.notebook_bar import NotebookBar, in_notebook

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Like map, in order, some items ahead of what was consumed.

    It pays for reading, hashing and decoding, which release the interpreter.
    """
    rest, workers = iter(items), len(allowed_processors())
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(function, item) for item in islice(rest, 8 * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(rest, 1))


@contextmanager
def progress_bar(text: str, total: int, show: bool | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr; yields a function that is told how many more items are done.

    Where stderr is a terminal, the bar goes when all is done.

    Parameters
    ----------
    show
        None shows it in a notebook, and where stderr is a terminal.
    """
    notebook = in_notebook()
    if not (notebook or (sys.stderr is not None and sys.stderr.isatty()) if show is None else show):
        yield lambda _: None
        return
    if notebook:
        yield from _in_notebook(text, total)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as progress:
        task = progress.add_task(escape(text), total=total)
        yield lambda done: progress.advance(task, done)


def _in_notebook(text: str, total: int) -> Iterator[Callable[[int], None]]:
    bar, done = NotebookBar(text), 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        bar.show(done / max(1, total), f"{text}, {done} of {total}")

    try:
        yield advance
    finally:
        bar.close()
