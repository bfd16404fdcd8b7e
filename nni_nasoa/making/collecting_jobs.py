"""Processes that carry out the runs of a collection: started anew where they die, gone at its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nni_nasoa.experience.records import RunRecord, figures_of
from nni_nasoa.values import one_line

from .collecting_plan import PlannedRun
from .collecting_tasks import collected_task

TROUBLE = "trouble"  # The key of an answer that says why there is no record.
ATTEMPTS = 3  # How often a process is started before its trouble is the user's.


@dataclass(frozen=True)
class Patience:
    """What a run may take before it is taken to hang.

    Parameters
    ----------
    budgets
        How many times its budget.
    seconds
        For imports, drawing and profiles, besides.
    """

    budgets: float = 20.0
    seconds: float = 600.0

    def of(self, budget: float) -> float:
        """Seconds that a run with a budget of seconds may take."""
        return self.budgets * budget + self.seconds


PATIENCE = Patience()


class JobError(RuntimeError):
    """Nothing can be collected: processes do not come up, or a task cannot be opened. One line says why."""


class WorkerProcess:
    """A process of one thread that carries out runs, one after the other.

    Parameters
    ----------
    location
        Where the store is that keeps the profiles of tasks.
    models
        Names of the models that the profiles are made with.
    patience
        How long a run may take.
    """

    def __init__(self, location: str | None, models: Sequence[str], patience: Patience) -> None:
        self.patience = patience
        self._setup = {"store": location, "models": list(models)}
        self._process: subprocess.Popen[str] | None = None
        self._about: dict[str, Any] = {}
        self._ended, self._lock = False, threading.Lock()

    def record_of(self, run: PlannedRun) -> RunRecord:
        """Carry out a run. One in which the process dies, or that hangs, has failed.

        Raises
        ------
        JobError
            The process does not come up, or cannot open the task or the store.
        """
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
        hanging = threading.Timer(self.patience.of(run.budget), process.kill)
        hanging.start()
        try:
            answer = _ask(process, run.to_json())
        finally:
            hanging.cancel()
        if answer is not None and TROUBLE in answer:
            raise JobError(answer[TROUBLE])
        if answer is not None:
            return RunRecord.from_json(answer)
        process.wait()
        return RunRecord(
            id=run.id,
            task=collected_task(run.task).name,
            model=run.regime.model,
            model_figures=figures_of(run.regime.model),
            regime=run.regime.to_json(),
            budget_seconds=run.budget,
            status="failed",
            source="collect",
            **self._about,
            notes=(f"the process of the run ended: {_how(process.returncode)}",),
        )

    def end(self) -> None:
        """End the process, with what it is doing."""
        with self._lock:
            self._ended = True
            self._drop()

    def _drop(self) -> None:
        """Be done with the process that there is, if any."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            assert self._process.stdin is not None
            with suppress(OSError):  # what it did not read is lost
                self._process.stdin.close()

    def _start(self) -> subprocess.Popen[str]:
        environment = os.environ | dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
        )
        for _ in range(ATTEMPTS):
            with tempfile.TemporaryFile("w+") as errors:
                with self._lock:
                    if self._ended:
                        raise JobError("the collection was ended")
                    self._drop()
                    # In a session of its own, Ctrl-C does not reach it; when we are gone, however that was,
                    # its stdin ends.
                    self._process = process = subprocess.Popen(
                        [sys.executable, "-m", "nni_nasoa.making.collecting_worker"],
                        env=environment,
                        text=True,
                        encoding="utf-8",
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=errors,
                        start_new_session=True,
                    )
                about = _ask(process, self._setup)
                if about is not None:
                    self._about = about
                    return process
                process.wait()
                errors.seek(0)
                said = errors.read().strip().splitlines()
        why = one_line(said[-1]) if said else _how(process.returncode)
        raise JobError(f"the process for the runs does not start: {why}")


def _ask(process: subprocess.Popen[str], message: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to a message; None where the process died of it."""
    assert process.stdin is not None and process.stdout is not None
    with suppress(OSError, ValueError):
        process.stdin.write(json.dumps(message) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())  # no line is no JSON
    return None


def _how(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"exit status {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"
