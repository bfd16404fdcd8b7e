"""NasoaEvolution over model spaces that are not of architectures alone."""

from __future__ import annotations

import json
from types import SimpleNamespace

import nni
import pytest
from nni.mutable import CategoricalMultiple, ExpressionConstraint, Numerical, ensure_frozen
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.space import SimplifiedModelSpace
from torch import nn

from nni_nasoa.plugin.strategy import NasoaEvolution
from nni_nasoa.search.evolution import Objective


class Toy(ModelSpace):
    """A space of none of the project's own choices, with a constraint."""

    def __init__(self):
        super().__init__()
        width, depth = nni.choice("width", [4, 8, 16]), nni.choice("depth", [1, 2, 3])
        self.add_mutable(width)
        self.add_mutable(depth)
        self.add_mutable(ExpressionConstraint(width * depth <= 32, label="budget"))
        self.inputs = self.add_mutable(CategoricalMultiple(["a", "b", "c"], n_chosen=2, label="inputs"))
        self.dropout = self.add_mutable(Numerical(0.0, 0.5, label="dropout"))
        self.chosen = (
            ensure_frozen(width),
            ensure_frozen(depth),
            ensure_frozen(self.inputs),
            ensure_frozen(self.dropout),
        )
        self.activation = LayerChoice([nn.ReLU(), nn.Tanh()], label="activation")

    def freeze(self, sample):
        return SimpleNamespace(
            chosen=tuple(sample[label] for label in ("width", "depth", "inputs", "dropout"))
        )


def report_toy(model, rate):
    width, depth, inputs, dropout = model.chosen
    size = width * depth
    nni.report_final_result({"default": 0.0, "quality": size - dropout, "ms": size * rate, "inputs": inputs})


def toy_space():
    return SimplifiedModelSpace.from_model(
        Toy(), FunctionalEvaluator(report_toy, rate=nni.loguniform("rate", 1e-3, 1.0))
    )


def test_any_model_space_with_objectives_of_both_directions(run):
    strategy = NasoaEvolution(objectives=["quality", ("ms", "minimize")], population_size=8, seed=0)
    run(strategy, 60, toy_space())
    evaluated = strategy.evolution.evaluated
    assert len({json.dumps(individual.candidate, sort_keys=True) for individual in evaluated}) == 60
    assert {label for individual in evaluated for label in individual.candidate} == {
        "width",
        "depth",
        "inputs",
        "dropout",
        "activation",
        "rate",
    }
    assert all(
        individual.candidate["width"] * individual.candidate["depth"] <= 32 for individual in evaluated
    )
    results, front = (
        [(individual.metrics["quality"], individual.metrics["ms"]) for individual in individuals]
        for individuals in (evaluated, strategy.evolution.front())
    )
    assert front == sorted(front, reverse=True) and [ms for _, ms in front] == sorted(
        (ms for _, ms in front), reverse=True
    )
    assert not any(quality > best and ms < least for quality, ms in results for best, least in front)
    assert next(strategy.list_models()).sample == strategy.evolution.front()[0].candidate


def test_objective_of_other_spaces_is_default(run):
    run(strategy := NasoaEvolution(seed=0), 3, toy_space())
    assert strategy.evolution.objectives == (Objective("default"),)
    strategy = NasoaEvolution(seed=0)
    run(
        strategy,
        3,
        SimplifiedModelSpace.from_model(
            Toy(),
            FunctionalEvaluator(
                lambda model, rate: nni.report_final_result(rate), rate=nni.uniform("rate", 1, 2)
            ),
        ),
    )
    assert [individual.metrics for individual in strategy.evolution.evaluated] == [
        {"default": individual.candidate["rate"]} for individual in strategy.evolution.evaluated
    ]


def test_an_initial_architecture_is_not_a_sample_of_another_space(run):
    with pytest.raises(ValueError, match="initial: '020-_8_1-2': it is not a sample"):
        run(NasoaEvolution(initial=["020-_8_1-2"]), space=toy_space())


def test_an_evaluator_with_choices_of_its_own_beside_architectures(run, space_of, figures):
    def evaluate(network, rate):
        nni.report_final_result({**figures(network.architecture), "accuracy": rate})

    strategy = NasoaEvolution(population_size=4, seed=0)
    run(strategy, 12, space_of(evaluate, {"rate": nni.choice("rate", [0.1, 0.9])}))
    assert len(strategy.evolution.evaluated) == 12
    assert [objective.name for objective in strategy.evolution.objectives] == ["accuracy", "relative_speed"]
    assert all(
        individual.candidate["rate"] == individual.metrics["accuracy"]
        for individual in strategy.evolution.evaluated
    )
