import pytest
from documents import ROOT

from nni_nasoa.figures.block_search import (
    block_search_figure,
    block_search_of,
    draw_block_search,
    read_block_search,
    shipped_block_search,
)
from nni_nasoa.search.front import write_records


def result(architecture, accuracy, relative_speed, **more):
    return {
        "architecture": architecture,
        "accuracy": accuracy,
        "relative_speed": relative_speed,
        "step_time_ms": 10 / relative_speed,
        "reference_step_time_ms": 10.0,
        "device": "a CPU",
        **more,
    }


RESULTS = [
    result("020-_16_11-2-2", 0.7, 1.0),
    result("020-_8_11-2-2", 0.6, 2.0),
    result("0-_16_11-2-2", 0.9, 2.5),
    result("3-_16_11-2-2", 0.5, 1.0),
]


def test_classic_blocks_are_red_with_their_channels(points_of):
    search = block_search_of(RESULTS, "here.csv")
    assert [one.classic for one in search.tried] == ["basic block", "basic block", None, None]
    (axes,) = block_search_figure(search).axes
    assert points_of(axes, "basic block") == [(5, 60), (10, 70)]
    assert points_of(axes, "blocks that the search tried: 2") == [(4, 90), (10, 50)]
    assert points_of(axes, "Pareto front") == [(4, 90)]
    red = {text.get_text() for text in axes.texts if text.get_color() == "#d1242f"}
    assert red == {"8", "16"} and "0-" in {text.get_text() for text in axes.texts}


def test_what_was_trained_is_said_where_all_share_it(tmp_path):
    same = [
        one | {"dataset": "flowers", "epochs": 3, "speed_batch_size": 8, "speed_input_size": 64}
        for one in RESULTS
    ]
    path = write_records(tmp_path / "results.csv", same)
    search = read_block_search(path)
    assert search.trained == "on flowers, 3 epochs" and search.step == "8 images of 64 × 64 pixels"
    assert search.where.endswith("results.csv")
    assert block_search_of([*same[:3], same[3] | {"dataset": "trees"}], "here.csv").trained == ""
    longer = block_search_of([*same[:3], same[3] | {"epochs": 4}], "here.csv")
    assert longer.trained == "on flowers, 4 epochs" and len(longer.tried) == 1  # the others do not compare


def test_the_shipped_search_has_the_blocks_of_the_paper_and_finds_better_ones(tmp_path):
    search = shipped_block_search()
    classic = [one for one in search.tried if one.classic]
    widths = {(one.classic, int(str(one.architecture).split("_")[1])) for one in classic}
    assert widths >= {
        *(("basic block", width) for width in (8, 16, 24)),
        *(("inverted residual", width) for width in (8, 16)),
        *(("bottleneck", width) for width in (16, 32)),
    }
    for one in classic:  # as the paper says: more efficient ones are found
        assert any(
            other.accuracy > one.accuracy and other.step_ms <= one.step_ms
            for other in search.tried
            if not other.classic
        )
    assert "2026-" in search.where and "torch" in search.where
    assert draw_block_search(search, tmp_path / "blocks.svg").stat().st_size > 10_000


def test_results_of_any_search_can_be_drawn():
    search = read_block_search(ROOT / "examples" / "search_digits" / "results.csv")
    assert len(search.tried) == 34 and search.where == "Intel(R) Xeon(R) Processor @ 2.50GHz, results.csv"


@pytest.mark.parametrize("text, message", [("architecture\n", "no result with"), ("a,b\n1\n", "line 2")])
def test_what_cannot_be_drawn_is_one_line(tmp_path, text, message):
    path = tmp_path / "own.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_block_search(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
