"""Surveys of the advisor's tuner: made in the background here, or by a trial where the runs will be made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .assignment import Assignment

if TYPE_CHECKING:
    from nni_nasoa.advisor import ExperienceStore
    from nni_nasoa.advisor.survey import Survey
    from nni_nasoa.data import Dataset

# Each part of a survey may take this share of a run's budget, and so many seconds in any case.
SHARE, LEAST_SECONDS = 0.2, 60.0


def look(
    dataset: Dataset,
    models: Sequence[str],
    *,
    budget: float,
    device: str,
    threads: int,
    store: ExperienceStore | None,
) -> Survey:
    """Find out what the store does not know yet, on this machine.

    Parameters
    ----------
    dataset
        What is looked at.
    models
        Names of the zoo.
    budget
        Of a run, in seconds: large ones may be spent on a closer look.
    device, threads
        Where runs are made; 0 threads are torch's own.
    store
        Where what is found is kept, and not looked for twice.

    Raises
    ------
    DatasetError, StoreError, ValueError
        One line.
    """
    from nni_nasoa.advisor.survey import survey
    from nni_nasoa.device.device import resolve
    from nni_nasoa.zoo import get

    found = resolve(device)
    if threads and found.kind == "cpu":
        found = replace(found, threads=threads)
    seconds = max(LEAST_SECONDS, SHARE * budget)
    infos = [get(name) for name in models]
    return survey(dataset, infos, found, store, allowed=lambda _share: seconds, show_progress=False)


def look_at_all(
    look: Callable[..., Survey],
    tasks: Mapping[int, tuple[Dataset, float]],
    done: Callable[[], None],
    **options: Any,
) -> dict[int, Future[Survey]]:
    """Look at datasets one after the other, in the background.

    Parameters
    ----------
    look
        As `look`.
    tasks
        Dataset and budget in seconds, by number.
    done
        Called whenever one more is known, or cannot be.
    options
        Of `look`, the same for all.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="survey")
    looks = {
        number: pool.submit(look, dataset, budget=budget, **options)
        for number, (dataset, budget) in tasks.items()
    }
    for found in looks.values():
        found.add_done_callback(lambda _: done())
    pool.shutdown(wait=False)
    return looks


def survey_by_trial(assignment: Assignment, dataset: Dataset, *, device: str, threads: int) -> dict[str, Any]:
    """What a trial reports of a survey, JSON values.

    They are `survey` as JSON text, and a `default` that ranks behind all runs.
    """
    from nni_nasoa.advisor import ExperienceStore, StoreError

    assert assignment.survey is not None, assignment.run
    store: ExperienceStore | None
    try:
        store = ExperienceStore()
    except StoreError:  # no home to write to; then nothing is kept
        store = None
    found = look(
        dataset,
        assignment.survey,
        budget=assignment.budget,
        device=device,
        threads=threads,
        store=store,
    )
    return {
        "default": 0.0,
        "run": assignment.run,
        "dataset": assignment.dataset,
        "minutes": assignment.minutes,
        "device": found.device.name,
        "threads": found.device.threads,
        "survey": json.dumps(found.to_json(), allow_nan=False),
    }
