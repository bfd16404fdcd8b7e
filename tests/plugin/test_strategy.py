"""NasoaEvolution on one of NNI's engines: its arguments, a whole search, and its results in order."""

from __future__ import annotations

import logging

import nni
import pytest
from nni.nas.space import ModelStatus

from nni_nasoa.architecture import Architecture
from nni_nasoa.plugin.strategy import NasoaEvolution
from nni_nasoa.search.evolution import Limit, Objective

TINY = dict(block_designs=("1-", "0-", "020-"), macros=("8_1-2", "16_1-1"))


# -- arguments --


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(objectives=[("accuracy", "up")]), "objectives, entry 1: .*'up'.* is not a metric's name"),
        (dict(objectives="accuracy"), "objectives: 'accuracy' is not a list"),
        (
            dict(objectives=["accuracy", Objective("accuracy", False)]),
            "objectives: 'accuracy' is there twice",
        ),
        (dict(objectives=[]), "objectives: .* is not a list of metrics"),
        (dict(limits={"params_m": 5}), "limits: params_m: 5 is not"),
        (dict(limits=[5]), r"limits: \[5\] is not a mapping"),
        (dict(limits=5), "limits: 5 is not a mapping"),
        (dict(initial="020-_8_1-2"), "initial: '020-_8_1-2' is not a list"),
        (dict(population_size=1), "population_size: 1 is not a whole number from 2"),
        (dict(crossover_probability=1.5), "crossover_probability: 1.5"),
        (dict(initial=["2-_32_3"]), "initial, entry 1: .*multiplier '3'"),
        (dict(seed="x"), "seed: 'x'"),
        (dict(surrogate=1), "surrogate: 1 is not a truth value"),
    ],
)
def test_wrong_arguments_say_what_would_be_right(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        NasoaEvolution(**arguments)


@pytest.mark.parametrize(
    "minimized",
    [
        ("ms", "minimize"),
        {"name": "ms", "mode": "minimize"},
        {"name": "ms", "maximize": False},
        Objective("ms", maximize=False),
    ],
)
def test_ways_to_name_objectives_and_limits(minimized):
    strategy = NasoaEvolution(objectives=["accuracy", minimized], limits=[Limit("ms", maximum=3, minimum=1)])
    same = NasoaEvolution(
        objectives=[Objective("accuracy"), Objective("ms", False)], limits={"ms": {"max": 3, "min": 1}}
    )
    assert repr(strategy) == repr(same) and "Limit(name='ms', maximum=3, minimum=1)" in repr(strategy)


# -- a whole search --


def test_searches_architectures_without_repeating_any(run, names):
    strategy = NasoaEvolution(population_size=6, seed=0)
    engine = run(strategy, 30)
    assert len(names(strategy)) == len(set(names(strategy))) == 30 and strategy.evolution.failures == 0
    assert [objective.name for objective in strategy.evolution.objectives] == ["accuracy", "relative_speed"]
    assert len(strategy.evolution.population) == 6
    models = list(strategy.list_models())
    assert len(models) == 30 and all(model.status == ModelStatus.Trained for model in models)
    assert all(
        str(model.executable_model().architecture) == model.sample["architecture"] for model in models[:5]
    )
    assert list(strategy.list_models(sort=False, limit=7)) == engine.list_models()[:7]


def test_seed_makes_it_reproducible(run, names):
    runs = []
    for seed in (3, 3, 4):
        run(strategy := NasoaEvolution(population_size=5, seed=seed), 15)
        runs.append(names(strategy))
    assert runs[0] == runs[1] != runs[2]


def test_initial_architectures_come_first(run, names):
    first = ["020-_8_1-2", Architecture.parse("120-_16_1-1")]
    run(strategy := NasoaEvolution(initial=first, seed=0), 4)
    assert names(strategy)[:2] == list(map(str, first))


def test_initial_outside_of_the_space(run):
    with pytest.raises(ValueError, match=r"initial: '020-_64_1-2': .*channels = 64"):
        run(NasoaEvolution(initial=["020-_64_1-2"]))


def test_list_models_in_pareto_order_with_limits(run, names, figures):
    strategy = NasoaEvolution(population_size=6, limits={"params_m": {"max": 0.02}}, seed=0)
    run(strategy, 25)
    sizes = {name: figures(Architecture.parse(name))["params_m"] for name in names(strategy)}
    listed = [model.sample["architecture"] for model in strategy.list_models()]
    assert listed[: len(strategy.evolution.front())] == [
        str(individual.candidate) for individual in strategy.evolution.front()
    ]
    inside = [name for name in listed if sizes[name] <= 0.02]
    outside = [name for name in listed if sizes[name] > 0.02]
    assert inside and outside and listed == inside + sorted(outside, key=sizes.get)
    assert [model.sample["architecture"] for model in strategy.list_models(limit=3)] == listed[:3]
    assert [model.metric for model in strategy.list_models()] == pytest.approx(
        [1 - sizes[name] for name in listed]
    )


def test_list_models_before_the_run():
    with pytest.raises(RuntimeError, match="has not been run"):
        next(NasoaEvolution().list_models())
    with pytest.raises(RuntimeError, match="not attached"):
        _ = NasoaEvolution().evolution


def test_failed_trials_are_counted_and_do_not_block(run, space_of, names, report):
    def evaluate(network):
        if network.architecture.macro.channels == 16:
            raise RuntimeError("out of memory")
        if len(network.architecture.block.ops) == 2:
            return  # ends well, and reports nothing
        report(network)

    strategy = NasoaEvolution(population_size=4, seed=1)
    run(strategy, 30, space_of(evaluate), continue_on_failure=True)
    assert strategy.evolution.failures + len(names(strategy)) == 30 and strategy.evolution.pending == 0
    assert 0 < len(names(strategy)) < 30
    assert len(list(strategy.list_models())) == len(names(strategy))


def test_final_results_that_lack_something(caplog, run, space_of):
    results = iter(
        [
            {"accuracy": 0.5, "relative_speed": 1.0},
            {"default": 0.5},
            0.7,
            {"default": 1, "accuracy": float("nan"), "relative_speed": 1},
            {"default": 0.5, "accuracy": 0.6, "relative_speed": 2.0},
        ]
    )
    strategy = NasoaEvolution(seed=0)
    with caplog.at_level(logging.WARNING):
        run(strategy, 5, space_of(lambda network: nni.report_final_result(next(results))))
    assert [individual.metrics["relative_speed"] for individual in strategy.evolution.evaluated] == [1.0, 2.0]
    assert strategy.evolution.failures == 3
    assert "no number under 'default'" in caplog.text
    assert [model.metric for model in strategy.list_models()] == [0.5, None]


def test_ends_when_the_space_is_exhausted(caplog, run, space_of, names):
    strategy = NasoaEvolution(population_size=3, seed=0)
    run(strategy, None, space_of(**TINY))
    assert len(set(names(strategy))) == len(names(strategy)) == 6
    assert "Cannot find a new model" in caplog.text
