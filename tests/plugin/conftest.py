"""What tests of the two faces of the evolution share: results, tuners in a search space, strategies on an engine."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nni
import pytest

from nni_nasoa.data import Dataset
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
        self.connection.execute(
            "insert into ExperimentProfile values (?, 'id', 0, 0, 0, '', 0, 1)", [json.dumps(config or {})]
        )
        self.connection.commit()
        self.time = 0

    def event(self, trial, event, parameter_id=None, parameters=None):
        self.time += 1
        data = (
            None
            if parameter_id is None
            else json.dumps({"parameter_id": parameter_id, "parameters": parameters})
        )
        self.connection.execute(
            "insert into TrialJobEvent values (?, ?, ?, ?, null, 0, null, null)",
            [self.time, trial, event, data],
        )
        self.connection.commit()

    def final(self, trial, parameter_id, value):
        self.time += 1
        self.connection.execute(
            "insert into MetricData values (?, ?, ?, 'FINAL', 0, ?)",
            [self.time, trial, str(parameter_id), json.dumps(json.dumps(value))],
        )
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


class Known:
    """What surveys find: datasets and a device made up by formulas."""

    models = ("nano-a", "nano-b", "nano-c")

    def profile(self, dataset: str):
        from nni_nasoa.advisor.task.profiles import TaskProfile
        from nni_nasoa.data.profile import DatasetProfile

        ease = len(dataset) / 20
        probe = {
            "nearest_neighbour": 0.45 + ease,
            "linear": 0.5 + ease,
            "linear_few": 0.45 + ease,
            "log_me": 0.5,
            "distance": 0.2,
            "images": 500,
            "stages": 4,
        }
        found = DatasetProfile(
            dataset,
            f"fingerprint of {dataset}",
            images=1797,
            train_images=1438,
            val_images=359,
            classes=10,
            class_mean=179.7,
            class_std=3.0,
            class_min=174,
            class_max=183,
            grey_share=1.0,
            mirrored=False,
        )
        return TaskProfile(
            found,
            {
                model: {**probe, "nearest_mean": 0.4 + ease + place / 50}
                for place, model in enumerate(self.models)
            },
        )

    def step_times(self, device):
        from nni_nasoa.advisor import StepTime
        from nni_nasoa.advisor.time.step_kinds import FEATURES, TRAIN

        for place, model in enumerate(self.models):
            for size, batch, frozen in (
                (size, batch, frozen) for size in (32, 96) for batch in (8, 64) for frozen in range(5)
            ):
                image = (1 + place) * 1e-4 * (size / 32) ** 2 * batch
                yield StepTime(device.key, model, size, batch, frozen, TRAIN, 0.002 + image * (4.2 - frozen))
                if frozen:
                    yield StepTime(
                        device.key, model, size, batch, frozen, FEATURES, 0.001 + image * frozen / 4
                    )

    def survey(self, dataset: Dataset, models=(), *, store=None, **options):
        from nni_nasoa.device.device import Device
        from nni_nasoa.plugin.survey import Survey

        device = Device("cpu", "a processor", 1)
        survey = Survey(self.profile(dataset.name), self.models, device, tuple(self.step_times(device)))
        if store is not None:
            survey.keep(store)
        return survey


@pytest.fixture
def known_survey():
    """In place of `survey.look`: finds something at once."""
    return Known().survey


@pytest.fixture
def store(tmp_path):
    """The store that the advisors of a test record in."""
    from nni_nasoa.advisor import ExperienceStore

    return ExperienceStore(tmp_path / "store.db")


@pytest.fixture
def advisor(tmp_path, monkeypatch, known_survey):
    """A function that gives an OnlineAdvisor that has begun, with a store of its own."""
    from nni_nasoa.plugin.advisor_tuner import OnlineAdvisor

    monkeypatch.setattr("nni_nasoa.plugin.survey.look", known_survey)

    def start(**class_args):
        tuner = OnlineAdvisor(**{"store": str(tmp_path / "store.db"), "device": "cpu", **class_args})
        tuner.update_search_space({})
        return tuner

    return start


@pytest.fixture
def resumed_advisor(advisor, tmp_path):
    """A function that gives an OnlineAdvisor as NNI brings it back."""
    from nni_nasoa.plugin.advisor_tuner import OnlineAdvisor

    def resume(data=(), **class_args):
        tuner = OnlineAdvisor(**{"store": str(tmp_path / "store.db"), "device": "cpu", **class_args})
        tuner.load_checkpoint()
        tuner.update_search_space({})
        tuner.import_data(list(data))
        return tuner

    return resume


@pytest.fixture
def good_result():
    """A function that gives what a trial reports on its parameters."""
    from nni_nasoa.finetune import FineTuneRegime, Outcome, StopReason
    from nni_nasoa.plugin.assignment import Assignment, result_of

    def make(parameters, accuracy=0.9, status="ok"):
        assignment = Assignment.from_parameters(parameters)
        about = {"dataset": assignment.dataset, "versions": {"torch": "2"}, "encoding": None}
        regime = FineTuneRegime.from_json(parameters["regime"])
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
        return result_of(finished, assignment)

    return make


# -- trials --


class Trials:
    """NNI's side of an experiment, as its local platform lays it out: a folder a trial, with a parameter and a metrics file."""

    def __init__(self, folder: Path, module: str, options: tuple[str, ...]):
        self.trials = folder / "environments" / "local-env" / "trials"
        self.results = folder / "environments" / "local-env" / "results"
        self._command = [sys.executable, "-m", module, *options]

    def start(self, name: str, parameters, *options: str, **environment: str) -> subprocess.Popen:
        """A trial's process."""
        folder = self.trials / name
        folder.mkdir(parents=True)
        (folder / "parameter.cfg").write_text(json.dumps({"parameter_id": 7, "parameters": parameters}))
        env = {
            **os.environ,
            "NNI_PLATFORM": "local",
            "NNI_EXP_ID": "E",
            "NNI_TRIAL_JOB_ID": name,
            "NNI_TRIAL_SEQ_ID": "0",
            "NNI_SYS_DIR": str(folder),
            "NNI_OUTPUT_DIR": str(folder),
            "OMP_NUM_THREADS": "1",
            **environment,
        }
        return subprocess.Popen(
            [*self._command, *options], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def metrics(self, name: str) -> list[tuple[str, object]]:
        """What a trial sent, as (type, value)."""
        path, metrics = self.trials / name / ".nni" / "metrics", []
        data = path.read_bytes() if path.exists() else b""
        while data:  # each is b"ME", its length in six digits, JSON
            length = int(data[2:8])
            metric = json.loads(data[8 : 8 + length])
            assert metric["parameter_id"] == 7 and metric["trial_job_id"] == name
            metrics.append((metric["type"], json.loads(metric["value"])))
            data = data[8 + length :]
        return metrics

    def run(self, name: str, parameters, *options: str, **environment: str):
        """Run a trial: its process, and the metrics it sent."""
        process = self.start(name, parameters, *options, **environment)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr), self.metrics(
            name
        )


@pytest.fixture
def trials_of(tmp_path):
    """A function that gives the trials of an experiment, by the module that they run and its options."""
    return lambda module, *options: Trials(tmp_path, module, options)


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
