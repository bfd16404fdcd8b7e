"""Draw a block: operations, channels and skips from top to bottom (NASOA, arXiv 2108.03434, figure 8).

`lay_out` says where everything goes, in inches with y downwards, and `draw_block` puts it on paper. The
operations stand in one column; every extra skip has a lane of its own on the right, the longer ones further
out, and the residual has one on the left, so that no line runs through a box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from nni_nasoa.architecture import OPS, Architecture, Block, BlockLayout, Conv, SkipLayout, block_layouts
from nni_nasoa.architecture.layout import block_layout

from .paper import box

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASSIC_BLOCKS = {
    "020-": "basic block",
    "10001-": "bottleneck",
    "11511-": "ResNeXt bottleneck",
    "10501-": "ResNeXt bottleneck",
    "10301-": "ResNeXt bottleneck",
    "10201-": "ResNeXt bottleneck",
    "14441-": "inverted residual",
    "13431-": "inverted residual",
    "6-": "separable block",
    "626-": "separable block",
}
"""Blocks of well-known networks: ResNet, ResNeXt, MobileNetV2 (expansion 4, 2), depthwise-separable ones."""

_RATIOS = ("C/4", "C/2", "C", "2C", "4C")
# In inches, as all lengths here: width and height of an operation's box and of a projection's.
_BOX, _PROJECTION = (2.1, 0.52), (0.86, 0.38)
_PLACE, _MERGE = 0.13, 0.13  # Radii of the circles.
_GAP = 0.16  # The space between two things in the column.
_ARROW = 0.42  # From a place to its operation: room for the channels and for the lines that leave the place.
_LANE, _MARGIN, _BEND = 0.3, 0.25, 0.12
_DPI, _MOST_PIXELS = 160, 6000
_INK, _FADED, _RESIDUAL = "#1f2933", "#52606d", "#52606d"
_SKIP = {"a": "#0b69a3", "c": "#b44d12"}  # An add's colour, and a concatenation's.
# The colour of an operation, by its code.
_FILL = ("#cfe3f5", "#eef2f6", "#d5ecd9", "#c3e4ca", "#fbe6c4", "#d9e8bb", "#f6d5cf")


@dataclass(frozen=True)
class Lane:
    """A skip connection's way: from (0, top) out to x and back to (0, bottom).

    A projection on it is centred at (x, middle).
    """

    skip: SkipLayout
    x: float
    top: float
    bottom: float
    middle: float


@dataclass
class Column:
    """Where the parts of a block stand. y in inches downwards, x = 0 in the middle of the column."""

    places: list[float] = field(default_factory=list)
    operations: list[float] = field(default_factory=list)
    merges: list[float] = field(default_factory=list)  # One a skip, in the order of BlockLayout.skips.
    activations: list[float] = field(default_factory=list)
    lanes: list[Lane] = field(default_factory=list)
    left: float = 0.0
    right: float = 0.0
    height: float = 0.0


def typical_layout(network: Architecture | Block | str, width: int = 64) -> tuple[Block, BlockLayout]:
    """Return the block of an encoding and one layout of it to draw.

    Parameters
    ----------
    network
        An architecture, of which the first block that neither strides nor changes the channels is taken (the
        very first, where all do); or a block alone, such as `10001-`, which gets `width` channels in and out.
    width
        Channels of a block alone.

    Raises
    ------
    ArchitectureError
        The encoding is malformed, or `width` does not divide into the groups of an operation.
    """
    if isinstance(network, str):
        network = Architecture.parse(network) if "_" in network else Block.parse(network)
    if isinstance(network, Block):
        return network, block_layout(network.ops, network.ratios, network.skips, width, 1, 1)
    layouts = [layout for _, layout in block_layouts(network)]
    plain = (layout for layout in layouts if layout.stride == 1 and layout.in_channels == layout.out_channels)
    return network.block, next(plain, layouts[0])


def lay_out(layout: BlockLayout) -> Column:
    """Place the parts of a block, so that nothing overlaps."""
    column, y = Column(), _MARGIN + _PLACE
    column.places.append(y)
    for i in range(1, len(layout.convs) + 1):
        y += _PLACE + _ARROW + _BOX[1] / 2
        column.operations.append(y)
        y += _BOX[1] / 2
        for _ in (skip for skip in layout.skips if skip.target == i):
            y += _GAP + _MERGE
            column.merges.append(y)
            y += _MERGE
        y += _GAP + 0.11
        column.activations.append(y)
        y += 0.11 + _GAP + _PLACE
        column.places.append(y)
    column.height = y + _PLACE + _MARGIN
    _lay_lanes(column, layout.skips)
    return column


def _lay_lanes(column: Column, skips: tuple[SkipLayout, ...]) -> None:
    """Give every skip a lane: short ones inside, and outside of all that they pass."""
    *extra, residual = range(len(skips))  # the residual comes last
    level: dict[int, int] = {}
    for k in sorted(extra, key=lambda k: (skips[k].target - skips[k].source, k)):
        level[k] = 1 + max(
            (
                level[j]
                for j in level
                if skips[j].source < skips[k].target and skips[k].source < skips[j].target
            ),
            default=-1,
        )

    def add_lane(edge: float, members: Sequence[int], sign: int) -> float:
        half = _PROJECTION[0] / 2 if any(skips[k].projection for k in members) else 0.0
        x = edge + _LANE + half
        for k in members:
            # Beside an operation no line comes in or goes out, so a projection there is in nobody's way.
            middle = column.operations[(skips[k].source + skips[k].target) // 2]
            column.lanes.append(
                Lane(skips[k], sign * x, column.places[skips[k].source], column.merges[k], middle)
            )
        return x + half

    column.left = -add_lane(_BOX[0] / 2, [residual], -1) - _MARGIN
    column.right = _BOX[0] / 2
    for at in sorted(set(level.values())):
        column.right = add_lane(column.right, [k for k in extra if level[k] == at], 1)
    column.right += _MARGIN


def operation_label(op: int, ratio: int, conv: Conv) -> tuple[str, str]:
    """Two lines for an operation: what it is, and the channels that it gives."""
    name = f"{conv.kernel}×{conv.kernel} conv"
    if conv.separable:
        name = f"separable {name}"
    elif conv.groups > 1 and conv.groups == conv.in_channels == conv.out_channels:
        name += ", depthwise"
    elif "width" in OPS[op].name:
        name += f", group width {OPS[op].name.split()[-1]}"
    elif conv.groups > 1:
        name += f", {conv.groups} groups"
    return name, f"{_RATIOS[ratio]} = {conv.out_channels} channels" + (
        ", stride 2" if conv.stride == 2 else ""
    )


def place_channels(layout: BlockLayout) -> list[int]:
    """Channels of every place, after the skips into it."""
    channels = [layout.in_channels]
    for i, conv in enumerate(layout.convs, start=1):
        into = (skip for skip in layout.skips if skip.target == i and skip.kind == "c")
        channels.append(conv.out_channels + sum(channels[skip.source] for skip in into))
    return channels


def draw_block(network: Architecture | Block | str, path: str | Path, *, width: int = 64) -> Path:
    """Draw a block into an image file, of which the suffix (.png, .svg, .pdf, ..) says the format.

    See `block_figure`.
    """
    figure = block_figure(network, width=width)
    figure.savefig(path, dpi=min(_DPI, _MOST_PIXELS / max(figure.get_size_inches())))
    return Path(path)


def block_figure(network: Architecture | Block | str, *, width: int = 64) -> Figure:
    """Draw a block.

    Boxes are operations (each followed by BatchNorm) with the channels that they give, C being the block's
    width; numbered circles are the places that skips start from, with their channels beside them; + adds and
    || concatenates what a skip brings; a `1×1 conv` on a skip fits its channels and resolution. The line on
    the left is the residual, which is always there.

    Parameters
    ----------
    network, width
        As in `typical_layout`.

    Raises
    ------
    ArchitectureError
        The encoding is malformed, or `width` does not divide into the groups of an operation.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    block, layout = typical_layout(network, width)
    column = lay_out(layout)
    title, caption = _words(block, layout, column.right - column.left)
    top = -0.24 * len(title) - 0.2 * len(caption) - 0.05
    wide, high = column.right - column.left, column.height - top
    figure = Figure(figsize=(wide, high), facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(column.left, column.right), ylim=(column.height, top))
    axes.set_axis_off()
    middle, y = (column.left + column.right) / 2, top + 0.24
    for lines, size, step, color in ((title, 12, 0.24, _INK), (caption, 8.5, 0.2, _FADED)):
        for line in lines:
            axes.text(middle, y, line, size=size, color=color, ha="center", va="center", parse_math=False)
            y += step
    _paint_lanes(axes, column)
    _paint_column(axes, column, block, layout)
    return figure


def _words(block: Block, layout: BlockLayout, wide: float) -> tuple[list[str], list[str]]:
    """The title and the caption, in lines that fit `wide` inches."""
    name = CLASSIC_BLOCKS.get(str(block))
    title = f"{block} ({name})" if name else str(block)
    caption = f"C = {layout.out_channels} channels"
    if layout.in_channels != layout.out_channels:
        caption = f"{layout.in_channels} channels in, C = {layout.out_channels} out"
    caption += ";  + adds" + (", || concatenates" if any(skip.kind == "c" for skip in layout.skips) else "")
    return wrap(title, int(wide / 0.11)), wrap(caption, int(wide / 0.075))


def _paint_lanes(axes: Axes, column: Column) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Line

    # Inner ones are painted over the outer where they share a way.
    for lane in sorted(column.lanes, key=lambda lane: -abs(lane.x)):
        sign = 1 if lane.x > 0 else -1
        color, end = _SKIP[lane.skip.kind] if lane.x > 0 else _RESIDUAL, sign * (_MERGE + 0.07)
        bend = lane.x - sign * _BEND
        way = [
            (0, lane.top),
            (bend, lane.top),
            (lane.x, lane.top),
            (lane.x, lane.top + _BEND),
            (lane.x, lane.bottom - _BEND),
            (lane.x, lane.bottom),
            (bend, lane.bottom),
            (end, lane.bottom),
        ]
        codes = [
            Line.MOVETO,
            Line.LINETO,
            Line.CURVE3,
            Line.CURVE3,
            Line.LINETO,
            Line.CURVE3,
            Line.CURVE3,
            Line.LINETO,
        ]
        axes.add_patch(
            PathPatch(Line(way, codes), fill=False, edgecolor=color, linewidth=1.6, capstyle="butt", zorder=1)
        )
        axes.annotate(
            "",
            (sign * _MERGE, lane.bottom),
            (end + sign * 0.05, lane.bottom),
            zorder=1,
            arrowprops={"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9},
        )
        if lane.skip.projection is not None:
            text = f"1×1 conv\n{lane.skip.projection.out_channels}" + (
                ", stride 2" if lane.skip.projection.stride == 2 else ""
            )
            box(axes, lane.x, lane.middle, _PROJECTION, text, "white", color, 7.5)


def _paint_column(axes: Axes, column: Column, block: Block, layout: BlockLayout) -> None:
    from matplotlib.patches import Circle

    axes.plot([0, 0], [column.places[0], column.places[-1]], color=_INK, linewidth=1.4, zorder=1)
    for y, op, ratio, conv in zip(column.operations, block.ops, block.ratios, layout.convs):
        axes.annotate(
            "",
            (0, y - _BOX[1] / 2),
            (0, y - _BOX[1] / 2 - 0.1),
            zorder=1,
            arrowprops={"arrowstyle": "-|>", "color": _INK, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 9},
        )
        box(axes, 0, y, _BOX, "\n".join(operation_label(op, ratio, conv)), _FILL[op], _INK, 9)
    for y in column.activations:
        box(axes, 0, y, (0.5, 0.22), "ReLU", "white", _FADED, 7.5)
    for skip, y in zip(layout.skips, column.merges):
        color = _RESIDUAL if skip is layout.skips[-1] else _SKIP[skip.kind]
        axes.add_patch(Circle((0, y), _MERGE, facecolor="white", edgecolor=color, linewidth=1.4, zorder=2))
        axes.text(
            0,
            y,
            "+" if skip.kind == "a" else "||",
            size=9,
            weight="bold",
            color=color,
            ha="center",
            va="center_baseline",
            zorder=3,
        )
    for i, (y, channels) in enumerate(zip(column.places, place_channels(layout))):
        axes.add_patch(Circle((0, y), _PLACE, facecolor=_INK, edgecolor=_INK, zorder=2))
        axes.text(0, y, str(i), size=8, color="white", ha="center", va="center_baseline", zorder=3)
        beside = (0.09, y + 0.24) if i < len(block.ops) else (0.2, y)  # beside the arrow, where there is one
        axes.text(*beside, str(channels), size=8, color=_FADED, ha="left", va="center")
