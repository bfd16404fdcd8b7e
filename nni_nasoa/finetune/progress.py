"""Who watches a run: a live bar in a terminal or a notebook, a JSON-lines file of evaluations, callbacks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_nasoa.files import append_line
from nni_nasoa.notebook_bar import NotebookBar, in_notebook
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.values import MAX_REASON, one_line, reason

from .callbacks import Callback
from .options import Monitoring
from .output_folder import EVALUATIONS

if TYPE_CHECKING:
    from nni_nasoa.training.regime import FineTuneRegime

    from .results import FineTuneResult

REFRESH_SECONDS = 0.2  # Between two pictures of the bar.


class Watcher:
    """Does nothing; what a run calls.

    Attributes
    ----------
    name
        What it writes, in words.
    """

    name = "what watches the run"

    def step(self, elapsed: float, loss: float, accuracy: float | None) -> None:
        """Some steps were taken. `accuracy` is the latest on the validation part."""

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """An evaluation was made."""

    def note(self, text: str) -> None:
        """Something went differently from what was asked for."""

    def start(self, dataset: str, regime: FineTuneRegime) -> None:
        """The run begins."""

    def end(self, result: FineTuneResult) -> None:
        """The classifier is there."""

    def close(self) -> None:
        """The run is over."""


class Watchers(Watcher):
    """All that watch a run. One that can write no more, to a full disk or a closed terminal, watches no more.

    Attributes
    ----------
    lost
        Why, a line for each of those.
    """

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        self.lost: list[str] = []

    def add(self, watcher: Watcher) -> None:
        """One more watches."""
        self.watchers.append(watcher)

    def step(self, elapsed: float, loss: float, accuracy: float | None) -> None:
        """Tell all of them."""
        self._tell(lambda watcher: watcher.step(elapsed, loss, accuracy))

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Tell all of them."""
        self._tell(lambda watcher: watcher.evaluation(record))

    def note(self, text: str) -> None:
        """Tell all of them."""
        self._tell(lambda watcher: watcher.note(text))

    def start(self, dataset: str, regime: FineTuneRegime) -> None:
        """Tell all of them."""
        self._tell(lambda watcher: watcher.start(dataset, regime))

    def end(self, result: FineTuneResult) -> None:
        """Tell all of them."""
        self._tell(lambda watcher: watcher.end(result))

    def close(self) -> None:
        """Tell all of them."""
        self._tell(lambda watcher: watcher.close())

    def _tell(self, told: Callable[[Watcher], None]) -> None:
        for watcher in list(self.watchers):
            try:
                told(watcher)
            except OSError as error:
                self.watchers.remove(watcher)
                self.lost.append(f"{watcher.name} cannot be written any more ({reason(error)})")


class EvaluationsFile(Watcher):
    """A JSON line for each evaluation as it is made; with its first one a new run starts the file afresh."""

    name = "the file of evaluations"

    def __init__(self, path: str | os.PathLike) -> None:
        self._path, self._first = Path(path), True
        try:
            self._path.open("ab").close()
        except OSError as error:
            raise FineTuneError(f"{path}: cannot be written ({reason(error)})") from None

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Write it down."""
        if self._first:  # the file has belonged to the classifier of an earlier run until now
            self._path.write_bytes(b"")
            self._first = False
        append_line(self._path, record)

    def close(self) -> None:
        """Leave no file that is empty."""
        if not self._path.stat().st_size:  # the run did not come to an evaluation, nor did one before it
            self._path.unlink()


class Bar(Watcher):
    """Elapsed time and budget, loss and accuracy in one line; where that stands, its kinds say."""

    def __init__(self, budget: float) -> None:
        self._budget, self._shown = budget, -1.0

    def step(self, elapsed: float, loss: float, accuracy: float | None) -> None:
        """Show it, unless something was shown just now."""
        if elapsed - self._shown >= REFRESH_SECONDS:
            self._tell(elapsed, _state(loss, accuracy))

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Show it: a head is fitted in no steps."""
        self._tell(record["elapsed"], _state(record["train_loss"], record["val_accuracy"]))

    def _tell(self, elapsed: float, state: str) -> None:
        self._shown = elapsed
        self._show(elapsed, state)

    def _show(self, elapsed: float, state: str) -> None:
        raise NotImplementedError


class LiveBar(Bar):
    """The line of a terminal; notes are above it."""

    name = "the terminal"

    def __init__(self, budget: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(budget)
        self._progress = Progress(
            TextColumn("{task.fields[time]}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[state]}"),
            console=Console(stderr=True, highlight=False, markup=False),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("", total=budget, time=_time(0, budget), state="opening")
        self._progress.start()
        self._progress.refresh()

    def _show(self, elapsed: float, state: str) -> None:
        self._progress.update(
            self._task,
            completed=min(elapsed, self._budget),
            time=_time(elapsed, self._budget),
            state=state,
            refresh=True,
        )

    def note(self, text: str) -> None:
        """Write it above the bar."""
        self._progress.console.print(text)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


class BarInNotebook(Bar):
    """A notebook's output, where its last state stays; notes are below it."""

    name = "the notebook"

    def __init__(self, budget: float) -> None:
        super().__init__(budget)
        self._bar = NotebookBar(f"{_time(0, budget)}  opening")

    def _show(self, elapsed: float, state: str) -> None:
        self._bar.show(elapsed / self._budget, f"{_time(elapsed, self._budget)}  {state}")

    def note(self, text: str) -> None:
        """Write it below the bar."""
        sys.stderr.write(f"{text}\n")

    def close(self) -> None:
        """Show what it was in the end."""
        self._bar.close()


class Called(Watcher):
    """A callback, which is called no more once it has raised an error.

    Parameters
    ----------
    callback
        May lack any of the methods of `Callback`.
    lost
        Gets a line about that.
    """

    def __init__(self, callback: Callback, lost: list[str]) -> None:
        self._callback, self._lost, self._failed = callback, lost, False

    def start(self, dataset: str, regime: FineTuneRegime) -> None:
        """The run begins; a FineTuneError says that it may not."""
        self._call("on_start", dataset, regime)

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Tell it."""
        self._call("on_evaluation", dict(record))

    def end(self, result: FineTuneResult) -> None:
        """Tell it."""
        self._call("on_end", result)

    def close(self) -> None:
        """Tell it."""
        self._call("close")

    def _call(self, name: str, *arguments: Any) -> None:
        method = getattr(self._callback, name, None)
        if method is None or (self._failed and name != "close"):
            return
        try:
            method(*arguments)
        except Exception as error:
            if name == "on_start" and isinstance(error, FineTuneError):
                raise
            self._failed = True
            kind = type(self._callback).__name__
            said = one_line(f"{type(error).__name__}: {error}", MAX_REASON)
            self._lost.append(f"callback {kind}, {name}: {said}; it is called no more")


@contextmanager
def watching(
    budget: float, folder: Path | None, monitoring: Monitoring, callbacks: Iterable[Callback] = ()
) -> Iterator[Watchers]:
    """The watchers that were asked for, and the file of evaluations in the folder, where there is one."""
    watchers = Watchers()
    try:
        if folder is not None:
            watchers.add(EvaluationsFile(folder / EVALUATIONS))
        for callback in callbacks:
            watchers.add(Called(callback, watchers.lost))
        notebook = in_notebook()
        if (notebook or sys.stderr.isatty()) if monitoring.bar is None else monitoring.bar:
            watchers.add(BarInNotebook(budget) if notebook else LiveBar(budget))
        yield watchers
    finally:
        watchers.close()


def _state(loss: float | None, accuracy: float | None) -> str:
    parts = [
        f"loss {loss:.3f}" if loss is not None else "",
        f"val {100 * accuracy:.2f}%" if accuracy is not None else "",
    ]
    return "  ".join(filter(None, parts))


def _time(elapsed: float, budget: float) -> str:
    def text(seconds: float) -> str:
        return f"{int(seconds // 60)}:{seconds % 60:04.1f}"

    return f"{text(elapsed)} / {text(budget)}"
