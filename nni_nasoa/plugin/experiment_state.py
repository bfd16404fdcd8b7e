"""What the advisor's tuner knows of an experiment, and keeps.

In a journal first, so that nothing is lost or counted twice.
"""

from __future__ import annotations

import dataclasses
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni_nasoa.advisor.survey import Survey
from nni_nasoa.files import parse_json

from .assignment import Assignment
from .classifiers import add_to_list, entry_of, shown_accuracy
from .dispatcher import in_foreground
from .experiments import find_context, read_config, read_failed, read_lost, read_unfinished
from .journal import Journal
from .result_lines import say
from .run_ledger import ENDED, RunLedger
from .trial_result import TrialResult, record_in

if TYPE_CHECKING:
    from nni_nasoa.advisor import ExperienceStore, RunRecord

_logger = logging.getLogger(__name__)
CONTEXT_SECONDS = 1.5  # that NNI may need to write down what a trial told before its result


class Progress:
    """Runs, surveys and results of an experiment, and the experience store that they go to.

    An event is in the journal before it counts. Records have ids of their own, so what is played back from
    the journal, or handed over once more by NNI, is in the store once.

    Parameters
    ----------
    runs
        Empty at the start.
    journal
        Of this experiment.
    folder
        The experiment's; None outside of one.
    """

    def __init__(self, runs: RunLedger, journal: Journal, folder: Path | None):
        self.runs, self._journal, self._folder = runs, journal, folder
        self._database = folder if folder and (folder / "db").is_dir() else None
        self._id = folder.name if folder else str(uuid.uuid4())
        self.surveys: dict[int, Survey] = {}  # each task's
        self.best: dict[int, float] = {}  # each task's accuracy
        self.config: Mapping[str, Any] = read_config(self._database) if self._database else {}
        self.store: ExperienceStore  # set before anything is recorded
        self.lost: list[str] = []  # runs that an earlier process asked for, and NNI has lost sight of
        self._rerun: set[str] = set()  # runs of an earlier process's trials; NNI does not tell how they end
        self._predicted: dict[str, Mapping[str, Any] | None] = {}
        self._unrecorded: list[RunRecord] = []  # they are added once the store works again
        self._failures: set[str] = set()  # runs that are recorded as failed

    # -- events --

    def asked(self, task: int, assignment: Assignment, predicted: Mapping[str, Any] | None) -> None:
        """A trial is asked for."""
        self._journal.append(event="asked", task=task, parameters=assignment.to_json(), predicted=predicted)
        self._ask(task, assignment, predicted)

    def surveyed(self, task: int, survey: Survey) -> None:
        """A task's dataset and device are known."""
        if task not in self.surveys:
            self._journal.append(event="surveyed", task=task, survey=survey.to_json())
            self.surveys[task] = survey

    def failed(self, run: str, why: str) -> None:
        """A run has ended without a result, or with one that is of no use."""
        if self.runs.fail(run, why):
            self._journal.append(event="failed", run=run, why=why)

    def settle(self) -> None:
        """Runs whose trials have ended, and that have no result by now, have failed."""
        self._rerun = {run for run in self._rerun if not self.runs.told(run)}
        if self._rerun:
            self._fail_as_stored(self._rerun.intersection)
        for run in self.runs.settle():
            self._journal.append(event="failed", run=run, why=self.runs.failed[run])

    def whole(self, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        """A result together with its context, which NNI tells no tuner; its database has it, in a moment."""
        run = metrics.get("run")
        known = isinstance(run, str) and run in self.runs.assignments
        if self._database is None or not known or "record" in metrics or "survey" in metrics:
            return metrics
        deadline = time.monotonic() + CONTEXT_SECONDS
        while (found := find_context(self._database, metrics)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        return metrics if found is None else found

    def result(self, metrics: Mapping[str, Any], run: str | None = None, *, ended: bool = False) -> None:
        """Learn from a result. One that is of no use counts as a failure of its run, and harms nothing.

        Parameters
        ----------
        metrics
            What a trial reported.
        run
            Whose it is where it does not say so itself.
        ended
            Whether NNI will not say when the trial ends.
        """
        if isinstance(metrics.get("run"), str) and metrics["run"] in self.runs.assignments:
            run = metrics["run"]
        if run is not None and self.runs.told(run):
            return
        try:
            if run is None:
                self._record(record_in(metrics))  # a user imports what another experiment found
            elif self.runs.is_survey(run):
                self._take_survey(run, metrics, ended)
            else:
                self._take_record(run, metrics, ended)
        except ValueError as error:
            _logger.error("%s: a result is of no use: %s", run or "a run of no one here", error)
            if run is not None:
                self.failed(run, f"its result is of no use: {error}")

    def _take_survey(self, run: str, metrics: Mapping[str, Any], ended: bool) -> None:
        text = metrics.get("survey")
        survey = Survey.from_json(parse_json(text) if isinstance(text, str) else None)
        self._journal.append(event="told", run=run, succeeded=True)
        self.runs.tell(run, ended=ended)
        self.surveyed(self.runs.task_of(run), survey)
        survey.keep(self.store)

    def _take_record(self, run: str, metrics: Mapping[str, Any], ended: bool) -> None:
        result, known = TrialResult.from_metrics(metrics, self.runs.assignments[run]), self._known(run)
        record = result.record
        if "profile" in known:
            counts, whole = record.outcome.sample_counts, known["profile"]
            whole |= {name: count for name, count in counts.items() if count < (whole.get(name) or 0)}
        record = dataclasses.replace(record, **known)
        succeeded = record.status == "ok"
        self._journal.append(event="told", run=run, succeeded=succeeded, record=record.to_json())
        self.runs.tell(run, succeeded, ended)
        self._note_best(run, record.accuracy)
        entry = entry_of(result, self.config)
        add_to_list(self._folder, entry)
        line = (
            f"{run}: {record.model}, {shown_accuracy(entry)} in {result.seconds:.1f} s, "
            f"the classifier is in {entry['classifier']}"
            + (f"; fetch it with: {entry['fetch']}" if "fetch" in entry else "")
        )
        _logger.info("%s (%s)", line, record.status)
        if in_foreground():
            say(line)
        self._record(record)

    # -- the store --

    def _record(self, record: RunRecord) -> None:
        """Add a record, and learn from it; later, where the store fails."""
        from nni_nasoa.advisor import StoreError
        from nni_nasoa.advisor.recording import record_result

        try:
            record_result(self.store, record)
        except StoreError as error:
            _logger.error("the run could not be recorded yet: %s", error)
            self._unrecorded.append(record)

    def record_rest(self) -> None:
        """Record what the store could not take, and runs that failed, once it is certain which these are.

        NNI may name others until then.
        """
        for record in [self._unrecorded.pop() for _ in range(len(self._unrecorded))]:
            self._record(record)
        if not self.runs.open():
            new = self.runs.failed.keys() - self._failures
            lost = set(self._named(read_lost)) if new else set()  # which says nothing of their regimes
            for run in new:
                if not self.runs.is_survey(run) and run not in lost:
                    self._record(self._failure(run))
                self._failures.add(run)

    def _failure(self, run: str) -> RunRecord:
        from nni_nasoa.advisor import RunRecord
        from nni_nasoa.values import one_line

        assignment, survey, why = (
            self.runs.assignments[run],
            self.surveys.get(self.runs.task_of(run)),
            one_line(self.runs.failed[run]),
        )
        assert assignment.regime is not None, run  # a survey that failed is not recorded
        _logger.error("%s failed: %s", run, why)
        return RunRecord(
            task=one_line(assignment.dataset) if survey is None else survey.profile.dataset.name,
            model=assignment.regime.model,
            regime=assignment.regime.to_json(),
            device="unknown" if survey is None else survey.device.name,
            threads=max(1, assignment.threads),
            budget_seconds=assignment.budget,
            status="failed",
            source="nni",
            notes=(why,),
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"nni:{self._id}/{run}")),
            **self._known(run),
        )

    def _known(self, run: str) -> dict[str, Any]:
        """What a run's record says besides what the trial knows."""
        assignment = self.runs.assignments[run]
        known: dict[str, Any] = {"predicted": self._predicted.get(run)}
        survey = self.surveys.get(self.runs.task_of(run))
        if survey is None:
            return known
        assert assignment.regime is not None, run  # a survey is no run to be recorded
        figures = survey.profile.model_figures(assignment.regime.model)
        return {
            **known,
            "profile": survey.profile.flat(),
            "model_figures": figures.of_run(assignment.weights),
        }

    def _note_best(self, run: str, accuracy: float | None) -> None:
        if accuracy is not None:
            task = self.runs.task_of(run)
            self.best[task] = max(accuracy, self.best.get(task, 0.0))

    def _ask(self, task: int, assignment: Assignment, predicted: Mapping[str, Any] | None) -> None:
        self.runs.ask(task, assignment)
        self._predicted[assignment.run] = predicted

    # -- an earlier process --

    def load(self) -> None:
        """Read the journal of an earlier process."""
        self._journal.load()

    def replay(self) -> None:
        """Bring everything to where the journal ends."""
        from nni_nasoa.advisor import RunRecord

        for event in self._journal.events:
            kind = event["event"]
            if kind == "asked" and event["task"] < len(self.runs.tasks):
                self._ask(event["task"], Assignment.from_json(event["parameters"]), event["predicted"])
            elif kind == "surveyed" and event["task"] < len(self.runs.tasks):
                self.surveys[event["task"]] = Survey.from_json(event["survey"])
            elif kind == "told" and event["run"] in self.runs.assignments:
                self.runs.tell(event["run"], event["succeeded"], ended=True)
                if (data := event.get("record")) is not None:
                    record = RunRecord.from_json(data)
                    self._note_best(event["run"], record.accuracy)
                    self._record(record)  # it is there already, unless the process died just then
            elif kind == "failed":
                self.runs.fail(event["run"], event["why"])
        # NNI's manager runs unfinished trials again by itself. What it has lost sight of is asked for again,
        # before the rest.
        self._rerun = {run for run in self._named(read_unfinished) if not self.runs.told(run)}
        self._fail_as_stored(lambda names: set(names) - self._rerun)
        self.lost = [run for run in self.runs.open() if run not in self._rerun]

    def _fail_as_stored(self, chosen: Callable[[list[str]], set[str]]) -> None:
        """Those of the runs that failed by NNI's database have failed."""
        for run in chosen(self._named(read_failed)):
            self._rerun.discard(run)
            self.failed(run, ENDED)

    def _named(self, read: Callable[[Path], list[Any]]) -> list[str]:
        """The runs whose parameters `read` finds in the experiment's folder."""
        found = read(self._database) if self._database else []
        names = [parameters.get("run") for parameters in found if isinstance(parameters, Mapping)]
        return [name for name in names if name in self.runs.assignments]
