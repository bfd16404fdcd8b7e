"""ETNASSpace: its samples are networks, in NNI's terms and in the encoding's."""

import json
from functools import partial

import nni
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nni.mutable import SampleValidationError
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import RawFormatModelSpace, SimplifiedModelSpace, model_context
from nni.nas.strategy import GridSearch, Random, RegularizedEvolution

from nni_nasoa.architecture import Architecture, ArchitectureError, ArchitectureSpace, random_architecture
from nni_nasoa.networks import ETNet
from nni_nasoa.plugin.model_space import ETNASSpace
from nni_nasoa.search.choices import choices, decode, encode

SMALL = dict(channels=(8, 16), stages=(2, 3), blocks=(1, 2), doublings=(0, 1, 2))
RESTRICTED = {
    "joint": SMALL,
    "block level": dict(macros=("8_1-21-11",)),
    "macro level": dict(SMALL, block_designs=("020-", "02120-a02", "5-")),
    "one network": dict(block_designs=("031-",), macros=("8_1-2",)),
}


def labels(space):
    return [label for label in space.simplify() if label != "valid_network"]


@pytest.mark.parametrize("restriction", RESTRICTED)
def test_labels_are_those_of_the_search_space(restriction):
    given_candidates = RESTRICTED[restriction]
    space = ETNASSpace(num_labels=10, **given_candidates)
    expected = choices(ArchitectureSpace(**given_candidates))
    assert labels(space) == [choice.label for choice in expected]
    assert [space.simplify()[choice.label].values for choice in expected] == [
        list(choice.values) for choice in expected
    ]


@pytest.mark.parametrize("restriction", RESTRICTED)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_freeze_and_model_context_give_the_network_of_the_architecture(restriction, seed):
    candidates = ArchitectureSpace(**RESTRICTED[restriction])
    space = ETNASSpace(num_labels=5, **RESTRICTED[restriction])
    architecture = random_architecture(np.random.default_rng(seed), candidates)
    sample = encode(architecture, candidates)
    assert space.contains(sample)
    frozen = space.freeze(sample)
    with model_context(sample):
        in_context = ETNASSpace(num_labels=5, **RESTRICTED[restriction])
    expected = {name: value.shape for name, value in ETNet(architecture, 5).state_dict().items()}
    for network in (frozen, in_context):
        assert type(network) is ETNet and network.architecture == architecture
        assert {name: value.shape for name, value in network.state_dict().items()} == expected
    in_context.load_state_dict(frozen.state_dict())
    assert in_context.eval()(torch.ones(2, 3, 32, 32)).shape == (2, 5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_random_samples_are_networks_or_refused(seed):
    space = ETNASSpace(num_labels=5, **SMALL)
    sample = {}
    try:
        network = space.random(memo=sample, random_state=np.random.RandomState(seed))
    except SampleValidationError as error:
        assert not space.contains(sample)
        with pytest.raises(ArchitectureError, match=str(error).split(":")[0]):
            decode(sample)
    else:
        assert space.contains(sample) and network.architecture == decode(sample)


def test_invalid_samples_say_why():
    space = ETNASSpace(num_labels=5, layers=(2,), **SMALL)
    sample = encode(space.network.architecture, space.architectures)
    for change, reason in [
        ({"skip_1_2": "concat"}, "last place"),
        ({"op1": 9}, "9 not found"),
        ({"channels": 9}, "9 not found"),
    ]:
        with pytest.raises(SampleValidationError, match=reason):
            space.freeze({**sample, **change})
    del sample["op2"]
    with pytest.raises(SampleValidationError, match="op2 is missing"):
        space.freeze(sample)


def test_default_network_where_the_first_candidates_make_none():
    options = dict(
        layers=(2, 3), skips=("concat", "none"), channels=(64, 16), stages=(3,), blocks=(1, 2), doublings=(2,)
    )
    space = ETNASSpace(num_labels=5, **options)
    with pytest.raises(ArchitectureError):
        decode({choice.label: choice.values[0] for choice in choices(space.architectures)})
    assert space.architectures.contains(space.network.architecture)
    assert space.network.architecture == ETNASSpace(num_labels=5, **options).network.architecture
    assert space.default().architecture == space.network.architecture
    assert space(torch.ones(2, 3, 32, 32)).shape == (2, 5)


def test_an_encoding_and_further_labels_in_the_context():
    with model_context({"architecture": "031-a02_8_1-2", "learning_rate": 0.1}):
        network = ETNASSpace(num_labels=3)
    assert (
        type(network) is ETNet and str(network.architecture) == "031-a02_8_1-2" and network.num_classes == 3
    )
    assert (
        str(ETNASSpace.frozen_factory({"architecture": "020-_8_1-2"})(num_labels=3).architecture)
        == "020-_8_1-2"
    )


def test_candidates_that_make_no_network():
    with pytest.raises(ArchitectureError, match="ops: candidate 7"):
        ETNASSpace(ops=(7,))
    with pytest.raises(ArchitectureError, match="no valid architecture"):
        ETNASSpace(
            ops=(2,), layers=(2,), ratios=(0,), channels=(6,), doublings=(0,)
        )  # 6 channels do not make 4 groups


def test_travels_to_a_trial():
    space = ETNASSpace(num_labels=5, **SMALL)
    frozen = SimplifiedModelSpace.from_model(space).freeze(
        encode(space.network.architecture, space.architectures)
    )
    text = nni.dump(frozen)
    assert json.loads(text)["model_kwargs"] == {
        "num_labels": 5,
        **{name: list(values) for name, values in SMALL.items()},
    }
    network = nni.load(text).executable_model()
    assert (
        type(network) is ETNet
        and network.architecture == space.network.architecture
        and network.num_classes == 5
    )


@pytest.mark.parametrize("model_format", [SimplifiedModelSpace, RawFormatModelSpace])
@pytest.mark.parametrize(
    "make_strategy",
    [
        Random,
        GridSearch,
        partial(RegularizedEvolution, population_size=4, sample_size=2, mutation_prob=0.3),
    ],
    ids=["Random", "GridSearch", "RegularizedEvolution"],
)
def test_strategies_of_nni_run_valid_networks_only(make_strategy, model_format):
    run = []

    def evaluate(network):
        run.append(network.architecture)
        nni.report_final_result(float(network.architecture.parameters(5)))

    engine = SequentialExecutionEngine(max_model_count=8)
    space = ETNASSpace(num_labels=5, **SMALL)
    make_strategy(seed=1)(model_format.from_model(space, FunctionalEvaluator(evaluate)), engine)
    assert len(run) == 8 and all(isinstance(architecture, Architecture) for architecture in run)
    assert [decode(model.sample) for model in engine.list_models()] == run


def test_searched_models():
    network = ETNASSpace.load_searched_model("et-nas-a")
    assert (
        type(network) is ETNet
        and str(network.architecture) == "2-_32_2-11-112-1121112"
        and network.num_classes == 1000
    )
    with pytest.raises(
        ValueError, match=r"'et-nas-z' is not a searched model; there are .*et-nas-a.*et-nas-l"
    ):
        ETNASSpace.load_searched_model("et-nas-z")


def test_searched_models_with_weights_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("NASOA_WEIGHTS", str(tmp_path))
    with pytest.raises(Exception, match=str(tmp_path)):
        ETNASSpace.load_searched_model("et-nas-a", pretrained=True)
