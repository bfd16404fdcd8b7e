"""The search space as labelled choices: mapped both ways with Architecture, and with NNI's `searchSpace`."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nni_nasoa.architecture import Architecture, ArchitectureError, ArchitectureSpace, random_architecture
from nni_nasoa.search.choices import (
    architecture_space,
    choices,
    decode,
    describes_architectures,
    encode,
    search_space,
)

SPACES = {
    "paper": ArchitectureSpace(),
    "four layers": ArchitectureSpace(layers=(2, 4), channels=(16,), blocks=(1, 2)),
    "plain": ArchitectureSpace(layers=(1,), skips=("none",), doublings=(0,)),
    "block level": ArchitectureSpace(macros=("32_1-1-221-11121", "64_21-211-121-11111121")),
    "macro level": ArchitectureSpace(block_designs=("2-", "10001-", "23311-a02c12")),
    "deep": ArchitectureSpace(blocks=(1, 27), stages=(4,)),
}
SMALL = ArchitectureSpace(blocks=(1, 2), doublings=(0, 1))
SAMPLE = encode(Architecture.parse("000-a01_32_2-1-1"), SMALL)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(SPACES)), st.integers(0, 2**32))
def test_architectures_and_samples_map_both_ways(name, seed):
    candidates = SPACES[name]
    architecture = random_architecture(np.random.default_rng(seed), candidates)
    sample = encode(architecture, candidates)
    assert list(sample) == [choice.label for choice in choices(candidates)]
    assert all(sample[choice.label] in choice.values for choice in choices(candidates))
    assert decode(sample) == architecture == decode({"architecture": str(architecture)})


@pytest.mark.parametrize("name", SPACES)
def test_the_search_space_of_a_config_has_the_same_candidates(name):
    space = json.loads(json.dumps(search_space(SPACES[name])))
    assert describes_architectures(space) and search_space(architecture_space(space)) == space


def test_labels_that_do_not_count_make_no_difference():
    other = {**SAMPLE, "op3": 6, "ratio2": 4, "skip_1_3": "concat", "skip_2_3": "add", "blocks4": 2}
    assert SAMPLE["layers"] == 2 and SAMPLE["stages"] == 3 and decode(other) == decode(SAMPLE)


def test_one_number_of_stages_is_no_choice():
    candidates = ArchitectureSpace(stages=(3,), blocks=(1, 2), doublings=(0, 1))
    labels = search_space(candidates)
    assert "stages" not in labels and {"blocks1", "blocks2", "blocks3"} <= set(labels)
    sample = encode(Architecture.parse("000-_32_2-1-1"), candidates)
    assert "stages" not in sample and str(decode(sample)) == "000-_32_2-1-1"
    # Configs and samples of earlier releases have the label, and mean the same.
    before = {**labels, "stages": {"_type": "choice", "_value": [3]}}
    assert architecture_space(before) == architecture_space(labels) == candidates
    assert decode({**sample, "stages": 3}) == decode(sample)
    with pytest.raises(ArchitectureError, match="'blocks4' is not a label"):
        architecture_space({**before, "blocks4": labels["blocks1"]})


def test_a_place_beyond_the_end_of_a_stage_means_its_last_block():
    for place, encoding in (
        ("s2b1", "000-a01_32_1-21-1"),
        ("s2b2", "000-a01_32_1-12-1"),
        ("s2b9", "000-a01_32_1-12-1"),
        ("s4b1", "000-a01_32_1-11-2"),
    ):
        assert str(decode({**SAMPLE, "blocks2": 2, "double1": place})) == encoding


def test_only_what_the_space_contains_can_be_encoded():
    for encoding, reason in (
        ("000-a01_64_4-1-1", "doublings = 2 is not in the search space"),
        ("000-_16_1-1-1", "channels = 16"),
        ("000-_32_111-1-1", "blocks1 = 3"),
        ("000-a01a01_32_1-1-1", "one at most between two places"),
    ):
        with pytest.raises(ArchitectureError, match=reason):
            encode(Architecture.parse(encoding), SMALL)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"layers": "2"}, "layers: '2' is not a whole number"),
        ({"layers": 2.0}, "layers: 2.0 is not"),
        ({"layers": None}, "layers: None"),
        ({"layers": 0}, "layers: 0 is not a whole number from 1"),
        ({"layers": 10**9}, "layers: 1000000000 is not"),
        ({"layers": 9}, "sample: label 'skip_."),
        ({"stages": 10**9}, "stages: 1000000000"),
        ({"stages": -1}, "stages: -1"),
        ({"blocks1": 10**9}, "blocks1: 1000000000"),
        ({"blocks2": [1]}, r"blocks2: \[1\]"),
        ({"doublings": "1"}, "doublings: '1'"),
        ({"channels": 32.0}, "channels: '32.0' is not"),
        ({"channels": 31}, "channels: '31' is not"),
        ({"op1": 9}, "block layer 1: op '9'"),
        ({"op1": 1.0}, "block layer 1: op '1.0' is not one of 0-6"),
        ({"op2": []}, "block layer 2: op "),
        ({"ratio1": None}, "block layer 1: ratio"),
        ({"skip_0_1": "mul"}, "skip_0_1: 'mul' is not one of none, add, concat"),
        ({"skip_1_2": []}, r"skip_1_2: \[\] is not"),
        ({"skip_1_2": "concat"}, "block skip 2: 'c12' concatenates into the last place"),
        ({"double1": "s0b1"}, "double1: 's0b1' is not a place"),
        ({"double1": 5}, "double1: 5 is not a place"),
        ({"block": 5}, "block: expected text, got int"),
        ({"macro": 7}, "macro: '7' is not"),
        ({"architecture": None}, "architecture: expected text"),
    ],
)
def test_a_sample_that_is_no_network_is_one_clear_line(change, message):
    with pytest.raises(ArchitectureError, match=f"^{message}") as raised:
        decode({**SAMPLE, **change})
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 200


def test_what_is_no_sample_at_all():
    with pytest.raises(ArchitectureError, match="label 'layers' is missing"):
        decode({})
    with pytest.raises(ArchitectureError, match="expected a dict"):
        decode(["layers"])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"op2": {"_type": "choice", "_value": [0]}}, r"'op2' has \[0\], where the other labels ask for"),
        ({"op2": None}, "'op2' is missing; it would be a choice of"),
        ({"op9": {"_type": "choice", "_value": [0]}}, "'op9' is not a label of this space"),
        ({"layers": {"_type": "randint", "_value": [1, 3]}}, "'layers' must be a choice"),
        ({"layers": {"_type": "choice", "_value": 3}}, "'layers' must be"),
        ({"channels": {"_type": "choice", "_value": [32.0]}}, "channels: candidate 32.0 is not"),
        ({"op1": {"_type": "choice", "_value": [[0], [1]]}}, r"ops: candidate \[0\] is not one of"),
        ({"block": {"_type": "choice", "_value": [5]}}, "block: expected text, got int"),
        ({"macro": {"_type": "choice", "_value": [5]}}, "macro: '5' is not CHANNELS_MACRO"),
    ],
)
def test_a_search_space_that_does_not_fit_is_one_clear_line(change, message):
    space = {
        label: choice for label, choice in {**search_space(SMALL), **change}.items() if choice is not None
    }
    with pytest.raises(ArchitectureError, match=message) as raised:
        architecture_space(space)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("space", [{}, {"layers": {}}, {"x": {}, "channels": {}}, {"lr": {}}])
def test_other_search_spaces_are_told_apart(space):
    assert not describes_architectures(space)
