"""Draw the search space: what a block may be, and how blocks are stacked (NASOA, arXiv 2108.03434, figure 2).

All that is drawn is read from `nni_nasoa.search.choices.choices`, the labels and values that a search samples
from, so the figure cannot differ from the space.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

from nni_nasoa.architecture import OPS, RATIOS, Architecture, ArchitectureSpace, Block, block_layouts
from nni_nasoa.architecture.layout import stem_convs
from nni_nasoa.architecture.parts import LAST_RATIO, MULTIPLIERS
from nni_nasoa.files import parse_yaml
from nni_nasoa.search.choices import architecture_space, choices
from nni_nasoa.values import reason, shown

from .block_drawing import CLASSIC_BLOCKS
from .paper import COLORS, FADED, INK, box, check_picture, drawing, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In inches, as all lengths here.
_TOP, _BOTTOM, _LEFT = 1.15, 0.75, 1.45  # Above the halves, below them, and to the middle of a column.
_BOX, _STEP = (1.7, 0.56), 1.05  # An operation or a stage, and from one to the next.
_LANE = 0.26  # Between two skips.
_LINE = 0.2  # Between lines of text.
_BLOCK, _BLOCKS_WIDE = 0.22, 2.6  # A block of a stage, and all of them at most.
_FILL, _STAGE = "#cfe3f5", "#eef2f6"
_LISTED = 7  # Values that are listed at most.
_Choices = Mapping[str, tuple[int | str, ...]]


def read_space(config: str | os.PathLike) -> ArchitectureSpace:
    """The space of an experiment's config, which has it as `searchSpace`.

    Raises
    ------
    ValueError
        The file is no YAML with a search space of architectures.
    """
    try:
        read = parse_yaml(Path(config).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{config}: {reason(error)}") from None
    space = read.get("searchSpace") if isinstance(read, dict) else None
    if not isinstance(space, dict):
        raise ValueError(
            f"{config}: searchSpace must be a mapping from labels to choices, got {shown(space)}"
        )
    return architecture_space(space)


def draw_search_space(space: ArchitectureSpace, path: str | os.PathLike) -> Path:
    """Draw `search_space_figure` into an image file, whose suffix (.png, .svg, .pdf, ..) says the format."""
    check_picture(path)
    return save(search_space_figure(space), path)


def search_space_figure(space: ArchitectureSpace) -> Figure:
    """Draw the block level on the left and the macro level on the right.

    Solid is what every network has, dashed what it may have. Beside the drawings stands what is chosen from.
    """
    given = {choice.label: choice.values for choice in choices(space)}
    operations = _numbered(given, "op")
    stages = _numbered(given, "blocks")
    rows = max(operations + 1.8, stages + 1.75, 4.6)
    lanes = _lanes(given)
    words_at = _LEFT + _BOX[0] / 2 + _LANE * (1 + max(lanes.values(), default=-1) + 1)
    middle = max(words_at + 2.7, 6.4)
    figure, axes = drawing(middle + 7.5, _TOP + rows * _STEP + _BOTTOM)
    height = _TOP + rows * _STEP
    axes.text(0.35, 0.42, "Search space", size=15, weight="bold", color=INK, va="center")
    axes.plot([middle] * 2, [0.75, height + 0.1], color="#cbd2d9", linewidth=1)
    _heading(axes, 0.35, "Block level: one design, which all blocks of a network share")
    _heading(axes, middle + 0.35, "Macro level: how blocks are stacked")
    if "block" in given:
        _listed(axes, 0.35, "one of these blocks", given["block"], 4.5)
    else:
        _block(axes, given, lanes)
        _words(axes, words_at, _block_words(given))
        _well_known(axes, space, _TOP + (operations + 0.55) * _STEP)
    if "macro" in given:
        _listed(axes, middle + 0.35, "one of these stackings", given["macro"], 6.4)
    else:
        _macro(axes, given, middle)
        _words(axes, middle + 5.2, _macro_words(given))
    axes.text(0.35, height + 0.35, _caption(space), size=9, color=FADED, va="center", parse_math=False)
    return figure


def block_designs(space: ArchitectureSpace) -> int:
    """In how many ways a block can be written; a concatenation into its last place is none of them.

    Whether the channels divide into the groups of an operation depends on the macro level, and is not asked.
    """
    if space.block_designs:
        return len(space.block_designs)
    into_last = len([skip for skip in space.skips if skip != "concat"])
    return sum(
        len(space.ops) ** n
        * len(space.ratios) ** (n - 1)
        * len(space.skips) ** (n * (n - 1) // 2)
        * into_last ** (n - 1)
        for n in space.layers
    )


def macro_designs(space: ArchitectureSpace) -> int:
    """In how many ways blocks can be stacked: channels, depths, and where the channels double."""
    if space.macros:
        return len(space.macros)
    # Coefficients of polynomials in x, whose powers count how often the channels double in all.
    one_block = [1] * len(MULTIPLIERS)
    one_stage = _sum(_power(one_block, blocks) for blocks in space.blocks)
    total = _sum(_power(one_stage, stages) for stages in space.stages)
    return len(space.channels) * sum(total[k] for k in space.doublings if k < len(total))


def _product(a: Sequence[int], b: Sequence[int]) -> list[int]:
    result = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            result[i + j] += x * y
    return result


def _power(polynomial: Sequence[int], exponent: int) -> list[int]:
    result = [1]
    for _ in range(exponent):
        result = _product(result, polynomial)
    return result


def _sum(polynomials: Iterator[list[int]]) -> list[int]:
    given = list(polynomials)
    result = [0] * max(map(len, given))
    for polynomial in given:
        for power, coefficient in enumerate(polynomial):
            result[power] += coefficient
    return result


def _numbered(given: _Choices, name: str) -> int:
    """How many labels there are of a name with a number."""
    return sum(re.fullmatch(rf"{name}\d+", label) is not None for label in given)


def _lanes(given: _Choices) -> dict[tuple[int, int], int]:
    """The lane of each extra skip by its (source, target): short ones are inside, and none overlap."""
    skips = [
        (int(match[1]), int(match[2]))
        for label in given
        if (match := re.fullmatch(r"skip_(\d+)_(\d+)", label))
    ]
    lanes: dict[tuple[int, int], int] = {}
    for source, target in sorted(skips, key=lambda skip: (skip[1] - skip[0], skip)):
        taken = {lane for (s, t), lane in lanes.items() if s < target and source < t}
        lanes[source, target] = max(taken, default=-1) + 1
    return lanes


def _block(axes: Axes, given: _Choices, lanes: Mapping[tuple[int, int], int]) -> None:
    """The longest block, with all places that a skip may join."""
    from matplotlib.patches import Circle

    layers = [int(n) for n in given["layers"]]
    places = [_TOP + i * _STEP for i in range(max(layers) + 1)]
    axes.plot([_LEFT] * 2, [places[0], places[-1]], color=INK, linewidth=1.4, zorder=1)
    last = [n for n in layers if n < max(layers)]
    for i, (above, below) in enumerate(pairwise(places), start=1):
        gives = "C" if i == max(layers) else f"channels {i}"
        box(
            axes, _LEFT, (above + below) / 2, _BOX, f"operation {i}\n{gives}",
            _FILL, INK, 9.5, dashed=i > min(layers),
        )  # fmt: skip
    for i, y in enumerate(places):
        axes.add_patch(Circle((_LEFT, y), 0.11, facecolor=INK, edgecolor=INK, zorder=4))
        axes.text(_LEFT, y, str(i), size=7.5, color="white", ha="center", va="center_baseline", zorder=5)
    # The residual, on the left.
    _lane(axes, -(_BOX[0] / 2 + _LANE), places[0], places[-1], FADED, dashed=False)
    for (source, target), lane in sorted(lanes.items(), key=lambda item: -item[1]):
        _lane(
            axes,
            _BOX[0] / 2 + _LANE * (lane + 1),
            places[source] + 0.05,
            places[target] - 0.05,
            COLORS[1],
            dashed=True,
        )
    if last:
        axes.text(
            _LEFT,
            places[-1] + 0.22,
            f"or ends after {_either(last)}",
            size=8.5,
            color=FADED,
            ha="center",
            va="center",
        )


def _lane(axes: Axes, out: float, top: float, bottom: float, color: str, dashed: bool) -> None:
    axes.plot(
        [_LEFT, _LEFT + out, _LEFT + out, _LEFT],
        [top, top, bottom, bottom],
        color=color,
        linewidth=1.3,
        linestyle=(0, (3, 1.6)) if dashed else "-",
        zorder=1,
        solid_joinstyle="round",
    )


def _macro(axes: Axes, given: _Choices, middle: float) -> None:
    """Stem, stages with their blocks, and head, from top to bottom."""
    from matplotlib.patches import Rectangle

    x = middle + _LEFT - 0.15
    most, blocks = _numbered(given, "blocks"), [int(n) for n in given["blocks1"]]
    least = min((int(n) for n in given["stages"]), default=most) if "stages" in given else most
    rows = [_TOP + 0.25 + i * _STEP for i in range(most + 2)]
    axes.plot([x] * 2, [rows[0], rows[-1]], color=INK, linewidth=1.4, zorder=1)
    stride_of_stem = prod(conv.stride for conv in stem_convs(2))
    box(axes, x, rows[0], _BOX, f"stem, stride {stride_of_stem}", "white", INK, 9.5)
    axes.text(
        x + _BOX[0] / 2 + 0.2,
        rows[0],
        f"{_either(given['channels'])} channels",
        size=9,
        color=INK,
        va="center",
    )
    # Any network of so many stages tells where its blocks stride.
    strides = [
        layout.stride for _, layout in block_layouts(Architecture.parse(f"1-_2_{'-'.join('1' * most)}"))
    ]
    each = min(_BLOCK, _BLOCKS_WIDE / max(blocks))
    for stage in range(1, most + 1):
        y, optional = rows[stage], stage > least
        stride = "" if strides[stage - 1] == 1 else f"\nfirst block: stride {strides[stage - 1]}"
        box(axes, x, y, _BOX, f"stage {stage}{stride}", _STAGE, INK, 9, dashed=optional)
        for k in range(max(blocks)):
            axes.add_patch(
                Rectangle(
                    (x + _BOX[0] / 2 + 0.2 + k * each, y - 0.26),
                    0.82 * each,
                    0.22,
                    facecolor=_FILL if k < min(blocks) else "white",
                    edgecolor=INK,
                    linewidth=0.9,
                    linestyle="-" if k < min(blocks) and not optional else (0, (2, 1.4)),
                )
            )
        of_stage = given[f"blocks{stage}"]
        axes.text(
            x + _BOX[0] / 2 + 0.2,
            y + 0.14,
            f"{_either(of_stage)} block{'' if tuple(of_stage) == (1,) else 's'}",
            size=9,
            color=INK,
            va="center",
        )
    box(axes, x, rows[-1], _BOX, "average pooling,\nlinear head", "white", INK, 9.5)


def _heading(axes: Axes, x: float, text: str) -> None:
    axes.text(x, 0.8, text, size=11, weight="bold", color=INK, va="center")


def _words(axes: Axes, x: float, words: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Headings with lines below them, from top to bottom."""
    y = _TOP
    for heading, lines in words:
        axes.text(x, y, heading, size=9.5, weight="bold", color=INK, va="center")
        for line in lines:
            y += _LINE
            axes.text(x, y, line, size=9, color=INK, va="center", parse_math=False)
        y += 1.75 * _LINE


def _well_known(axes: Axes, space: ArchitectureSpace, y: float) -> None:
    """Blocks of well-known networks that are in the space, below the block."""
    names: dict[str, list[str]] = {}
    for encoding, name in CLASSIC_BLOCKS.items():
        if space.contains_block(Block.parse(encoding)):
            names.setdefault(name, []).append(encoding)
    if names:
        axes.text(0.35, y, "Among them", size=9.5, weight="bold", color=INK, va="center")
    for line, (name, encodings) in enumerate(names.items(), start=1):
        axes.text(0.35, y + line * _LINE, f"{name}: {', '.join(encodings)}", size=9, color=INK, va="center")


def _listed(axes: Axes, x: float, heading: str, texts: Sequence[int | str], wide: float) -> None:
    lines = [fill(str(text), int(wide / 0.085)) for text in texts[:16]]
    if len(texts) > 16:
        lines.append(f"and {len(texts) - 16} more")
    _words(axes, x, [(heading, "\n".join(lines).split("\n"))])


def _block_words(given: _Choices) -> list[tuple[str, list[str]]]:
    skips = [values for label, values in given.items() if label.startswith("skip_")]
    words = [
        ("Operations in a block", [_either(given["layers"])]),
        ("Type of each operation", [f"{op}  {OPS[int(op)].name}" for op in given["op1"]]),
    ]
    if "ratio1" in given:
        ratios = [_channels(RATIOS[int(ratio)]) for ratio in given["ratio1"]]
        words.append(
            ("Channels that each gives", [", ".join(ratios), f"the last: {_channels(RATIOS[LAST_RATIO])}"])
        )
    if skips:
        words.append((f"Extra skip, at {len(skips)} places", [_either(skips[0])]))
    return [*words, ("Residual from the input", ["always, added last"])]


def _macro_words(given: _Choices) -> list[tuple[str, list[str]]]:
    most = _numbered(given, "blocks")
    places = len(given["double1"]) if "double1" in given else 0
    words = [
        ("Stages", [_either(given["stages"]) if "stages" in given else str(most)]),
        ("Channels double", [f"{_either(given['doublings'])} times in all"]),
    ]
    if places:
        twice = len(MULTIPLIERS) - 1
        words[-1][1].extend([f"at any of {places} blocks,", f"up to {twice} times at one"])
    return words


def _caption(space: ArchitectureSpace) -> str:
    blocks, macros = block_designs(space), macro_designs(space)
    return (
        "Solid: in every network; dashed: may be there; C: channels of the block; "
        f"{_ways(blocks)} to write a block, {_ways(macros)} to stack blocks"
    )


def _ways(number: int) -> str:
    return "1 way" if number == 1 else f"{number:,} ways" if number < 10**12 else f"about {number:.2g} ways"


def _channels(ratio: float) -> str:
    if ratio == 1:
        return "C"
    return f"{ratio:g}C" if ratio > 1 else f"C/{1 / ratio:g}"


def _either(values: Sequence[int | str]) -> str:
    """Values as a choice: "1, 2 or 3", "1 to 10"."""
    numbers = [int(value) for value in values if not isinstance(value, str)]
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    if len(values) > _LISTED:
        return f"{len(values)} values, {values[0]} to {values[-1]}"
    *first, last = map(str, values)
    return f"{', '.join(first)} or {last}" if first else last
