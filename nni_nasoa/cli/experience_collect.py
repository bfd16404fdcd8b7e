"""`nasoa experience collect`, with a bar and a table at the end."""

from __future__ import annotations

import signal
import statistics
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .terminal import cell, clear_errors, closed_at_the_end, print_table

if TYPE_CHECKING:
    from nni_nasoa.experience.records import RunRecord

EVERY = 20  # runs between two lines, where there is no terminal
ESTIMATED_OVER = 600  # seconds whose speed tells the time that is left


def collect_runs(location: str | None, runs: int, jobs: int, **options: Any) -> None:
    """Collect runs into the store at a location; `options` are those of `make_plan`."""
    from nni_nasoa.advisor import ExperienceStore
    from nni_nasoa.making.collecting import collect, missing
    from nni_nasoa.making.collecting_jobs import JobError
    from nni_nasoa.making.collecting_plan import make_plan

    with clear_errors(), _terminable():
        plan = make_plan(**options)
        store = closed_at_the_end(ExperienceStore(location))
        left = missing(plan, store, runs)
        try:
            with Bar(sum(run.budget for run in left), runs - len(left), runs) as bar:
                collect(plan, location, runs, jobs=jobs, on_record=lambda run, _: bar.advance(run.budget))
        except JobError as error:
            raise click.ClickException(str(error)) from None
        except KeyboardInterrupt:
            done = runs - len(missing(plan, store, runs))
            click.echo(f"Stopped after {done} of {runs} runs; the same command goes on from there.", err=True)
            raise SystemExit(130) from None
        ids = {run.id for run in plan.runs(runs)}
        _print_table([record for record in store.records() if record.id in ids], store.location)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and SIGHUP are as Ctrl-C here; one that is ignored stays so."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    ending = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, stop) for number in ending}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Bar:
    """A bar of the budgets' seconds, with the time left; where stderr is no terminal, a line now and then."""

    def __init__(self, seconds: float, done: int, runs: int):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            speed_estimate_period=ESTIMATED_OVER,
            disable=not self._console.is_terminal,
        )
        self._done, self._runs = done, runs
        self._task = self._progress.add_task(self._text(), total=seconds)

    def _text(self) -> str:
        return f"{self._done} of {self._runs} runs"

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, seconds: float) -> None:
        """A run of this budget is done."""
        self._done += 1
        self._progress.update(self._task, advance=seconds, description=self._text())
        if self._progress.disable and (self._done % EVERY == 0 or self._done == self._runs):
            click.echo(self._text(), err=True)


def _print_table(records: list[RunRecord], location: str) -> None:
    """What came out, by task."""
    by_task: dict[str, list[RunRecord]] = defaultdict(list)
    for record in records:
        by_task[record.task].append(record)
    rows = []
    for task, of_task in sorted(by_task.items()):
        accuracies = sorted(record.accuracy for record in of_task if record.accuracy is not None)
        spread = (accuracies[0], statistics.median(accuracies), accuracies[-1]) if accuracies else (None,) * 3
        rows.append(
            [
                str(len(of_task)),
                str(len(of_task) - len(accuracies)),
                *(cell(value, 100, ".1f") for value in spread),
                task,
            ]
        )
    print_table(
        "Collected",
        ["runs", "not ok", "lowest\n%", "median\n%", "highest\n%", "task"],
        rows,
        [f"{len(records)} runs in {location}"],
    )
