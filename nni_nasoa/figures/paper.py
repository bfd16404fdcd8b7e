"""The style that figures share: sheets, titles, colours, ticks, and labels at the ends of lines."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import XAxis, YAxis
    from matplotlib.figure import Figure

INK, FADED, GRID, RED = "#1f2933", "#52606d", "#e4e7eb", "#d1242f"
COLORS = ("#3b82c4", "#d55e00", "#009e73", "#b0568f", "#8a6d00", "#1f2933", "#5f9ed1", "#a33a00")
MARKERS = "osD^vXP*"
_DPI = 150
_LABEL, _LABEL_WIDTH = 8.5, 22  # Points of a label's letters, and how many are on a line at most.
_MANTISSAS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7))


def check_picture(path: str | os.PathLike) -> None:
    """Look whether a picture can be written there, before anything else is done.

    Raises
    ------
    ValueError
        The suffix is not that of a picture, or there is no such folder.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path, known = Path(path), FigureCanvasAgg.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        suffixes = ", ".join(f".{suffix}" for suffix in sorted(known))
        raise ValueError(f"output: {path} has the suffix '{path.suffix}', where one of {suffixes} is needed")
    if not path.parent.is_dir():
        raise ValueError(f"output: there is no folder {path.parent} to write {path.name} to")


def sheet(
    rows: int, columns: int, panel: tuple[float, float], *, sharex: bool = False
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of panels in rows and columns, each `panel` inches; with `sharex` on one x axis."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(
        figsize=(panel[0] * columns, panel[1] * rows + 0.9),
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08),
        facecolor="white",
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=sharex)
    for each in axes.flat:
        each.grid(True, color=GRID, linewidth=0.8)
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
        each.margins(0.07, 0.1)
    return figure, axes.tolist()


def titles(figure: Figure, title: str, caption: str) -> None:
    """What the figure shows, above it, and how to read it, below."""
    width = int(figure.get_size_inches()[0] * 13)
    figure.suptitle(fill(title, width, break_on_hyphens=False), fontsize=11.5, color=INK, parse_math=False)
    figure.supxlabel(
        fill(caption, int(1.15 * width), break_on_hyphens=False), fontsize=8.5, color=FADED, parse_math=False
    )


def drawing(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure to draw boxes and lines on, in inches from its upper left corner, y downwards."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return figure, axes


def box(
    axes: Axes,
    x: float,
    y: float,
    size: tuple[float, float],
    text: str,
    fill: str,
    edge: str,
    font: float,
    dashed: bool = False,
) -> None:
    """A box of `size` inches around (x, y) with rounded corners and a text of `font` points in it."""
    from matplotlib.patches import FancyBboxPatch

    wide, high = size
    corner = (x - wide / 2, y - high / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            wide,
            high,
            "round,pad=0,rounding_size=0.06",
            facecolor=fill,
            edgecolor=edge,
            linewidth=1.1,
            linestyle="--" if dashed else "-",
            zorder=2,
        )
    )
    axes.text(
        x,
        y,
        text,
        size=font,
        color=INK,
        ha="center",
        va="center",
        linespacing=1.25,
        zorder=3,
        parse_math=False,
    )


def log_axis(axis: XAxis | YAxis, more: float = 0.0) -> None:
    """Make an axis logarithmic, with a handful of round numbers also where it has less than a decade.

    Parameters
    ----------
    axis
        The x or the y axis, with everything drawn.
    more
        Room to add at its upper end, as a part of the highest value there.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    name = axis.axis_name
    getattr(axis.axes, f"set_{name}scale")("log")
    low, high = axis.get_view_interval()
    high *= 1 + more
    getattr(axis.axes, f"set_{name}lim")(low, high)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in _MANTISSAS:
        ticks = [m * 10.0**p for p in powers for m in mantissas if low <= m * 10.0**p <= high]
        if len(ticks) >= 4:
            break
    else:
        ticks = [tick for tick in MaxNLocator(6).tick_values(low, high) if low <= tick <= high]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))


def label_ends(figure: Figure, axes: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write (x, y, label, color) beside the axes' right edge, as near to the points' heights as can be."""
    if not ends:
        return
    figure.draw_without_rendering()  # settles the layout, on which the heights depend
    inch = axes.bbox.height / figure.dpi
    texts = [fill(label, _LABEL_WIDTH) for _, _, label, _ in ends]
    heights = [(text.count("\n") + 1) * 1.3 * _LABEL / 72 / inch for text in texts]
    wanted = [axes.transAxes.inverted().transform(axes.transData.transform((x, y)))[1] for x, y, _, _ in ends]
    places = spread_out(wanted, heights)
    # None above the axes, where the title of the panel may be.
    too_high = max(0.0, max(place + height / 2 for place, height in zip(places, heights)) - 1)
    for (x, y, _, color), text, place in zip(ends, texts, places):
        axes.annotate(
            text,
            (x, y),
            (1.04, place - too_high),
            textcoords="axes fraction",
            va="center",
            ha="left",
            fontsize=_LABEL,
            color=color,
            parse_math=False,
            annotation_clip=False,
            zorder=5,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 0.7,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 4,
            },
        )


def label_points(
    figure: Figure,
    labels: Sequence[tuple[Axes, float, float, str, str]],
    *,
    size: float = 7.5,
    angles: Sequence[float] = (120, 150, 90, 60, 180, 30, 0, -30, -60, -90, -120, -150),
    radii: Sequence[float] = (8, 12, 17),
    others: Sequence[tuple[Axes, float, float]] = (),
) -> list[str]:
    """Write (axes, x, y, text, color) beside points, where neither points nor labels are; those written.

    Parameters
    ----------
    figure
        The figure of the axes, with everything drawn.
    labels
        The points, the most important first. A label for which there is no room is left out.
    size
        Points of the letters.
    angles, radii
        Where a label may be, in degrees and in points, the best place first.
    others
        (axes, x, y) of points that have no labels, on which none may be.
    """
    from matplotlib.patheffects import withStroke

    figure.draw_without_rendering()  # settles the layout, on which the positions depend
    scale = 72 / figure.dpi
    at = [axes.transData.transform((x, y)) * scale for axes, x, y, _, _ in labels]
    # Boxes where nothing may be written: centre, half width, half height.
    taken: dict[Axes, list[_Box]] = {}
    for (axes, *_), (x, y) in zip(labels, at):
        taken.setdefault(axes, []).append((x, y, 3.5, 3.5))
    for axes, *point in others:
        x, y = axes.transData.transform(point) * scale
        taken.setdefault(axes, []).append((x, y, 3.0, 3.0))
    lines = {axes: _along_lines(axes, scale) for axes in taken}
    written = []
    for (axes, along, up, text, color), (x, y) in zip(labels, at):
        size_of_text = (0.31 * size * len(text) + 0.5, 0.55 * size)
        start, end = axes.bbox.x0 * scale, axes.bbox.x1 * scale
        places = [
            (
                (radius - 4 + size_of_text[0]) * math.cos(math.radians(angle)),
                radius * math.sin(math.radians(angle)),
            )
            for radius, angle in product(radii, angles)
        ]
        boxes = {(dx, dy): (x + dx, y + dy, *size_of_text) for dx, dy in places}
        free = [
            place
            for place, box in boxes.items()
            if start < box[0] - box[2]
            and box[0] + box[2] < end
            and not any(_overlap(box, other) for other in taken[axes])
        ]
        # A place on a line is better than none.
        free.sort(key=lambda place: any(_overlap(boxes[place], other) for other in lines[axes]))
        if not free:
            continue
        taken[axes].append(boxes[free[0]])
        written.append(text)
        axes.annotate(
            text,
            (along, up),
            free[0],
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            fontsize=size,
            color=color,
            parse_math=False,
            zorder=6,
            path_effects=[withStroke(linewidth=1.6, foreground="white")],
        )
    return written


_Box = tuple[float, float, float, float]


def _overlap(a: _Box, b: _Box) -> bool:
    return abs(a[0] - b[0]) < a[2] + b[2] and abs(a[1] - b[1]) < a[3] + b[3]


def _along_lines(axes: Axes, scale: float) -> list[_Box]:
    """Small boxes along the lines of the axes."""
    boxes = []
    for line in axes.lines:
        if line.get_linestyle() == "None":
            continue
        ends = axes.transData.transform(line.get_xydata()) * scale
        for (x, y), (to_x, to_y) in pairwise(ends):
            steps = math.ceil(math.hypot(to_x - x, to_y - y) / 3) + 1
            boxes += [
                (x + (to_x - x) * k / steps, y + (to_y - y) * k / steps, 1.5, 1.5) for k in range(steps + 1)
            ]
    return boxes


def spread_out(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones at which things of these heights do not overlap.

    Things are centred at their places, and nearest is meant in least squares. Without the heights, this is
    isotonic regression: neighbours that overlap are pooled into a block around their mean.
    """
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    offsets, total = [], 0.0
    for i in order:
        offsets.append(total + heights[i] / 2)
        total += heights[i]
    blocks: list[tuple[float, int]] = []  # the sum of each, and its size
    for i, offset in zip(order, offsets):
        block = (wanted[i] - offset, 1)
        while blocks and blocks[-1][0] / blocks[-1][1] > block[0] / block[1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1])
        blocks.append(block)
    means = [total / size for total, size in blocks for _ in range(size)]
    places = dict(zip(order, (mean + offset for mean, offset in zip(means, offsets))))
    return [places[i] for i in range(len(wanted))]


def save(figure: Figure, path: str | os.PathLike) -> Path:
    """Write the picture; the suffix says in which format."""
    figure.savefig(path, dpi=_DPI)
    return Path(path)


def where_recorded(environment: Mapping[str, Any], file: str) -> str:
    """Where something was recorded: device, threads, release of torch, day, and the file."""
    threads = environment.get("threads")
    parts = [
        environment.get("device"),
        threads and f"{threads} thread{'s' * (threads != 1)}",
        environment.get("torch") and f"torch {environment['torch']}",
        str(environment.get("date") or "")[:10],
        file,
    ]
    return ", ".join(str(part) for part in parts if part)
