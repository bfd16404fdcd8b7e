import pytest

from nni_nasoa.figures.budgets import PUBLISHED_POINTS, budgets_figure, draw_budgets
from nni_nasoa.figures.time_limits import Cell, TimeLimits, shipped_time_limits

LIMITS = TimeLimits(
    tuple(
        Cell(task, budget, advised, {"Big": {"x": 0.5, "y": 0.7}, "Small": {"z": 0.6}})
        for task, budget, advised in (
            ("one", 6, 0.9),
            ("one", 3, 0.8),
            ("a $ task", 3, 0.4),
            ("a $ task", 6, 0.5),
        )
    ),
    "a $100 CPU_1",
)


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda found: hasattr(found, "get_text")))


def test_squares_are_the_advised_runs_and_lines_the_best_of_a_series(points_of):
    one, other, summary = budgets_figure(LIMITS).axes
    assert points_of(one, "advised, one run") == [(3, 80), (6, 90)]
    assert points_of(one, "best Big") == [(3, 70), (6, 70)]
    assert points_of(other, "best Small") == [(3, 60), (6, 60)]
    big, small = [
        line.get_ydata()
        for line in summary.lines
        if len(line.get_xdata()) == 2 and line.get_marker() != "None"
    ]
    assert list(big) == pytest.approx([-10, 0]) and list(small) == pytest.approx([0, 10])


def test_measured_points_are_told_from_the_published_claim():
    said = texts(budgets_figure(LIMITS))
    assert "published: {} to {}".format(*PUBLISHED_POINTS) in said
    assert "measured" in said and "a $100 CPU_1" in said


def test_the_shipped_figure_has_all_tasks_and_its_origin(tmp_path):
    limits = shipped_time_limits()
    figure = budgets_figure(limits)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[: len(limits.tasks) + 1] == [*limits.tasks, "all tasks"]
    assert limits.where in texts(figure).replace("\n", " ")
    assert draw_budgets(limits, tmp_path / "budgets.svg").stat().st_size > 10_000
    with pytest.raises(ValueError, match="suffix"):
        draw_budgets(limits, tmp_path / "budgets.xyz")
