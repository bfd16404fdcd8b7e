"""Work on many files: in threads, with a progress bar."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

from nni_nasoa.device.processor import allowed_processors


def in_threads(function: Callable, items: Iterable) -> Iterator:
    """Like map, in order, some items ahead of what was consumed; reading, hashing and decoding release the interpreter."""
    items, workers = iter(items), len(allowed_processors())
    with ThreadPoolExecutor(workers) as pool:
        ahead = deque(pool.submit(function, item) for item in islice(items, 8 * workers))
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(items, 1))


@contextmanager
def progress_bar(text: str, total: int, show: bool | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on stderr, which goes from a terminal when it is done; yields a function that is told of items done.

    Parameters
    ----------
    show
        None shows it where stderr is a terminal.
    """
    if not (sys.stderr is not None and sys.stderr.isatty() if show is None else show):
        yield lambda done: None
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
