"""Properties of the encoding as a value: round trip, equality, errors, and the published figures."""

import csv
import pickle
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces import SPACES, drawn, seeds, spaces

import nni_nasoa
from nni_nasoa.architecture import (
    OPS,
    Architecture,
    ArchitectureError,
    ArchitectureSpace,
    Block,
    Macro,
    Skip,
    block_layouts,
    random_architecture,
)

with open(Path(nni_nasoa.__file__).parent / "zoo" / "et_nas.csv", newline="") as file:
    PUBLISHED = list(csv.DictReader(file))
ENCODINGS = [row["encoding"] for row in PUBLISHED]
A = ENCODINGS[0]


# -- round trip and equality --


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["name"])
def test_published_networks(row):
    """Every published encoding is canonical, and its parameters and MACs are those of
    the table (rounded there).
    """
    architecture = Architecture.parse(row["encoding"])
    assert str(architecture) == row["encoding"]
    assert architecture.parameters() / 1e6 == pytest.approx(float(row["params_m"]), abs=0.051)
    assert architecture.macs() / 1e9 == pytest.approx(float(row["gmacs_224"]), abs=0.0051)


@settings(max_examples=200, deadline=None)
@given(spaces, seeds)
def test_random_networks_round_trip(name, seed):
    architecture = drawn(name, seed)
    again = Architecture.parse(str(architecture))
    assert again == architecture and hash(again) == hash(architecture) and str(again) == str(architecture)
    assert pickle.loads(pickle.dumps(architecture)) == architecture


def test_it_is_a_value():
    architecture = Architecture.parse(A)
    with pytest.raises(AttributeError):
        architecture.block = None
    with pytest.raises(ValueError, match="read-only"):
        architecture.features[0] = 1
    assert {architecture, Architecture.parse(A)} == {architecture}
    assert Architecture.parse(ENCODINGS[1]) != architecture


@pytest.mark.parametrize(
    "one, other",
    [
        ("02020-a13a02_64_1-2-2", "02020-a02a13_64_1-2-2"),  # other targets
        ("02020-a12a02_64_1-2-2", "02020-a02a12_64_1-2-2"),  # adds into one place commute
        ("02020-c12a03a13_64_1-2-2", "02020-a13a03c12_64_1-2-2"),
        ("5-_32_1-1", "0-_32_1-1"),  # 32 channels in groups of width 32 are one group
        ("4-_2_1-1", "2-_2_1-1"),  # 2 channels in groups of width 1 are two groups
    ],
)
def test_equal_networks_are_equal(one, other):
    assert Architecture.parse(one) == Architecture.parse(other) and str(Architecture.parse(one)) == str(
        Architecture.parse(other)
    )


@pytest.mark.parametrize(
    "one, other",
    [
        (
            "02020-a02c02_64_1-2-2",
            "02020-c02a02_64_1-2-2",
        ),  # a concatenation changes the channels that the add has to meet
        (
            "02020-c02c12_64_1-2-2",
            "02020-c12c02_64_1-2-2",
        ),  # and another order of concatenations the order of the channels
        ("5-_32_1-2-1", "0-_32_1-2-1"),  # 64 channels in groups of width 32 are two
        ("2-_32_1-1", "3-_32_1-1"),
        ("0-_32_1-1", "0-_32_11"),
    ],
)
def test_different_networks_are_different(one, other):
    assert Architecture.parse(one) != Architecture.parse(other)


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_order_of_adds_makes_no_difference(seed):
    """Shuffle the adds among themselves: parameters and MACs stay, so the value must stay too."""
    rng = np.random.default_rng(seed)
    architecture = random_architecture(rng, ArchitectureSpace(layers=(2, 3, 4), skips=("none", "add")))
    skips = architecture.block.skips
    shuffled = tuple(skips[i] for i in rng.permutation(len(skips)))
    assert (
        Architecture(Block(architecture.block.ops, architecture.block.ratios, shuffled), architecture.macro)
        == architecture
    )


@settings(max_examples=150, deadline=None)
@given(seeds)
def test_equality_means_the_same_layouts(seed):
    """Two encodings of the same block with one operation exchanged are equal exactly where
    all the convolutions are.
    """
    rng = np.random.default_rng(seed)
    one = random_architecture(rng, SPACES["narrow"])
    ops = list(one.block.ops)
    ops[rng.integers(len(ops))] = int(rng.integers(len(OPS)))
    try:
        other = Architecture(Block(tuple(ops), one.block.ratios, one.block.skips), one.macro)
    except ArchitectureError:
        return
    assert (one == other) == (list(block_layouts(one)) == list(block_layouts(other)))


# -- errors --

BAD = [
    ("", "architecture: '' is not BLOCK_CHANNELS_MACRO"),
    ("_", "architecture: "),
    ("__", "architecture: "),
    ("2-_32", "architecture: "),
    ("2-_32_1_1", "architecture: "),
    ("_32_1-1", "block: '' has no '-'"),
    ("2_32_1-1", "block: '2' has no '-'"),
    ("-_32_1-1", "block layers: '' has 0 digits"),
    ("22-_32_1-1", "block layers: '22' has 2 digits"),
    ("029-_32_1-1", "block layer 2: op '9' is not one of 0-6"),
    ("7-_32_1-1", "block layer 1: op '7' is not one of 0-6"),
    ("051-_32_1-1", "block layer 1: ratio '5' is not one of 0-4"),
    ("02x-_32_1-1", "block layer 2: op 'x' is not one of 0-6"),
    ("٢-_32_1-1", "block layer 1: op '٢' is not one of 0-6"),
    ("²-_32_1-1", "block layer 1: op '²' is not one of 0-6"),
    ("2-a0_32_1-1", "block connections: 'a0' is not a row of 3-character skips"),
    ("020-b02_32_1-1", "block skip 1: kind 'b' is not one of a, c"),
    ("020-a02c0x_32_1-1", "block skip 2: place 'x' is not one of 0-9"),
    (
        "020-a\N{ARABIC-INDIC DIGIT ZERO}2_32_1-1",
        "block skip 1: place '\N{ARABIC-INDIC DIGIT ZERO}' is not one of 0-9",
    ),
    ("020-a20_32_1-1", "block skip 1: 'a20' must go forward between places 0 and 2"),
    ("020-a11_32_1-1", "block skip 1: 'a11' must go forward"),
    ("020-a03_32_1-1", "block skip 1: 'a03' must go forward between places 0 and 2"),
    ("020-c02_32_1-1", "block skip 1: 'c02' concatenates into the last place"),
    ("2-__1-1", "architecture: "),
    ("2-_0_1-1", "channels: '0' is not an even number"),
    ("2-_33_1-1", "channels: '33' is not an even number"),
    ("2-_-32_1-1", "channels: '-32' is not"),
    ("2-_+32_1-1", r"channels: '\+32' is not"),
    ("2-_3 2_1-1", "channels: '3 2' is not"),
    ("2-_032_1-1", "channels: '032' is not"),
    ("2-_3e1_1-1", "channels: '3e1' is not"),
    ("2-_٣٢_1-1", "channels: '٣٢' is not"),
    ("2-_1_000_1-1", "architecture: "),
    ("2-_99999999999999999999_1-1", "channels: '99999999999999999999' is not"),
    ("2-_32_", "macro stage 1: empty"),
    ("2-_32_-1", "macro stage 1: empty"),
    ("2-_32_1--1", "macro stage 2: empty"),
    ("2-_32_1-1-", "macro stage 3: empty"),
    ("2-_32_0-1", "macro stage 1 block 1: multiplier '0' is not one of 1, 2, 4"),
    ("2-_32_1-103", "macro stage 2 block 2: multiplier '0'"),
    ("2-_32_1-3", "macro stage 2 block 1: multiplier '3'"),
    (
        "2-_32_1-\N{ARABIC-INDIC DIGIT ONE}",
        "macro stage 2 block 1: multiplier '\N{ARABIC-INDIC DIGIT ONE}'",
    ),
    ("2-_32_" + "4" * 40, "macro: the last block would have"),
    ("2-_32_" + "1" * 600, "macro: 600 blocks, where at most 512"),
    ("2-_32_" + "1" * 10**6, r"architecture: \d+ characters, where at most"),
    ("0" * 10**6, r"architecture: \d+ characters"),
    ("0" * 999 + "-_32_1", "block: 500 layers, where 1 to 9"),
    ("2-" + "a01" * 10**5 + "_32_1", r"architecture: \d+ characters"),
    ("-" * 1000, "architecture: "),
    ("_" * 1000, "architecture: "),
    ("002-_2_1-1", "block layer 1: op '0' .* cannot turn 2 channels into 0"),
    ("5-_16_1-1", r"block layer 1: op '5' .* cannot turn 16 channels into 16"),
    ("3-_2_1-1", r"block layer 1: op '3' .* \(at macro stage 1 block 1\)"),
    ("3-_6_1-2", "block layer 1: op '3'"),
]


@pytest.mark.parametrize("text, message", BAD, ids=lambda value: ascii(value)[:40])
def test_malformed_text_gets_one_clear_line_quickly(text, message):
    start = time.process_time()
    with pytest.raises(ArchitectureError, match=f"^{message}") as raised:
        Architecture.parse(text)
    assert time.process_time() - start < 1.0
    assert len(str(raised.value)) < 250 and str(raised.value).isprintable()


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(alphabet="0123456789-_ac", max_size=60),
        st.from_regex(
            r"[0-7]([0-5][0-7]){0,4}-([ac][0-5][0-5]){0,3}_(2|6|16|32|64|65536)_[0-4]{1,3}(-[0-4]{1,3}){0,3}",
            fullmatch=True,
        ),
        st.tuples(st.sampled_from(ENCODINGS), st.integers(0, 60), st.characters()).map(
            lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
        ),
    )
)
def test_any_text_is_an_architecture_or_one_clear_line(text):
    architecture, told = None, ""
    try:
        architecture = Architecture.parse(text)
    except ArchitectureError as error:
        told = str(error)
    if architecture is None:
        assert told and told.isprintable() and len(told) < 250
    else:
        assert Architecture.parse(str(architecture)) == architecture
        assert architecture.parameters(10) > 0 and architecture.macs(32, 10) > 0


@pytest.mark.parametrize("value", [None, 3, b"2-_32_1-1", ["2-_32_1-1"], Architecture.parse(A)], ids=repr)
def test_other_types_are_refused(value):
    with pytest.raises(ArchitectureError, match="expected text, got "):
        Architecture.parse(value)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Block((0, 9), (2, 2)), "block layer 2: op '9' is not one of 0-6"),
        (lambda: Block((0, 0), (7, 2)), "block layer 1: ratio '7' is not one of 0-4"),
        (lambda: Block((0, 0), (2, 1)), "block: 2 layers need 2 ratios, the last of them 2"),
        (lambda: Block((0, 0), (2,)), "block: 2 layers need 2 ratios"),
        (lambda: Block((), ()), "block: 0 layers"),
        (lambda: Block((0,) * 10, (2,) * 10), "block: 10 layers"),
        (lambda: Block((0,), (2,), (Skip("a", 0, 2),)), "block skip 1: 'a02' must go forward"),
        (lambda: Macro(31, ((1,),)), "channels: '31'"),
        (lambda: Macro(32, ()), "macro: no stage"),
        (lambda: Macro(32, ((1,), ())), "macro stage 2: empty"),
        (lambda: Macro(32, ((1, 0),)), "macro stage 1 block 2: multiplier '0'"),
        (lambda: Macro(32, ((1,) * 10**6,)), "macro: 1000000 blocks"),
        (lambda: Macro(65536, ((2,),)), "macro: the last block would have 131072 channels"),
        (lambda: Macro(32.0, ((1,),)), "channels: '32.0'"),
        (lambda: Macro(32, ((1.0,),)), "macro stage 1 block 1: multiplier '1.0'"),
        (lambda: Block((1.0,), (2,)), "block layer 1: op '1.0'"),
        (lambda: Block.parse("0-" + "a01" * 10**5), "block: 300002 characters"),
        (lambda: Block.parse(5), "block: expected text, got int"),
        (lambda: Block.parse("0-\n"), "block: '0-.n' has characters that do not print"),
        (lambda: Macro.parse("32", "1" * 10**6), "macro: 1000000 characters"),
    ],
)
def test_values_are_checked_as_text_is(make, message):
    with pytest.raises(ArchitectureError, match=f"^{message}"):
        make()


def test_numbers_of_numpy_and_truth_values_are_the_numbers_that_they_equal():
    block, macro = (
        Block((np.int64(0), True), (np.int64(2), 2)),
        Macro(np.int64(32), ((np.int64(1), np.int64(2)),)),
    )
    assert str(Architecture(block, macro)) == "021-_32_12"
    assert str(ArchitectureSpace(ops=np.arange(3)).ops) == "(0, 1, 2)"


# -- what is derived from it --


def by_hand(architecture, num_classes):
    """Parameters of a network of skip-less blocks, counted straight from the description of the encoding."""
    channels, half = architecture.macro.channels, architecture.macro.channels // 2
    count = 3 * half * 9 + 2 * half + half * half * 9 + 2 * half + half * channels * 9 + 2 * channels
    for s, stage in enumerate(architecture.macro.stages):
        for b, multiplier in enumerate(stage):
            out, current = channels * multiplier, channels
            for op, ratio in zip(architecture.block.ops, architecture.block.ratios):
                width = out * 2**ratio // 4
                groups = {0: 1, 1: 1, 2: 2, 3: 4, 4: current, 5: current // 32, 6: 1}[op]
                count += (
                    9 * current + current * width
                    if op == 6
                    else (1 if op == 1 else 9) * current * width // groups
                ) + 2 * width
                current = width
            if multiplier > 1 or (s and not b):
                count += channels * out + 2 * out  # the residual's projection
            channels = out
    return count + channels * num_classes + num_classes


@settings(max_examples=100, deadline=None)
@given(seeds)
def test_parameters_are_those_counted_by_hand(seed):
    architecture = random_architecture(np.random.default_rng(seed), ArchitectureSpace(skips=("none",)))
    assert architecture.parameters(37) == by_hand(architecture, 37)


@settings(max_examples=50, deadline=None)
@given(spaces, seeds)
def test_derived_numbers(name, seed):
    architecture = drawn(name, seed)
    assert architecture.parameters(11) - architecture.parameters(10) == architecture.out_channels + 1
    stride = architecture.total_stride
    assert stride == 2 ** (1 + len(architecture.macro.stages))
    head = architecture.out_channels * 10  # MACs grow with the area, at sizes that the strides divide
    assert architecture.macs(4 * stride, 10) - head == 4 * (architecture.macs(2 * stride, 10) - head)
    *_, (stage, last) = block_layouts(architecture)
    assert stage == len(architecture.macro.stages) - 1 and last.out_channels == architecture.out_channels


@settings(max_examples=50, deadline=None)
@given(spaces, seeds)
def test_features(name, seed):
    one = drawn(name, seed)
    assert (
        one.features.shape == (len(Architecture.FEATURES),)
        and one.features.dtype == np.float64
        and np.isfinite(one.features).all()
    )
    values = dict(zip(Architecture.FEATURES, one.features))
    assert (
        10 ** values["log10_params"] == pytest.approx(one.parameters())
        and 2 ** values["log2_channels"] == one.macro.channels
    )
    assert sum(values[f"stage{s}_blocks"] for s in range(1, 5)) == sum(map(len, one.macro.stages))
    assert sum(values[f"layer1_op{op}"] for op in range(7)) == 1 and values["skips_add"] + values[
        "skips_concat"
    ] == len(one.block.skips)


def test_features_tell_the_published_networks_apart():
    assert len({tuple(Architecture.parse(text).features) for text in ENCODINGS}) == len(ENCODINGS)
    assert len(set(Architecture.FEATURES)) == len(Architecture.FEATURES)


def test_messages_are_one_line():
    for text in ("2-\n_32_1-1", "2-_32_1-\n", "a\nb", "2-_3\n2_1"):
        with pytest.raises(ArchitectureError) as raised:
            Architecture.parse(text)
        assert not re.search(r"[\n\r]", str(raised.value)), text
