"""Collect experience: the runs of a plan, side by side, one thread each; the store says which there are."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from nni_nasoa.experience.records import RunRecord

from .collecting_jobs import PATIENCE, Patience, WorkerProcess
from .collecting_plan import Plan, PlannedRun

if TYPE_CHECKING:
    from nni_nasoa.experience.store import ExperienceStore


def collect(
    plan: Plan,
    location: str | None,
    runs: int,
    *,
    jobs: int = 2,
    patience: Patience = PATIENCE,
    on_record: Callable[[PlannedRun, RunRecord], None] = lambda *_: None,
) -> Counter:
    """Do those of the first runs of a plan that a store does not have.

    What is under way when this is ended is lost, no more.

    Parameters
    ----------
    location
        Where the store is, as `ExperienceStore` takes it; the processes open it for themselves.
    jobs
        Processes side by side, one thread each.
    patience
        How long a run may take; its process is ended then, and it has failed.
    on_record
        Called when a run's record is in the store.

    Returns
    -------
    How many runs ended in which status.

    Raises
    ------
    JobError
        Processes for the runs do not come up, or a task cannot be opened.
    StoreError
        The store cannot be read or written.
    """
    from nni_nasoa.experience.store import ExperienceStore

    pending: queue.SimpleQueue = queue.SimpleQueue()
    done: queue.SimpleQueue = queue.SimpleQueue()
    counts: Counter = Counter()
    with ExperienceStore(location) as store, ExitStack() as ending:
        for run in missing(plan, store, runs):
            pending.put(run)
        workers = [WorkerProcess(location, plan.models, patience) for _ in range(min(jobs, pending.qsize()))]
        for worker in workers:
            ending.callback(worker.end)
        for worker in workers:
            threading.Thread(target=_work, args=(worker, pending, done), daemon=True).start()
        working = len(workers)
        while working:
            item = done.get()
            if item is None:
                working -= 1
            elif isinstance(item, Exception):
                raise item
            else:
                store.add(item[1])
                counts[item[1].status] += 1
                on_record(*item)
    return counts


def missing(plan: Plan, store: ExperienceStore, runs: int) -> list[PlannedRun]:
    """Those of the first runs of a plan that a store does not have."""
    there = {record.id for record in store.records()}
    return [run for run in plan.runs(runs) if run.id not in there]


def _work(worker: WorkerProcess, pending: queue.SimpleQueue, done: queue.SimpleQueue) -> None:
    """Have runs done until there are none left; the records, and None at the end, are put into `done`."""
    try:
        while True:
            run = pending.get_nowait()
            done.put((run, worker.record_of(run)))
    except queue.Empty:
        done.put(None)
    except Exception as error:  # whatever it is, the main thread raises it
        done.put(error)
