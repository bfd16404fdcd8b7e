"""Which network to fine-tune on a dataset in the time at hand, and how: all candidates are scored, the best is the advice.

What is asked of each candidate: does it fit (time, parameters, inference time, memory), and what accuracy does the predictor
expect of it? Its score is that expectation less a tenth of what it may fall short by, and less half a point for each step away from
the network's default settings: of tens of thousands that promise about as much, the best by chance alone is one with odd
settings, and the sound one is taken. The alternatives differ from the best, and from each other, in the network or in what is frozen.

Where the predictor cannot know, it is not asked. With few runs, or none of such networks, the advice follows `defaults`. On
data of a kind that no run was on, the predictor chooses among candidates with rates that are sound everywhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nni_nasoa.data import Dataset, ImageSplit
from nni_nasoa.data.split_defaults import VAL_FRACTION
from nni_nasoa.values import MINUTES, whole

from .accuracy.predictor import AccuracyPredictor
from .advice import NO_LIMITS, Advice, Limits
from .alternatives import choices
from .fitting import fitting
from .models import AdviceError, has_weights, models_of
from .scored_candidates import scored

if TYPE_CHECKING:
    from nni_nasoa.experience.store import ExperienceStore
    from nni_nasoa.zoo import ModelInfo

    from .task.profiles import TaskProfile

PROFILE_SHARE, TIMES_SHARE = (
    0.2,
    0.2,
)  # of what is left of a budget that runs already may go to profile and probes, and to step times,
LEAST_SECONDS, LEAST_SHARE = 3.0, 0.5  # which need so much, if that is no more than this share
_TOP = whole(1, 50)


def advise(
    dataset: Dataset | str | os.PathLike[str] | ImageSplit,
    minutes: float,
    *,
    zoo: str = "nano",
    device: str = "auto",
    store: ExperienceStore | None = None,
    top_k: int = 3,
    limits: Limits = NO_LIMITS,
    root: str | os.PathLike[str] | None = None,
    val_fraction: float = VAL_FRACTION,
    started: float | None = None,
    show_progress: bool | None = None,
) -> Advice:
    """The best regimes for a dataset and a budget.

    What is not in the store is found out first: the dataset's profile, probes of the networks on it, and how long their steps
    take here.

    Parameters
    ----------
    dataset
        A Dataset, or the source of one: a name, a folder, or an ImageSplit.
    root, val_fraction
        As `Dataset` takes them; a Dataset brings its own.
    minutes
        The budget of a run, a year at most: all of its wall clock.
    zoo
        A family, names of models with commas, or a front file; see `models.models_of`.
    device
        "auto", "cpu", "cuda", ...
    store
        Where experience is kept; None for none but the package's own.
    top_k
        How many regimes, at most.
    limits
        What the classifier may cost.
    started
        When the budget began, by time.monotonic(), where finding out what is missing counts too: it is given a share of the
        budget then, and the regimes are for what is left in the end. By default the budget begins with the run.
    show_progress
        As `Dataset.open` takes it.

    Raises
    ------
    AdviceError
        An argument is out of its range, or nothing fits. One line.
    DatasetError, StoreError, ValueError
        The dataset, the store, the models or the device; one line.
    """
    minutes, top_k = MINUTES("minutes", minutes, AdviceError), _TOP("top_k", top_k, AdviceError)
    dataset = Dataset.of(dataset, root=root, val_fraction=val_fraction)
    budget = 60 * minutes
    models = models_of(zoo)
    from nni_nasoa.device.device import resolve

    from .time.step_times import step_times_for
    from .time.time_model import TimeModel

    device = resolve(device)
    if started is not None:
        import_module(
            "torch"
        )  # which the run needs in any case: that it takes its time is no reason to look less closely

    def share(of: float) -> float | None:
        return None if started is None else max(0.0, of * (budget - (time.monotonic() - started)))

    profile, models, notes = profile_for(
        dataset,
        store,
        models,
        device=device.kind,
        seconds=share(PROFILE_SHARE),
        show_progress=show_progress,
    )
    for_times = None if started is None else max(share(TIMES_SHARE), min(LEAST_SECONDS, share(LEAST_SHARE)))
    step_times = step_times_for([model.name for model in models], device, store, seconds=for_times)
    time_model = TimeModel.from_store(store, step_times, device.key)
    made = time.monotonic()
    if started is not None:
        budget -= made - started
        if budget <= 0:
            raise AdviceError(f"minutes: {minutes:g} were over before the dataset was known; give more")
    fit = fitting(
        profile,
        models,
        time_model,
        budget,
        limits,
        source="finetune" if started is None else "advise",
        decoded=_decoded(dataset, profile, models),
    )
    found_out = scored(fit, AccuracyPredictor.from_store(store))
    return Advice(
        profile.dataset.name,
        budget,
        device.key,
        tuple(choices(found_out, top_k)),
        (*notes, *found_out.notes),
        profile,
        made,
    )


def _decoded(dataset: Dataset, profile: TaskProfile, models: Sequence[ModelInfo]) -> set[int]:
    """Input sizes of models at which a folder's images need not be decoded any more."""
    figures = (profile.model_figures(model.name) for model in models)
    return dataset.decoded({size for known in figures for size in known.input_sizes})


def profile_for(
    dataset: Dataset, store: ExperienceStore | None, models: Sequence[ModelInfo], **options: Any
) -> tuple[TaskProfile, list[ModelInfo], list[str]]:
    """What is known of a dataset, with probes of models, the models whose weights can be had, and a line on those whose cannot.

    Parameters
    ----------
    dataset, store, options
        As `profiles.task_profile` takes them; errors are as there, where none of the weights can be had.
    """
    from nni_nasoa.data import DatasetError

    from .task.profiles import task_profile

    names = [model.name for model in models if has_weights(model)]
    try:
        return task_profile(dataset, store, names, **options), list(models), []
    except DatasetError:
        raise
    except ValueError as error:  # of a family, some may have been downloaded
        if len(names) == 1:
            raise
        failure = error
    profile, kept = None, [model for model in models if not has_weights(model)]
    for model in models:
        try:
            if has_weights(model):
                profile = task_profile(dataset, store, [model.name], **options)
                kept.append(model)
        except DatasetError:
            raise
        except ValueError:
            pass
    if profile is None:
        raise failure
    missing = [model.name for model in models if model not in kept]
    return (
        task_profile(dataset, store, [model.name for model in kept if has_weights(model)], **options),
        kept,
        [f"left out, as their weights are not there: {', '.join(missing)} ({failure})"],
    )
