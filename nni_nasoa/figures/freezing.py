"""Draw what freezing stages does to accuracy and time (NASOA, arXiv 2108.03434, figure 6, left)."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .paper import COLORS, MARKERS, check_picture, label_ends, log_axis, save, sheet, titles
from .runs import RecordedRun, RunsError
from .series import dataset_titles, lines_of, seeds_of, shared, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_TARGET = 0.9  # Part of the best accuracy that runs are timed to.


def draw_freezing(
    runs: Sequence[RecordedRun], path: str | os.PathLike, *, target: float | None = None
) -> Path:
    """Draw `freezing_figure` into an image file, whose suffix (.png, .svg, .pdf, ..) says the format."""
    check_picture(path)
    return save(freezing_figure(runs, target=target), path)


def freezing_figure(runs: Sequence[RecordedRun], *, target: float | None = None) -> Figure:
    """Draw accuracy and time for each number of frozen stages.

    There is a row for each dataset, with three panels: the validation accuracy at the end of the runs, with
    the best one filled and named; the time of an epoch; the time until an accuracy was first had. A line is a
    model, or whatever else tells runs apart. Points are medians over seeds, bars go from the lowest to the
    highest. Runs whose budget was too short for more than the head are crosses beside them: they say nothing
    of the stages that they were to train.

    Parameters
    ----------
    runs
        With different frozen stages; a model of which all runs have the same is left out.
    target
        The accuracy to time runs to, 0 to 1; by default, for each dataset, a whole percent near 90% of the
        best median there.

    Raises
    ------
    RunsError
        No runs differ in their frozen stages.
    """
    lines = {
        label: of_line
        for label, of_line in lines_of(runs, ("frozen_stages",)).items()
        if len({run.settings.regime.frozen_stages for run in of_line}) > 1
    }
    if not lines:
        raise RunsError("no runs of a model with different frozen stages to draw")
    runs = [run for of_line in lines.values() for run in of_line]
    datasets = dataset_titles(runs)
    figure, panels = sheet(len(datasets), 3, (3.9, 3.1))
    points = [_by_freeze(of_line, dataset) for of_line in lines.values() for dataset in datasets]
    for (dataset, title), row in zip(datasets.items(), panels):
        _row(row, {label: _by_freeze(of_line, dataset) for label, of_line in lines.items()}, target)
        row[0].set_title(title, loc="left", fontsize=11, weight="bold", parse_math=False)
    for axes in panels[-1]:
        axes.set_xlabel("frozen stages")
    caption = [
        seeds_of([group for by_freeze in points for group in by_freeze.values()]),
        *shared(runs, "device"),
    ]
    if any(run.head_alone for run in runs):
        caption.insert(0, "×: runs with too short a budget for more than the head")
    settings = [
        *shared(runs, "weights", "input_size"),
        *(f"{budget} a run" for budget in shared(runs, "budget")),
    ]
    title = " ".join(["Fine-tuning", *shared(runs, "model"), "with frozen stages: "]) + ", ".join(settings)
    titles(figure, title, "; ".join(filter(None, caption)))
    if len(lines) > 1:
        for row in panels:
            drawn = [line for line in row[0].lines if line.get_label() in lines and _points(line)]
            ends = [(*_points(line)[-1], str(line.get_label()), str(line.get_color())) for line in drawn]
            label_ends(figure, row[0], ends)
    return figure


def _points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def _by_freeze(runs: Sequence[RecordedRun], dataset: str) -> dict[int, list[RecordedRun]]:
    """The runs on a dataset by the number of stages that was to be frozen; all of them for the head alone."""
    by_freeze: dict[int, list[RecordedRun]] = {}
    for run in runs:
        if run.settings.dataset == dataset:
            by_freeze.setdefault(min(run.settings.regime.frozen_stages, run.stages), []).append(run)
    return dict(sorted(by_freeze.items()))


def _row(row: Sequence[Axes], lines: dict[str, dict[int, list[RecordedRun]]], target: float | None) -> None:
    """One dataset."""
    accuracy, epoch, reach = row
    if target is None:
        best = max((spread(run.accuracy for run in group)[1] for group in _groups(lines)), default=math.nan)
        target = math.floor(100 * _TARGET * best) / 100 if best > 0 else 0.0
    missed: Counter[int] = Counter()  # How many lines have no time, for each number of frozen stages.
    for number, (label, groups) in enumerate(lines.items()):
        style = {
            "color": COLORS[number % len(COLORS)],
            "marker": MARKERS[number % len(MARKERS)],
            "label": label,
        }
        _crosses(accuracy, groups, style["color"])
        as_asked = {k: [run for run in group if not run.head_alone] for k, group in groups.items()}
        by_freeze = {k: group for k, group in as_asked.items() if group}
        percents = {k: [100 * run.accuracy for run in group] for k, group in by_freeze.items()}
        _line(accuracy, percents, style)
        _name_best(accuracy, percents, style)
        _line(epoch, {k: [run.seconds_per_epoch for run in group] for k, group in by_freeze.items()}, style)
        seconds = {k: [run.seconds_to(target) for run in group] for k, group in by_freeze.items()}
        _line(reach, seconds, style)
        for k, values in seconds.items():
            if math.isinf(spread(values)[1]):  # it is a mark at the top, whatever the scale
                reached = sum(map(math.isfinite, values))
                reach.annotate(
                    f"{reached} of {len(values)}\nreached" if reached else "not\nreached",
                    (k, 1),
                    (0, -20 * missed[k]),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    ha="center",
                    va="top",
                    fontsize=7.5,
                    color=style["color"],
                )
                missed[k] += 1
    accuracy.set_ylabel("validation accuracy, %")
    epoch.set_ylabel("time of an epoch, s")
    reach.set_ylabel(f"time to {100 * target:.4g} %, s")
    stages = {run.stages for group in _groups(lines) for run in group}
    for axes in row:
        axes.set_xticks(range(max(stages, default=0) + 1))
        if len(stages) == 1:
            axes.set_xticklabels([*range(max(stages)), f"{max(stages)}\nhead only"])
        axes.set_xlim(-0.45, max(stages, default=0) + 0.45)
    for axes in (epoch, reach):
        if any(map(_points, axes.lines)):
            log_axis(axes.yaxis, more=0.3 if missed and axes is reach else 0.0)


def _groups(lines: dict[str, dict[int, list[RecordedRun]]]) -> list[list[RecordedRun]]:
    return [group for by_freeze in lines.values() for group in by_freeze.values()]


def _line(axes: Axes, values: dict[int, list[float]], style: dict) -> None:
    """Medians joined by a line, with bars from the lowest to the highest; what is not finite is left out."""
    spreads = {k: spread(group) for k, group in values.items()}
    known = {k: bounds for k, bounds in spreads.items() if math.isfinite(bounds[1])}
    axes.plot(
        list(known),
        [middle for _, middle, _ in known.values()],
        markersize=6,
        markerfacecolor="white",
        linewidth=1.8,
        zorder=3,
        **style,
    )
    finite = {k: bounds for k, bounds in known.items() if math.isfinite(bounds[2])}
    axes.vlines(
        list(finite),
        [low for low, _, _ in finite.values()],
        [high for _, _, high in finite.values()],
        color=style["color"],
        linewidth=1.2,
        zorder=2,
    )


def _crosses(axes: Axes, by_freeze: dict[int, list[RecordedRun]], color: str) -> None:
    for k, group in by_freeze.items():
        short = [100 * run.accuracy for run in group if run.head_alone]
        axes.plot([k] * len(short), short, "x", color=color, markersize=7, zorder=4)


def _name_best(axes: Axes, percents: dict[int, list[float]], style: dict) -> None:
    """Fill the best point, and write how good it is."""
    middles = {k: middle for k, group in percents.items() if not math.isnan(middle := spread(group)[1])}
    if not middles:
        return
    best = max(middles, key=middles.__getitem__)
    axes.plot([best], [middles[best]], markersize=7, zorder=4, **style | {"label": "best"})
    axes.annotate(
        f"{middles[best]:.1f}",
        (best, middles[best]),
        (6, 5),
        textcoords="offset points",
        ha="left",
        fontsize=9,
        color=style["color"],
        zorder=5,
    )
