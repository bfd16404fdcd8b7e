"""NASOA's multi-objective evolution as a strategy of NNI, for `NasExperiment`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

from nni.mutable import Sample
from nni.nas.execution import ExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, ModelEventType, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy import Strategy
from nni.nas.strategy.base import StrategyStatus

from nni_nasoa.architecture import Architecture
from nni_nasoa.search.evolution import Evolution, Individual, Limit, Objective, SpaceExhausted
from nni_nasoa.search.nsga2 import non_dominated_ranks
from nni_nasoa.search.operators import ArchitectureOperators
from nni_nasoa.search.problem import Meter
from nni_nasoa.values import shown, whole

from .class_args import python_args
from .mutables import vocabulary_of
from .search_space_codec import Vocabulary

_logger = logging.getLogger(__name__)

_POLL = 0.5  # Seconds between two looks for an idle worker.
_LATE_RESULTS = 5.0  # Seconds that results may be on their way when NNI says that all models are done.


class NasoaEvolution(Strategy):
    """Elitist, steady-state, asynchronous NSGA-II over any objectives (NASOA, arXiv 2108.03434, section 3.1).

    A worker that becomes idle gets the next model at once. No model is submitted twice. On `ETNASSpace`,
    mutation and crossover know blocks and stages, and yield valid networks only; on any other model space (of
    NNI's Categorical, CategoricalMultiple and Numerical choices, an evaluator's among them) they vary samples
    choice by choice, within the space's constraints.

    The evaluator reports a dict as final result, from which the objectives are read, and of which NNI itself
    keeps `default` only. Where the dict has an "architecture", the result is taken to be that network's.

    Parameters
    ----------
    objectives
        Metrics of the final dict: a name (maximised), (name, "minimize"), {"name": .., "mode": "minimize"} or
        an Objective. By default accuracy and relative_speed for ETNASSpace, and `default` for other spaces.
    limits
        Bounds on metrics, {"params_m": {"max": 5}} or Limits: a model outside ranks behind all that are
        inside.
    population_size
        Number of models kept as parents; as many are drawn at random before the first is bred.
    crossover_probability
        Probability that a new model has two parents.
    initial
        Models to evaluate first: encodings for ETNASSpace, else samples.
    surrogate
        Whether a model of the results chooses among children (`nni_nasoa/search/surrogate.py`).
    meter
        A function that measures what can be known of a model before it is evaluated, such as its speed, and
        gives metrics by name; of an architecture, or of a sample. `SpeedMeter` is one.
    metered
        Of the models that the surrogate expects most of, so many are measured before one is submitted.
    seed
        Random seed. The search is reproducible where models run one after the other.

    Raises
    ------
    ValueError
        An argument is not one of those above.

    Examples
    --------
    >>> space = ETNASSpace(num_labels=10, channels=(16, 32))
    >>> strategy = NasoaEvolution(population_size=10, limits={"params_m": {"max": 1}}, seed=0)
    >>> experiment = NasExperiment(space, FunctionalEvaluator(evaluate), strategy)
    >>> experiment.run(port=8080)
    >>> experiment.export_top_models(3, formatter="dict")
    """

    def __init__(
        self,
        *,
        objectives: Sequence[Objective | str | tuple | Mapping] | None = None,
        limits: Sequence[Limit] | Mapping[str, Mapping[str, float]] = (),
        population_size: int = 20,
        crossover_probability: float = 0.5,
        initial: Sequence[str | Architecture | Sample] = (),
        surrogate: bool = True,
        meter: Meter | None = None,
        metered: int = 8,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._meter, self._metered = meter, whole(1)("metered", metered)
        self._args = python_args(
            objectives=objectives,
            limits=limits,
            population_size=population_size,
            crossover_probability=crossover_probability,
            initial=initial,
            surrogate=surrogate,
            seed=seed,
        )
        self._evolution: Evolution | None = None
        self._vocabulary: Vocabulary | None = None
        self._kept_state: dict | None = None  # loaded before there was an evolution
        # Every model submitted, by the key of its candidate. The engine holds them weakly, and the end of one
        # may be told under the name of another before its result is in, so they are kept to the end.
        self._models: dict[str, ExecutableModelSpace] = {}

    def extra_repr(self) -> str:
        """What NNI shows of it."""
        args = self._args
        return (
            f"objectives={args.objectives}, limits={args.limits}, population_size={args.population_size}, "
            f"crossover_probability={args.crossover_probability}, "
            f"surrogate={args.surrogate}, seed={args.seed}"
        )

    @property
    def evolution(self) -> Evolution:
        """The evolution itself (`front()`, `evaluated`, `failures`), once the strategy has a model space.

        Raises
        ------
        RuntimeError
            The strategy is not initialised.
        """
        if self._evolution is None:
            raise RuntimeError("Strategy is not attached to a model space.")
        return self._evolution

    @property
    def vocabulary(self) -> Vocabulary:
        """How NNI's parameters and candidates translate, once the strategy has a model space."""
        if self._vocabulary is None:
            raise RuntimeError("Strategy is not attached to a model space.")
        return self._vocabulary

    # -- NNI's strategy interface --

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        self._vocabulary, args = vocabulary_of(model_space), self._args
        self._evolution = Evolution(
            self.vocabulary.operators,
            args.objectives or self.vocabulary.objectives,
            limits=args.limits,
            seed=args.seed,
            population_size=args.population_size,
            crossover_probability=args.crossover_probability,
            surrogate=args.surrogate,
            meter=self._meter,
            metered=self._metered,
            initial=[self._initial(one, model_space) for one in args.initial],
        )
        if self._kept_state is not None:
            state, self._kept_state = self._kept_state, None
            self.load_state_dict(state)
        engine.register_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._on_training_end)
        return model_space

    def _run(self) -> None:
        self._import_finished()
        while self.wait_for_resource():
            try:
                candidate = self.evolution.ask()
            except SpaceExhausted as reason:
                _logger.warning("Cannot find a new model to submit: %s.", reason)
                break
            # Results come from another thread, or from within submit_models: the model has to be known
            # before.
            model = self._models[self.evolution.operators.key(candidate)] = self._frozen(candidate)
            self.engine.submit_models(model)
        _logger.debug("Waiting for the models that are running.")
        self.engine.wait_models()
        deadline = time.monotonic() + _LATE_RESULTS
        while self.evolution.pending and time.monotonic() < deadline:
            time.sleep(0.05)
        self._import_finished()

    def wait_for_resource(self) -> bool:
        """Wait for an idle worker; False where the budget is used up."""
        while not self.engine.idle_worker_available():
            if not self.engine.budget_available():
                return False
            _keep_listening(self.engine)
            time.sleep(_POLL)
        return self.engine.budget_available()

    def _cleanup(self) -> None:
        self.engine.unregister_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        self.engine.unregister_model_event_callback(ModelEventType.TrainingEnd, self._on_training_end)

    def list_models(self, sort: bool = True, limit: int | None = None) -> Iterator[ExecutableModelSpace]:
        """List the models that were searched.

        Parameters
        ----------
        sort
            List those that have a result, in Pareto order: front by front, best first objective first; models
            outside of the limits come last. Else all that the engine knows, as they come.
        limit
            Limit the number of models to return.
        """
        if self._status in (StrategyStatus.INITIALIZED, StrategyStatus.EMPTY):
            raise RuntimeError("Strategy has not been run.")
        if not sort:
            yield from super().list_models(sort=False, limit=limit)
            return
        ordered = self._pareto_order()
        if limit is not None and limit > len(ordered):
            _logger.warning(
                "Only %d models have a result, but %d top models are requested.", len(ordered), limit
            )
        for individual in ordered[:limit]:
            yield self._trained(individual)

    def state_dict(self) -> dict:
        """Return results, failures and models under way, as JSON can hold them."""
        return self.evolution.state_dict()

    def load_state_dict(self, state_dict: dict) -> None:
        """Go on from `state_dict`; before `initialize`, as NNI's own strategies can, it is kept until then.

        Models that were under way are submitted again, before new ones.
        """
        if self._evolution is None:
            self._kept_state = state_dict
            return
        self.evolution.load_state_dict(state_dict)
        self.evolution.requeue_pending()

    # -- what comes back from the engine, in any thread --

    def _on_metric(self, event: FinalMetricEvent) -> None:
        if (candidate := self._submitted(event.model)) is None:
            return
        result = event.metric if isinstance(event.metric, Mapping) else {"default": event.metric}
        if self.vocabulary.identity(result) is None and candidate is not None:
            # NNI's FailureHandler gives a metric to a model that failed after it had reported one.
            self.evolution.withdraw(candidate)
        self._tell(self._identified(result, candidate), result)
        if not isinstance(result.get("default"), Real):
            # NNI would raise, which ends the thread that it listens with, and no further result would arrive.
            _logger.warning(
                "The final result has no number under 'default', so NNI will show no metric: %s", event.metric
            )
            event.prevent_default()

    def _on_training_end(self, event: TrainingEndEvent) -> None:
        candidate = self._submitted(event.model)
        if candidate is not None and event.status != ModelStatus.Interrupted:
            # A candidate with a result ignores it, and a late result overrules it.
            self.evolution.fail(candidate)

    def _submitted(self, model: ExecutableModelSpace) -> Any | None:
        """The candidate that a model was made of, if it is one of this strategy's."""
        try:
            candidate = self.vocabulary.to_candidate(model.sample or {})
        except ValueError:  # another strategy on the same engine may have another model space
            return None
        return candidate if self._models.get(self.evolution.operators.key(candidate)) is model else None

    def _identified(self, result: Mapping, candidate: Any | None) -> Any | None:
        """The candidate that a result is about: the one it names, which can be trusted, or the given one."""
        if (named := self.vocabulary.identity(result)) is None:
            return candidate
        try:
            return self.vocabulary.to_candidate(named)
        except ValueError as error:
            _logger.warning("A result is not about a model of this space by its own words: %s", error)
            return candidate

    def _import_finished(self) -> None:
        """Take in what NNI's database holds: results that came when nobody listened."""
        experiment = getattr(self.engine, "nodejs_binding", None)
        metrics = experiment.get_job_metrics() if experiment is not None else {}
        known = {
            self.evolution.operators.key(individual.candidate) for individual in self.evolution.evaluated
        }
        for metric in (metric for trial in metrics.values() for metric in trial if metric.type == "FINAL"):
            # Its trial's parameters may be those of another one, so only a result that names its architecture
            # is of use.
            candidate = self._identified(metric.data, None) if isinstance(metric.data, Mapping) else None
            if candidate is not None and self.evolution.operators.key(candidate) not in known:
                self._tell(candidate, metric.data)

    def _tell(self, candidate: Any, result: Mapping[str, Any]) -> None:
        known = len(self.evolution.evaluated)
        self.evolution.tell(candidate, result)
        if len(self.evolution.evaluated) > known:
            values = ", ".join(
                f"{objective.name} {result[objective.name]:.6g}" for objective in self.evolution.objectives
            )
            _logger.info("[Result %4d] %s: %s", known + 1, self.evolution.operators.key(candidate), values)

    # -- candidates and models --

    def _frozen(self, candidate: Any) -> ExecutableModelSpace:
        return self.model_space.freeze(self.vocabulary.to_parameters(candidate))

    def _trained(self, individual: Individual) -> ExecutableModelSpace:
        """The model of an individual, the one that ran where this process has submitted it."""
        model = self._models.get(self.evolution.operators.key(individual.candidate))
        if model is None:
            model = self._frozen(individual.candidate)
            model.status = ModelStatus.Trained
            if isinstance(individual.metrics.get("default"), Real):
                model.metrics.final = individual.metrics["default"]
        return model

    def _pareto_order(self) -> list[Individual]:
        individuals, limits = self.evolution.evaluated, self.evolution.limits
        violations = [
            sum(limit.violation(one.metrics[limit.name]) for limit in limits) for one in individuals
        ]
        values = [
            [
                one.metrics[objective.name] * (1 if objective.maximize else -1)
                for objective in self.evolution.objectives
            ]
            for one in individuals
        ]
        feasible = [i for i, violation in enumerate(violations) if not violation]
        ranks = dict(zip(feasible, non_dominated_ranks([values[i] for i in feasible]))) if feasible else {}
        order = sorted(
            range(len(individuals)),
            key=lambda i: (violations[i], ranks.get(i, 0), [-value for value in values[i]]),
        )
        return [individuals[i] for i in order]

    def _initial(self, one: str | Sample, model_space: ExecutableModelSpace) -> Any:
        try:
            if isinstance(one, str) and not isinstance(self.vocabulary.operators, ArchitectureOperators):
                raise ValueError(
                    "it is not a sample of the model space, which is not one of architectures alone"
                )
            candidate = self.vocabulary.to_candidate({"architecture": one} if isinstance(one, str) else one)
            model_space.validate(self.vocabulary.to_parameters(candidate))
        except ValueError as error:
            raise ValueError(f"initial: {shown(one)}: {error}") from None
        return candidate


def _keep_listening(engine: ExecutionEngine) -> None:
    """Restart the engine's listener if it has died.

    In an experiment that was resumed, NNI 3.0's manager first sends the old results. That command is unknown
    to the engine, its thread ends, and as no worker would ever be announced, the experiment would wait for
    ever.
    """
    thread = getattr(engine, "_channel_listen_thread", None)
    if thread is not None and not thread.is_alive() and not engine._channel_listen_stop_event.is_set():
        _logger.warning("The engine has stopped listening to NNI's manager; it is made to listen again.")
        engine._channel_listen_thread = threading.Thread(
            target=engine._channel.listen,
            kwargs={"stop_event": engine._channel_listen_stop_event},
            daemon=True,
        )
        engine._channel_listen_thread.start()
