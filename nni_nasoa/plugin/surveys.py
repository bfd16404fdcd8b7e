"""Surveys of the advisor's tuner: made in the background here, or by a trial where the runs will be made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nni_nasoa.advisor.models import Fits, anything, models_of
from nni_nasoa.zoo.added import FAMILY as OWN_FAMILY
from nni_nasoa.zoo.available import AUTO

from .assignment import Assignment

if TYPE_CHECKING:
    from nni_nasoa.advisor import ExperienceStore
    from nni_nasoa.advisor.survey import Survey
    from nni_nasoa.data import Dataset
    from nni_nasoa.zoo import ModelInfo

OWN = OWN_FAMILY.name
# Each part of a survey may take this share of a run's budget, and so many seconds in any case.
SHARE, LEAST_SECONDS = 0.2, 60.0


def names_of(zoo: str, here: bool, fits: Fits = anything) -> tuple[str, ...]:
    """Names of the models of a zoo, for `look`.

    Where the look is taken on another machine, "auto" stays what it is, since it means what is there; with it
    come the user's own models, as the tuner knows only those of this machine. `fits` is as in `models_of`.
    """
    parts = [part.strip() for part in zoo.split(",")]
    if here or AUTO not in parts:
        return tuple(model.name for model in models_of(zoo, fits))
    own = [model.name for model in models_of(AUTO) if model.family == OWN]
    others = ",".join(part for part in parts if part not in ("", AUTO))
    return AUTO, *own, *(model.name for model in (models_of(others, fits) if others else []))


def models_here(models: Sequence[str]) -> list[ModelInfo]:
    """The models of names that `names_of` gave; "auto" is what is here, but for what the tuner does not know.

    A name beside it need not be known here.
    """
    from nni_nasoa.zoo import UnknownNameError, get

    if AUTO not in models:
        return [get(name) for name in models]
    found = {info.name: info for info in models_of(AUTO) if info.family != OWN or info.name in models}
    for name in models:
        if name != AUTO:
            with suppress(UnknownNameError):
                found[name] = get(name)
    return list(found.values())


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
        Names of the zoo, as `names_of` gives them.
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

    found = resolve(device)
    if threads and found.kind == "cpu":
        found = replace(found, threads=threads)
    seconds = max(LEAST_SECONDS, SHARE * budget)
    return survey(dataset, models_here(models), found, store, seconds=seconds, show_progress=False)


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
    with ExitStack() as opened:
        store: ExperienceStore | None = None
        with suppress(StoreError):  # no home to write to; then nothing is kept
            store = opened.enter_context(ExperienceStore())
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
