"""NasoaEvolution on the model spaces that come with NNI (nni.nas.hub.pytorch); none is downloaded for.

NNI's tests (test/algo/nas/hub/test_sanity.py) train each for a moment; here a model computes a small image.
"""

from __future__ import annotations

import inspect

import nni
import nni.nas.hub.pytorch as hub
import pytest
import torch
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.space import ModelStatus, SimplifiedModelSpace

from nni_nasoa.plugin.strategy import NasoaEvolution

MODELS = 3
SMALL = {"width": 8, "num_cells": 4, "dataset": "cifar"}
HUB = {
    "MobileNetV3Space": ({"num_labels": 10}, 32),
    "ShuffleNetSpace": ({"num_labels": 10}, 64),
    "ShuffleNetSpace with channels": ({"num_labels": 10, "channel_search": True}, 64),
    "ProxylessNAS": ({"num_labels": 10}, 32),
    "NasBench101": ({"stem_out_channels": 8}, 32),
    "NasBench201": ({"stem_out_channels": 8, "num_modules_per_stack": 1}, 32),
    "NASNet": (SMALL, 32),
    "ENAS": (SMALL, 32),
    "AmoebaNet": (SMALL, 32),
    "PNAS": (SMALL, 32),
    "DARTS": (SMALL, 32),
    "AutoFormer": ({"search_embed_dim": (32, 64), "search_depth": (2, 3), "search_num_heads": (2, 4)}, 224),
}


def compute(network, size):
    with torch.no_grad():
        output = network.eval()(torch.randn(1, 3, size, size))
    scores = output[0] if isinstance(output, tuple) else output  # with an auxiliary head
    nni.report_final_result({"default": float(scores.mean()), "classes": scores.shape[1]})


@pytest.mark.parametrize("name", HUB)
def test_its_models_are_proposed_frozen_and_computed(name):
    arguments, size = HUB[name]
    torch.manual_seed(0)
    space = SimplifiedModelSpace.from_model(
        getattr(hub, name.split()[0])(**arguments), FunctionalEvaluator(compute, size=size)
    )
    strategy = NasoaEvolution(population_size=2, surrogate=False, seed=0)
    engine = SequentialExecutionEngine(max_model_count=MODELS)
    strategy(space, engine)
    models = list(engine.list_models())
    assert [model.status for model in models] == [ModelStatus.Trained] * MODELS
    assert all(space.check_contains(model.sample) is None for model in models)
    assert len({repr(model.sample) for model in models}) == MODELS
    assert all(individual.metrics["classes"] in (10, 1000) for individual in strategy.evolution.evaluated)


def test_all_spaces_of_the_hub_are_here():
    spaces = {name for name in dir(hub) if inspect.isclass(getattr(hub, name)) and name[0].isupper()}
    assert spaces <= {name.split()[0] for name in HUB} | {
        "AutoformerSpace",  # another name of AutoFormer
        "NDS",  # what those from NASNet to DARTS have in common
    }
