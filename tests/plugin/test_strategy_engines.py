"""NasoaEvolution steady and never twice, whatever the engine mixes up or forgets."""

from __future__ import annotations

import json
import queue
import threading
import time
from types import SimpleNamespace

import pytest
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.space import ModelStatus

from nni_nasoa.architecture import Architecture
from nni_nasoa.plugin.strategy import NasoaEvolution

TINY = dict(block_designs=("1-", "0-", "020-"), macros=("8_1-2", "16_1-1"))


# -- restarts --


def test_resumes_without_losing_or_repeating_anything(run, space_of, names, report):
    states = []

    def evaluate(network):
        if len(states) < 8:
            states.append(json.loads(json.dumps(strategy.state_dict())))
        report(network)

    strategy = NasoaEvolution(population_size=4, seed=0)
    run(strategy, 8, space_of(evaluate))
    interrupted = states[-1]  # seven results, and the eighth model under way
    resumed = NasoaEvolution(population_size=4, seed=0)
    engine = SequentialExecutionEngine(max_model_count=10)
    resumed.initialize(space_of(), engine)
    resumed.load_state_dict(interrupted)
    resumed.run()
    assert names(resumed)[:8] == names(strategy)
    assert len(set(names(resumed))) == 17
    assert len(list(resumed.list_models())) == 17  # those of the run before as well, with their results
    assert all(
        model.metric is not None and model.status == ModelStatus.Trained for model in resumed.list_models()
    )
    assert next(model.sample["architecture"] for model in engine.list_models()) == names(strategy)[7]


def test_takes_finished_results_from_the_database_of_an_experiment_that_was_killed(space_of, names, figures):
    finished = [
        {**figures(architecture), "architecture": str(architecture)}
        for architecture in map(Architecture.parse, ["1-_8_1-2", "020-_16_1-1", "020-_64_1-1"])
    ]  # the last is of another space
    metrics = {
        f"trial{i}": [SimpleNamespace(type="PERIODICAL", data=0.1), SimpleNamespace(type="FINAL", data=data)]
        for i, data in enumerate([*finished, 0.3])
    }
    engine = SequentialExecutionEngine()
    engine.nodejs_binding = SimpleNamespace(get_job_metrics=lambda: metrics)
    strategy = NasoaEvolution(seed=0)
    strategy(space_of(**TINY), engine)
    assert sorted(names(strategy)[:2]) == ["020-_16_1-1", "1-_8_1-2"] and len(set(names(strategy))) == 6
    assert len(engine.list_models()) == 4


def soon(condition, seconds=0.2):
    """Whether it comes true in a moment. The strategy itself asks too seldom for models that take no time."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return true


class DeafEngine(SequentialExecutionEngine):
    """An engine whose listener dies of the first command, and that has a worker only once it hears of it."""

    def __init__(self):
        super().__init__(max_model_count=3)
        self.commands = queue.SimpleQueue()
        for command in ("old results", "a worker", None):
            self.commands.put(command)
        self._channel, self._channel_listen_stop_event, self.worker = self, threading.Event(), False
        self._channel_listen_thread = threading.Thread(target=self.commands.get)
        self._channel_listen_thread.start()

    def listen(self, stop_event):
        while (command := self.commands.get()) is not None:
            self.worker = command == "a worker"
        stop_event.set()

    def idle_worker_available(self):
        return soon(lambda: self.worker)


def test_goes_on_where_the_engine_of_a_resumed_experiment_has_stopped_listening(space_of, names):
    strategy = NasoaEvolution(seed=0)
    strategy(space_of(), DeafEngine())
    assert len(names(strategy)) == 3


# -- several models at a time --


class ThreadedEngine(ExecutionEngine):
    """Runs models in threads and, as NNI does, tells ends of models under each other's names."""

    def __init__(self, workers, budget, evaluate, swapped_ends=False):
        super().__init__()
        self.workers, self.budget, self.evaluate, self.swapped_ends = workers, budget, evaluate, swapped_ends
        self.models, self.ends, self.running, self.most, self.jobs = [], {}, 0, 0, queue.Queue()
        self.lock, self.events = threading.Lock(), threading.Lock()
        self.threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        for thread in self.threads:
            thread.start()

    def _work(self):
        while (number := self.jobs.get()) is not None:
            model = self.models[number]
            result = self.evaluate(number, model.executable_model())
            with self.events:  # NNI tells in one thread
                if result is not None:
                    self.dispatch_model_event(FinalMetricEvent(model, result))
                status = ModelStatus.Trained if result is not None else ModelStatus.Failed
                self._tell_end(number, status)
            with self.lock:
                self.running -= 1

    def _tell_end(self, number, status):
        """The end of a model, or, once both have ended, of a pair: each under the other's name."""
        self.ends[number] = status
        if not self.swapped_ends:
            self.dispatch_model_event(TrainingEndEvent(self.models[number], status))
        elif number ^ 1 in self.ends:
            for one in (number, number ^ 1):
                self.dispatch_model_event(TrainingEndEvent(self.models[one ^ 1], self.ends[one]))

    def submit_models(self, *models):
        for model in models:
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
            self.models.append(model)
            self.jobs.put(len(self.models) - 1)

    def list_models(self, status=None):
        return [model for model in self.models if status is None or model.status == status]

    def wait_models(self, *models):
        while self.running:
            time.sleep(0.01)

    def idle_worker_available(self):
        return soon(lambda: self.running < self.workers)

    def budget_available(self):
        return len(self.models) < self.budget


@pytest.fixture
def result_of(figures):
    """A function that gives the final dict of a network."""
    return lambda network: {**figures(network.architecture), "architecture": str(network.architecture)}


def test_an_idle_worker_never_waits_for_a_slow_model(space_of, names, result_of):
    finished, slow = [], threading.Event()

    def evaluate(number, network):
        if number == 1:
            assert slow.wait(60)
        finished.append(number)
        if len(finished) == 14:
            slow.set()  # all others, most of them bred, came and went meanwhile
        return result_of(network)

    engine = ThreadedEngine(2, 15, evaluate)
    strategy = NasoaEvolution(population_size=4, seed=0)
    strategy(space_of(), engine)
    assert finished[-1] == 1 and engine.most == 2 and len(set(names(strategy))) == 15


def test_results_keep_their_identity_when_ends_are_mixed_up(space_of, names, figures, result_of):
    def evaluate(number, network):
        time.sleep(0.002 * (number % 3))
        return None if number % 5 == 0 else result_of(network)

    engine = ThreadedEngine(3, 30, evaluate, swapped_ends=True)
    strategy = NasoaEvolution(population_size=5, seed=0)
    strategy(space_of(), engine)
    assert len(names(strategy)) == 24 and strategy.evolution.failures == 6 and strategy.evolution.pending == 0
    for individual in strategy.evolution.evaluated:
        assert individual.metrics["params_m"] == figures(individual.candidate)["params_m"]
    for model in strategy.list_models():
        assert model.metric == figures(model.executable_model().architecture)["default"]


def test_a_result_that_names_another_architecture_is_that_ones(space_of, names, figures, result_of):
    other = "020-_16_1-2"
    engine = ThreadedEngine(
        1,
        2,
        lambda number, network: (
            {**figures(Architecture.parse(other)), "architecture": other}
            if number == 0
            else {**result_of(network), "architecture": "not one"}
        ),
    )
    strategy = NasoaEvolution(seed=0)
    strategy(space_of(), engine)
    assert names(strategy) == [other, engine.models[1].sample["architecture"]]
    assert strategy.evolution.failures == 1
    assert other in [model.sample["architecture"] for model in strategy.list_models()]
