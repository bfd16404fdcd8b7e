import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from nni_nasoa.figures.along_time import along_time_figure, course, draw_along_time
from nni_nasoa.figures.runs import RunsError


def curve(end, accuracy):
    return [(1.0, 0.1), (end / 2, accuracy / 2), (end, accuracy)]


@pytest.fixture
def runs(recorded):
    """Two models, two seeds, one budget."""
    return [
        recorded(curve(10.0, accuracy + 0.1 * seed), model=model, seed=seed)
        for model, accuracy in (("nano-a", 0.6), ("nano-b", 0.8))
        for seed in range(2)
    ]


def test_one_budget_is_a_line_of_the_best_so_far(runs, points_of):
    figure = along_time_figure(runs)
    (axes,) = figure.axes
    assert points_of(axes, "nano-a") == [(1, 10), (5, 32.5), (10, 65)]
    assert points_of(axes, "nano-b") == [(1, 10), (5, 42.5), (10, 85)]
    assert [text.get_text() for text in axes.texts] == ["nano-a", "nano-b"]
    assert [text.xy for text in axes.texts] == [pytest.approx((10, 65)), pytest.approx((10, 85))]
    assert axes.get_xscale() == "linear" and axes.get_xlim()[0] == 0 and axes.get_xlabel() == "time, s"
    assert axes.get_ylabel() == "validation accuracy, %" and axes.get_title("left") == "digits"
    assert figure.get_suptitle() == "Accuracy along time, from scratch, 16 × 16 pixels, runs of 10 s"
    assert "best so far" in figure.get_supxlabel() and "median of 2 seeds" in figure.get_supxlabel()
    assert len({line.get_color() for line in axes.lines}) == 2


def test_several_budgets_are_points_and_the_longest_runs_within(runs, recorded, points_of):
    longer = [
        recorded(curve(40.0, accuracy), model=model, budget=40.0)
        for model, accuracy in (("nano-a", 0.7), ("nano-b", 0.95))
    ]
    (axes,) = along_time_figure(runs + longer).axes
    assert points_of(axes, "nano-a") == [(10, 65), (40, 70)] and points_of(axes, "nano-b") == [
        (10, 85),
        (40, 95),
    ]
    within = [
        [tuple(point) for point in line.get_xydata()] for line in axes.lines if line.get_label() == "_within"
    ]
    assert within == [[(1, 10), (20, 35), (40, 70)], [(1, 10), (20, 47.5), (40, 95)]]
    assert axes.get_xscale() == "log" and "budget" in axes.get_xlabel()


def test_long_runs_are_in_minutes(recorded, points_of):
    (axes,) = along_time_figure([recorded(curve(600.0, 0.8), budget=600.0)]).axes
    assert points_of(axes, "nano-a")[-1] == (10, 80) and axes.get_xlabel() == "time, min"


def test_datasets_are_panels_with_the_same_colors(runs, recorded):
    more = [
        recorded(curve(10.0, 0.5), model="nano-b", dataset=f"/x/{name}") for name in ("cats", "dogs", "birds")
    ]
    figure = along_time_figure(runs + more)
    assert [axes.get_title("left") for axes in figure.axes] == ["digits", "cats", "dogs", "birds"]
    colors = [{line.get_label(): line.get_color() for line in axes.lines} for axes in figure.axes]
    assert colors[1] == {"nano-b": colors[0]["nano-b"]} == colors[3]


def test_the_course_of_several_seeds_begins_with_the_last_one(recorded):
    early, late = recorded([(1.0, 0.2), (3.0, 0.6), (10.0, 0.4)]), recorded([(2.0, 0.1), (6.0, 0.8)], seed=1)
    assert course([early, late]) == [
        (2.0, 0.1, pytest.approx(0.15), 0.2),
        (3.0, 0.1, pytest.approx(0.35), 0.6),
        (6.0, 0.6, pytest.approx(0.7), 0.8),
        (10.0, 0.6, pytest.approx(0.7), 0.8),
    ]


def test_labels_do_not_overlap(recorded):
    names = [f"nano-{k}" if k % 2 else f"2-_{16 * k + 16}_2-1-211111111111111111111" for k in range(8)]
    runs = [recorded(curve(10.0, 0.8 + 0.001 * k), model=name) for k, name in enumerate(names)]
    figure = along_time_figure(runs)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]  # without the line to the point
    assert len(boxes) == 8
    for k, a in enumerate(boxes):
        assert not any(a.count_overlaps([b]) for b in boxes[k + 1 :])


def test_labels_stay_below_the_title_of_a_panel(recorded):
    runs = [
        recorded(curve(10.0, 0.99), model=f"nano-{k}", dataset=dataset)
        for k in range(5)
        for dataset in ("a" * 40, "b" * 40)
    ]
    figure = along_time_figure(runs)
    figure.draw_without_rendering()
    for axes in figure.axes:
        (title,) = (text for text in axes.findobj(Text) if text.get_text() == axes.get_title("left"))
        title = title.get_window_extent()
        assert len(axes.texts) == 5 and not any(
            title.overlaps(Text.get_window_extent(text)) for text in axes.texts
        )


def test_a_picture(runs, tmp_path):
    image = Image.open(draw_along_time(runs, tmp_path / "along-time.png"))
    assert image.width > 900 and len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20
    with pytest.raises(RunsError, match="no runs to draw"):
        draw_along_time([], tmp_path / "along-time.png")
