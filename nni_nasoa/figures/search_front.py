"""Draw what a search found: accuracy against training step time (NASOA, arXiv 2108.03434, figure 9)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, product
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from nni_nasoa.architecture import Architecture
from nni_nasoa.search.evolution import Objective
from nni_nasoa.search.front import comparable_step_times, distinct, pareto_front

from .block_drawing import CLASSIC_BLOCKS
from .paper import COLORS, INK, RED, log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches, and dots in one: 1200 pixels wide, and the text is still readable at 800.
_SIZE, _DPI = (8.0, 5.2), 150
_TRIED, _FRONT, _CLASSIC, _INK = COLORS[0], INK, RED, INK
_MARKERS = "sD^vXP*p"


def draw_search_front(
    records: Iterable[Mapping[str, Any]],
    path: str | Path,
    *,
    front: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Draw `search_front_figure` into a file.

    Parameters
    ----------
    records, front
        As `search_front_figure` takes them.
    path
        The image file to write; its suffix (.png, .svg, .pdf, ..) says in which format.

    Raises
    ------
    ValueError
        There is no record to draw.
    """
    return _saved(search_front_figure(records, front=front), path)


def search_front_figure(
    records: Iterable[Mapping[str, Any]], *, front: Sequence[Mapping[str, Any]] | None = None
) -> Figure:
    """Accuracy against training step time of all networks that a search tried.

    Blue dots are the networks, the dark line is the Pareto front (numbered as in the report's table, 1 being
    the most accurate), and red marks are networks of classic blocks: basic, bottleneck, inverted residual,
    ...

    Step times are those of `nni_nasoa.search.front.comparable_step_times`: from the speed relative to the
    reference network, as raw times from several devices, or from beside other load, cannot be compared.

    Parameters
    ----------
    records
        Final results with `architecture`, `accuracy` (0 to 1), `relative_speed` and a step time; others are
        left out.
    front
        Those of the records that are on the front, in order; by default all that no other one dominates.

    Raises
    ------
    ValueError
        There is no record to draw.
    """
    records = [record for record in distinct(records) if "architecture" in record]
    times = comparable_step_times(records)
    at = {
        record["architecture"]: (ms, 100 * record["accuracy"])
        for record, ms in zip(records, times.ms)
        if math.isfinite(ms)
    }
    if not at:
        raise ValueError(
            "no result with an architecture, an accuracy, a relative speed and a step time to draw"
        )
    figure, axes = _paper()
    axes.set_xscale("log")
    xs, ys = zip(*at.values())
    axes.scatter(
        xs,
        ys,
        s=26,
        color=_TRIED,
        alpha=0.55,
        linewidths=0,
        zorder=2,
        label=f"networks tried: {len(at)}",
    )
    best = [
        at[record["architecture"]]
        for record in (pareto_front(records) if front is None else front)
        if record["architecture"] in at
    ]
    _draw_front(axes, best)
    _draw_classics(axes, at)
    log_axis(axes.xaxis)
    axes.set_ylabel("accuracy, %")
    axes.set_xlabel(
        "training step time, ms"
        + _each(records, ", batch {}", "speed_batch_size", "batch_size")
        + _each(records, ", {0} × {0} pixels", "speed_input_size", "input_size")
    )
    _title(
        axes,
        "Search"
        + _each(records, " on {}", "dataset")
        + _each(records, ", {} epochs", "epochs").replace(" 1 epochs", " 1 epoch"),
        times.device,
    )
    _finish(figure, axes, best, (-1, 1))
    return figure


def draw_objectives(
    records: Iterable[Mapping[str, Any]],
    objectives: Sequence[Objective],
    path: str | Path,
    *,
    front: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Draw `objectives_figure` into a file; see `draw_search_front`."""
    return _saved(objectives_figure(records, objectives, front=front), path)


def objectives_figure(
    records: Iterable[Mapping[str, Any]],
    objectives: Sequence[Objective],
    *,
    front: Sequence[Mapping[str, Any]] | None = None,
) -> Figure:
    """The results of any search: its first two objectives against each other, or one along the trials.

    Raises
    ------
    ValueError
        No record has the objectives.
    """
    records = distinct(records, objectives)
    if not records:
        raise ValueError(f"no result with {' and '.join(objective.name for objective in objectives)} to draw")
    figure, axes = _paper()
    y, *others = objectives
    axes.set_ylabel(f"{y.name} ({_better(y)})", parse_math=False)
    if others:
        points = [(record[others[0].name], record[y.name]) for record in records]
        best = [
            (record[others[0].name], record[y.name])
            for record in (pareto_front(records, objectives) if front is None else front)
        ]
        axes.set_xlabel(f"{others[0].name} ({_better(others[0])})", parse_math=False)
    else:
        points = [(number, record[y.name]) for number, record in enumerate(records, start=1)]
        so_far = list(accumulate((value for _, value in points), max if y.maximize else min))
        best = [point for k, point in enumerate(points) if k == 0 or so_far[k] != so_far[k - 1]]
        axes.set_xlabel("trial")
    xs, ys = zip(*points)
    axes.scatter(
        xs, ys, s=26, color=_TRIED, alpha=0.55, linewidths=0, zorder=2, label=f"trials: {len(records)}"
    )
    _draw_front(
        axes, best, "Pareto front" if others else "best so far", line="none" if len(others) > 1 else "-"
    )
    signs = [1 if objective.maximize else -1 for objective in objectives[:2]]
    _finish(figure, axes, best if others else [], (signs[-1], signs[0]))
    return figure


def _better(objective: Objective) -> str:
    return "higher is better" if objective.maximize else "lower is better"


def _paper() -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(True, color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(0.07, 0.08)
    return figure, axes


def _draw_front(
    axes: Axes, front: Sequence[tuple[float, float]], label: str = "Pareto front", line: str = "-"
) -> None:
    axes.plot(
        *zip(*sorted(front)),
        color=_FRONT,
        linestyle=line,
        linewidth=1.4,
        marker="o",
        markersize=7,
        markerfacecolor="none",
        markeredgewidth=1.4,
        zorder=4,
        label=label,
    )


def _draw_classics(axes: Axes, at: Mapping[str, tuple[float, float]]) -> None:
    """Mark the networks of classic blocks, a marker for each name."""
    named: dict[str, list[tuple[float, float]]] = {}
    for text, point in at.items():
        name = CLASSIC_BLOCKS.get(str(Architecture.parse(text).block))
        if name:
            named.setdefault(name, []).append(point)
    for k, name in enumerate(sorted(named)):
        xs, ys = zip(*named[name])
        axes.scatter(
            xs,
            ys,
            s=48,
            color=_CLASSIC,
            marker=_MARKERS[k % len(_MARKERS)],
            edgecolors="white",
            linewidths=0.7,
            zorder=3,
            label=name,
        )


def _each(records: Sequence[Mapping[str, Any]], template: str, *keys: str) -> str:
    """The template with the value that all records have under the first key that they have; else ""."""
    values = [next((record[key] for key in keys if record.get(key) is not None), None) for record in records]
    shared = isinstance(values[0], (str, int, float)) and all(value == values[0] for value in values)
    return template.format(values[0]) if shared else ""


def _title(axes: Axes, title: str, below: str | None) -> None:
    axes.set_title(
        "\n".join(wrap(title, 80) + wrap(below or "", 80)), fontsize=11, color=_INK, parse_math=False
    )


def _finish(
    figure: Figure, axes: Axes, front: Sequence[tuple[float, float]], better: tuple[int, int]
) -> None:
    # Below the axes it hides nothing.
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    _number(figure, axes, front, better)


def _saved(figure: Figure, path: str | Path) -> Path:
    figure.savefig(path, dpi=_DPI)
    return Path(path)


def _number(
    figure: Figure, axes: Axes, front: Sequence[tuple[float, float]], better: tuple[int, int]
) -> None:
    """Number the front's points on their better side, of which `better` has the signs of x and y.

    Nothing else is there. Where points crowd, the labels for which there is no room are left out: the numbers
    run along the front anyway.
    """
    figure.draw_without_rendering()  # settles the layout, on which the positions depend
    # In typographic points.
    points = [tuple(axes.transData.transform(point) * 72 / figure.dpi) for point in front]
    taken = [(x, y, 4.0, 4.0) for x, y in points]  # boxes: centre, half width, half height
    for number, (point, (x, y)) in enumerate(zip(front, points), start=1):
        wide, high = 3.4 * len(str(number)), 4.5  # half of the label, at 9 points
        for radius, angle in product((11, 16), (45, 70, 20, 90, 0)):
            dx, dy = (
                better[0] * radius * math.cos(math.radians(angle)),
                better[1] * radius * math.sin(math.radians(angle)),
            )
            if all(
                abs(x + dx - other[0]) > wide + other[2] or abs(y + dy - other[1]) > high + other[3]
                for other in taken
            ):
                taken.append((x + dx, y + dy, wide, high))
                axes.annotate(
                    str(number),
                    point,
                    (dx, dy),
                    textcoords="offset points",
                    ha="center",
                    va="center",
                    fontsize=9,
                    color=_INK,
                    zorder=5,
                )
                break
