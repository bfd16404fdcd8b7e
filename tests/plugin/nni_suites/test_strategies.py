"""What NNI's own tests ask of each of its strategies (test/ut/nas/strategy), asked of NasoaEvolution.

MedianStop is left out: no Chain takes NNI's class, whose constructor does not call that of a middleware.
"""

from __future__ import annotations

import json
from collections import Counter

import nni
import pytest
from fixtures.dials import FINITE, dial_space, quality, report
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.execution.event import FinalMetricEvent
from nni.nas.space import ModelStatus
from nni.nas.strategy.base import StrategyStatus
from nni.nas.strategy.middleware import Chain, Deduplication, FailureHandler, Filter, MultipleEvaluation

from nni_nasoa.plugin.strategy import NasoaEvolution


@pytest.fixture(params=["choices", "bounded", "numbers", "all kinds"])
def name(request):
    return request.param


def make():
    """The strategy, for tests in which it does not matter how well it chooses."""
    return NasoaEvolution(population_size=8, surrogate=False, seed=0)


@pytest.fixture
def engine():
    return SequentialExecutionEngine(max_model_count=30)


def samples(models):
    return [json.dumps(model.sample, sort_keys=True) for model in models]


def small(models):
    """Those that a filter of these tests lets pass."""
    return [model for model in models if model.sample["a"] <= 2]


# -- alone --


def test_it_finds_the_best_and_proposes_nothing_twice(name, engine):
    strategy, space = NasoaEvolution(population_size=10, seed=0), dial_space(name)
    strategy(space, engine)
    models = list(engine.list_models())
    assert len(set(samples(models))) == len(models) == FINITE.get(name, 30)
    assert all(space.check_contains(model.sample) is None for model in models)
    assert next(strategy.list_models()).metric >= (1 if name in FINITE else 0.9)
    assert [model.metrics.intermediates for model in models] == [
        [model.sample.get("bonus", 0)] for model in models
    ]
    with pytest.raises(RuntimeError, match="already been initialized"):
        strategy(space, engine)


def test_once_it_has_ended_it_listens_no_more(engine):
    strategy = NasoaEvolution(seed=0)
    strategy(dial_space("numbers"), engine)
    known = len(strategy.evolution.evaluated)
    other = dial_space("numbers").random()
    engine.dispatch_model_event(FinalMetricEvent(other, 5.0))
    assert len(strategy.evolution.evaluated) == known == 30


def test_resumed_it_goes_on(name, engine):
    first = NasoaEvolution(population_size=10, seed=0)
    engine.max_model_count = 10
    first(dial_space(name), engine)
    second = NasoaEvolution(population_size=10, seed=0)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    engine.max_model_count = 30
    second(dial_space(name), engine)
    models = list(engine.list_models())
    assert len(set(samples(models))) == len(models) == FINITE.get(name, 30)
    assert len(list(second.list_models())) == len(models)


# -- with middleware --


@pytest.mark.parametrize("metric", [-1.0, None])
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.filterwarnings("ignore:Filter middleware")
def test_filter(name, engine, metric, retain):
    chain = Chain(
        make(),
        Filter(
            lambda model: model.sample["a"] <= 2,
            metric_for_invalid=metric,
            retain_history=retain,
            patience=50,
        ),
    )
    chain(dial_space(name), engine)
    assert chain._status == StrategyStatus.SUCCEEDED
    submitted, listed = list(engine.list_models()), list(chain.list_models(sort=False))
    assert submitted and small(submitted) == submitted
    invalid = [model for model in listed if model.sample["a"] > 2]
    assert bool(invalid) == retain and all(model.status == ModelStatus.Invalid for model in invalid)
    assert {model.metric for model in invalid} == ({metric} if retain else set())
    # None is waited for.
    assert chain[0].evolution.pending == 0
    if metric is None:
        assert chain[0].evolution.failures > 0 and len(chain[0].evolution.evaluated) == len(submitted)


def test_a_filter_that_nothing_passes_ends_it(name, engine):
    chain = Chain(make(), Filter(lambda model: False, metric_for_invalid=0.0, patience=20))
    chain(dial_space(name), engine)
    assert len(list(engine.list_models())) == 0 and chain[0].evolution.pending == 0


@pytest.mark.parametrize("action", ["invalid", "replay"])
def test_deduplication_finds_nothing_to_do(name, engine, action):
    chain = Chain(make(), Deduplication(action, retain_history=True))
    chain(dial_space(name), engine)
    listed = list(chain.list_models(sort=False))
    assert len(set(samples(listed))) == len(listed) == len(list(engine.list_models()))
    assert {model.status for model in listed} == {ModelStatus.Trained}


class Flaky:
    """An evaluation that fails for every other model, or now and then tells more than it should."""

    def __init__(self, messy=False):
        self.calls, self.messy = 0, messy

    def __call__(self, model, bonus, best):
        self.calls += 1
        if self.messy and self.calls % 2:
            nni.report_intermediate_result(0.0)
        report(model, bonus, best)
        if self.messy and self.calls % 3 == 0:
            nni.report_final_result(1.0)
        if self.calls % 2 == 0:
            raise RuntimeError("every other one fails")


def failing_engine():
    return SequentialExecutionEngine(max_model_count=30, continue_on_failure=True)


def test_failures_with_a_metric(name):
    engine, chain = failing_engine(), Chain(make(), FailureHandler(metric=-1.0))
    chain(dial_space(name, Flaky()), engine)
    models = list(chain.list_models(sort=False))
    assert len(models) == len(list(engine.list_models())) == FINITE.get(name, 30)
    failed = [model for model in models if model.status == ModelStatus.Failed]
    assert failed and all(model.metric == -1 for model in failed)
    evolution = chain[0].evolution
    assert evolution.pending == evolution.failures == 0 and len(evolution.evaluated) == len(models)
    assert sorted(one.metrics["default"] for one in evolution.evaluated) == sorted(
        model.metric for model in models
    )


def test_failures_that_are_tried_again(name):
    engine = failing_engine()
    chain = Chain(make(), FailureHandler(retry_patience=100, retain_history=True))
    chain(dial_space(name, Flaky()), engine)
    models = list(chain.list_models(sort=False))
    assert len(models) < len(list(engine.list_models()))
    assert Counter(model.status for model in models)[ModelStatus.Trained] >= len(models) - 1
    assert chain[0].evolution.pending == 0 and len(set(samples(models))) == len(models)


@pytest.mark.parametrize("kind", [ModelStatus.Invalid, ModelStatus.Failed])
def test_failures_of_one_kind_beside_a_filter(name, kind):
    seen: Counter[str] = Counter()

    def second_time(model):
        """What a filter first refuses, and lets pass where it is tried again."""
        seen[id(model)] += 1
        return model.sample["a"] <= 2 or seen[id(model)] > 1

    engine = failing_engine()
    chain = Chain(
        make(), FailureHandler(retry_patience=1, failure_types=(kind,)), Filter(second_time, patience=50)
    )
    chain(dial_space(name), engine)
    large = [model for model in chain.list_models(sort=False) if model.sample["a"] > 2]
    expected = ModelStatus.Trained if kind == ModelStatus.Invalid else ModelStatus.Invalid
    assert large and {model.status for model in large} <= {expected, ModelStatus.Invalid}
    assert expected in {model.status for model in large} and chain[0].evolution.pending == 0


@pytest.mark.parametrize("messy", [False, True])
def test_each_model_several_times(name, messy):
    engine, chain = failing_engine(), Chain(make(), MultipleEvaluation(3))
    chain(dial_space(name, Flaky(messy=True) if messy else None), engine)
    models = list(chain.list_models(sort=False))
    assert 3 * len(models) == len(list(engine.list_models())) and len(set(samples(models))) == len(models)
    assert chain[0].evolution.pending == 0
    told = chain[0].evolution.evaluated
    assert len(told) == len(models)
    if not messy:
        metrics = [next(one.metrics for one in told if one.candidate == model.sample) for model in models]
        assert [one["default"] for one in metrics] == [model.metric for model in models]


@pytest.mark.parametrize(
    "middleware",
    [
        lambda: Filter(lambda model: model.sample["a"] <= 2, patience=50),
        lambda: Deduplication("replay"),
        lambda: FailureHandler(metric=0.0),
        lambda: MultipleEvaluation(4),
    ],
)
def test_a_chain_that_is_resumed(name, engine, middleware):
    first = Chain(make(), middleware())
    engine.max_model_count = 4
    first(dial_space(name), engine)
    before = samples(engine.list_models())
    state = first.state_dict()  # of which NNI's own part is not for JSON
    second = Chain(make(), middleware())
    second.load_state_dict({**state, "strategy": json.loads(json.dumps(state["strategy"]))})
    engine.max_model_count = 8
    second(dial_space(name), engine)
    new = samples(engine.list_models())[len(before) :]
    assert new and not set(before) & set(new) and second[0].evolution.pending == 0


def test_quality_is_one_for_the_best_of_each_finite_space():
    for name, number in FINITE.items():
        models = list(dial_space(name).grid())
        best = max(quality(model.executable_model(), model.sample["bonus"], 44) for model in models)
        assert len(models) == number and best == 1
