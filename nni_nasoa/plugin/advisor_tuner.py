"""The online advisor as a tuner, for `nnictl create --config`.

Tasks become trials, and their results experience.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import RLock, Timer
from typing import TYPE_CHECKING, Any

import nni
from nni.tuner import Tuner
from nni.utils import ClassArgsValidator

from nni_nasoa.advisor.acquisition import next_choice
from nni_nasoa.advisor.advising import candidates_for
from nni_nasoa.advisor.survey import Survey

from .advisor_args import AdvisorArgs, ClassArgsError
from .assignment import Assignment
from .config_paths import ConfigPaths
from .dispatcher import clear_errors, end_when_done, end_with_manager
from .experiment_state import Progress
from .experiments import metrics_of
from .journal import Journal
from .run_ledger import RunLedger
from .surveys import look, look_at_all, names_of
from .trial_failures import ErrorFiles

if TYPE_CHECKING:
    from nni_nasoa.advisor.advice import Choice
    from nni_nasoa.data import Dataset

_logger = logging.getLogger(__name__)
_NAME = "OnlineAdvisor"
SETTLE_SECONDS = 2.0  # the result of a trial, if it has one, has come so long after its end


class OnlineAdvisor(Tuner):
    """For a dataset and a budget, the network to fine-tune and how, as NNI's trials.

    This is section 3.2 of NASOA (arXiv 2108.03434).

    The first trial of a task is the advice in one shot. Where `alternatives` and workers allow, more follow:
    those that most can be learned from (see `advisor.acquisition`). Every result is kept in the experience
    store, and the predictor and the time model learn from it before the next advice. Tasks are taken one
    after the other: a worker that one has no more runs for gets the first of the next one.

    What has to be known of a dataset and a machine before the first advice is found by the tuner where trials
    run on its own machine, in the background, and by the first trial, a survey, where they run elsewhere.

    The trials are `python -m nni_nasoa.plugin.finetune_trial`. The classifiers that come of them are listed
    in classifiers.jsonl in the experiment's folder. The search space is the advisor's own: the config's is to
    be empty.

    Parameters
    ----------
    dataset, minutes
        One task: a name or a folder as `Dataset` takes it, and the minutes of each run on it, from the start
        of the trial's process.
    tasks
        Several tasks, `[{dataset: .., minutes: ..}, ...]`, in place of the two.
    zoo
        A family of models, names of models with commas, a front file, or "auto", the default: what can be had
        without a download where trials run.
    store
        The experience store: a file, or a URL. By default the user's own.
    device, threads
        Where trials run, as torch names it, and their CPU threads; 0 leaves these to torch.
    alternatives
        How many runs a task gets after the first one; 0 is one shot.
    limits
        `{max_params_m: .., max_latency_ms: .., max_memory_mib: ..}` on the networks.
    output
        Folder for the classifiers, in it one for the experiment, in that one for each run; by default the
        trials' folders. With trials on other machines it is there, and starts at the home folder.
    root
        Where torchvision's datasets lie, on the trials' machine.

    Relative paths start at the tuner's codeDirectory.

    Raises
    ------
    ValueError
        An argument is not one of those above: `nnictl create` says so in one line and starts nothing (see
        config_check.py). Of a dataset that cannot be opened there is one line, too, and the experiment's
        status is ERROR, unless there are other tasks, which go on.
    """

    def __init__(self, **class_args: Any) -> None:
        super().__init__()
        end_with_manager()
        with clear_errors(_NAME, starting=True):
            self._args = AdvisorArgs.parse(class_args)
        checkpoint = self.get_checkpoint_path()
        folder = Path(checkpoint).parent if checkpoint else None
        self._runs = RunLedger(self._args.tasks, 1 + self._args.alternatives)
        self._progress = Progress(
            self._runs, Journal(Path(checkpoint) / "advisor.jsonl" if checkpoint else None), folder
        )
        self._errors = ErrorFiles(folder if folder and (folder / "db").is_dir() else None)
        # NNI tells of ended trials in another thread, and datasets are looked at in a third one.
        self._lock = RLock()
        self._resumed = self._begun = self._ended = False
        self._given_up: dict[int, str] = {}  # tasks, and why
        self._looks: dict[int, Future[Survey]] = {}
        self._run_of: dict[int, str] = {}  # runs by NNI's ids, which start again after a resume
        self._idle: list[int] = []  # ids that were asked for while there was nothing to do
        self._send: Callable[[int, dict[str, Any]], None] | None = None

    @property
    def runs(self) -> RunLedger:
        """What was asked for, and what came of it."""
        return self._runs

    @property
    def best(self) -> Mapping[int, float]:
        """The best accuracy so far, by task, counted from 0."""
        return self._progress.best

    def look(self, dataset: Dataset, models: Sequence[str], **options: Any) -> Survey:
        """Find out what has to be known of a dataset before the first advice on it; see `surveys.look`.

        A tuner that knows it from somewhere else can do it in another way.
        """
        return look(dataset, models, **options)

    # -- what NNI calls --

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        """Begin. The space itself is the advisor's own."""
        with self._lock, clear_errors(_NAME):
            if search_space:
                _logger.warning("the search space of the config is not used: the advisor has its own")
            if not self._begun:
                self._begin()

    def generate_multiple_parameters(
        self,
        parameter_id_list: list[int],
        st_callback: Callable[[int, dict[str, Any]], None] | None = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        """Return what there is to do at once.

        More is sent as it turns up, so that no result waits for a dataset.
        """
        with self._lock, clear_errors(_NAME):
            self._send, found = st_callback, []
            self._progress.settle()
            for parameter_id in parameter_id_list:
                if (parameters := self._next(parameter_id)) is None:
                    break
                found.append(parameters)
            self._idle += parameter_id_list[len(found) :]
            self._finish()
            return found

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """Return what to do next; wait for what has to be known before."""
        while True:
            with self._lock, clear_errors(_NAME):
                self._progress.settle()
                if (parameters := self._next(parameter_id)) is not None:
                    return parameters
                looks = [found for found in self._looks.values() if not found.done()]
                if not looks:
                    self._finish()
                    raise nni.NoMoreTrialError("all tasks are done, or wait for the trials that are running")
            looks[0].exception()  # waits

    def receive_trial_result(
        self, parameter_id: int, parameters: dict[str, Any], value: Any, **kwargs: Any
    ) -> None:
        """Learn from a result under the identity that it carries, or else as that of the parameter id."""
        metrics = self._progress.whole(metrics_of(value))
        with self._lock, clear_errors(_NAME):
            self._progress.result(metrics, self._run_of.get(parameter_id))
            self._go_on()

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """A trial that ended without a result has failed.

        The result may be on its way still, so that is found out later.
        """
        with self._lock:
            if parameter_id in self._run_of:
                self._runs.end(self._run_of[parameter_id])
                timer = Timer(SETTLE_SECONDS, self._settle_later)
                timer.daemon = True
                timer.start()
        if not success:
            self._errors.fetch()

    def import_data(self, data: list[dict[str, Any]]) -> None:
        """Take in results: those NNI kept when an experiment is resumed, and those that a user imports."""
        with self._lock, clear_errors(_NAME):
            for entry in data:
                self._progress.result(self._progress.whole(metrics_of(entry["value"])), ended=True)
            self._go_on()

    def load_checkpoint(self) -> None:
        """Read the journal of an earlier process. NNI calls this first of all."""
        with self._lock:
            self._progress.load()
            self._resumed = True

    def save_checkpoint(self) -> None:
        """Nothing is left to do: every event is on the disk before NNI learns of it."""

    # -- the beginning --

    def _begin(self) -> None:
        from nni_nasoa.advisor import ExperienceStore
        from nni_nasoa.advisor.advice import Limits

        args = self._args
        self._paths = paths = ConfigPaths.of(self._progress.config)
        store, zoo = args.store, args.zoo
        self._progress.store = ExperienceStore(
            store if store is None or "://" in store else paths.absolute(store)
        )
        self._limits = Limits(**args.limits)
        self._models = names_of(
            paths.absolute(zoo) if zoo.endswith(".json") else zoo, paths.here, self._limits.may_fit("", 1)
        )
        self._begun = True
        if self._resumed:
            self._progress.replay()
        if paths.here:
            unknown = {
                number: task for number, task in enumerate(args.tasks) if number not in self._progress.surveys
            }
            self._looks = look_at_all(
                self.look,
                {
                    number: (paths.dataset(task.dataset, args.root), task.seconds)
                    for number, task in unknown.items()
                },
                self._look_done,
                models=self._models,
                device=args.device,
                threads=args.threads,
                store=self._progress.store,
            )

    # -- what to do next --

    def _look_done(self) -> None:
        with self._lock, clear_errors(_NAME):
            self._go_on()

    def _take_looks(self) -> None:
        for task in [task for task, found in self._looks.items() if found.done()]:
            found = self._looks.pop(task)
            if (error := found.exception()) is None:
                self._progress.surveyed(task, found.result())
            else:
                self._give_up(task, " ".join(str(error).split()) or type(error).__name__)

    def _next(self, parameter_id: int) -> dict[str, Any] | None:
        """The parameters of the next trial; None where there is nothing to do now."""
        self._take_looks()
        run = self._progress.lost.pop(0) if self._progress.lost else self._new_run()
        if run is None:
            return None
        self._run_of[parameter_id] = run
        return self._runs.assignments[run].to_parameters()

    def _new_run(self) -> str | None:
        for task in range(len(self._args.tasks)):
            if task in self._given_up:
                continue
            if task not in self._progress.surveys:
                if self._runs.gave_up(task, survey=True):
                    self._give_up(task, "its dataset could not be surveyed; see the stderr of the trials")
                    continue
                # Otherwise tasks wait for each other, so that the later ones profit.
                return (
                    self._ask(task, None) if not self._paths.here and self._runs.wants_survey(task) else None
                )
            if self._runs.gave_up(task):
                self._give_up(task, "too many of its runs failed; see the stderr of the trials")
            elif self._runs.wants_run(task) and (choice := self._choose(task)) is not None:
                return self._ask(task, choice)
        return None

    def _choose(self, task: int) -> Choice | None:
        """The next choice of a task; None where there is none, and the task is given up."""
        try:
            candidates = candidates_for(
                self._progress.surveys[task],
                self._progress.store,
                self._args.tasks[task].seconds,
                self._limits,
                source="nni",
            )
            choice = next_choice(candidates, self._runs.regimes(task), self._progress.best.get(task))
        except ValueError as error:
            self._give_up(task, str(error))
            return None
        if choice is None:
            self._give_up(task, "there is no other regime to try")
        return choice

    def _ask(self, task: int, choice: Choice | None) -> str:
        """Ask for a run of a choice, or for a survey where there is none; its name."""
        args = self._args
        what: dict[str, Any] = (
            {"survey": self._models}
            if choice is None
            else {
                "regime": choice.regime,
                "weights": choice.weights or "none",
                "output": self._paths.of_trials(args.output),
            }
        )
        dataset = self._paths.dataset(args.tasks[task].dataset, args.root)
        assignment = Assignment(
            self._runs.new_name(task, choice is None),
            dataset.spelled,
            args.tasks[task].minutes,
            device=args.device,
            threads=args.threads,
            root=None if dataset.root is None else str(dataset.root),
            **what,
        )
        self._progress.asked(task, assignment, None if choice is None else choice.predicted)
        if choice is not None:
            _logger.info(
                "%s: %s; %.1f %% expected (%.1f to %.1f): %s",
                assignment.run,
                choice.regime,
                100 * choice.accuracy,
                100 * choice.low,
                100 * choice.high,
                "; ".join(choice.why),
            )
        return assignment.run

    def _go_on(self) -> None:
        """Send what there is to do now to workers that had nothing to do."""
        while self._idle and self._send is not None and (parameters := self._next(self._idle[0])) is not None:
            self._send(self._idle.pop(0), parameters)
        self._finish()

    # -- failures, and the end --

    def _settle_later(self) -> None:
        with self._lock, clear_errors(_NAME):
            self._progress.settle()
            self._go_on()

    def _give_up(self, task: int, why: str) -> None:
        self._given_up[task] = why
        _logger.error("task %d, %s: %s", task + 1, self._args.tasks[task].dataset, why)

    def _finish(self) -> None:
        """Record what is certain; where all tasks are done, let the experiment end.

        Raises
        ------
        ClassArgsError
            Not one run could be asked for; the first task's reason.
        """
        self._progress.record_rest()
        wanted = any(
            task not in self._given_up and (task not in self._progress.surveys or self._runs.wants_run(task))
            for task in range(len(self._args.tasks))
        )
        if self._ended or wanted or self._runs.open():
            return
        if not self._runs.assignments:
            task, why = next(iter(self._given_up.items()))
            raise ClassArgsError(f"task {task + 1}, {self._args.tasks[task].dataset}: {why}")
        self._ended = True
        for task, accuracy in self._progress.best.items():
            _logger.info("task %d, %s: %.2f %%", task + 1, self._args.tasks[task].dataset, 100 * accuracy)
        self._progress.store.close()  # a result that comes late opens it once more
        end_when_done()


class OnlineAdvisorClassArgsValidator(ClassArgsValidator):
    """Checks the classArgs of `NasoaAdvisor`, the name that algorithms.yml gives the tuner."""

    def validate_class_args(self, **kwargs: Any) -> None:
        """Raise a ValueError of one line for the first argument that is wrong."""
        AdvisorArgs.parse(kwargs)
