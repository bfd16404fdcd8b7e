import numpy as np
import pytest
from PIL import Image

from nni_nasoa.figures.freezing import draw_freezing, freezing_figure
from nni_nasoa.figures.runs import RunsError


@pytest.fixture
def runs(recorded):
    """Two datasets, two seeds, 0 to 4 frozen stages: the best is 1 on digits, 3 on shapes."""
    best = {"digits": 1, "/home/x/shapes": 3}

    def run(dataset, k, seed):
        accuracy = 0.9 - 0.05 * abs(k - best[dataset]) + 0.02 * seed
        curve = [(1.0, 0.2), (5.0 - k, accuracy - 0.1), (10.0, accuracy)]
        return recorded(curve, dataset=dataset, frozen=k, seed=seed, epoch=1 / (k + 1))

    return [run(dataset, k, seed) for dataset in best for k in range(5) for seed in range(2)]


def test_accuracy_and_time_for_each_number_of_frozen_stages(runs, points_of):
    figure = freezing_figure(runs)
    accuracy, epoch, reach, *of_shapes = figure.axes
    assert points_of(accuracy, "nano-a") == [
        (0, 86),
        (1, 91),
        (2, 86),
        (3, 81),
        (4, 76),
    ]  # medians of 2 seeds
    assert points_of(of_shapes[0], "nano-a") == [(0, 76), (1, 81), (2, 86), (3, 91), (4, 86)]
    assert points_of(accuracy, "best") == [(1, 91)] and points_of(of_shapes[0], "best") == [(3, 91)]
    assert points_of(epoch, "nano-a") == [(0, 1), (1, 0.5), (2, round(1 / 3, 6)), (3, 0.25), (4, 0.2)]
    assert epoch.get_yscale() == "log"
    (bars,) = accuracy.collections
    assert [tuple(np.round(bar[:, 1], 6)) for bar in bars.get_segments()][:2] == [(85, 87), (90, 92)]
    assert [axes.get_title("left") for axes in (accuracy, of_shapes[0])] == ["digits", "shapes"]
    labels = [axes.get_ylabel() for axes in (accuracy, epoch, reach)]
    assert labels == ["validation accuracy, %", "time of an epoch, s", "time to 81 %, s"]
    assert [label.get_text() for label in accuracy.get_xticklabels()] == ["0", "1", "2", "3", "4\nhead only"]
    assert (
        figure.get_suptitle()
        == "Fine-tuning nano-a with frozen stages: from scratch, 16 × 16 pixels, 10 s a run"
    )
    assert "median of 2 seeds" in figure.get_supxlabel() and "a $100 CPU_1" in figure.get_supxlabel()


def test_time_to_an_accuracy_that_some_do_not_reach(runs, points_of):
    figure = freezing_figure(runs, target=0.77)
    reach, of_shapes = figure.axes[2], figure.axes[5]
    assert points_of(reach, "nano-a") == [(0, 7.5), (1, 4), (2, 6.5), (3, 10)]  # 0: 5 s and 10 s
    assert [(text.get_text(), text.xy[0]) for text in reach.texts] == [("1 of 2\nreached", 4)]
    assert [(text.get_text(), text.xy[0]) for text in of_shapes.texts] == [("1 of 2\nreached", 0)]
    higher = freezing_figure(runs, target=0.84).axes[2]
    assert [(text.get_text(), text.xy[0]) for text in higher.texts] == [
        ("not\nreached", 3),
        ("not\nreached", 4),
    ]
    assert reach.get_ylabel() == "time to 77 %, s"


def test_runs_that_had_time_for_the_head_alone_stand_aside(runs, recorded, points_of):
    short = recorded([(1.0, 0.2), (10.0, 0.99)], frozen=2, seed=2, cut_to_head=True)
    figure = freezing_figure([*runs, short])
    assert (
        points_of(figure.axes[0], "nano-a")[2] == (2, 86) and "too short a budget" in figure.get_supxlabel()
    )
    crosses = [
        tuple(line.get_xydata()[0])
        for line in figure.axes[0].lines
        if line.get_marker() == "x" and len(line.get_xydata())
    ]
    assert crosses == [(2, 99)]
    assert "too short" not in freezing_figure(runs).get_supxlabel()


def test_models_are_lines_with_their_names_at_the_end(runs, recorded, points_of):
    other = [
        recorded([(1.0, 0.2), (10.0, 0.5 + 0.1 * k)], model="nano-b", frozen=k, stages=3) for k in range(4)
    ]
    single = recorded([(1.0, 0.2), (10.0, 0.9)], model="nano-c")
    figure = freezing_figure([*runs, *other, single])
    accuracy = figure.axes[0]
    assert points_of(accuracy, "nano-b") == [(0, 50), (1, 60), (2, 70), (3, 80)]
    named = {
        text.get_text(): (text.get_color(), text.xy)
        for text in accuracy.texts
        if text.get_text().startswith("nano")
    }
    color = {line.get_label(): line.get_color() for line in accuracy.lines}
    assert named == {
        "nano-a": (color["nano-a"], pytest.approx((4, 76))),
        "nano-b": (color["nano-b"], pytest.approx((3, 80))),
    }
    assert "nano" not in figure.get_suptitle()


def test_a_picture(runs, tmp_path):
    image = Image.open(draw_freezing(runs, tmp_path / "freezing.png"))
    assert image.width > 1200 and len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 20


def test_nothing_to_draw(recorded, tmp_path):
    same = [recorded([(1.0, 0.2), (10.0, 0.9)], seed=seed) for seed in range(3)]
    for runs in ([], same):
        with pytest.raises(RunsError, match="no runs of a model with different frozen stages"):
            draw_freezing(runs, tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"has the suffix '\.xyz', where one of .*\.png"):
        draw_freezing(same, tmp_path / "x.xyz")
    with pytest.raises(ValueError, match="there is no folder"):
        draw_freezing(same, tmp_path / "none" / "x.png")
