import csv
from functools import cache

import pytest
from documents import ROOT
from matplotlib.text import Annotation

from nni_nasoa import zoo
from nni_nasoa.figures.efficiency import inference_figure, nas_figure, training_figure
from nni_nasoa.figures.published import Network, on_rtx_3090, on_v100
from nni_nasoa.figures.step_times import Measured
from nni_nasoa.zoo.timm_published import published

# Drawing takes most of the time, and nothing below changes a figure.
training_figure, inference_figure, nas_figure = map(cache, (training_figure, inference_figure, nas_figure))
MEASURED = Measured(
    "a $1 CPU, 2 threads",
    (
        Network("ET-NAS", "et-nas-a", "A", 62.06, 20.0, 5.0),
        Network("ET-NAS", "et-nas-b", "B", 66.92, 30.0, None),
        Network("ResNet", "resnet18", "18", 69.8, 40.0, 10.0),
    ),
)


def points(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return [tuple(map(float, point)) for point in line.get_xydata()]


def test_published_points_are_those_of_the_tables():
    training = training_figure()
    axes = training.axes[0]
    infos = [zoo.get(name) for name in zoo.list_models("et-nas")]
    assert points(axes, "ET-NAS") == [(info.train_step_ms_v100_bs64, info.imagenet_top1) for info in infos]
    with (ROOT / "nni_nasoa" / "figures" / "peers_v100.csv").open() as file:
        rows = list(csv.DictReader(file))
    for kind, figure in (("train", training), ("infer", inference_figure())):
        for series in ("RegNetY", "EfficientNet", "ResNet", "ResNeXt", "MobileNet"):
            assert sorted(points(figure.axes[0], series)) == sorted(
                (float(row[f"{kind}_{'step_' * (kind == 'train')}ms_v100_bs64"]), float(row["imagenet_top1"]))
                for row in rows
                if row["series"] == series
            )


def test_speeds_of_timm_become_times():
    networks = {network.name: network for network in on_rtx_3090()}
    figures = published()["resnet50.tv_in1k"]
    assert networks["resnet50.tv_in1k"].train_ms == pytest.approx(64e3 / figures.train_speed)
    axes = training_figure().axes[1]
    assert (64e3 / figures.train_speed, figures.imagenet_top1) in points(axes, "ResNet")
    assert "ET-NAS" not in [line.get_label() for line in axes.lines]
    (others,) = axes.collections
    assert 100 < len(others.get_offsets()) < len(networks)


def test_measured_points_have_a_panel_of_their_own():
    assert len(inference_figure().axes) == 1
    *published_panels, own = training_figure(MEASURED).axes
    assert own.get_title(loc="left") == "measured: a $1 CPU, 2 threads"
    assert all(axes.get_title(loc="left").startswith("published: ") for axes in published_panels)
    assert points(own, "ET-NAS") == [(20.0, 62.06), (30.0, 66.92)] and points(own, "ResNet") == [(40.0, 69.8)]
    (ours,) = [line for line in own.lines if line.get_label() == "ET-NAS"]
    (theirs,) = [line for line in published_panels[0].lines if line.get_label() == "ET-NAS"]
    assert (ours.get_linestyle(), ours.get_markerfacecolor()) == ("--", "white")
    assert theirs.get_linestyle() == "-" and theirs.get_markerfacecolor() != "white"
    # A network whose inference did not fit is left out.
    assert points(inference_figure(MEASURED).axes[1], "ET-NAS") == [(5.0, 62.06)]


def test_other_searches():
    training, inference = nas_figure().axes
    names = {"DARTS", "PC-DARTS", "AmoebaNet", "OFANet"}
    for axes, kind in ((training, "train"), (inference, "infer")):
        others = [network for network in on_v100() if network.name in names]
        assert sorted(points(axes, "other NAS")) == sorted(
            (network.step_ms(kind), network.imagenet_top1) for network in others
        )
        assert names <= {text.get_text() for text in axes.texts}


@pytest.mark.parametrize("figure", [training_figure, inference_figure, nas_figure])
def test_points_are_named_and_names_do_not_overlap(figure):
    drawn = figure()
    drawn.draw_without_rendering()
    for axes in drawn.axes:
        texts = [text for text in axes.texts if isinstance(text, Annotation)]
        assert not axes.get_title(loc="left").startswith("published: NVIDIA V100") or len(texts) >= len(
            [x for line in axes.lines for x in line.get_xdata()]
        )
        boxes = [Annotation.get_window_extent(text) for text in texts]
        # A little of the height is room that letters without descenders leave.
        heights = [(box.x0, box.x1, box.y0 + 0.25 * box.height, box.y1 - 0.1 * box.height) for box in boxes]
        for i, a in enumerate(heights):
            for b in heights[:i]:
                assert a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] or b[3] <= a[2], (i, a, b)


def test_a_panel_without_times_is_refused():
    none = Measured("here", (Network("ET-NAS", "et-nas-a", "A", 62.06, None, None),))
    with pytest.raises(ValueError, match="here: no times of training"):
        training_figure(none)
