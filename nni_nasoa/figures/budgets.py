"""Draw the advised run against the upper bound of each series (NASOA, arXiv 2108.03434, figure 5)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .paper import COLORS, FADED, INK, RED, check_picture, log_axis, save, sheet, titles
from .time_limits import Cell, TimeLimits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PUBLISHED_POINTS = (2.1, 7.4)
"""The mean points above the upper bounds of RegNet and of EfficientNet that the paper reports of figure 5."""
_COLUMNS = 4
_STYLES = tuple(zip((COLORS[0], COLORS[2], COLORS[3], COLORS[4], COLORS[5]), "o^DvX"))


def draw_budgets(limits: TimeLimits, path: str | os.PathLike) -> Path:
    """Draw `budgets_figure` into an image file, whose suffix (.png, .svg, .pdf, ..) says the format."""
    check_picture(path)
    return save(budgets_figure(limits), path)


def budgets_figure(limits: TimeLimits) -> Figure:
    """Draw accuracy within each budget, a panel for each task, and how far the advised runs are above.

    Red squares are the advised runs, each made once; a line is the upper bound of a series: the best of its
    networks, which is known in hindsight only; faint points are the networks. The last panel has the mean
    points of the advised runs above each upper bound, and what the paper claims of its own as a shade.
    """
    figure, rows = sheet(
        -(-(len(limits.tasks) + 1) // _COLUMNS), min(_COLUMNS, len(limits.tasks) + 1), (3.4, 3.0)
    )
    panels = [axes for row in rows for axes in row]
    for axes, task in zip(panels, limits.tasks):
        _task(axes, [cell for cell in limits.cells if cell.task == task], limits.series)
        axes.set_title(task, loc="left", fontsize=10, weight="bold", color=INK, parse_math=False)
    summary, *empty = panels[len(limits.tasks) :]
    _summary(summary, limits)
    handles, labels = panels[0].get_legend_handles_labels()
    for axes in empty:
        axes.set_axis_off()
    beside = empty[0] if empty else panels[0]
    beside.legend(
        handles, labels, loc="center" if empty else "best", frameon=False, fontsize=9 if empty else 7
    )
    titles(
        figure,
        "Within a time limit: one advised run against the best of each series, known in hindsight",
        f"All points were measured: validation accuracy on {limits.where}. Faint points: the networks of a "
        "series, with the default hyperparameters. Shade: the paper's claim, of ImageNet networks on GPUs.",
    )
    return figure


def _task(axes: Axes, cells: Sequence[Cell], series: Sequence[str]) -> None:
    cells = sorted(cells, key=lambda cell: cell.budget)
    budgets = [cell.budget for cell in cells]
    for name, (color, marker) in zip(series, _STYLES):
        faint = [(cell.budget, 100 * value) for cell in cells for value in cell.series[name].values()]
        axes.plot(*zip(*faint), marker, color=color, markersize=3, alpha=0.3)
        bound = [100 * cell.upper_bound(name) for cell in cells]
        axes.plot(
            budgets, bound, marker=marker, color=color, linewidth=1.2, markersize=4.5, label=f"best {name}"
        )
    advised = [100 * cell.advised for cell in cells]
    axes.plot(budgets, advised, "s", color=RED, markersize=7, zorder=5, label="advised, one run")
    _seconds(axes, budgets)
    axes.set_ylabel("accuracy, %")


def _summary(axes: Axes, limits: TimeLimits) -> None:
    """The mean points above each upper bound."""
    axes.axhspan(*PUBLISHED_POINTS, color=COLORS[1], alpha=0.14, linewidth=0, zorder=0)
    axes.axhline(0, color=FADED, linewidth=1)
    for name, (color, marker) in zip(limits.series, _STYLES):
        points = [limits.points_above(name, budget) for budget in limits.budgets]
        axes.plot(limits.budgets, points, marker=marker, color=color, linewidth=1.2, markersize=4.5)
    low, high = PUBLISHED_POINTS
    axes.annotate(
        f"published: {low} to {high}",
        (0.5, (low + high) / 2),
        xycoords=("axes fraction", "data"),
        ha="center",
        va="center",
        fontsize=8.5,
        color=COLORS[7],
    )
    _seconds(axes, limits.budgets)
    axes.set_title("all tasks", loc="left", fontsize=10, weight="bold", color=INK)
    axes.set_ylabel("points above the best, mean")


def _seconds(axes: Axes, budgets: Sequence[float]) -> None:
    log_axis(axes.xaxis)
    axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
    axes.set_xlabel("budget, s")
