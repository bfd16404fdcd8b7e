"""What tests of the plugin share: results, tuners in a search space, advisors,
trials, strategies on an engine.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import nni
import pytest
from fixtures.nni_folders import Database, Trials
from fixtures.surveys import Known

from nni_nasoa.plugin.evolution_tuner import EvolutionTuner

# -- the tuner --


@pytest.fixture
def record():
    """A function that gives a trial's final dict."""

    def make(architecture, accuracy=0.5, **more):
        return {
            "default": accuracy,
            "accuracy": accuracy,
            "relative_speed": 2.0 - accuracy,
            "architecture": str(architecture),
            **more,
        }

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
    space = {
        "kind": {"_type": "choice", "_value": ["a", "b", "c"]},
        "x": {"_type": "uniform", "_value": [0, 1]},
    }

    def make(tuner: dict, **more) -> dict:
        return {
            "searchSpace": space,
            "trialCommand": f"{sys.executable} trial.py",
            "trialCodeDirectory": str(tmp_path),
            "trialConcurrency": 2,
            "maxTrialNumber": 4,
            "tuner": tuner,
            "trainingService": {"platform": "local"},
            **more,
        }

    return make


# -- the advisor --


@pytest.fixture
def known_survey():
    """A way to look at datasets that finds something at once."""
    return Known().survey


@pytest.fixture
def store(tmp_path):
    """The store that the advisors of a test record in."""
    from nni_nasoa.advisor import ExperienceStore

    return ExperienceStore(tmp_path / "store.db")


@pytest.fixture
def new_advisor(store, known_survey):
    """A function that gives an OnlineAdvisor, and how it is to look at datasets."""
    from nni_nasoa.plugin.advisor_tuner import OnlineAdvisor

    def make(look=known_survey, **class_args):
        class Advisor(OnlineAdvisor):
            def look(self, dataset, models, **options):
                return look(dataset, models, **options)

        return Advisor(**{"store": store.location, "device": "cpu", "zoo": "nano", **class_args})

    return make


@pytest.fixture
def advisor(new_advisor):
    """A function that gives an OnlineAdvisor that has begun; see `new_advisor`."""

    def start(*look, **class_args):
        tuner = new_advisor(*look, **class_args)
        tuner.update_search_space({})
        return tuner

    return start


@pytest.fixture
def resumed_advisor(new_advisor):
    """A function that gives an OnlineAdvisor as NNI brings it back."""

    def resume(data=(), **class_args):
        tuner = new_advisor(**class_args)
        tuner.load_checkpoint()
        tuner.update_search_space({})
        tuner.import_data(list(data))
        return tuner

    return resume


@pytest.fixture
def good_result():
    """A function that gives what a trial reports on its parameters."""
    from nni_nasoa.finetune import Outcome, StopReason
    from nni_nasoa.plugin.assignment import Assignment
    from nni_nasoa.plugin.trial_result import TrialResult

    def make(parameters, accuracy=0.9, status="ok"):
        assignment = Assignment.from_parameters(parameters)
        about = {"dataset": assignment.dataset, "versions": {"torch": "2"}, "encoding": None}
        regime = assignment.regime
        finished = SimpleNamespace(
            classifier=SimpleNamespace(about=about, device="cpu"),
            folder="/out",
            accuracy=accuracy,
            regime=regime,
            budget=assignment.budget,
            seconds=assignment.budget - 0.5,
            epochs=5.0,
            notes=(),
            outcome=Outcome(StopReason.BUDGET)
            if status == "ok"
            else Outcome(StopReason.INTERRUPTED, "SIGTERM"),
            evaluations=(
                {"elapsed": 1.0, "val_accuracy": accuracy / 2},
                {"elapsed": assignment.budget - 1, "val_accuracy": accuracy},
            ),
        )
        return TrialResult.of(finished, assignment).to_metrics()

    return make


# -- trials --


@pytest.fixture
def trials_of(tmp_path):
    """A function that gives the trials of an experiment, by the module that they run and its options."""
    return lambda module, *options: Trials(tmp_path, module, options)


@pytest.fixture
def short():
    """A folder for sockets, whose paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="w"))
    yield folder
    shutil.rmtree(folder)


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
    """A function that gives a space of small architectures with the trial that evaluates them,
    and the trial's arguments.
    """
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
