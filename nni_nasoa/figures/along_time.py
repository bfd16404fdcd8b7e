"""Draw accuracy along time for several models on one axis (NASOA, arXiv 2108.03434, figures 6 and 7)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from .paper import COLORS, MARKERS, check_picture, label_ends, log_axis, save, sheet, titles
from .runs import RecordedRun, RunsError, duration
from .series import dataset_titles, lines_of, seeds_of, shared, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_MINUTES_FROM = 180  # Seconds from which on runs are drawn in minutes.


def draw_along_time(runs: Sequence[RecordedRun], path: str | os.PathLike) -> Path:
    """Draw `along_time_figure` into an image file, whose suffix (.png, .svg, .pdf, ..) says the format."""
    check_picture(path)
    return save(along_time_figure(runs), path)


def along_time_figure(runs: Sequence[RecordedRun]) -> Figure:
    """Draw accuracy along time, a panel for each dataset, a line for each model or what else runs differ in.

    A run's schedule depends on its budget: half way, a run of 60 s is not where one of 30 s ends. So with
    several budgets, the points are what runs of each budget have at their end, joined by a line, and thin
    lines are the longest runs from within. With one budget these lines are all there is. They show the best
    accuracy so far, which is what ending there would have saved.

    Points and lines are medians over seeds; bars and shades go from the lowest to the highest.

    Raises
    ------
    RunsError
        There are no runs.
    """
    if not runs:
        raise RunsError("no runs to draw")
    lines, datasets = lines_of(runs, ("budget",)), dataset_titles(runs)
    several = len({run.settings.budget for run in runs}) > 1
    longest = max(run.settings.budget for run in runs)
    unit, name = (60, "min") if longest >= _MINUTES_FROM else (1, "s")
    columns = min(_COLUMNS, len(datasets))
    rows = math.ceil(len(datasets) / columns)
    figure, panels = sheet(rows, columns, (7.2, 4.2) if columns == 1 else (4.9, 3.5))
    groups: list[list[RecordedRun]] = []
    ends = []
    for dataset, axes in zip_longest(datasets, (axes for row in panels for axes in row)):
        if dataset is None:
            axes.remove()
            continue
        axes.set_title(datasets[dataset], loc="left", fontsize=11, weight="bold", parse_math=False)
        axes.set_xlabel(f"time, {name}" if not several else f"budget, and time within a run, {name}")
        axes.set_ylabel("validation accuracy, %")
        of_axes = []
        for number, (label, of_line) in enumerate(lines.items()):
            by_budget = _by_budget(of_line, dataset)
            if not by_budget:
                continue
            style = {"color": COLORS[number % len(COLORS)], "label": label}
            end = _within(axes, by_budget[max(by_budget)], unit, style, alone=not several)
            if several:
                end = _over_budgets(axes, by_budget, unit, style | {"marker": MARKERS[number % len(MARKERS)]})
            of_axes += [(*end, label, style["color"])] if end else []
            groups += by_budget.values()
        ends.append((axes, of_axes))
        if several:
            log_axis(axes.xaxis)
        else:
            axes.set_xlim(0, 1.02 * longest / unit)
    caption = (
        ["points: what a run of that budget ends with; thin lines: best so far within the longest runs"]
        if several
        else ["best so far within a run, whose learning rate falls until its end"]
    )
    titles(
        figure,
        ", ".join(
            [
                "Accuracy along time",
                *shared(runs, "weights", "input_size"),
                *([] if several else [f"runs of {duration(longest)}"]),
            ]
        ),
        "; ".join(filter(None, [*caption, seeds_of(groups), *shared(runs, "device")])),
    )
    for axes, of_axes in ends:
        label_ends(figure, axes, of_axes)
    return figure


def _by_budget(runs: Sequence[RecordedRun], dataset: str) -> dict[float, list[RecordedRun]]:
    by_budget: dict[float, list[RecordedRun]] = {}
    for run in runs:
        if run.settings.dataset == dataset:
            by_budget.setdefault(run.settings.budget, []).append(run)
    return dict(sorted(by_budget.items()))


def course(runs: Sequence[RecordedRun]) -> list[tuple[float, float, float, float]]:
    """The best accuracy so far over runs, from when all have one until all are over.

    Returns
    -------
    (seconds, lowest, median, highest) for each time at which one of them changes.
    """
    curves = [points for run in runs if (points := run.best_so_far())]
    if not curves:
        return []
    start, end = max(points[0][0] for points in curves), max(run.seconds for run in runs)
    times = sorted({seconds for points in curves for seconds, _ in points if seconds >= start} | {end})
    return [
        (seconds, *spread(max(accuracy for at, accuracy in points if at <= seconds) for points in curves))
        for seconds in times
    ]


def _within(
    axes: Axes, runs: Sequence[RecordedRun], unit: float, style: dict, alone: bool
) -> tuple[float, float] | None:
    """The course of runs as steps; where it is `alone`, it is the line that counts."""
    points = [(seconds / unit, *(100 * value for value in values)) for seconds, *values in course(runs)]
    if not points:
        return None
    seconds, lowest, middle, highest = zip(*points)
    if alone:
        axes.fill_between(
            seconds, lowest, highest, step="post", color=style["color"], alpha=0.1, linewidth=0, zorder=1
        )
        axes.plot(seconds, middle, drawstyle="steps-post", linewidth=1.9, zorder=3, **style)
    else:
        thin = style | {"label": "_within", "linewidth": 1.1, "alpha": 0.5}
        axes.plot(seconds, middle, drawstyle="steps-post", zorder=2, **thin)
    return seconds[-1], middle[-1]


def _over_budgets(
    axes: Axes, by_budget: dict[float, list[RecordedRun]], unit: float, style: dict
) -> tuple[float, float] | None:
    """What runs of each budget have at their end."""
    spreads = {
        budget / unit: spread(100 * run.accuracy for run in group) for budget, group in by_budget.items()
    }
    known = {budget: bounds for budget, bounds in spreads.items() if not math.isnan(bounds[1])}
    if not known:
        return None
    lowest, middle, highest = zip(*known.values())
    axes.vlines(list(known), lowest, highest, color=style["color"], linewidth=1.2, zorder=2)
    axes.plot(list(known), middle, markersize=6, markerfacecolor="white", linewidth=1.9, zorder=3, **style)
    return list(known)[-1], middle[-1]
