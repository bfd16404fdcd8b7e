from itertools import combinations

import numpy as np
import pytest

from nni_nasoa.architecture import (
    Architecture,
    ArchitectureError,
    ArchitectureSpace,
    Block,
    random_architecture,
)
from nni_nasoa.architecture.layout import block_layout
from nni_nasoa.figures.block_drawing import (
    block_figure,
    draw_block,
    lay_out,
    operation_label,
    place_channels,
    typical_layout,
)

BLOCKS = [
    "2-",
    "031-",
    "10001-",
    "14441-",
    "02031-a02",
    "23311-a02c12",
    "31012-c01a02a12c12",
    "6201121-a01a02a13c03a14a24",
    "0202020-a01a01a12c12c12a03a03c13a24",
]


def random_blocks(number):
    rng = np.random.default_rng(0)
    candidates = ArchitectureSpace(layers=(1, 2, 3, 4, 5, 6), channels=(32, 64, 512))
    return [str(random_architecture(rng, candidates)) for _ in range(number)]


def overlap(a, b):
    """Whether two boxes share an area, going by inches or pixels alike."""
    return min(a.x1, b.x1) - max(a.x0, b.x0) > 1e-6 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1e-6


@pytest.mark.parametrize("encoding", BLOCKS + random_blocks(12))
def test_nothing_overlaps_or_is_cut_off(encoding):
    figure = block_figure(encoding)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = {patch: patch.get_window_extent() for patch in axes.patches if "Fancy" in type(patch).__name__}
    circles = [patch.get_window_extent() for patch in axes.patches if type(patch).__name__ == "Circle"]
    texts = {text: text.get_window_extent() for text in axes.texts if text.get_text()}
    page = figure.bbox
    for extent in [*boxes.values(), *circles, *texts.values()]:
        assert page.x0 <= extent.x0 and extent.x1 <= page.x1 and page.y0 <= extent.y0 and extent.y1 <= page.y1
    for things in (list(boxes.values()) + circles, list(texts.values())):
        assert not any(overlap(a, b) for a, b in combinations(things, 2))
    for text, extent in texts.items():  # either inside of one box or circle, or clear of all
        for around in [*boxes.values(), *circles]:
            inside = (
                around.x0 < extent.x0
                and extent.x1 < around.x1
                and around.y0 < extent.y0
                and extent.y1 < around.y1
            )
            assert inside or not overlap(around, extent), text


@pytest.mark.parametrize("encoding", BLOCKS + random_blocks(12))
def test_no_skip_runs_through_a_box_or_another_skip(encoding):
    _, layout = typical_layout(encoding)
    column = lay_out(layout)
    assert [lane.skip for lane in sorted(column.lanes, key=lambda lane: lane.bottom)] == list(layout.skips)
    rows = [(y - 0.26, y + 0.26) for y in column.operations]
    for lane in column.lanes:
        # A line turns off the column between operations, and runs down beside them.
        assert abs(lane.x) > 1.05 and lane.top < lane.middle < lane.bottom
        assert not any(low <= y <= high for low, high in rows for y in (lane.top, lane.bottom))
    for a, b in combinations(column.lanes, 2):
        if a.x == b.x:
            assert a.bottom <= b.top or b.bottom <= a.top
        # A line out to a lane further off does not run through a projection on the way.
        inner, outer = sorted((a, b), key=lambda lane: abs(lane.x))
        if inner.x * outer.x > 0 and inner.skip.projection is not None:
            assert not any(inner.middle - 0.19 <= y <= inner.middle + 0.19 for y in (outer.top, outer.bottom))


def labels(encoding, width=64):
    block, layout = typical_layout(encoding, width)
    return [operation_label(*operation) for operation in zip(block.ops, block.ratios, layout.convs)]


def test_operations_say_what_they_do():
    assert labels("14441-") == [
        ("1×1 conv", "4C = 256 channels"),
        ("3×3 conv, depthwise", "4C = 256 channels"),
        ("1×1 conv", "C = 64 channels"),
    ]
    assert labels("62514-") == [
        ("separable 3×3 conv", "C = 64 channels"),
        ("3×3 conv, group width 32", "C/2 = 32 channels"),
        ("3×3 conv, group width 1", "C = 64 channels"),
    ]
    assert labels("30201-", 32) == [
        ("3×3 conv, 4 groups", "C/4 = 8 channels"),
        ("3×3 conv, 2 groups", "C/4 = 8 channels"),
        ("1×1 conv", "C = 32 channels"),
    ]


def test_the_operation_that_carries_the_stride_says_so():
    block = Block.parse("10001-")
    layout = block_layout(block.ops, block.ratios, block.skips, 64, 2, 2)
    texts = [operation_label(*operation)[1] for operation in zip(block.ops, block.ratios, layout.convs)]
    assert texts == ["C/4 = 32 channels", "C/4 = 32 channels, stride 2", "C = 128 channels"]


def test_places_count_what_is_concatenated():
    block = Block.parse("23311-a02c12")
    layout = block_layout(block.ops, block.ratios, block.skips, 64, 1, 1)
    assert place_channels(layout) == [64, 128, 32 + 128, 64]


def test_drawn_text():
    figure = block_figure("23311-a02c12", width=32)
    texts = [text.get_text() for text in figure.axes[0].texts if text.get_text()]
    assert texts.count("||") == 1 and texts.count("+") == 2 and texts.count("ReLU") == 3
    assert [text for text in texts if text.startswith("1×1 conv\n") and "=" not in text] == [
        "1×1 conv\n16"
    ]  # the add fits 32 to 16
    assert (
        "3×3 conv, 4 groups\nC/2 = 16 channels" in texts
        and "C = 32 channels;  + adds, || concatenates" in texts
    )


def test_of_a_network_a_block_is_drawn_that_keeps_its_channels():
    _, layout = typical_layout("10001-_64_4-11-2")
    assert (layout.in_channels, layout.out_channels, layout.stride) == (256, 256, 1)
    _, layout = typical_layout(
        Architecture.parse("10001-_64_4-2-2")
    )  # there is none: the first one, with its projection
    assert (layout.in_channels, layout.out_channels) == (64, 256) and layout.skips[-1].projection is not None
    assert "64 channels in, C = 256 out;  + adds" in [
        text.get_text() for text in block_figure("10001-_64_4-2-2").axes[0].texts
    ]


def test_files(tmp_path):
    from PIL import Image

    image = Image.open(draw_block("10001-", tmp_path / "block.png"))
    assert image.width > 300 and image.height > image.width
    assert np.unique(np.asarray(image)).size > 10
    assert draw_block("10001-", tmp_path / "block.svg").read_text().startswith("<?xml")


def test_even_the_largest_block_gives_an_image_of_bearable_size(tmp_path):
    from PIL import Image

    monster = (
        "0"
        + "20" * 8
        + "-"
        + "".join(f"a{i}{j}" for i in range(9) for j in range(i + 1, 10) if (i, j) != (0, 9)) * 2
    )
    assert max(Image.open(draw_block(monster, tmp_path / "block.png")).size) <= 6001


def test_errors_are_those_of_the_encoding():
    with pytest.raises(ArchitectureError, match="block layer 1: op '9'"):
        draw_block("920-", "unused.png")
    with pytest.raises(ArchitectureError, match="cannot turn 6 channels"):
        draw_block("320-", "unused.png", width=6)
