"""NASOA's multi-objective evolution as a tuner, for `nnictl create --config`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import RLock
from typing import Any

import nni
from nni.tuner import Tuner
from nni.utils import ClassArgsValidator

from nni_nasoa.search.evolution import Evolution, SpaceExhausted
from nni_nasoa.search.fidelity import is_brief

from .class_args import EvolutionArgs
from .dispatcher import clear_errors, end_with_manager
from .experiments import (
    metrics_of,
    read_config,
    read_failed,
    read_lost,
    read_trials,
    read_unfinished,
)
from .given_space import brief_tries, given_search_space, initial_candidates
from .journal import Journal
from .lost_trials import LostTrials
from .result_lines import ResultLines, say
from .search_journal import SPACE, last_space, remembered
from .search_space_codec import Vocabulary, space_in_use
from .speed_meter import SpeedMeter, meter_of
from .trial_failures import ErrorFiles

_logger = logging.getLogger(__name__)
_NAME = "EvolutionTuner"


class EvolutionTuner(Tuner):
    """Elitist, steady-state, asynchronous NSGA-II over any objectives (NASOA, arXiv 2108.03434, section 3.1).

    A trial that becomes free gets the next candidate at once; none is evaluated twice, across restarts too.
    Where the search space is that of ET-NAS architectures (`nni_nasoa.search.choices`), mutation and
    crossover know blocks and stages, and yield valid networks only. Any other search space, of all of NNI's
    types, is varied label by label.

    A trial reports a dict; the objectives and limits are read from it. Where it has an "architecture", the
    result is taken to be that network's, since NNI may show it beside another one's parameters.

    Parameters
    ----------
    objectives
        Metrics of the final dict, each a name or `{name: latency_ms, mode: minimize}`. By default accuracy
        and relative_speed, both maximised, for architectures, and `default` for other search spaces.
    limits
        Bounds on metrics, `{params_m: {max: 5}, step_time_ms: {max: 40}}`: whoever is outside ranks behind
        all inside.
    population_size
        Candidates kept as parents; as many are drawn at random before the first is bred.
    crossover_probability
        Probability that a new candidate has two parents; it is mutated in any case.
    initial
        What to evaluate first: encodings of architectures, or samples of another search space.
    blocks_from, macros_from
        The `block` (or `macro`) designs to choose among, in place of those in the search space: the ones on
        the front of a front file, or of an experiment by its id. A relative path starts at the tuner's
        codeDirectory.
    surrogate
        Whether a model of the results chooses among children (`nni_nasoa/search/surrogate.py`).
    measure_speed
        Of the candidates that the model expects most of, so many are timed on this machine before one of them
        is trained; 0 for none. What that takes is told beside the results.
    brief_epochs
        Every candidate is trained for so many epochs first, and for as many as the trial command says only
        where that promises something. What brief tries give is never compared with the other results. None
        trains all in full.
    seed
        A search with a seed is reproducible at trialConcurrency 1.

    Raises
    ------
    ValueError
        An argument is not one of those above: `nnictl create` says so in one line and starts nothing (see
        config_check.py). What turns out only in the search space is one line too, on the terminal with
        `nnictl create --foreground` and in nnictl_stderr.log without, and the experiment's status is ERROR.
    """

    def __init__(
        self,
        *,
        objectives: Any = None,
        limits: Any = None,
        population_size: Any = None,
        crossover_probability: Any = None,
        initial: Any = None,
        blocks_from: Any = None,
        macros_from: Any = None,
        surrogate: Any = None,
        measure_speed: Any = None,
        brief_epochs: Any = None,
        seed: Any = None,
        **unknown: Any,
    ) -> None:
        super().__init__()
        end_with_manager()
        with clear_errors(_NAME, starting=True):
            self._args = EvolutionArgs.parse(
                dict(
                    objectives=objectives,
                    limits=limits,
                    population_size=population_size,
                    initial=initial,
                    surrogate=surrogate,
                    measure_speed=measure_speed,
                    brief_epochs=brief_epochs,
                    seed=seed,
                    crossover_probability=crossover_probability,
                    blocks_from=blocks_from,
                    macros_from=macros_from,
                    **unknown,
                )
            )
        folder = self.get_checkpoint_path()
        self._journal = Journal(Path(folder) / "evolution.jsonl" if folder else None)
        self._lines, self._errors = ResultLines(self._folder()), ErrorFiles(self._folder())
        self._lock = RLock()  # NNI tells of ended trials in another thread
        self._resumed = False
        self._vocabulary: Vocabulary | None = None
        self._evolution: Evolution | None = None
        # Parameters by NNI's id for them; the ids start again after a resume.
        self._asked: dict[int, dict[str, Any]] = {}
        self._told: set[str] = set()
        self._lost = LostTrials()
        self._meter: SpeedMeter | None = None
        # What trials of an earlier process run again; NNI does not tell how these end.
        self._run_again: set[str] = set()

    @property
    def evolution(self) -> Evolution:
        """The evolution itself (`front()`, `evaluated`, `failures`), once the search space is known."""
        if self._evolution is None:
            raise RuntimeError("the search space is not known yet: update_search_space comes first")
        return self._evolution

    @property
    def vocabulary(self) -> Vocabulary:
        """How NNI's parameters and candidates translate, once the search space is known."""
        if self._vocabulary is None:
            raise RuntimeError("the search space is not known yet: update_search_space comes first")
        return self._vocabulary

    # -- what NNI calls --

    def update_search_space(self, search_space: dict) -> None:
        """Start the evolution in this search space; what is known of its candidates is taken along.

        NNI tells of a new space once it has stored it. Where that is none, a search that is under way goes on
        in the space that it has, and a resumed one in the last that it had.
        """
        with self._lock, clear_errors(_NAME):
            before = last_space(self._journal.events)
            try:
                self._start(search_space)
            except ValueError as error:
                if before is None:
                    raise
                line = f"{_NAME}: the new search space is not taken, the search goes on in its own: {error}"
                _logger.error(line)
                say(line)
                if self._evolution is None:
                    self._start(before)

    def _start(self, search_space: Any) -> None:
        """Begin in a search space, or go on from the journal."""
        args, events = self._args, self._journal.events
        vocabulary: Vocabulary = given_search_space(search_space, args, self._code_directory())
        if args.measure_speed and self._meter is None:
            self._meter = meter_of(vocabulary, self._config())
        if args.brief_epochs is not None:
            vocabulary = brief_tries(vocabulary, self._config(), args.brief_epochs)
        initial = initial_candidates(vocabulary, args)
        evolution = Evolution(
            vocabulary.operators,
            args.objectives or vocabulary.objectives,
            limits=args.limits,
            initial=initial,
            seed=[args.seed, len(events)] if args.seed is not None and events else args.seed,
            population_size=args.population_size,
            crossover_probability=args.crossover_probability,
            surrogate=args.surrogate,
            meter=self._meter,
            metered=max(1, args.measure_speed),
        )
        self._vocabulary, self._evolution, self._told = vocabulary, evolution, set()
        if events:
            self._replay()
        space = space_in_use(vocabulary, search_space)
        if space != last_space(self._journal.events):
            self._journal.append(event=SPACE, space=space)

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """Return the next candidate as a sample of the search space, with an architecture's encoding."""
        with self._lock, clear_errors(_NAME):
            self._look_for_failed()
            try:
                candidate = self.evolution.ask()
            except SpaceExhausted as reason:
                _logger.warning("%s", reason)
                raise nni.NoMoreTrialError(str(reason)) from None
            self._asked[parameter_id] = parameters = self.vocabulary.to_parameters(candidate)
            self._journal.append(event="asked", id=parameter_id, parameters=parameters)
            return parameters

    def receive_trial_result(
        self, parameter_id: int, parameters: dict[str, Any], value: Any, **kwargs: Any
    ) -> None:
        """Tell a result under the identity that it carries, or else as that of the parameter id."""
        with self._lock:
            metrics = metrics_of(value)
            named = self.vocabulary.identity(metrics)
            self._tell(self._from_parameters(named or self._asked.get(parameter_id, parameters)), metrics)

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """Count a candidate whose trial ended without a result as failed.

        NNI may name the parameter id of another trial. That one's result, when it comes, overrules the
        failure, and the candidate that really failed is named when the other trial ends. Where a machine went
        down, what was lost with it is asked for once more.
        """
        with self._lock:
            if (parameters := self._asked.get(parameter_id)) is not None:
                candidate = self._from_parameters(parameters)
                if candidate is not None and self.evolution.operators.key(candidate) not in self._told:
                    self._end_without_result(candidate, parameters)
        if not success:
            self._errors.fetch()

    def import_data(self, data: list[dict]) -> None:
        """Take in results: those that NNI kept when an experiment is resumed, and those that a user imports.

        The parameters that NNI gives may be another trial's. The identity within the result comes first, then
        what the experiment's database says about the trial, and only then what was given.
        """
        with self._lock:
            recorded = {trial.trial_id: trial.parameters for trial in self._stored(read_trials)}
            for entry in data:
                metrics = metrics_of(entry["value"])
                candidate = self._from_parameters(
                    self.vocabulary.identity(metrics)
                    or recorded.get(entry.get("trialJobId"))
                    or entry.get("parameter")
                )
                if candidate is None or self.evolution.operators.key(candidate) not in self._told:
                    self._tell(candidate, metrics)

    def load_checkpoint(self) -> None:
        """Read the journal of an earlier process. NNI calls this before the search space is known."""
        with self._lock:
            self._journal.load()
            self._resumed = True
            if self._evolution is not None:
                self._replay()

    def save_checkpoint(self) -> None:
        """Nothing is left to do: every event is on the disk before NNI learns of it."""

    # -- inside --

    def _end_without_result(self, candidate: Any, parameters: Mapping[str, Any]) -> None:
        key = self.evolution.operators.key(candidate)
        if key in self._named(read_lost):
            to_parameters, unanswered = self.vocabulary.to_parameters, self.evolution.unanswered
            self._lost.lose({name: to_parameters(one) for name, one in unanswered.items()})
        if self._lost.is_suspect(key):
            self._lost.end(key)
        else:
            self._journal.append(event="failed", parameters=parameters)
            self.evolution.fail(candidate)
        self._find_lost()

    def _find_lost(self) -> None:
        """Ask for what was lost with a machine once more, as soon as it is known what that was."""
        for parameters, again in self._lost.found(self._told):
            self._journal.append(event="lost" if again else "failed", parameters=parameters)
            candidate = self.vocabulary.to_candidate(parameters)
            (self.evolution.ask_again if again else self.evolution.fail)(candidate)

    def _tell(self, candidate: Any, metrics: Mapping[str, Any]) -> None:
        if candidate is None:
            _logger.warning(
                "A result belongs to no candidate of the search space, so it is left out: %s", metrics
            )
            return
        self._journal.append(
            event="told", parameters=self.vocabulary.to_parameters(candidate), metrics=dict(metrics)
        )
        evolution, known = self.evolution, len(self.evolution.evaluated)
        evolution.tell(candidate, metrics)
        self._told.add(evolution.operators.key(candidate))
        self._lost.end(evolution.operators.key(candidate))
        self._find_lost()
        if (count := len(evolution.evaluated)) > known:
            ended, front = count + evolution.failures, len(evolution.front())
            notes = ["a brief try" * is_brief(candidate), "" if self._meter is None else str(self._meter)]
            self._lines.tell(
                metrics, evolution.objectives, count=count, ended=ended, front=front, notes=notes
            )

    def _from_parameters(self, parameters: Any) -> Any:
        """The candidate that parameters mean, or None if they are not of this search space."""
        try:
            return self.vocabulary.to_candidate(parameters)
        except (ValueError, TypeError, KeyError) as error:
            _logger.warning("%s: not of this search space (%s)", parameters, error)
            return None

    def _replay(self) -> None:
        """Bring the evolution to where the journal ends."""
        key, to_json = self.evolution.operators.key, self.evolution.operators.to_json
        known = remembered(self._journal.events, self._from_parameters, key)
        self._told |= known.told.keys()
        for name in known.lost:
            self._lost.known(name)
        waiting, failed = known.waiting, known.failed
        # NNI's manager runs unfinished trials again by itself. What it has lost sight of is asked for again,
        # before the rest.
        running = waiting.keys() - known.again
        if self._resumed:
            running &= self._named(read_unfinished).keys()
            lost = {name for name in self._named(read_lost) if not self._lost.is_known(name)}
            failed |= self._named(read_failed).keys() & waiting.keys() - running - known.again - lost
        self._resumed, self._run_again = False, running
        state = self.evolution.state_dict()
        to_ask_first = [
            to_json(candidate)
            for name, candidate in waiting.items()
            if name not in running and name not in failed
        ]
        self.evolution.load_state_dict(
            {
                **state,
                "evaluated": [
                    {"candidate": to_json(candidate), "metrics": metrics}
                    for candidate, metrics in known.told.values()
                ],
                "failed": sorted(failed),
                "to_ask_first": to_ask_first + state["to_ask_first"],
                "pending": [to_json(candidate) for name, candidate in waiting.items() if name in running],
            }
        )

    def _look_for_failed(self) -> None:
        """Count what failed of what a resumed experiment runs again, whose ends NNI does not tell.

        It is what the database says, so a result that is still to come overrules it, as in `trial_end`.
        """
        self._run_again -= self._told
        if not self._run_again:
            return
        failed = self._named(read_failed)
        for name in sorted(self._run_again & failed.keys()):
            self._end_without_result(failed[name], self.vocabulary.to_parameters(failed[name]))
        self._run_again -= failed.keys()

    def _named(self, read: Callable[[Path], Any]) -> dict[str, Any]:
        """The candidates by their keys of the parameters that `read` finds."""
        candidates = [self._from_parameters(parameters) for parameters in self._stored(read)]
        return {
            self.evolution.operators.key(candidate): candidate
            for candidate in candidates
            if candidate is not None
        }

    def _stored(self, read: Callable[[Path], Any]) -> Any:
        """What `read` finds in this experiment's folder; nothing outside of an experiment."""
        return read(folder) if (folder := self._folder()) else []

    def _folder(self) -> Path | None:
        path = self.get_checkpoint_path()
        return Path(path).parent if path and (Path(path).parent / "db").is_dir() else None

    def _config(self) -> dict[str, Any]:
        """The experiment's, as NNI keeps it; nothing outside of one."""
        return self._stored(read_config) or {}

    def _code_directory(self) -> Path:
        """Where relative paths start; NNI runs the tuner in the experiment's log folder."""
        config = self._config()
        tuner = config.get("tuner") or {}
        return Path(tuner.get("codeDirectory") or config.get("trialCodeDirectory") or ".")


class EvolutionClassArgsValidator(ClassArgsValidator):
    """Checks the classArgs of `NasoaEvolution`, the name that algorithms.yml gives the tuner."""

    def validate_class_args(self, **kwargs: Any) -> None:
        """Raise a ValueError of one line for the first argument that is wrong."""
        EvolutionArgs.parse(kwargs)
