"""The process that carries out the runs of a collection: a JSON object a line in, a record a line out.

The first line says where the store is and which models profiles are made with; the answer to it is what the
records of failed runs need. When stdin ends, the process does, whatever it is doing.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import platform
import queue
import sys
import threading
from importlib import metadata
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from .collecting_jobs import TROUBLE

if TYPE_CHECKING:
    from nni_nasoa.advisor.task.profiles import TaskProfile
    from nni_nasoa.experience.records import RunRecord
    from nni_nasoa.experience.store import ExperienceStore
    from nni_nasoa.finetune import FineTuneResult

    from .collecting_tasks import CollectedTask, Judging

# Their versions are in the records of failed runs, as in those of others.
PACKAGES = ("nni-nasoa", "torch", "torchvision")


class Worker:
    """Carries out runs, and keeps what they share.

    Parameters
    ----------
    store
        Where the profiles of tasks are kept.
    models
        Names of those that the profiles are made with.
    """

    def __init__(self, store: ExperienceStore, models: list[str]) -> None:
        self._store, self._models = store, models
        self._tasks: dict[str, CollectedTask] = {}
        self._profiles: dict[str, TaskProfile] = {}

    def record_of(self, run: dict[str, Any], about: dict[str, Any]) -> RunRecord:
        """Carry out a planned run; `about` is what its record says of the machine should it fail.

        Raises
        ------
        ValueError
            The task or the store cannot be opened, for which the regime is not to blame.
        """
        from nni_nasoa.experience.records import RunRecord
        from nni_nasoa.finetune import FineTuneRegime, finetune, record_of
        from nni_nasoa.values import one_line
        from nni_nasoa.zoo import get

        regime, task = FineTuneRegime.from_json(run["regime"]), self._task(run["task"])
        profile = self._profile(task)
        # The images are opened before the clock runs.
        split, judging = task.open(regime.input_size or get(regime.model).input_size)
        known = {
            "task": task.name,
            "id": run["id"],
            "source": "collect",
            "profile": profile.flat(),
            "model_figures": profile.model_figures(regime.model).of_run(),
        }
        try:
            result = finetune(split, regime, run["budget"] / 60, device="cpu")
            return record_of(_judged(result, judging), **known)
        except Exception as error:  # whatever it is: that the run failed is what there is to learn from it
            return RunRecord(
                **known,
                **about,
                model=regime.model,
                regime=regime.to_json(),
                budget_seconds=run["budget"],
                status="failed",
                notes=(one_line(error) or type(error).__name__,),
            )

    def _task(self, text: str) -> CollectedTask:
        from .collecting_tasks import collected_task

        if text not in self._tasks:
            self._tasks[text] = collected_task(text)
        return self._tasks[text]

    def _profile(self, task: CollectedTask) -> TaskProfile:
        from nni_nasoa.advisor.task.look import task_profile

        if task.name not in self._profiles:
            self._profiles[task.name] = task_profile(
                task.dataset, self._store, self._models, device="cpu", show_progress=False
            )
        return self._profiles[task.name]


def _judged(result: FineTuneResult, judging: Judging) -> FineTuneResult:
    """The result with its accuracy on images that the run has not seen."""
    if not math.isfinite(result.accuracy):
        return result
    right = result.classifier.probabilities(judging.images).argmax(1) == judging.labels
    return dataclasses.replace(result, accuracy=float(np.clip(right @ judging.weights, 0, 1)))


def main() -> None:
    """Answer one line after the other, until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print does not get between the answers
    lines: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    setup = lines.get()

    import torch

    from nni_nasoa.device.device import device_name
    from nni_nasoa.experience.store import ExperienceStore

    torch.set_num_threads(1)
    worker = Worker(ExperienceStore(setup["store"]), setup["models"])  # open for as long as the process is
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}
    about = {"device": device_name("cpu"), "threads": torch.get_num_threads(), "versions": versions}
    _answer(answers, about)
    while True:
        run = lines.get()
        try:
            answer = worker.record_of(run, about).to_json()
        except (ValueError, OSError) as error:
            answer = {TROUBLE: " ".join(str(error).split())}
        _answer(answers, answer)


def _read(lines: queue.SimpleQueue) -> None:
    for line in sys.stdin:
        lines.put(json.loads(line))
    os._exit(0)  # nobody waits for what is under way


def _answer(answers: TextIO, data: dict[str, Any]) -> None:
    answers.write(json.dumps(data) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
