"""What NNI asks of strategies and model spaces beside a search: state, middleware, profilers."""

from __future__ import annotations

import json

import nni
import numpy as np
import pytest
import torch
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.profiler.pytorch.flops import FlopsProfiler, NumParamsProfiler
from nni.nas.strategy.middleware import Chain, FailureHandler

from nni_nasoa.architecture import random_architecture
from nni_nasoa.plugin.model_space import ETNASSpace
from nni_nasoa.plugin.strategy import NasoaEvolution
from nni_nasoa.search.choices import encode


def test_a_state_may_be_loaded_before_there_is_a_space(run, space_of, names):
    run(strategy := NasoaEvolution(population_size=4, seed=0), 6)
    state = json.loads(json.dumps(strategy.state_dict()))
    resumed = NasoaEvolution(population_size=4, seed=0)
    resumed.load_state_dict(state)
    resumed(space_of(), SequentialExecutionEngine(max_model_count=4))
    assert names(resumed)[:6] == names(strategy) and len(set(names(resumed))) == 10


def test_under_a_failure_handler_the_last_metric_counts(space_of):
    """A model that reports a good result and fails then is no good model."""

    def evaluate(network):
        size = network.architecture.parameters(5)
        nni.report_final_result(1e9 if size > 10_000 else float(size))
        if size > 10_000:
            raise RuntimeError("out of memory after the report")

    strategy = NasoaEvolution(objectives=["default"], population_size=4, seed=0)
    engine = SequentialExecutionEngine(max_model_count=20, continue_on_failure=True)
    Chain(strategy, FailureHandler(metric=-1.0))(space_of(evaluate), engine)
    found = [(one.candidate.parameters(5), one.metrics["default"]) for one in strategy.evolution.evaluated]
    assert {default for size, default in found if size > 10_000} == {-1.0}
    assert all(default == size for size, default in found if size <= 10_000) and len(found) == 20
    best = max(size for size, _ in found if size <= 10_000)
    assert strategy.evolution.front()[0].metrics["default"] == best


@pytest.mark.parametrize("labels, size", [(10, 32), (3, 64)])
def test_profilers_count_the_network_of_each_sample(labels, size):
    space = ETNASSpace(num_labels=labels, channels=(16, 32), stages=(3,), blocks=(1, 2), doublings=(1, 2))
    images = torch.zeros(1, 3, size, size)
    plain = dict.fromkeys(("count_bias", "count_normalization", "count_activation"), False)
    profilers = (
        FlopsProfiler(space, images, **plain),
        NumParamsProfiler(space, images),
        FlopsProfiler(space, images),
    )
    rng = np.random.default_rng(0)
    for _ in range(3):
        architecture = random_architecture(rng, space.architectures)
        flops, params, all_flops = (
            profiler.profile(encode(architecture, space.architectures)) for profiler in profilers
        )
        assert (flops, params) == (architecture.macs(size, labels), architecture.parameters(labels))
        assert all_flops > flops
