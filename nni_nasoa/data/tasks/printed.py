"""What is printed: charts, notes on a staff, words."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .canvas import Mask, board, box, ellipse, finished, over, painted, paper, pose, scene, smooth, text
from .task import drawing


@dataclass(frozen=True)
class _Chart:
    """What a chart is drawn with: masks for its data, in three colours and one more, and for its axes.

    Parameters
    ----------
    layers, axes
        Masks of the data, one a colour, and of the axes.
    middles, half
        Where bars stand, (count,), and half of their width.
    values
        Shape (3, count), from 0 to 1.
    """

    layers: list[Mask]
    axes: Mask
    middles: np.ndarray
    half: float
    values: np.ndarray

    @property
    def count(self) -> int:
        """How many bars, points or parts there are."""
        return len(self.middles)


def _stand(chart: _Chart, tops: np.ndarray, half: float) -> None:
    """Bars up to the tops, (layers, count), each layer on the one before."""
    for layer, low, high in zip(chart.layers, (0 * tops[0], *tops), tops):
        for x, start, end in zip(chart.middles, low, high):
            layer.area(box(x - half, 1 - end, x + half, 1 - start))


def _bars(chart: _Chart, _rng: np.random.Generator) -> None:
    _stand(chart, chart.values[:1], chart.half)


def _horizontal_bars(chart: _Chart, _rng: np.random.Generator) -> None:
    for y, end in zip(chart.middles, chart.values[0]):
        chart.layers[0].area(box(0, y - chart.half, end, y + chart.half))


def _stacked_bars(chart: _Chart, _rng: np.random.Generator) -> None:
    _stand(chart, np.cumsum(chart.values / 3, 0), chart.half)


def _histogram(chart: _Chart, rng: np.random.Generator) -> None:
    bell = np.exp(-(((chart.middles - rng.uniform(0.3, 0.7)) / 0.3) ** 2))
    _stand(chart, (bell * rng.uniform(0.7, 0.95, chart.count))[None], 0.48 / chart.count)


def _lines(chart: _Chart, rng: np.random.Generator) -> None:
    for layer, series in zip(chart.layers, chart.values[: rng.integers(1, 4)]):
        points = np.column_stack([np.linspace(0, 1, chart.count), 1 - series])
        layer.line(points, rng.uniform(0.015, 0.035))


def _areas(chart: _Chart, rng: np.random.Generator) -> None:
    for i, (layer, series) in enumerate(zip(chart.layers, chart.values[: rng.integers(1, 4)])):
        points = np.column_stack([np.linspace(0, 1, chart.count), 1 - series * (1 - 0.3 * i)])
        layer.area([(0, 1), *points, (1, 1)])


def _scatter(chart: _Chart, rng: np.random.Generator) -> None:
    spread = 0.03 * np.array([(1, 0.8), (0.8, 1)])
    for layer in chart.layers[: rng.integers(1, 3)]:
        for x, y in rng.multivariate_normal(rng.uniform(0.35, 0.65, 2), spread, 15).clip(0, 1):
            layer.disc(x, y, 0.025)


def _pie(chart: _Chart, rng: np.random.Generator) -> None:
    parts = np.full(chart.count, 3)
    turns = rng.random() * 6 + 2 * np.pi * np.r_[0, np.cumsum(rng.dirichlet(parts))]
    hole, last = rng.choice((0, 0.2)), chart.count - 1
    for i, (start, end) in enumerate(pairwise(turns)):
        outside, inside = (ellipse(0.5, 0.5, radius, None, start, end) for radius in (0.48, hole))
        # The last part touches the first one, and has another colour.
        chart.layers[3 if i == last and i % 3 == 0 else i % 3].area(np.vstack([outside, inside[::-1]]))


def _box_plot(chart: _Chart, rng: np.random.Generator) -> None:
    numbers = np.sort(rng.uniform(0.05, 0.95, (chart.count, 5)))
    for x, (low, first, median, third, high) in zip(chart.middles, numbers):
        left, right = x - chart.half, x + chart.half
        chart.layers[0].area(box(left, first, right, third))
        chart.axes.line([(x, low), (x, first)], 0.015).line([(x, third), (x, high)], 0.015)
        chart.axes.line([(left, median), (right, median)], 0.02)


def _heat_map(chart: _Chart, rng: np.random.Generator) -> None:
    for i, j in np.ndindex(chart.count, chart.count):
        chart.layers[0].area(box(i, j, i + 1, j + 1) / chart.count, rng.random())


_CHARTS = {
    "bars": _bars,
    "horizontal bars": _horizontal_bars,
    "stacked bars": _stacked_bars,
    "histogram": _histogram,
    "lines": _lines,
    "area": _areas,
    "scatter": _scatter,
    "pie": _pie,
    "box plot": _box_plot,
    "heat map": _heat_map,
}
CHARTS = tuple(_CHARTS)


def _chart(label: int, rng: np.random.Generator) -> np.ndarray:
    name = CHARTS[label]
    count = int(rng.integers(9, 15) if name == "histogram" else rng.integers(3, 8))
    image, ink = (paper if rng.random() < 0.7 else board)(rng)
    place = pose(rng, turn=0.02, scale=(0.6, 0.95), shift=0.12, stretch=0.25)
    grid, axes, *layers = (Mask(place) for _ in range(6))
    half, values = rng.uniform(0.25, 0.42) / count, rng.uniform(0.1, 0.95, (3, count))
    _CHARTS[name](_Chart(layers, axes, (np.arange(count) + 0.5) / count, half, values), rng)
    if name != "pie":
        axes.line([(0, 0), (0, 1), (1, 1)], rng.uniform(0.01, 0.025))
        for at in np.linspace(0, 1, rng.integers(3, 7)) if rng.random() < 0.5 else ():
            grid.line([(0, at), (1, at)], 0.01, fill=0.4)
    for mask, colour in zip((grid, *layers, axes), (ink, *rng.uniform(20, 235, (4, 3)), ink)):
        image = over(image, mask.array(), colour)
    return finished(image, rng, 15)


PITCHES = ("E4", "F4", "G4", "A4", "B4", "C5", "D5", "E5", "F5")


def _note(label: int, rng: np.random.Generator) -> np.ndarray:
    """A note on a staff: filled, hollow or with a flag; perhaps beside an accidental, bar lines, a slur."""
    mask, gap = Mask(pose(rng, turn=0.04, scale=(0.75, 1.1), shift=0.12)), 0.11
    pen = rng.uniform(0.012, 0.022)
    x, y, kind = rng.uniform(0.3, 0.8), 0.5 + (4 - label) * gap / 2, rng.integers(3)
    up = -1 if rng.random() < 0.9 - 0.1 * label else 1
    for line in range(-2, 3):
        mask.line([(-0.5, 0.5 + line * gap), (1.5, 0.5 + line * gap)], pen)
    head = ellipse(x, y, 0.62 * gap, 0.42 * gap) - np.column_stack(
        [np.zeros(40), 0.25 * gap * np.cos(np.linspace(0, 2 * np.pi, 40))]
    )
    mask.line(head, 0.025) if kind == 1 else mask.area(head)
    stem, end = x - 0.56 * up * gap, y + 3.2 * up * gap
    mask.line([(stem, y), (stem, end)], pen)
    if kind == 2:
        mask.line(
            smooth(np.array([(stem, end), (stem + 0.06, end - 0.1 * up), (stem + 0.09, end - 0.2 * up)])),
            0.03,
        )
    for bar in rng.choice((x - 0.28, x + 0.25, x + 0.45), rng.integers(0, 3), replace=False):
        mask.line([(bar, 0.5 - 2 * gap), (bar, 0.5 + 2 * gap)], rng.uniform(0.015, 0.04))
    if rng.random() < 0.5:
        mask.line([(x - 0.17, y - 0.1), (x - 0.17, y + 0.08)], 0.015).line(
            [(x - 0.21, y + 0.03), (x - 0.13, y)], 0.025
        )
    if rng.random() < 0.5:
        mask.line(ellipse(rng.uniform(0.2, 0.8), rng.choice((0.1, 0.8)), 0.25, 0.08, np.pi, 2 * np.pi), 0.02)
    return painted(mask, rng, (paper, paper, scene)[rng.integers(3)], noise=25)


WORDS = tuple(
    (
        "bat bet but cat cot cut dog dig hat hot mat met nut net "
        "pan pen pin pot rat rot sun son star stir tree free lake like "
        "rain ruin stone store house horse milk mile gold cold word ward"
    ).split()
)
_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSerif",
    "DejaVuSansMono",
    "STIXGeneral",
    "STIXGeneralItalic",
)


def _word(label: int, rng: np.random.Generator) -> np.ndarray:
    return painted(
        text(WORDS[label], _FONTS[rng.integers(6)], rng, size=(0.6, 0.95), turn=5, shift=0.1), rng, scene
    )


DRAWINGS = (
    drawing("charts", "charts", CHARTS, _chart, 300, 400),
    drawing("scores", "scores", PITCHES, _note, 720, 450, mirrored=False),
    drawing("words", "words", WORDS, _word, 1000, 480, mirrored=False),
)
