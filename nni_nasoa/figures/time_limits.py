"""Accuracies within time limits, as benchmarks record them: the advised runs, and networks beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nni_nasoa.files import read_json
from nni_nasoa.values import POSITIVE, SHARE, mapping, reason, text

from .paper import where_recorded

ADVISED = "advised"
_SHIPPED = Path(__file__).with_name("time_limits.json")
_NAME, _ACCURACIES = text("a name"), mapping(SHARE)


@dataclass(frozen=True)
class Cell:
    """A task within a budget.

    Parameters
    ----------
    task, budget
        The task's name, and the budget in seconds.
    advised
        Accuracy of the advised run, 0 to 1.
    series
        Accuracies of the networks of each series, by the network, the smallest first.
    """

    task: str
    budget: float
    advised: float
    series: Mapping[str, Mapping[str, float]]

    def upper_bound(self, series: str) -> float:
        """What the best of a series, known in hindsight, has."""
        return max(self.series[series].values())


@dataclass(frozen=True)
class TimeLimits:
    """All cells of a recording, and where they were recorded, in words."""

    cells: tuple[Cell, ...]
    where: str

    @property
    def tasks(self) -> list[str]:
        """The tasks, in the order of the cells."""
        return list(dict.fromkeys(cell.task for cell in self.cells))

    @property
    def budgets(self) -> list[float]:
        """The budgets of any task, in seconds, ascending."""
        return sorted({cell.budget for cell in self.cells})

    @property
    def series(self) -> list[str]:
        """The series that networks are of."""
        return list(self.cells[0].series)

    def points_above(self, series: str, budget: float) -> float:
        """By how many points the advised runs are above the upper bound of a series; mean of the tasks."""
        points = [
            100 * (cell.advised - cell.upper_bound(series)) for cell in self.cells if cell.budget == budget
        ]
        return sum(points) / len(points)


def shipped_time_limits() -> TimeLimits:
    """What comes with the package, from the recorded data of examples/benchmarks."""
    return time_limits_of(read_json(_SHIPPED), str(_SHIPPED))


def read_time_limits(path: str | os.PathLike) -> TimeLimits:
    """Read what examples/benchmarks/advisor_budgets.py writes.

    Raises
    ------
    ValueError
        The file cannot be read, or is none of accuracies within time limits.
    """
    try:
        read = read_json(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({reason(error)})") from None
    return time_limits_of(read, str(path))


def time_limits_of(read: Any, place: str) -> TimeLimits:
    """What is in a value as the benchmark writes it; `place` is what an error names.

    Raises
    ------
    ValueError
        It is another value.
    """
    try:
        names = [_NAME(f"{place}: series", name, ValueError) for name in read["series"]]
        cells = tuple(
            _cell(cell, names, f"{place}: cell {k}") for k, cell in enumerate(read["cells"], start=1)
        )
        where = where_recorded(read.get("environment") or {}, read.get("file") or Path(place).name)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{place}: no accuracies within time limits, as advisor_budgets.py writes them "
            f"({type(error).__name__}: {error})"
        ) from None
    if not cells or not names:
        raise ValueError(f"{place}: there is no task within a budget in it")
    return TimeLimits(cells, where)


def _cell(read: Mapping[str, Any], names: list[str], place: str) -> Cell:
    for name in names:
        if not read[name]:
            raise ValueError(f"{place}: no networks of {name}")
    return Cell(
        _NAME(f"{place}: task", read["task"], ValueError).removeprefix("task:"),
        POSITIVE(f"{place}: budget", read["budget"], ValueError),
        SHARE(f"{place}: {ADVISED}", read[ADVISED], ValueError),
        {name: _ACCURACIES(f"{place}: {name}", read[name], ValueError) for name in names},
    )
