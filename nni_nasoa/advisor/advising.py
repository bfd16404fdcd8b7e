"""Which network to fine-tune on a dataset in the time at hand, and how.

What is asked of each candidate: does it fit (time, parameters, inference time, memory), and what accuracy
does the predictor expect of it? Its score is that expectation less a tenth of what it may fall short by, and
less half a point for each step away from the network's default settings: of tens of thousands that promise
about as much, the best by chance alone is one with odd settings, and the sound one is taken. To take all of
the time costs half a point, too: of a head and of trained stages that promise as much, the head is there in a
fraction of it. The alternatives differ from the best, and from each other, in the network or in what is
frozen.

Where the predictor cannot know, it is not asked: of networks or data of a kind that no run was on, what
probes of the user's own images let expect counts (`probe_estimate`), for candidates with rates that are sound
everywhere. With few runs altogether, and for networks without weights, the advice follows `defaults`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from nni_nasoa.data import Dataset
from nni_nasoa.data.dataset import Kind, Source
from nni_nasoa.data.split_defaults import VAL_FRACTION
from nni_nasoa.device.device import resolve
from nni_nasoa.finetune.clock import Clock
from nni_nasoa.finetune.open_in_time import look_in_time
from nni_nasoa.training.errors import FineTuneError
from nni_nasoa.values import MINUTES, whole
from nni_nasoa.zoo import get
from nni_nasoa.zoo.available import AUTO
from nni_nasoa.zoo.light_import import imported

from .accuracy.predictor import AccuracyPredictor
from .advice import NO_LIMITS, Advice, Limits
from .alternatives import choices
from .downloads import ASKED_SHARE, Tell, silent, with_recommended, with_weights
from .fitting import fitting
from .models import AdviceError, models_of
from .scored_candidates import ScoredCandidates, scored
from .survey import Survey, survey
from .time.time_model import TimeModel

if TYPE_CHECKING:
    from nni_nasoa.data.decoding import Decoding
    from nni_nasoa.experience.store import ExperienceStore
    from nni_nasoa.zoo import ModelInfo

# The part of a budget that goes to a look at what is not known yet, where that counts in it; where it does
# not, a part of it, too, between two bounds in seconds.
LOOK_SHARE = 0.2
FREE_LOOK_SHARE, LEAST_LOOK, LONGEST_LOOK = 1 / 30, 8.0, 60.0
_TIMM_FAMILIES = "lite", "timm"  # whose networks are timm's
_TOP = whole(1, 50)


def advise(
    dataset: Dataset | Source,
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
    tell: Tell = silent,
    beside: ExitStack | None = None,
) -> Advice:
    """The best regimes for a dataset and a budget.

    What is not in the store is found out first: the dataset's profile, probes of the networks on it, and how
    long their steps take here.

    Parameters
    ----------
    dataset
        A Dataset, or the source of one: a name, a folder, a file that lists images, a table of pandas, or an
        ImageSplit.
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
    tell
        What is given a line about weights that will be downloaded, before they are. Nothing is downloaded
        where the environment variable NASOA_OFFLINE or HF_HUB_OFFLINE is set.
    beside
        Where decoding is entered that began beside the advice, so that it goes on until a run takes it over;
        by default it ends with the advice.

    Raises
    ------
    AdviceError
        An argument is out of its range, or nothing fits. One line.
    DatasetError, StoreError, ValueError
        The dataset, the store, the models or the device; one line.
    """
    minutes, top_k = MINUTES("minutes", minutes, AdviceError), _TOP("top_k", top_k, AdviceError)
    dataset = Dataset.of(dataset, root=root, val_fraction=val_fraction)
    where = resolve(device)
    fits = limits.may_fit(where.kind, where.threads)
    models, budget, source = models_of(zoo, fits), 60 * minutes, "finetune" if started is None else "advise"
    end = None if started is None else started + budget
    if started is not None:
        try:
            look_in_time(dataset, Clock(budget, started=started))
        except FineTuneError as error:
            raise AdviceError(str(error)) from None
    with nullcontext(beside) if beside is not None else ExitStack() as stack:
        decoding = stack.enter_context(nullcontext() if end is None else _decoding_meanwhile(dataset, models))
        if end is not None:
            # The run needs them in any case: that it takes its time is no reason to look less closely.
            _import_for(models)
        seconds = None if end is None else ASKED_SHARE * (end - time.monotonic())
        models, notes = with_weights(models, seconds=seconds, tell=tell)
        if AUTO in zoo.split(","):
            models, more = with_recommended(models, budget=budget, device=where.kind, fits=fits, tell=tell)
            notes += more
        found = survey(
            dataset,
            models,
            where,
            store,
            seconds=_look_seconds(dataset, budget, end),
            quiet=nullcontext if decoding is None else decoding.paused,
            show_progress=show_progress,
        )
        if decoding is not None:
            found = replace(found, decoding_seconds=decoding.seconds_left)
    made = time.monotonic()
    if started is not None:
        budget -= made - started
        if budget <= 0:
            raise AdviceError(f"minutes: {minutes:g} were over before the dataset was known; give more")
    candidates = candidates_for(found, store, budget, limits, source=source)
    advice = Advice(
        found.profile.dataset.name,
        budget,
        where.key,
        tuple(choices(candidates, top_k)),
        (*notes, *found.notes, *candidates.notes),
        found.profile,
        made,
    )
    return advice if dataset.geometry is None else advice.but(geometry=dataset.geometry)


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
        decoding_seconds=found.decoding_seconds,
    )
    return scored(fit, AccuracyPredictor.from_store(store))


def _decoding_meanwhile(
    dataset: Dataset, models: Sequence[ModelInfo]
) -> AbstractContextManager[Decoding | None]:
    """The context in which a folder's images are decoded beside other work, at the largest size of any model.

    What probes look at and what the run trains on is there the sooner.
    """
    if dataset.kind is not Kind.FILES:
        return nullcontext()
    return dataset.decoding(max(model.input_size for model in models))


def _import_for(models: Sequence[ModelInfo]) -> None:
    import_module("torch")
    if any(model.family in _TIMM_FAMILIES for model in models):
        imported("timm")


def _look_seconds(dataset: Dataset, budget: float, end: float | None) -> float:
    """Seconds for a look, of which the budget ends then, by time.monotonic(), or begins with the run."""
    if end is None and dataset.kind is not Kind.FILES:
        return max(LONGEST_LOOK, budget)
    if end is None:
        return min(max(LEAST_LOOK, FREE_LOOK_SHARE * budget), LONGEST_LOOK)
    return max(0.0, LOOK_SHARE * (end - time.monotonic()))
