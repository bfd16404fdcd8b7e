"""Which network to fine-tune on a dataset in the time at hand, and how.

What is asked of each candidate: does it fit (time, parameters, inference time, memory), and what accuracy
does the predictor expect of it? Its score is that expectation less a tenth of what it may fall short by, and
less half a point for each step away from the network's default settings: of tens of thousands that promise
about as much, the best by chance alone is one with odd settings, and the sound one is taken. The alternatives
differ from the best, and from each other, in the network or in what is frozen.

Where the predictor cannot know, it is not asked. With few runs, or none of such networks, the advice follows
`defaults`. On data of a kind that no run was on, the predictor chooses among candidates with rates that are
sound everywhere.
"""

from __future__ import annotations

import os
import time
from importlib import import_module
from typing import TYPE_CHECKING

from nni_nasoa.data import Dataset, ImageSplit
from nni_nasoa.data.split_defaults import VAL_FRACTION
from nni_nasoa.device.device import resolve
from nni_nasoa.values import MINUTES, whole
from nni_nasoa.zoo import get

from .accuracy.predictor import AccuracyPredictor
from .advice import NO_LIMITS, Advice, Limits
from .alternatives import choices
from .fitting import fitting
from .models import AdviceError, models_of
from .scored_candidates import ScoredCandidates, scored
from .survey import Allowed, Survey, survey, unlimited
from .time.time_model import TimeModel

if TYPE_CHECKING:
    from nni_nasoa.experience.store import ExperienceStore

_TOP = whole(1, 50)


def advise(
    dataset: Dataset | str | os.PathLike[str] | ImageSplit,
    minutes: float,
    *,
    zoo: str = "auto",
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

    What is not in the store is found out first: the dataset's profile, probes of the networks on it, and how
    long their steps take here.

    Parameters
    ----------
    dataset
        A Dataset, or the source of one: a name, a folder, or an ImageSplit.
    root, val_fraction
        As `Dataset` takes them; a Dataset brings its own.
    minutes
        The budget of a run, a year at most: all of its wall clock.
    zoo
        "auto" for what can be had without a download, a family, names of models with commas, or a front file;
        see `models.models_of`.
    device
        "auto", "cpu", "cuda", ...
    store
        Where experience is kept; None for none but the package's own.
    top_k
        How many regimes, at most.
    limits
        What the classifier may cost.
    started
        When the budget began, by time.monotonic(), where finding out what is missing counts too: it is given
        a share of the budget then, and the regimes are for what is left in the end. By default the budget
        begins with the run.
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
    models, where = models_of(zoo), resolve(device)
    budget, source = 60 * minutes, "finetune"
    allowed: Allowed = unlimited
    if started is not None:
        source, allowed = "advise", _shares_until(started + budget)
        # The run needs torch in any case: that it takes its time is no reason to look less closely.
        import_module("torch")
    found = survey(dataset, models, where, store, allowed=allowed, show_progress=show_progress)
    made = time.monotonic()
    if started is not None:
        budget -= made - started
        if budget <= 0:
            raise AdviceError(f"minutes: {minutes:g} were over before the dataset was known; give more")
    candidates = candidates_for(found, store, budget, limits, source=source)
    return Advice(
        found.profile.dataset.name,
        budget,
        where.key,
        tuple(choices(candidates, top_k)),
        (*found.notes, *candidates.notes),
        found.profile,
        made,
    )


def candidates_for(
    found: Survey, store: ExperienceStore | None, budget: float, limits: Limits, *, source: str
) -> ScoredCandidates:
    """All regimes that fit, with what is expected of each by what a store has learned until now.

    Parameters
    ----------
    found
        Of the dataset, and of the machine where the runs will be made.
    store
        None where nothing was learned but the package's own.
    budget, limits
        Of a run, in seconds; on the classifier.
    source
        Of the records of such runs.

    Raises
    ------
    AdviceError
        Nothing fits; one line.
    """
    fit = fitting(
        found.profile,
        [get(name) for name in found.models],
        TimeModel.from_store(store, found.step_times, found.device.key),
        budget,
        limits,
        source=source,
        decoded=found.decoded,
        processors=found.processors,
    )
    return scored(fit, AccuracyPredictor.from_store(store))


def _shares_until(deadline: float) -> Allowed:
    """Shares of the seconds until a time by time.monotonic()."""
    return lambda share: max(0.0, share * (deadline - time.monotonic()))
