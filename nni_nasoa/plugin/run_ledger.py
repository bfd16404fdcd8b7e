"""The advisor's runs in an experiment: what was asked for, what came of it, and what is still wanted.

Knows nothing of NNI.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from nni_nasoa.training.regime import FineTuneRegime

from .advisor_args import TaskArgs
from .assignment import Assignment

MAX_FAILURES = 3  # after so many failed runs or surveys of a task, no more are asked for

ENDED = "the trial ended without a result"


class RunLedger:
    """The runs of a stream of tasks.

    A task wants as many runs as are given, for each that fails another, and at most MAX_FAILURES of these.
    Before its first run it may want a survey.

    Parameters
    ----------
    tasks
        In their order.
    runs
        Of each task.
    """

    def __init__(self, tasks: Sequence[TaskArgs], runs: int) -> None:
        self.tasks, self._runs = tuple(tasks), runs
        self.assignments: dict[str, Assignment] = {}
        self._task_of: dict[str, int] = {}
        self._succeeded: dict[str, bool] = {}  # those with a result
        self.failed: dict[str, str] = {}  # those that ended without one, and why
        self._ended: dict[str, None] = {}  # runs that NNI says have ended
        self._stands_for: dict[str, str] = {}

    # -- events --

    def ask(self, task: int, assignment: Assignment) -> None:
        """A trial was asked for."""
        self.assignments[assignment.run] = assignment
        self._task_of[assignment.run] = task

    def tell(self, run: str, succeeded: bool = True, ended: bool = False) -> None:
        """Its result has come, from a run that had its time or not.

        `ended`: NNI will not say when its trial ends.
        """
        self._succeeded[run] = succeeded
        self.failed.pop(run, None)  # it was another one that failed
        if ended:
            self._ended[run] = None

    def told(self, run: str) -> bool:
        """Whether its result is there."""
        return run in self._succeeded

    def fail(self, run: str, why: str) -> bool:
        """It has ended without a result; False where that is not so, or known."""
        if run not in self.assignments or run in self._succeeded or run in self.failed:
            return False
        self.failed[run] = why
        return True

    def end(self, run: str) -> None:
        """NNI says that the trial of a run has ended, whose result may still be on its way: see `settle`.

        NNI may name another one, as trials take each other's parameters. The two then stand for each other.
        """
        if run not in self.assignments:
            return
        run = self._stands_for.pop(run, run)
        if run not in self._succeeded:
            others = [name for name in self._succeeded if name not in self._ended]
            if others:
                self._stands_for[others[0]] = run
                run = others[0]
        self._ended[run] = None

    def settle(self) -> list[str]:
        """Those that have ended, and whose results would be here by now if there were any: they fail."""
        return [run for run in self._ended if self.fail(run, ENDED)]

    # -- state --

    def open(self, task: int | None = None) -> list[str]:
        """Those that neither have a result nor failed."""
        return [run for run in self._of(task) if run not in self._succeeded and run not in self.failed]

    def is_survey(self, run: str) -> bool:
        """Whether it is a survey."""
        return self.assignments[run].survey is not None

    def task_of(self, run: str) -> int:
        """Place of its task."""
        return self._task_of[run]

    def _of(self, task: int | None) -> Iterator[str]:
        return (run for run in self.assignments if task is None or self._task_of[run] == task)

    def wants_run(self, task: int) -> bool:
        """Whether a task wants another run now."""
        return self._wants(task, False, self._runs)

    def wants_survey(self, task: int) -> bool:
        """Whether a task that needs a survey wants one now."""
        return self._wants(task, True, 1)

    def gave_up(self, task: int, survey: bool = False) -> bool:
        """Whether too many of its runs, or surveys, have failed."""
        return self._failures(task, survey) >= MAX_FAILURES

    def _wants(self, task: int, survey: bool, wanted: int) -> bool:
        runs = [run for run in self._of(task) if self.is_survey(run) == survey]
        busy_or_done = sum(self._succeeded.get(run, run not in self.failed) for run in runs)
        return busy_or_done < wanted and not self.gave_up(task, survey)

    def _failures(self, task: int, survey: bool) -> int:
        return sum(
            not self._succeeded.get(run, run not in self.failed)
            for run in self._of(task)
            if self.is_survey(run) == survey
        )

    def regimes(self, task: int) -> list[FineTuneRegime]:
        """The regimes that were asked for on a task, those that failed among them."""
        asked = (self.assignments[run].regime for run in self._of(task))
        return [regime for regime in asked if regime is not None]

    def new_name(self, task: int, survey: bool = False) -> str:
        """A name for another run: place of the task, its dataset, and a number."""
        words = (
            re.sub(r"[^A-Za-z0-9._-]+", "-", self.tasks[task].dataset.rstrip("/").rpartition("/")[2]).strip(
                "-."
            )[:40]
            or "task"
        )
        number = 1 + sum(self.is_survey(run) == survey for run in self._of(task))
        return f"{task + 1}-{words}-{'survey-' if survey else ''}{number}"
