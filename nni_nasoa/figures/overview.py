"""Draw how search and advice work together (NASOA, arXiv 2108.03434, figure 1), with what the user has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .paper import COLORS, FADED, INK, box, check_picture, drawing, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_OFFLINE, _ONLINE, _GIVEN = "#cfe3f5", "#d5ecd9", "white"
_BOX = (2.35, 0.92)  # In inches, as all lengths here.
_SIZE = (12.4, 6.05)
_COLUMNS = (1.6, 4.7, 7.7, 10.8)  # The middles of the boxes.
_TOP_ROW, _BOTTOM_ROW = 1.75, 4.3


@dataclass(frozen=True)
class Inventory:
    """What the user has of each part.

    Parameters
    ----------
    experiments
        NNI's experiments on this machine.
    models, with_weights
        Networks of the zoo, and those of them whose weights are on this machine.
    prior_runs
        Recorded runs that come with the package.
    runs, datasets
        Runs in the user's own store, and on how many datasets they were.
    store
        Where the store is, in words.
    """

    experiments: int
    models: int
    with_weights: int
    prior_runs: int
    runs: int
    datasets: int
    store: str


def draw_overview(inventory: Inventory, path: str | os.PathLike) -> Path:
    """Draw `overview_figure` into an image file, whose suffix (.png, .svg, .pdf, ..) says the format."""
    check_picture(path)
    return save(overview_figure(inventory), path)


def overview_figure(inventory: Inventory) -> Figure:
    """Draw the offline search above and the online advice below, with arrows along what is handed on."""
    figure, axes = drawing(*_SIZE)
    axes.text(0.35, 0.42, "Overview", size=15, weight="bold", color=INK, va="center")
    _heading(axes, 0.95, "Offline: search a zoo of networks that train fast")
    _heading(axes, 3.5, "Online: advice in one shot, from experience")
    first, second, third, fourth = _COLUMNS
    zoo = f"{_many(inventory.models, 'network')}, {inventory.with_weights} with\nweights on this machine"
    offline = (
        (first, "Search space", "blocks, and how\nthey are stacked", _GIVEN),
        (
            second,
            "Evolution for accuracy\nand training speed",
            _many(inventory.experiments, "experiment") + " of NNI",
            _OFFLINE,
        ),
        (third, "Pareto front", "accuracy against\ntraining speed", _OFFLINE),
        (fourth, "Zoo", zoo, _OFFLINE),
    )
    online = (
        (first, "Dataset, time limit", "images, device, limits", _GIVEN),
        (second, "Regime generator", "network, rate, frozen\nstages, epochs", _ONLINE),
        (third, "Fine-tuning", "ends on time", _ONLINE),
        (fourth, "Classifier", "predicts, serves", _GIVEN),
    )
    for row, boxes in ((_TOP_ROW, offline), (_BOTTOM_ROW, online)):
        for x, name, words, fill in boxes:
            _part(axes, x, row, name, words, fill)
        for x, following in pairwise(_COLUMNS):
            _arrow(axes, (x + _BOX[0] / 2, row), (following - _BOX[0] / 2, row))
    # The zoo is what the generator chooses from.
    way = _TOP_ROW + 1.05
    _bent(axes, (fourth, _TOP_ROW + _BOX[1] / 2), (second + 0.85, _BOTTOM_ROW - _BOX[1] / 2), way)
    # What is learned comes back.
    axes.text(
        (second + 0.85 + fourth) / 2,
        way - 0.13,
        "candidates",
        size=8.5,
        color=FADED,
        ha="center",
        va="center",
    )
    experience = (
        f"{_many(inventory.prior_runs, 'run')} in the package, {_many(inventory.runs, 'run')} "
        f"on {_many(inventory.datasets, 'dataset')} in your store"
    )
    below = _BOTTOM_ROW + 1.1
    box(
        axes, (second + third) / 2, below, (5.7, 0.52), f"Experience, online predictor: {experience}",
        _ONLINE, INK, 8.2,
    )  # fmt: skip
    _arrow(axes, (third + 0.6, _BOTTOM_ROW + _BOX[1] / 2), (third + 0.6, below - 0.26), COLORS[1])
    _arrow(axes, (second - 0.6, below - 0.26), (second - 0.6, _BOTTOM_ROW + _BOX[1] / 2), COLORS[1])
    axes.text(third + 0.72, below - 0.4, "each run is learned from", size=8.5, color=FADED, va="center")
    axes.text(
        0.35, _SIZE[1] - 0.2, f"Store: {inventory.store}", size=8, color=FADED, va="center", parse_math=False
    )
    return figure


def _many(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _heading(axes: Axes, y: float, text: str) -> None:
    axes.text(0.42, y, text, size=11, weight="bold", color=INK, va="center")


def _part(axes: Axes, x: float, y: float, name: str, words: str, fill: str) -> None:
    box(axes, x, y, _BOX, "", fill, INK, 9)
    lines = name.count("\n") + 1
    style: dict[str, Any] = {"ha": "center", "va": "center", "color": INK, "zorder": 4, "linespacing": 1.2}
    half = 0.085 * (words.count("\n") + 1)
    axes.text(x, y - half, name, size=9.5, weight="bold", **style)
    axes.text(x, y + 0.09 * lines + 0.05, words, size=8.5, parse_math=False, **style)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str = INK) -> None:
    axes.annotate(
        "",
        end,
        start,
        zorder=1,
        arrowprops={"arrowstyle": "-|>", "color": color, "linewidth": 1.4, "shrinkA": 1, "shrinkB": 1},
    )


def _bent(axes: Axes, start: tuple[float, float], end: tuple[float, float], y: float) -> None:
    """An arrow that goes down, along at `y`, and down."""
    axes.plot([start[0], start[0], end[0]], [start[1], y, y], color=INK, linewidth=1.4, zorder=1)
    _arrow(axes, (end[0], y), end)
