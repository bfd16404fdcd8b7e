"""Draw accuracy against step time: ET-NAS beside its peers (NASOA, arXiv 2108.03434, figures 3, 4 and 10).

Published points are filled and joined by solid lines; what was measured has panels of its own, in which
points are hollow and lines dashed. Times of different devices are never on one axis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from .paper import COLORS, INK, check_picture, label_points, log_axis, save, sheet, titles
from .published import RTX_3090, V100, Network, on_rtx_3090, on_v100
from .step_times import Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colour, the marker and the line of each series; what is no series of sizes has no line.
_STYLES = {
    "ET-NAS": (COLORS[1], "s", True),
    "RegNetY": (COLORS[0], "o", True),
    "EfficientNet": (COLORS[2], "D", True),
    "ResNet": (COLORS[3], "^", True),
    "ResNeXt": (COLORS[4], "v", False),
    "MobileNet": (COLORS[5], "X", False),
    "other NAS": (COLORS[3], "P", False),
}
DESIGNED = ("ET-NAS", "RegNetY", "EfficientNet", "ResNet", "ResNeXt", "MobileNet")
"""The series of figure 3, those of networks that were designed."""
SEARCHED = ("ET-NAS", "other NAS", "EfficientNet", "MobileNet")
"""The series of figures 4 and 10, those that were found by search."""
_STEPS = {"train": "training", "infer": "inference"}


@dataclass(frozen=True)
class Panel:
    """What is drawn on one axis.

    Parameters
    ----------
    title
        Where the times are from.
    kind
        Which of the times: "train" or "infer".
    networks
        The networks, with times of one device.
    measured
        Whether the times were measured here, not published.
    """

    title: str
    kind: str
    networks: Sequence[Network]
    measured: bool = False


def draw_training_efficiency(measured: Measured | None, path: str | os.PathLike) -> Path:
    """Draw figure 3 for training: a V100, an RTX 3090, and what was measured, if it was."""
    return _draw(training_figure, measured, path)


def draw_inference_efficiency(measured: Measured | None, path: str | os.PathLike) -> Path:
    """Draw figure 3 for inference: a V100, and what was measured, if it was."""
    return _draw(inference_figure, measured, path)


def draw_nas_comparison(path: str | os.PathLike) -> Path:
    """Draw figures 4 and 10: ET-NAS beside networks that other searches found."""
    check_picture(path)
    return save(nas_figure(), path)


def _draw(
    figure: Callable[[Measured | None], Figure], measured: Measured | None, path: str | os.PathLike
) -> Path:
    check_picture(path)
    return save(figure(measured), path)


def training_figure(measured: Measured | None = None) -> Figure:
    """See `draw_training_efficiency`."""
    panels = [Panel(V100, "train", on_v100()), Panel(RTX_3090, "train", on_rtx_3090())]
    return efficiency_figure(
        panels + _of_measured(measured, "train"), DESIGNED, "Accuracy against the time of a training step"
    )


def inference_figure(measured: Measured | None = None) -> Figure:
    """See `draw_inference_efficiency`."""
    panels = [Panel(V100, "infer", on_v100())]
    return efficiency_figure(
        panels + _of_measured(measured, "infer"), DESIGNED, "Accuracy against the time of an inference step"
    )


def nas_figure() -> Figure:
    """See `draw_nas_comparison`."""
    panels = [Panel(V100, kind, on_v100()) for kind in _STEPS]
    return efficiency_figure(panels, SEARCHED, "ET-NAS beside other networks that were found by search")


def _of_measured(measured: Measured | None, kind: str) -> list[Panel]:
    return [Panel(measured.where, kind, measured.networks, True)] if measured else []


def efficiency_figure(panels: Sequence[Panel], series: Collection[str], title: str) -> Figure:
    """Draw ImageNet accuracy against step time, a panel for each device or kind of step.

    Networks that are of no series are small grey dots. Above and to the left is better.

    Raises
    ------
    ValueError
        A panel has no network with such a time.
    """
    figure, (axes,) = sheet(1, len(panels), (6.2 if len(panels) > 1 else 8.5, 5.3))
    handles: dict[str, Any] = {}
    labels: list[tuple[Axes, float, float, str, str]] = []
    for panel, on in zip(panels, axes):
        drawn = [network for network in panel.networks if network.step_ms(panel.kind) is not None]
        if not drawn:
            raise ValueError(f"{panel.title}: no times of {_STEPS[panel.kind]} to draw")
        if others := _others(drawn, panel.kind):
            handles["others"] = on.scatter(
                *_points(others, panel.kind),
                s=6,
                color="#b8c0c8",
                linewidths=0,
                zorder=1,
                label="others of timm's",
            )
        for name in series:
            members = [network for network in drawn if network.series == name]
            if not members:
                continue
            members.sort(key=lambda network: (network.imagenet_top1, network.step_ms(panel.kind)))
            color, marker, joined = _STYLES[name]
            xs, ys = _points(members, panel.kind)
            (line,) = on.plot(
                xs,
                ys,
                color=color,
                marker=marker,
                markersize=6.5,
                markerfacecolor="white" if panel.measured else color,
                markeredgewidth=1.4 if panel.measured else 0.6,
                markeredgecolor=color if panel.measured else "white",
                linestyle=("--" if panel.measured else "-") if joined else "none",
                linewidth=2.0 if name == "ET-NAS" else 1.2,
                zorder=4 if name == "ET-NAS" else 3,
                label=name,
            )
            handles.setdefault(name, line)
            labels += [(on, x, y, network.short, color) for network, x, y in zip(members, xs, ys)]
        log_axis(on.xaxis)
        on.set_title(
            fill(f"{'measured' if panel.measured else 'published'}: {panel.title}", 62),
            loc="left",
            fontsize=9.5,
            weight="bold",
            color=INK,
            parse_math=False,
        )
        on.set_xlabel(f"{_STEPS[panel.kind]} step, ms{_of_batch(panel)}")
    axes[0].set_ylabel("ImageNet top-1, % (published)")
    titles(figure, title, _caption(panels))
    # The corner of slow and inaccurate networks has none of ET-NAS, and few others.
    axes[0].legend(handles=list(handles.values()), loc="lower right", fontsize=8.5, frameon=False)
    label_points(figure, labels)
    figure.set_layout_engine("none")  # so that nothing moves from where the labels were fitted
    return figure


def _of_batch(panel: Panel) -> str:
    return " for 64 images" if panel.title == RTX_3090 else ""


def _others(networks: Sequence[Network], kind: str) -> list[Network]:
    """Networks of no series that are about as fast and as accurate as those of the series."""
    known = [network for network in networks if network.series]
    times, accuracies = _points(known, kind)
    return [
        network
        for network in networks
        if not network.series
        and min(times) / 1.2 < (network.step_ms(kind) or 0) < 1.2 * max(times)
        and min(accuracies) - 1 < network.imagenet_top1 < max(accuracies) + 3
    ]


def _points(networks: Sequence[Network], kind: str) -> tuple[list[float], list[float]]:
    return (
        [ms for network in networks if (ms := network.step_ms(kind)) is not None],
        [network.imagenet_top1 for network in networks],
    )


def _caption(panels: Sequence[Panel]) -> str:
    parts = ["Up and to the left is better."]
    if any(panel.title == V100 for panel in panels):
        parts.append(
            "V100: figures published with ET-NAS; those of its peers are read off the paper's figures."
        )
    if any(panel.title == RTX_3090 for panel in panels):
        parts.append("RTX 3090: timm's results, at the networks' own image sizes; ET-NAS is not among them.")
    if any(panel.measured for panel in panels):
        parts.append(
            "Hollow, dashed: measured, in float32; accuracies are published ones, at 224 pixels or more."
        )
    return " ".join(parts)
