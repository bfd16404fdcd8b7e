"""Draw a search for blocks beside the classic ones (NASOA, arXiv 2108.03434, figure 9)."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_nasoa.architecture import Architecture
from nni_nasoa.files import read_json
from nni_nasoa.search.front import comparable_step_times, distinct, pareto_front, read_records

from .block_drawing import CLASSIC_BLOCKS
from .paper import (
    COLORS,
    INK,
    MARKERS,
    RED,
    check_picture,
    label_points,
    log_axis,
    save,
    sheet,
    titles,
    where_recorded,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHIPPED = Path(__file__).with_name("block_search.json")


@dataclass(frozen=True)
class Tried:
    """A network that the search tried.

    Parameters
    ----------
    architecture
        Its encoding.
    step_ms
        The time of a training step, by the speed relative to the reference network.
    accuracy
        In percent.
    on_front
        Whether no other one is as accurate and as fast.
    """

    architecture: Architecture
    step_ms: float
    accuracy: float
    on_front: bool

    @property
    def classic(self) -> str | None:
        """The name of its block, where that is one of a well-known network."""
        return CLASSIC_BLOCKS.get(str(self.architecture.block))


@dataclass(frozen=True)
class BlockSearch:
    """All that was tried, and in words: on what networks were trained, of what a step is, and where."""

    tried: tuple[Tried, ...]
    trained: str
    step: str
    where: str


def shipped_block_search() -> BlockSearch:
    """What comes with the package, from the recorded data of examples/benchmarks."""
    read = read_json(_SHIPPED)
    return block_search_of(read["networks"], where_recorded(read["environment"], read["file"]))


def read_block_search(path: str | os.PathLike) -> BlockSearch:
    """Read the results of a search, such as results.csv of `nasoa report`.

    Raises
    ------
    ValueError
        The file cannot be read, or there is nothing to draw in it.
    """
    records = read_records(Path(path))
    try:
        return block_search_of(records, Path(path).name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def block_search_of(records: Sequence[Mapping[str, Any]], file: str) -> BlockSearch:
    """What is drawn of results; `file` says where they are from.

    Raises
    ------
    ValueError
        None has an architecture, an accuracy and a speed.
    """
    known = [record for record in distinct(records) if "architecture" in record]
    times = comparable_step_times(known)
    front = {record["architecture"] for record in pareto_front(known)}
    tried = tuple(
        Tried(
            Architecture.parse(record["architecture"]),
            ms,
            100 * record["accuracy"],
            record["architecture"] in front,
        )
        for record, ms in zip(known, times.ms)
        if math.isfinite(ms)
    )
    if not tried:
        raise ValueError(
            "no result with an architecture, an accuracy, a relative speed and a step time to draw"
        )
    shared = {
        name: value for name, value in known[0].items() if all(record.get(name) == value for record in known)
    }
    where = [times.device, file] if times.device and times.device not in file else [file]
    return BlockSearch(
        tried,
        _filled("on {dataset}, {epochs} epochs", shared),
        _filled("{speed_batch_size} images of {speed_input_size} × {speed_input_size} pixels", shared),
        ", ".join(where),
    )


def _filled(template: str, values: Mapping[str, Any]) -> str:
    """The template with its values; nothing where there is one that the results do not share."""
    try:
        return template.format_map(values)
    except KeyError:
        return ""


def draw_block_search(search: BlockSearch, path: str | os.PathLike) -> Path:
    """Draw `block_search_figure` into an image file, whose suffix (.png, .svg, .pdf, ..) says the format."""
    check_picture(path)
    return save(block_search_figure(search), path)


def block_search_figure(search: BlockSearch) -> Figure:
    """Draw accuracy against training step time of the blocks that a search tried.

    Blue dots are all that were tried; the dark line is the Pareto front, each with its block's encoding; red
    marks are classic blocks, each with its number of first channels. Up and to the left is better.
    """
    figure, ((axes,),) = sheet(1, 1, (8.6, 5.2))
    found = [one for one in search.tried if not one.classic]
    axes.plot(
        [one.step_ms for one in found],
        [one.accuracy for one in found],
        "o",
        color=COLORS[0],
        markersize=5.5,
        alpha=0.55,
        markeredgewidth=0,
        zorder=2,
        label=f"blocks that the search tried: {len(found)}",
    )
    front = sorted((one for one in search.tried if one.on_front), key=lambda one: one.step_ms)
    axes.plot(
        [one.step_ms for one in front],
        [one.accuracy for one in front],
        color=INK,
        linewidth=1.4,
        marker="o",
        markersize=7.5,
        markerfacecolor="none",
        markeredgewidth=1.4,
        zorder=4,
        label="Pareto front",
    )
    classic = [one for one in search.tried if one.classic]
    names = sorted({str(one.classic) for one in classic})
    for k, name in enumerate(names):
        of_name = sorted((one for one in classic if one.classic == name), key=lambda one: one.step_ms)
        axes.plot(
            [one.step_ms for one in of_name],
            [one.accuracy for one in of_name],
            MARKERS[1 + k % (len(MARKERS) - 1)],
            color=RED,
            markersize=8,
            markeredgecolor="white",
            markeredgewidth=0.7,
            zorder=3,
            label=name,
        )
    log_axis(axes.xaxis)
    axes.set_xlabel(", ".join(filter(None, ["training step, ms", search.step])))
    axes.set_ylabel("accuracy, %")
    axes.legend(loc="lower right", frameon=False, fontsize=8.5)
    titles(
        figure,
        " ".join(filter(None, ["Search for blocks", search.trained])),
        f"Red: the classic blocks ({', '.join(names) or 'none was tried'}), with their first channels. "
        f"Up and to the left is better. All points were measured: {search.where}",
    )
    labels = [(axes, one.step_ms, one.accuracy, str(one.architecture).split("_")[1], RED) for one in classic]
    labels += [(axes, one.step_ms, one.accuracy, str(one.architecture.block), INK) for one in front]
    label_points(figure, labels, size=8, others=[(axes, one.step_ms, one.accuracy) for one in found])
    return figure
