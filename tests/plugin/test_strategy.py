"""NasoaEvolution on NNI's engines: steady, never twice, whatever NNI mixes up."""

import json
import logging
import queue
import threading
import time
from types import SimpleNamespace

import nni
import pytest
from nni.mutable import CategoricalMultiple, ExpressionConstraint, Numerical, ensure_frozen
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, TrainingEndEvent
from nni.nas.nn.pytorch import LayerChoice, ModelSpace
from nni.nas.space import ModelStatus, SimplifiedModelSpace
from torch import nn

from nni_nasoa.architecture import Architecture
from nni_nasoa.plugin.model_space import ETNASSpace
from nni_nasoa.plugin.strategy import NasoaEvolution
from nni_nasoa.search.evolution import Limit, Objective

SMALL = dict(layers=(1, 2), channels=(8, 16), stages=(2, 3), blocks=(1, 2), doublings=(0, 1, 2))
TINY = dict(block_designs=("1-", "0-", "020-"), macros=("8_1-2", "16_1-1"))


def figures(architecture):
    """Two objectives in conflict: large networks are accurate, small ones fast."""
    size = architecture.parameters(5) / 1e6
    return {"default": 1 - size, "accuracy": size / (1 + size), "relative_speed": 1 / size, "params_m": size}


def report(network):
    nni.report_final_result({**figures(network.architecture), "architecture": str(network.architecture)})


def space_of(evaluate=report, **candidates):
    return SimplifiedModelSpace.from_model(ETNASSpace(num_labels=5, **(candidates or SMALL)), FunctionalEvaluator(evaluate))


def run(strategy, models=20, space=None, continue_on_failure=False):
    engine = SequentialExecutionEngine(max_model_count=models, continue_on_failure=continue_on_failure)
    strategy(space or space_of(), engine)
    return engine


def names(strategy):
    return [str(individual.candidate) for individual in strategy.evolution.evaluated]


# -- arguments --

@pytest.mark.parametrize("arguments, message", [
    (dict(objectives=[("accuracy", "up")]), "objectives: .*'up'.* is not a metric's name"),
    (dict(objectives="accuracy"), "objectives: 'accuracy' is not a list"),
    (dict(objectives=["accuracy", Objective("accuracy", False)]), "objectives: 'accuracy' is there twice"),
    (dict(objectives=[]), "objectives: .* is not a list of metrics"),
    (dict(limits={"params_m": 5}), "limits: params_m: 5 is not"),
    (dict(limits=[5]), r"limits: \[5\] is not a mapping"),
    (dict(limits=5), "limits: 5 is not a mapping"),
    (dict(initial="020-_8_1-2"), "initial: '020-_8_1-2' is not a list"),
    (dict(population_size=1), "population_size: 1 is not a whole number from 2"),
    (dict(crossover_probability=1.5), "crossover_probability: 1.5"),
    (dict(initial=["2-_32_3"]), "initial, entry 1: .*multiplier '3'"),
    (dict(seed="x"), "seed: 'x'"),
])
def test_wrong_arguments_say_what_would_be_right(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        NasoaEvolution(**arguments)


@pytest.mark.parametrize("minimized", [("ms", "minimize"), {"name": "ms", "mode": "minimize"}, {"name": "ms", "maximize": False},
                                       Objective("ms", maximize=False)])
def test_ways_to_name_objectives_and_limits(minimized):
    strategy = NasoaEvolution(objectives=["accuracy", minimized], limits=[Limit("ms", maximum=3, minimum=1)])
    same = NasoaEvolution(objectives=[Objective("accuracy"), Objective("ms", False)], limits={"ms": {"max": 3, "min": 1}})
    assert repr(strategy) == repr(same) and "Limit(name='ms', maximum=3, minimum=1)" in repr(strategy)


# -- a whole search --

def test_searches_architectures_without_repeating_any():
    strategy = NasoaEvolution(population_size=6, seed=0)
    engine = run(strategy, 30)
    assert len(names(strategy)) == len(set(names(strategy))) == 30 and strategy.evolution.failures == 0
    assert [objective.name for objective in strategy.evolution.objectives] == ["accuracy", "relative_speed"]
    assert len(strategy.evolution.population) == 6
    models = list(strategy.list_models())
    assert len(models) == 30 and all(model.status == ModelStatus.Trained for model in models)
    assert all(str(model.executable_model().architecture) == model.sample["architecture"] for model in models[:5])
    assert list(strategy.list_models(sort=False, limit=7)) == engine.list_models()[:7]


def test_seed_makes_it_reproducible():
    runs = []
    for seed in (3, 3, 4):
        run(strategy := NasoaEvolution(population_size=5, seed=seed), 15)
        runs.append(names(strategy))
    assert runs[0] == runs[1] != runs[2]


def test_initial_architectures_come_first():
    first = ["020-_8_1-2", Architecture.parse("120-_16_1-1")]
    run(strategy := NasoaEvolution(initial=first, seed=0), 4)
    assert names(strategy)[:2] == list(map(str, first))


def test_initial_outside_of_the_space():
    with pytest.raises(ValueError, match="initial: '020-_64_1-2': .*channels = 64"):
        run(NasoaEvolution(initial=["020-_64_1-2"]))
    with pytest.raises(ValueError, match="initial: '020-_8_1-2': it is not a sample"):
        run(NasoaEvolution(initial=["020-_8_1-2"]), space=toy_space())


def test_list_models_in_pareto_order_with_limits():
    strategy = NasoaEvolution(population_size=6, limits={"params_m": {"max": 0.02}}, seed=0)
    run(strategy, 25)
    sizes = {name: figures(Architecture.parse(name))["params_m"] for name in names(strategy)}
    listed = [model.sample["architecture"] for model in strategy.list_models()]
    assert listed[:len(strategy.evolution.front())] == [str(individual.candidate) for individual in strategy.evolution.front()]
    inside = [name for name in listed if sizes[name] <= 0.02]
    outside = [name for name in listed if sizes[name] > 0.02]
    assert inside and outside and listed == inside + sorted(outside, key=sizes.get)
    assert [model.sample["architecture"] for model in strategy.list_models(limit=3)] == listed[:3]
    assert [model.metric for model in strategy.list_models()] == pytest.approx([1 - sizes[name] for name in listed])


def test_list_models_before_the_run():
    with pytest.raises(RuntimeError, match="has not been run"):
        next(NasoaEvolution().list_models())
    with pytest.raises(RuntimeError, match="not attached"):
        NasoaEvolution().evolution


def test_failed_trials_are_counted_and_do_not_block():
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


def test_final_results_that_lack_something(caplog):
    results = iter([{"accuracy": 0.5, "relative_speed": 1.0}, {"default": 0.5}, 0.7,
                    {"default": 1, "accuracy": float("nan"), "relative_speed": 1},
                    {"default": 0.5, "accuracy": 0.6, "relative_speed": 2.0}])
    strategy = NasoaEvolution(seed=0)
    with caplog.at_level(logging.WARNING):
        run(strategy, 5, space_of(lambda network: nni.report_final_result(next(results))))
    assert [individual.metrics["relative_speed"] for individual in strategy.evolution.evaluated] == [1.0, 2.0]
    assert strategy.evolution.failures == 3
    assert "no number under 'default'" in caplog.text
    assert [model.metric for model in strategy.list_models()] == [0.5, None]


def test_ends_when_the_space_is_exhausted(caplog):
    strategy = NasoaEvolution(population_size=3, seed=0)
    run(strategy, None, space_of(**TINY))
    assert len(set(names(strategy))) == len(names(strategy)) == 6
    assert "Cannot find a new model" in caplog.text


# -- other model spaces --

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
        self.chosen = (ensure_frozen(width), ensure_frozen(depth), ensure_frozen(self.inputs), ensure_frozen(self.dropout))
        self.activation = LayerChoice([nn.ReLU(), nn.Tanh()], label="activation")

    def freeze(self, sample):
        return SimpleNamespace(chosen=tuple(sample[label] for label in ("width", "depth", "inputs", "dropout")))


def report_toy(model, rate):
    width, depth, inputs, dropout = model.chosen
    size = width * depth
    nni.report_final_result({"default": 0.0, "quality": size - dropout, "ms": size * rate, "inputs": inputs})


def toy_space():
    return SimplifiedModelSpace.from_model(Toy(), FunctionalEvaluator(report_toy, rate=nni.loguniform("rate", 1e-3, 1.0)))


def test_any_model_space_with_objectives_of_both_directions():
    strategy = NasoaEvolution(objectives=["quality", ("ms", "minimize")], population_size=8, seed=0)
    run(strategy, 60, toy_space())
    evaluated = strategy.evolution.evaluated
    assert len({json.dumps(individual.candidate, sort_keys=True) for individual in evaluated}) == 60
    assert {label for individual in evaluated for label in individual.candidate} == {
        "width", "depth", "inputs", "dropout", "activation", "rate"}
    assert all(individual.candidate["width"] * individual.candidate["depth"] <= 32 for individual in evaluated)
    results, front = ([(individual.metrics["quality"], individual.metrics["ms"]) for individual in individuals]
                      for individuals in (evaluated, strategy.evolution.front()))
    assert front == sorted(front, reverse=True) and [ms for _, ms in front] == sorted((ms for _, ms in front), reverse=True)
    assert not any(quality > best and ms < least for quality, ms in results for best, least in front)
    assert next(strategy.list_models()).sample == strategy.evolution.front()[0].candidate


def test_objective_of_other_spaces_is_default():
    run(strategy := NasoaEvolution(seed=0), 3, toy_space())
    assert strategy.evolution.objectives == (Objective("default"),)
    strategy = NasoaEvolution(seed=0)
    run(strategy, 3, SimplifiedModelSpace.from_model(Toy(), FunctionalEvaluator(
        lambda model, rate: nni.report_final_result(rate), rate=nni.uniform("rate", 1, 2))))
    assert [individual.metrics for individual in strategy.evolution.evaluated] == [
        {"default": individual.candidate["rate"]} for individual in strategy.evolution.evaluated]


def test_an_evaluator_with_choices_of_its_own_beside_architectures():
    def evaluate(network, rate):
        nni.report_final_result({**figures(network.architecture), "accuracy": rate})

    evaluator = FunctionalEvaluator(evaluate, rate=nni.choice("rate", [0.1, 0.9]))
    strategy = NasoaEvolution(population_size=4, seed=0)
    run(strategy, 12, SimplifiedModelSpace.from_model(ETNASSpace(num_labels=5, **SMALL), evaluator))
    assert len(strategy.evolution.evaluated) == 12
    assert [objective.name for objective in strategy.evolution.objectives] == ["accuracy", "relative_speed"]
    assert all(individual.candidate["rate"] == individual.metrics["accuracy"] for individual in strategy.evolution.evaluated)


# -- restarts --

def test_resumes_without_losing_or_repeating_anything():
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
    assert all(model.metric is not None and model.status == ModelStatus.Trained for model in resumed.list_models())
    assert [model.sample["architecture"] for model in engine.list_models()][0] == names(strategy)[7]


def test_takes_finished_results_from_the_database_of_an_experiment_that_was_killed():
    finished = [{**figures(architecture), "architecture": str(architecture)}
                for architecture in map(Architecture.parse, ["1-_8_1-2", "020-_16_1-1", "020-_64_1-1"])]  # the last is of another space
    metrics = {f"trial{i}": [SimpleNamespace(type="PERIODICAL", data=0.1), SimpleNamespace(type="FINAL", data=data)]
               for i, data in enumerate([*finished, 0.3])}
    engine = SequentialExecutionEngine()
    engine.nodejs_binding = SimpleNamespace(get_job_metrics=lambda: metrics)
    strategy = NasoaEvolution(seed=0)
    strategy(space_of(**TINY), engine)
    assert sorted(names(strategy)[:2]) == ["020-_16_1-1", "1-_8_1-2"] and len(set(names(strategy))) == 6
    assert len(engine.list_models()) == 4


class DeafEngine(SequentialExecutionEngine):
    """An engine whose listener dies of the first command, and that has a worker only once it hears of it."""

    def __init__(self):
        super().__init__(max_model_count=3)
        self.commands = queue.SimpleQueue()
        for command in ("old results", "a worker", None):
            self.commands.put(command)
        self._channel, self._channel_listen_stop_event, self.worker = self, threading.Event(), False
        self._channel_listen_thread = threading.Thread(target=lambda: self.commands.get())
        self._channel_listen_thread.start()

    def listen(self, stop_event):
        while (command := self.commands.get()) is not None:
            self.worker = command == "a worker"
        stop_event.set()

    def idle_worker_available(self):
        return self.worker


def test_goes_on_where_the_engine_of_a_resumed_experiment_has_stopped_listening(quick):
    strategy = NasoaEvolution(seed=0)
    strategy(space_of(), DeafEngine())
    assert len(names(strategy)) == 3


# -- several models at a time --

class ThreadedEngine(ExecutionEngine):
    """Runs models in threads and, as NNI does, tells ends of models under each other's names."""

    def __init__(self, workers, budget, evaluate, swapped_ends=False):
        super().__init__()
        self.workers, self.budget, self.evaluate, self.swapped_ends = workers, budget, evaluate, swapped_ends
        self.models, self.running, self.most, self.jobs = [], 0, 0, queue.Queue()
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
                ended = self.models[number ^ 1] if self.swapped_ends and number ^ 1 < len(self.models) else model
                self.dispatch_model_event(TrainingEndEvent(ended, status))
            with self.lock:
                self.running -= 1

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
        return self.running < self.workers

    def budget_available(self):
        return len(self.models) < self.budget


@pytest.fixture
def quick(monkeypatch):
    """Look for idle workers more often, as the models of these tests take no time."""
    monkeypatch.setattr("nni_nasoa.plugin.strategy._POLL", 0.005)


def result_of(number, network):
    return {**figures(network.architecture), "architecture": str(network.architecture)}


def test_an_idle_worker_never_waits_for_a_slow_model(quick):
    finished, slow = [], threading.Event()

    def evaluate(number, network):
        if number == 1:
            assert slow.wait(60)
        finished.append(number)
        if len(finished) == 14:
            slow.set()  # all others, most of them bred, came and went meanwhile
        return result_of(number, network)

    engine = ThreadedEngine(2, 15, evaluate)
    strategy = NasoaEvolution(population_size=4, seed=0)
    strategy(space_of(), engine)
    assert finished[-1] == 1 and engine.most == 2 and len(set(names(strategy))) == 15


def test_results_keep_their_identity_when_ends_are_mixed_up(quick):
    def evaluate(number, network):
        time.sleep(0.002 * (number % 3))
        return None if number % 5 == 0 else result_of(number, network)

    engine = ThreadedEngine(3, 30, evaluate, swapped_ends=True)
    strategy = NasoaEvolution(population_size=5, seed=0)
    strategy(space_of(), engine)
    assert len(names(strategy)) == 24 and strategy.evolution.failures == 6 and strategy.evolution.pending == 0
    for individual in strategy.evolution.evaluated:
        assert individual.metrics["params_m"] == figures(individual.candidate)["params_m"]
    for model in strategy.list_models():
        assert model.metric == figures(model.executable_model().architecture)["default"]


def test_a_result_that_names_another_architecture_is_that_ones(quick):
    other = "020-_16_1-2"
    engine = ThreadedEngine(1, 2, lambda number, network: {**figures(Architecture.parse(other)), "architecture": other}
                            if number == 0 else {**result_of(number, network), "architecture": "not one"})
    strategy = NasoaEvolution(seed=0)
    strategy(space_of(), engine)
    assert names(strategy) == [other, engine.models[1].sample["architecture"]]
    assert strategy.evolution.failures == 1
    assert other in [model.sample["architecture"] for model in strategy.list_models()]
