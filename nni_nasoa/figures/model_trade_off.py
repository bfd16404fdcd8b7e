"""Draw which of several models is best within which time (NASOA, arXiv 2108.03434, figure 6, right)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .paper import (
    COLORS,
    INK,
    MARKERS,
    check_picture,
    label_ends,
    label_points,
    log_axis,
    save,
    sheet,
    titles,
)
from .runs import RecordedRun, RunsError
from .series import dataset_titles, lines_of, seeds_of, shared, spread
from .time_limits import TimeLimits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3


@dataclass(frozen=True)
class TradeOff:
    """Accuracies of several models within several budgets, on several datasets.

    Parameters
    ----------
    accuracies
        Accuracies in percent by the budget in seconds, by the model, by the dataset.
    styles
        The colour and the marker of each model, counted from 0.
    caption
        What the points stand for, and where they were measured.
    """

    accuracies: Mapping[str, Mapping[str, Mapping[float, float]]]
    styles: Mapping[str, tuple[int, int]]
    caption: str

    def best(self, dataset: str) -> list[tuple[float, float, str]]:
        """(budget, accuracy, model) of the best model within each budget of a dataset."""
        models = self.accuracies[dataset]
        budgets = sorted({budget for points in models.values() for budget in points})
        return [
            (budget, *max((points[budget], name) for name, points in models.items() if budget in points))
            for budget in budgets
        ]


def trade_off_of_limits(limits: TimeLimits) -> TradeOff:
    """The networks of all series, those of a series in one colour; the advised runs are left out."""
    accuracies: dict[str, dict[str, dict[float, float]]] = {}
    styles = {}
    for cell in limits.cells:
        for color, networks in enumerate(cell.series.values()):
            for marker, (name, accuracy) in enumerate(networks.items()):
                styles[name] = (color, marker)
                of_task = accuracies.setdefault(cell.task, {})
                of_task.setdefault(name, {})[cell.budget] = 100 * accuracy
    return TradeOff(accuracies, styles, f"one run a point; {limits.where}")


def trade_off_of_runs(runs: Sequence[RecordedRun]) -> TradeOff:
    """The models of recorded runs, at the end of the runs of each budget: medians over seeds.

    Raises
    ------
    RunsError
        There are no runs with an accuracy.
    """
    datasets = dataset_titles(runs)
    accuracies: dict[str, dict[str, dict[float, float]]] = {}
    lines, groups = lines_of(runs, ("budget",)), []
    for label, of_line in lines.items():
        for dataset, title in datasets.items():
            for budget in sorted({run.settings.budget for run in of_line}):
                group = [
                    run for run in of_line if (run.settings.dataset, run.settings.budget) == (dataset, budget)
                ]
                middle = spread(100 * run.accuracy for run in group)[1]
                if not math.isnan(middle):
                    accuracies.setdefault(title, {}).setdefault(label, {})[budget] = middle
                    groups.append(group)
    if not accuracies:
        raise RunsError("no runs with an accuracy to draw")
    caption = [seeds_of(groups) or "one run a point", *shared(runs, "weights", "input_size", "device")]
    return TradeOff(accuracies, {label: (k, k) for k, label in enumerate(lines)}, "; ".join(caption))


def draw_model_trade_off(trade_off: TradeOff, path: str | os.PathLike) -> Path:
    """Draw `model_trade_off_figure` into an image file, whose suffix says the format."""
    check_picture(path)
    return save(model_trade_off_figure(trade_off), path)


def model_trade_off_figure(trade_off: TradeOff) -> Figure:
    """Draw accuracy against the budget, a panel for each dataset, a line for each model.

    The dark line joins what the best model has within each budget; these points are ringed, and named where
    the best one changes.
    """
    datasets = list(trade_off.accuracies)
    columns = min(_COLUMNS, len(datasets))
    figure, panels = sheet(math.ceil(len(datasets) / columns), columns, (5.0, 3.4))
    ends, names = [], []
    for dataset, axes in zip_longest(datasets, (axes for row in panels for axes in row)):
        if dataset is None:
            axes.set_axis_off()
            continue
        ends.append((axes, _lines(axes, trade_off, dataset)))
        names += _best(axes, trade_off.best(dataset))
        axes.set_title(dataset, loc="left", fontsize=11, weight="bold", color=INK, parse_math=False)
        axes.margins(0.16, 0.16)  # room for the names of the best
        axes.set_xlabel("budget, s")
        axes.set_ylabel("validation accuracy, %")
        log_axis(axes.xaxis)
        budgets = [budget for budget, *_ in trade_off.best(dataset)]
        axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets])
    titles(
        figure,
        "Which model is best depends on the dataset and on the time",
        f"Dark: the best model within each budget. All points were measured: {trade_off.caption}",
    )
    for axes, of_axes in ends:
        label_ends(figure, axes, of_axes)
    label_points(figure, names, size=8, angles=(90, 60, 30, 120, 150, 0, 180, -30, -60, -90))
    return figure


def _lines(axes: Axes, trade_off: TradeOff, dataset: str) -> list[tuple[float, float, str, str]]:
    """Draw a line for each model; where each ends."""
    ends = []
    for name, points in trade_off.accuracies[dataset].items():
        color, marker = trade_off.styles[name]
        style: dict[str, Any] = {
            "color": COLORS[color % len(COLORS)],
            "marker": MARKERS[marker % len(MARKERS)],
        }
        axes.plot(*zip(*points.items()), linewidth=1.1, markersize=4.5, alpha=0.75, label=name, **style)
        ends.append((*list(points.items())[-1], name, style["color"]))
    return ends


def _best(axes: Axes, best: Sequence[tuple[float, float, str]]) -> list[tuple[Axes, float, float, str, str]]:
    """Join and ring the best points; the names of those that are another model than the one before."""
    axes.plot(
        [budget for budget, *_ in best],
        [accuracy for _, accuracy, _ in best],
        color=INK,
        linewidth=1.6,
        marker="o",
        markersize=9,
        markerfacecolor="none",
        markeredgewidth=1.5,
        zorder=4,
        label="_best",
    )
    changes = [one for k, one in enumerate(best) if k == 0 or one[2] != best[k - 1][2]]
    return [(axes, budget, accuracy, name, INK) for budget, accuracy, name in changes]
