"""Where the lines, bars and ticks of a page's charts lie, in units of their SVG; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nni_nasoa.values import NUMBER, SHARE

from .evaluation import Bin

WIDTH, HEIGHT = 360.0, 300.0
MANY = 24.0  # height of the bar of the bin with most predictions, above the diagram
LEFT, RIGHT, TOP, BOTTOM = 44.0, 10.0, 12.0, 34.0  # beside what is drawn, for ticks and their texts


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Frame:
    """The axes of a chart.

    Parameters
    ----------
    x, y
        The least and the largest value on each.
    top, height
        Where the axes end above, and the height of the chart, in its units.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    top: float = TOP
    height: float = HEIGHT

    width, left = WIDTH, LEFT

    @property
    def right(self) -> float:
        """Where the axes end."""
        return self.width - RIGHT

    @property
    def bottom(self) -> float:
        """Where the lower axis is."""
        return self.height - BOTTOM

    def across(self, value: float) -> float:
        """The place of a value along x."""
        return round(self.left + (self.right - self.left) * _share(value, self.x), 1)

    def up(self, value: float) -> float:
        """The place of a value along y."""
        return round(self.bottom - (self.bottom - self.top) * _share(value, self.y), 1)


@dataclass(frozen=True)
class Curve:
    """The validation accuracy along time.

    Parameters
    ----------
    frame, x_ticks, y_ticks
        Its axes: seconds, and shares.
    points
        (x, y) of each evaluation, and whether it was the best so far.
    line
        The points, as an SVG's polyline wants them.
    """

    frame: Frame
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]
    points: Sequence[tuple[float, float, bool]]
    line: str


def curve(evaluations: Iterable[Mapping[str, Any]], budget: Any) -> Curve | None:
    """The curve of a run; None where it was not evaluated twice.

    Parameters
    ----------
    evaluations
        The records of `evaluations.jsonl`; what is none is passed over.
    budget
        Of the run, in seconds, at which the axis ends.
    """
    found = sorted(
        (float(one["elapsed"]), float(one["val_accuracy"]), bool(one.get("best")))
        for one in evaluations
        if isinstance(one, Mapping)
        and NUMBER.allows(one.get("elapsed"))
        and SHARE.allows(one.get("val_accuracy"))
    )
    if len(found) < 2:
        return None
    end = max(found[-1][0], budget if NUMBER.allows(budget) else 0.0)
    shares = [share for _, share, _ in found]
    y_values = nice_ticks(max(0.0, min(shares) - 0.02), min(1.0, max(shares) + 0.02), 4)
    frame = Frame((0.0, end), (y_values[0], min(1.0, y_values[-1])))
    points = [(frame.across(seconds), frame.up(share), best) for seconds, share, best in found]
    factor, unit = (60.0, "min") if end > 180 else (1.0, "s")
    x_values = [value for value in nice_ticks(0, end / factor, 4) if value * factor <= end]
    return Curve(
        frame,
        [Tick(frame.across(value * factor), f"{value:g} {unit}") for value in x_values],
        [Tick(frame.up(value), f"{100 * value:g} %") for value in y_values if value <= 1],
        points,
        " ".join(f"{x},{y}" for x, y, _ in points),
    )


@dataclass(frozen=True)
class Bar:
    """Predictions of a similar confidence: where their bar is, and the mark of their mean confidence.

    `many` is the height of a second bar, by their number.
    """

    x: float
    width: float
    y: float
    ideal: float
    height: float
    many: float
    text: str


@dataclass(frozen=True)
class Reliability:
    """How often predictions are right, by their confidence."""

    frame: Frame
    ticks: Sequence[float]
    bars: Sequence[Bar]


def reliability(bins: Sequence[Bin]) -> Reliability:
    """The diagram of bins of predictions."""
    frame = Frame((0.0, 1.0), (0.0, 1.0), top=TOP + MANY + 10)
    most = max(one.images for one in bins)
    bars = []
    for one in bins:
        left, right = frame.across(one.low) + 1, frame.across(one.high) - 1
        y = frame.up(one.accuracy)
        text = (
            f"{one.images} predictions with {100 * one.confidence:.0f} % on average: "
            f"{100 * one.accuracy:.0f} % right"
        )
        bars.append(
            Bar(
                x=left,
                width=round(right - left, 1),
                y=y,
                ideal=frame.up(one.confidence),
                height=round(frame.bottom - y, 1),
                many=round(MANY * one.images / most, 1),
                text=text,
            )
        )
    return Reliability(frame, [0.0, 0.25, 0.5, 0.75, 1.0], bars)


def nice_ticks(low: float, high: float, most: int) -> list[float]:
    """Round values from at most `low` to at least `high`, some `most` steps apart."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if span / (power * factor) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _share(value: float, ends: tuple[float, float]) -> float:
    low, high = ends
    return (value - low) / (high - low) if high > low else 0.0
