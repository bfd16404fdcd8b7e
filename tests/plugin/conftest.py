"""What tests of the two faces of the evolution share: results, tuners in a search space, strategies on an engine."""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import nni
import pytest

from nni_nasoa.plugin.evolution_tuner import EvolutionTuner

# -- the tuner --


@pytest.fixture
def record():
    """A function that gives a trial's final dict."""
    def make(architecture, accuracy=0.5, **more):
        return {"default": accuracy, "accuracy": accuracy, "relative_speed": 2.0 - accuracy, "architecture": str(architecture), **more}

    return make


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """The checkpoint folder of an experiment."""
    folder = tmp_path / "experiment" / "checkpoint"
    folder.mkdir(parents=True)
    monkeypatch.setenv("NNI_CHECKPOINT_DIRECTORY", str(folder))
    return folder


@pytest.fixture
def started():
    """A function that gives a tuner that knows its search space."""
    def start(space, **class_args):
        tuner = EvolutionTuner(**class_args)
        tuner.update_search_space(space)
        return tuner

    return start


@pytest.fixture
def resumed():
    """A function that gives a tuner as NNI brings it back."""
    def resume(space, data=(), **class_args):
        tuner = EvolutionTuner(**class_args)
        tuner.load_checkpoint()
        tuner.update_search_space(space)
        tuner.import_data(list(data))
        return tuner

    return resume


class Database:
    """An experiment's database with the tables that NNI 3.0 makes."""

    def __init__(self, experiment: Path, config=None):
        (experiment / "db").mkdir()
        self.connection = sqlite3.connect(experiment / "db" / "nni.sqlite")
        self.connection.executescript("""
            create table TrialJobEvent (timestamp integer, trialJobId text, event text, data text, logPath text,
                                        sequenceId integer, message text, environmentId text);
            create table MetricData (timestamp integer, trialJobId text, parameterId text, type text, sequence integer, data text);
            create table ExperimentProfile (params text, id text, execDuration integer, startTime integer, endTime integer,
                                            logDir text, nextSequenceId integer, revision integer);""")
        self.connection.execute("insert into ExperimentProfile values (?, 'id', 0, 0, 0, '', 0, 1)", [json.dumps(config or {})])
        self.connection.commit()
        self.time = 0

    def event(self, trial, event, parameter_id=None, parameters=None):
        self.time += 1
        data = None if parameter_id is None else json.dumps({"parameter_id": parameter_id, "parameters": parameters})
        self.connection.execute("insert into TrialJobEvent values (?, ?, ?, ?, null, 0, null, null)", [self.time, trial, event, data])
        self.connection.commit()

    def final(self, trial, parameter_id, value):
        self.time += 1
        self.connection.execute("insert into MetricData values (?, ?, ?, 'FINAL', 0, ?)",
                                [self.time, trial, str(parameter_id), json.dumps(json.dumps(value))])
        self.connection.commit()


@pytest.fixture
def new_database():
    """A function that makes the database of an experiment's folder."""
    return Database


@pytest.fixture
def plain_config(tmp_path):
    """A function that gives the config of an experiment with a given tuner over a plain search space."""
    (tmp_path / "trial.py").write_text("""
import nni
x = nni.get_next_parameter()["x"]
nni.report_final_result({"default": x, "score": x, "cost": x * x, "x": x})
""")
    space = {"kind": {"_type": "choice", "_value": ["a", "b", "c"]}, "x": {"_type": "uniform", "_value": [0, 1]}}

    def make(tuner: dict, **more) -> dict:
        return {"searchSpace": space, "trialCommand": f"{sys.executable} trial.py", "trialCodeDirectory": str(tmp_path),
                "trialConcurrency": 2, "maxTrialNumber": 4, "tuner": tuner, "trainingService": {"platform": "local"}, **more}

    return make


# -- the strategy --

def _figures(architecture):
    size = architecture.parameters(5) / 1e6
    return {"default": 1 - size, "accuracy": size / (1 + size), "relative_speed": 1 / size, "params_m": size}


def _report(network):
    nni.report_final_result({**_figures(network.architecture), "architecture": str(network.architecture)})


@pytest.fixture
def figures():
    """A function that gives two objectives in conflict: large networks are accurate, small ones fast."""
    return _figures


@pytest.fixture
def report():
    """A trial that reports the figures of its network."""
    return _report


@pytest.fixture
def space_of():
    """A function that gives a space of small architectures with the trial that evaluates them, and the trial's arguments."""
    from nni.nas.evaluator import FunctionalEvaluator
    from nni.nas.space import SimplifiedModelSpace

    from nni_nasoa.plugin.model_space import ETNASSpace

    small = dict(layers=(1, 2), channels=(8, 16), stages=(2, 3), blocks=(1, 2), doublings=(0, 1, 2))

    def make(evaluate=_report, arguments=None, **candidates):
        evaluator = FunctionalEvaluator(evaluate, **(arguments or {}))
        return SimplifiedModelSpace.from_model(ETNASSpace(num_labels=5, **(candidates or small)), evaluator)

    return make


@pytest.fixture
def run(space_of):
    """A function that runs a strategy over some models, one at a time, and gives the engine."""
    from nni.nas.execution import SequentialExecutionEngine

    def run_strategy(strategy, models=20, space=None, continue_on_failure=False):
        engine = SequentialExecutionEngine(max_model_count=models, continue_on_failure=continue_on_failure)
        strategy(space or space_of(), engine)
        return engine

    return run_strategy


@pytest.fixture
def names():
    """A function that names the architectures that a strategy has evaluated, in order."""
    return lambda strategy: [str(individual.candidate) for individual in strategy.evolution.evaluated]


@pytest.fixture
def quick(monkeypatch):
    """Look for idle workers more often, as the models of these tests take no time."""
    monkeypatch.setattr("nni_nasoa.plugin.strategy._POLL", 0.005)
