import pytest

from nni_nasoa.figures.model_trade_off import model_trade_off_figure, trade_off_of_limits, trade_off_of_runs
from nni_nasoa.figures.runs import RunsError
from nni_nasoa.figures.time_limits import shipped_time_limits


def runs_of(recorded):
    """A small model that is best in little time, and a large one that is best later; two seeds each."""
    accuracies = {("small", 5.0): 0.6, ("small", 20.0): 0.7, ("large", 5.0): 0.4, ("large", 20.0): 0.9}
    return [
        recorded([(0.1, 0.1), (budget - 1, accuracy + 0.01 * seed)], model=model, budget=budget, seed=seed)
        for (model, budget), accuracy in accuracies.items()
        for seed in (0, 2)
    ]


def test_the_best_within_each_budget_is_joined_and_named(recorded, points_of):
    trade_off = trade_off_of_runs(runs_of(recorded))
    assert trade_off.best("digits") == [(5.0, pytest.approx(61), "small"), (20.0, pytest.approx(91), "large")]
    figure = model_trade_off_figure(trade_off)
    (axes,) = figure.axes
    assert points_of(axes, "small") == [(5, 61), (20, 71)] and points_of(axes, "large") == [(5, 41), (20, 91)]
    assert points_of(axes, "_best") == [(5, 61), (20, 91)]
    named = [text.get_text() for text in axes.texts]
    assert sorted(named) == ["large", "large", "small", "small"]  # at the lines' ends, and where each is best
    assert "median of 2 seeds" in trade_off.caption


def test_recorded_networks_are_lines_and_the_advised_run_is_none():
    limits = shipped_time_limits()
    trade_off = trade_off_of_limits(limits)
    assert list(trade_off.accuracies) == limits.tasks and limits.where in trade_off.caption
    for cell in limits.cells:
        of_cell = {name: 100 * value for networks in cell.series.values() for name, value in networks.items()}
        models = trade_off.accuracies[cell.task]
        assert {name: points[cell.budget] for name, points in models.items()} == pytest.approx(of_cell)
        best = {budget: accuracy for budget, accuracy, _ in trade_off.best(cell.task)}
        assert best[cell.budget] == pytest.approx(max(of_cell.values()))


def test_there_has_to_be_something_to_draw():
    with pytest.raises(RunsError, match="no runs"):
        trade_off_of_runs([])
