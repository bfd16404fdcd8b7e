"""Who watches a run: a live bar in a terminal, a JSON-lines file of evaluations, TensorBoard."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nni_nasoa.files import append_line
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.values import reason

from .options import Monitoring
from .output_folder import EVALUATIONS

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


class LiveBar(Watcher):
    """Elapsed time and budget, loss and accuracy in one line of the terminal; notes above it."""

    name = "the terminal"

    def __init__(self, budget: float) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._budget, self._shown = budget, -1.0
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

    def step(self, elapsed: float, loss: float, accuracy: float | None) -> None:
        """Show it, unless something was shown just now."""
        if elapsed - self._shown < REFRESH_SECONDS:
            return
        self._shown = elapsed
        state = f"loss {loss:.3f}" + (f"  val {100 * accuracy:.2f}%" if accuracy is not None else "")
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


class TensorBoard(Watcher):
    """Scalars for TensorBoard, along the elapsed milliseconds.

    Raises
    ------
    FineTuneError
        The package tensorboard is missing, or the folder cannot be written.
    """

    name = "TensorBoard's log"

    def __init__(self, folder: str | os.PathLike) -> None:
        require_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        try:
            self._writer = SummaryWriter(str(folder), flush_secs=10)
        except OSError as error:
            raise FineTuneError(f"{folder}: TensorBoard's log cannot be written ({reason(error)})") from None

    def evaluation(self, record: Mapping[str, Any]) -> None:
        """Write its figures."""
        for key in ("val_accuracy", "val_loss", "train_loss", "learning_rate"):
            if record.get(key) is not None:
                self._writer.add_scalar(key, record[key], int(1000 * record["elapsed"]))

    def close(self) -> None:
        """Write what is not yet on the disk."""
        self._writer.close()


def require_tensorboard() -> None:
    """Raise FineTuneError where the package tensorboard is missing."""
    if find_spec("tensorboard") is None:
        raise FineTuneError(
            "TensorBoard's log needs the package tensorboard: pip install 'nni-nasoa[tensorboard]'"
        )


@contextmanager
def watching(budget: float, folder: Path | None, monitoring: Monitoring) -> Iterator[Watchers]:
    """The watchers that were asked for, and the file of evaluations in the folder, where there is one."""
    watchers = Watchers()
    try:
        if folder is not None:
            watchers.add(EvaluationsFile(folder / EVALUATIONS))
        if monitoring.tensorboard is not None:
            watchers.add(TensorBoard(monitoring.tensorboard))
        if sys.stderr.isatty() if monitoring.bar is None else monitoring.bar:
            watchers.add(LiveBar(budget))
        yield watchers
    finally:
        watchers.close()


def _time(elapsed: float, budget: float) -> str:
    def text(seconds: float) -> str:
        return f"{int(seconds // 60)}:{seconds % 60:04.1f}"

    return f"{text(elapsed)} / {text(budget)}"
