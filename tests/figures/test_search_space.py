from contextlib import suppress
from itertools import product

import pytest
from documents import ROOT
from matplotlib.patches import Rectangle

from nni_nasoa.architecture import OPS, ArchitectureError, ArchitectureSpace
from nni_nasoa.figures.search_space import (
    block_designs,
    draw_search_space,
    macro_designs,
    read_space,
    search_space_figure,
)
from nni_nasoa.search.choices import choices, decode

SMALL = ArchitectureSpace(
    layers=(1, 2, 3),
    ops=(0, 1),
    ratios=(2,),
    channels=(8, 16),
    stages=(1, 2),
    blocks=(1, 2),
    doublings=(0, 1, 3),
)

BLOCK_ALONE = {
    choice.label: choice.values[0]
    for choice in choices(SMALL)
    if choice.label.startswith(("channels", "stages", "blocks", "double", "doublings"))
}
MACRO_ALONE = {choice.label: choice.values[0] for choice in choices(SMALL) if choice.label not in BLOCK_ALONE}


def texts(space):
    (axes,) = search_space_figure(space).axes
    return [line for text in axes.texts for line in text.get_text().split("\n")]


def decoded(space, **fixed):
    """Every network that a sample of the space gives, with some labels fixed."""
    labels = {choice.label: choice.values for choice in choices(space)}
    labels |= {label: (value,) for label, value in fixed.items()}
    for values in product(*labels.values()):
        with suppress(ArchitectureError):
            yield decode(dict(zip(labels, values)))


def test_all_that_may_be_chosen_stands_there():
    drawn = texts(ArchitectureSpace())
    assert {f"{code}  {op.name}" for code, op in enumerate(OPS)} <= set(drawn)
    assert {"1, 2 or 3", "C/4, C/2, C, 2C, 4C", "none, add or concat", "3 or 4", "32 or 64 channels"} <= set(
        drawn
    )
    assert {
        "2 to 5 times in all",
        "Extra skip, at 5 places",
        "stage 4",
        "operation 3",
        "stem, stride 4",
    } <= set(drawn)
    assert (
        drawn.count("1 to 10 blocks") == 4
        and drawn.count("first block: stride 2") == 3
        and "bottleneck: 10001-" in drawn
    )


def test_what_is_not_in_the_space_is_not_drawn():
    space = ArchitectureSpace(
        layers=(2,), ops=(1, 6), ratios=(0,), skips=("none",), stages=(2,), blocks=(3, 5), doublings=(0,)
    )
    drawn = texts(space)
    assert [line for line in drawn if line[:1].isdigit() and "  " in line] == [
        "1  conv 1x1",
        "6  separable 3x3",
    ]
    assert not {"operation 3", "stage 3", "C/2", "Among them"} & set(drawn)
    assert (
        "concat" not in "".join(drawn)
        and "0 times in all" in drawn
        and not any("or ends" in t for t in drawn)
    )
    (axes,) = search_space_figure(space).axes
    blocks = [patch for patch in axes.patches if type(patch) is Rectangle]
    assert [patch.get_linestyle() == "-" for patch in blocks] == [True, True, True, False, False] * 2


def test_one_line_of_a_skip_for_each_choice():
    (axes,) = search_space_figure(ArchitectureSpace()).axes
    skips = [choice for choice in choices(ArchitectureSpace()) if choice.label.startswith("skip_")]
    lanes = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(lanes) == len(skips) + 1  # the residual


def test_designs_are_counted_as_they_decode():
    designs = {str(network.block) for network in decoded(SMALL, **BLOCK_ALONE)}
    assert block_designs(SMALL) == len(designs) == 2 + 4 * 3 * 2 + 8 * 3**3 * 2**2
    stackings = {str(network.macro) for network in decoded(SMALL, **MACRO_ALONE)}
    assert macro_designs(SMALL) == len(stackings)


def test_many_values_are_summed_up():
    space = ArchitectureSpace(channels=(8, 16, 24, 32, 48, 64, 96, 128), blocks=tuple(range(1, 65)))
    drawn = texts(space)
    assert "8 values, 8 to 128 channels" in drawn and drawn.count("1 to 64 blocks") == 4


def test_given_designs_are_listed():
    space = ArchitectureSpace(block_designs=("020-", "10001-"), macros=("16_11-2",))
    assert {"020-", "10001-", "16_11-2"} <= set(texts(space))
    assert texts(space)[-1].endswith("2 ways to write a block, 1 way to stack blocks")


def test_format_is_that_of_the_suffix(tmp_path):
    assert draw_search_space(SMALL, tmp_path / "space.svg").read_text().startswith("<?xml")
    with pytest.raises(ValueError, match="suffix"):
        draw_search_space(SMALL, tmp_path / "space.xyz")


def test_space_of_a_config(tmp_path):
    space = read_space(ROOT / "experiment_configs" / "search_macro.yml")
    assert space.block_designs == ("020-", "10001-", "14441-")
    for text, message in (
        ("a: [", "not YAML"),
        ("1", "searchSpace must be"),
        ("searchSpace: {}", "'layers'"),
    ):
        (tmp_path / "config.yml").write_text(text)
        with pytest.raises(ValueError, match=message):
            read_space(tmp_path / "config.yml")
