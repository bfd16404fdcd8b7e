"""What a user sees of a search on the terminal (`nnictl create --foreground`): a line for each result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from nni_nasoa.search.problem import Objective

from .experiments import read_config, read_seconds


class ResultLines:
    """Tells of results: how many there are, the objectives, the front, and the time that is left.

    Parameters
    ----------
    folder
        The experiment's; None outside of one, where nothing is told.
    now
        The clock, in seconds.
    """

    def __init__(self, folder: Path | None, now: Callable[[], float] = time.monotonic) -> None:
        self._tells, self._now = folder is not None, now
        self._first: int | None = None  # the trials that had ended in an earlier process
        config = read_config(folder) if folder is not None else {}
        self._trials: int | None = config.get("maxTrialNumber")
        self._start, self._end = now(), None if folder is None else _end(config, folder, now())

    def tell(
        self,
        metrics: Mapping[str, Any],
        objectives: Sequence[Objective],
        *,
        count: int,
        ended: int,
        front: int,
        notes: Iterable[str] = (),
    ) -> None:
        """Tell of a result.

        Parameters
        ----------
        metrics, objectives
            What was reported, and what of it is told.
        count
            The results so far, this one included.
        ended
            The trials that have ended, without a result or with one.
        front
            How many results are on the front.
        notes
            What else there is to say; empty ones are left out.
        """
        if not self._tells:
            return
        values = ", ".join(_shown(objective.name, metrics.get(objective.name)) for objective in objectives)
        of = "" if self._trials is None else f" of {self._trials}"
        left = "" if (seconds := self._left(ended)) is None else f", {_time(seconds)} left"
        more = "".join(f"; {note}" for note in notes if note)
        say(f"result {count}{of}: {values}; {front} on the front{left}{more}")

    def _left(self, ended: int) -> float | None:
        """Seconds until the time is up, or until all trials have ended at the pace so far."""
        now = self._now()
        left = [] if self._end is None else [self._end - now]
        if self._first is None:  # what ended before, in an earlier process, was not in this time
            self._first = ended - 1
        if self._trials is not None:
            left.append((now - self._start) / (ended - self._first) * (self._trials - ended))
        return max(0.0, min(left)) if left else None


def say(line: str) -> None:
    """Print a line of a tuner, which harms nothing where its terminal is gone."""
    with suppress(OSError, ValueError):
        click.echo(line)


def _shown(name: str, value: Any) -> str:
    words = name.replace("_", " ")
    if name == "accuracy" and isinstance(value, float) and 0 <= value <= 1:
        return f"{words} {100 * value:.2f} %"
    return f"{words} {value:.4g}" if isinstance(value, float) else f"{words} {value}"


def _end(config: Mapping[str, Any], folder: Path, now: float) -> float | None:
    """When the time is up that a config gives its experiment; None where it gives no limit."""
    from nni.experiment.config.utils import parse_time

    limit = config.get("maxExperimentDuration")
    return None if limit is None else now + parse_time(limit) - read_seconds(folder)


def _time(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 90
        else f"{seconds / 60:.0f} min"
        if seconds < 5400
        else f"{seconds / 3600:.1f} h"
    )
