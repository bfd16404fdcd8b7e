import numpy as np
import pytest
from PIL import Image

from nni_nasoa.figures.search_front import (
    draw_objectives,
    draw_search_front,
    objectives_figure,
    search_front_figure,
)
from nni_nasoa.search.evolution import Objective

RECORDS = [
    {
        "architecture": architecture,
        "accuracy": accuracy,
        "relative_speed": speed,
        "step_time_ms": 20.0 / speed,
        "reference_step_time_ms": 20.0,
        "device": "a $100 CPU_1",
        "dataset": "digits",
        "batch_size": 64,
        "input_size": 32,
        "epochs": 2,
    }
    for architecture, accuracy, speed in [
        ("020-_16_1-2-2", 0.90, 0.8),
        ("020-_32_1-2-2", 0.93, 0.5),
        ("10001-_32_2-12-2", 0.91, 1.0),
        ("14441-_32_1-2-2", 0.85, 0.7),
        ("2-_32_2-1-21", 0.95, 0.6),
        ("031-_16_1-2-2", 0.80, 1.6),
    ]
]


def points(axes, label):
    (found,) = [artist for artist in [*axes.collections, *axes.lines] if artist.get_label() == label]
    data = found.get_offsets() if hasattr(found, "get_offsets") else found.get_xydata()
    return [tuple(round(float(value), 6) for value in point) for point in data]


def test_accuracy_stands_against_step_time():
    (axes,) = search_front_figure(RECORDS).axes
    assert points(axes, "networks tried: 6") == [
        (25, 90),
        (40, 93),
        (20, 91),
        (28.571429, 85),
        (33.333333, 95),
        (12.5, 80),
    ]
    assert points(axes, "Pareto front") == [(12.5, 80), (20, 91), (33.333333, 95)]
    assert points(axes, "basic block") == [(25, 90), (40, 93)]
    assert points(axes, "bottleneck") == [(20, 91)] and points(axes, "inverted residual") == [(28.571429, 85)]
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3"]  # 1 is the most accurate
    assert [text.xy for text in axes.texts] == [
        pytest.approx(at) for at in [(20 / 0.6, 95), (20, 91), (12.5, 80)]
    ]
    assert (
        axes.get_xscale() == "log" and axes.get_xlabel() == "training step time, ms, batch 64, 32 × 32 pixels"
    )
    assert (
        axes.get_ylabel() == "accuracy, %" and axes.get_title() == "Search on digits, 2 epochs\na $100 CPU_1"
    )


def test_a_picture(tmp_path):
    image = Image.open(draw_search_front(RECORDS, tmp_path / "front.png"))
    assert (
        image.width == 1200 and len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20
    )


def test_numbers_overlap_neither_each_other_nor_the_axis(tmp_path):
    rng = np.random.default_rng(0)
    speeds = np.sort(rng.uniform(0.2, 2.0, 80))
    crowd = [
        RECORDS[0]
        | {
            "architecture": f"2-_32_{'1' * (k % 9 + 1)}-{'1' * (k // 9 + 1)}",
            "accuracy": 1 - speed / 4,
            "relative_speed": speed,
        }
        for k, speed in enumerate(speeds)
    ]
    figure = search_front_figure(crowd)
    figure.savefig(tmp_path / "front.png")
    (axes,) = figure.axes
    # Extents are those of the last drawing, and saving has another resolution.
    figure.draw_without_rendering()
    # Less what matplotlib, before 3.11, leaves below a line for letters such as p.
    boxes = [text.get_window_extent().padded(0, -2) for text in axes.texts]
    assert len(boxes) >= 10
    for k, a in enumerate(boxes):
        assert not any(a.count_overlaps([b]) for b in boxes[k + 1 :])
    ticks = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
    assert len(ticks) >= 3
    for k, a in enumerate(ticks):
        assert not any(a.count_overlaps([b]) for b in ticks[k + 1 :])


def test_step_times_of_a_mixed_cluster_are_those_of_one_device():
    other = [
        record
        | {
            "architecture": record["architecture"].replace("-2-2", "-2-4"),
            "device": "fast",
            "reference_step_time_ms": 2.0,
            "step_time_ms": 2.0 / record["relative_speed"],
        }
        for record in RECORDS[:2]
    ]
    (axes,) = search_front_figure(RECORDS + other).axes
    tried = points(axes, "networks tried: 8")
    assert tried[6:] == tried[:2] == [(25, 90), (40, 93)]


def test_a_picture_of_any_objectives(tmp_path):
    records = [{"loss": loss, "seconds": seconds} for loss, seconds in [(0.1, 9), (0.2, 5)]]
    path = draw_objectives(
        records, [Objective("loss", False), Objective("seconds", False)], tmp_path / "a.svg"
    )
    assert path == tmp_path / "a.svg" and "<svg" in path.read_text()


def test_one_network_is_enough(tmp_path):
    assert draw_search_front(RECORDS[:1], tmp_path / "front.png").stat().st_size > 1000


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="no result with an architecture"):
        draw_search_front(
            [{"accuracy": 0.5, "relative_speed": float("nan"), "architecture": "2-_32_1"}],
            tmp_path / "front.png",
        )
    with pytest.raises(ValueError, match="and a step time"):
        draw_search_front(
            [{"accuracy": 0.5, "relative_speed": 1.0, "architecture": "2-_32_1"}], tmp_path / "front.png"
        )
    with pytest.raises(ValueError, match="no result with a and b"):
        draw_objectives([{"a": 1}], [Objective("a"), Objective("b")], tmp_path / "front.png")


def test_two_objectives_of_any_space():
    records = [
        {"loss": loss, "seconds": seconds} for loss, seconds in [(0.1, 9), (0.2, 5), (0.3, 6), (0.5, 1)]
    ]
    (axes,) = objectives_figure(
        records, [Objective("loss", maximize=False), Objective("seconds", maximize=False)]
    ).axes
    assert points(axes, "Pareto front") == [(1, 0.5), (5, 0.2), (9, 0.1)]
    assert axes.get_ylabel() == "loss (lower is better)" and axes.get_xlabel() == "seconds (lower is better)"
    for text in axes.texts:  # on the side where no result is: down and left
        assert text.xyann[0] <= 0 and text.xyann[1] <= 0


@pytest.mark.parametrize("maximize, best", [(True, [(1, 3), (3, 5)]), (False, [(1, 3), (2, 1)])])
def test_one_objective_is_drawn_along_the_trials(maximize, best):
    records = [{"default": value} for value in (3, 1, 5, 5, 2)]
    (axes,) = objectives_figure(records, [Objective("default", maximize)]).axes
    assert points(axes, "best so far") == best
