"""All that is found out of a dataset and a machine before an advice, where the runs will be made.

It is a value, so that it may be found out by one process and asked by another one, on another machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from nni_nasoa.data import DatasetError
from nni_nasoa.device.allocation import keep_freed_memory
from nni_nasoa.device.device import Device
from nni_nasoa.device.processor import allowed_processors
from nni_nasoa.experience.records import RecordError, StepTime
from nni_nasoa.values import (
    INPUT_SIZE,
    SECONDS,
    TEXT,
    WRONG,
    InputError,
    Rule,
    check_given,
    check_names,
    list_of,
    one_line,
    or_none,
    shown,
    whole,
)
from nni_nasoa.zoo import get
from nni_nasoa.zoo.available import why_missing

from .models import has_weights
from .task.look import Quiet, task_profile, was_looked_for
from .task.plan import is_large
from .task.profiles import TaskProfile
from .time.step_kinds import ROUGH
from .time.step_times import step_times_for

if TYPE_CHECKING:
    from nni_nasoa.data import Dataset
    from nni_nasoa.experience.store import ExperienceStore
    from nni_nasoa.zoo import ModelInfo

PROFILE_SHARE = 0.75  # of the time, for profile and probes; what they leave is for step times


class SurveyError(ValueError):
    """What is no survey. The message is one line."""


@dataclass(frozen=True)
class Survey:
    """What was found out.

    Parameters
    ----------
    profile
        Of the dataset, with probes of the models, and landmarks.
    models
        Names of those whose weights can be had where it was made.
    device, step_times
        Where it was made, and how long steps of the models take there.
    decoded
        Input sizes of the models, in pixels, at which the images lie decoded in the cache there.
    processors
        That decode there; None where nobody has told.
    decoding_seconds
        That it will take there until all images are decoded, where that has begun; None where it has not.
    notes
        What was left out, a line each.
    """

    profile: TaskProfile
    models: tuple[str, ...]
    device: Device
    step_times: tuple[StepTime, ...]
    decoded: frozenset[int] = frozenset()
    processors: int | None = None
    decoding_seconds: float | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "profile": self.profile.to_json(),
            "models": list(self.models),
            "device": asdict(self.device),
            "step_times": [asdict(step) for step in self.step_times],
            "decoded": sorted(self.decoded),
            "processors": self.processors,
            "decoding_seconds": self.decoding_seconds,
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Any) -> Survey:
        """The inverse of `to_json`, and of what an earlier release wrote.

        That told nothing of decoding.

        Raises
        ------
        SurveyError
            It is not a survey; one line.
        """
        if not isinstance(data, Mapping):
            raise SurveyError(f"survey: {shown(data)} is not an object of {', '.join(_RULES)}")
        check_names("survey", data, _RULES, SurveyError)
        given = {"decoded": (), "processors": None, "decoding_seconds": None, **data}
        check_given(given, _RULES, SurveyError, "survey: ")
        return cls(
            **{name: rule(f"survey: {name}", given[name], SurveyError) for name, rule in _RULES.items()}
        )

    def keep(self, store: ExperienceStore) -> None:
        """Put what was found elsewhere into a store; not what was only estimated."""
        store.set_profile(self.profile.dataset.fingerprint, self.profile.to_json())
        store.set_step_times(step for step in self.step_times if not step.mode.startswith(ROUGH))


def survey(
    dataset: Dataset,
    models: Sequence[ModelInfo],
    device: Device,
    store: ExperienceStore | None,
    *,
    seconds: float | None = None,
    quiet: Quiet = nullcontext,
    show_progress: bool | None = None,
) -> Survey:
    """Find out what is not known yet of a dataset and of models on a device of this machine.

    Parameters
    ----------
    dataset, models, device
        What is asked about.
    store
        Where what is found is kept, and not looked for twice; None keeps nothing.
    seconds
        That it may take; what there is no time for stays unknown. By default all the time that it takes.
    quiet
        Entered for what computes on all processors.
    show_progress
        As `Dataset.open` takes it.

    Raises
    ------
    DatasetError
        As in `Dataset.open`.
    ValueError
        None of the models' weights can be had; one line.
    StoreError
        The store fails.
    """
    keep_freed_memory()
    deadline = None if seconds is None else time.monotonic() + seconds
    look_seconds = None if seconds is None else PROFILE_SHARE * seconds
    names = [model.name for model in models if has_weights(model)]
    again = was_looked_for(dataset, store, names, look_seconds)
    profile, kept, notes = _profile(
        dataset,
        store,
        models,
        names,
        device=device.kind,
        seconds=look_seconds,
        quiet=quiet,
        show_progress=show_progress,
    )
    there = tuple(model.name for model in kept)
    with quiet():
        step_times = step_times_for(
            there,
            device,
            store,
            measured=_worth_measuring(profile, there),
            more=not again,
            seconds=None if deadline is None else max(0.0, deadline - time.monotonic()),
        )
    sizes = {size for name in there for size in profile.model_figures(name).input_sizes}
    return Survey(
        profile,
        there,
        device,
        tuple(step_times),
        frozenset(dataset.decoded(sizes)),
        len(allowed_processors()),
        notes=tuple(notes),
    )


def _worth_measuring(profile: TaskProfile, names: Sequence[str]) -> Sequence[str]:
    """The models that may well be chosen: where a large one was probed, those that were."""
    probed = {name.partition("@")[0] for name in profile.probes}
    found = [name for name in names if name in probed]
    return found if any(map(is_large, found)) else names


def _profile(
    dataset: Dataset,
    store: ExperienceStore | None,
    models: Sequence[ModelInfo],
    names: Sequence[str],
    **options: Any,
) -> tuple[TaskProfile, list[ModelInfo], list[str]]:
    """What is known of a dataset, the models whose weights can be had, and a line on those whose cannot.

    The names are those of models that have weights. Of a family, some may have been downloaded. Errors are as
    in `task_profile` where none can be had; that is also given the `options`.
    """
    failures = {
        model.name: why for model in models if model.name in names and (why := why_missing(model)) is not None
    }
    there = [name for name in names if name not in failures]
    failure: ValueError | None = next(iter(failures.values()), None)
    if failure is None:
        try:
            return task_profile(dataset, store, names, **options), list(models), []
        except DatasetError:
            raise
        except ValueError as error:
            failure = error
    if len(names) == 1:
        raise failure
    there = [name for name in there if _can_be_had(name, dataset, store, options)]
    if not there:
        raise failure
    absent = ", ".join(name for name in names if name not in there)
    kept = [model for model in models if model.name in there or not has_weights(model)]
    line = f"left out, as their weights are not there: {absent} ({failure})"
    return task_profile(dataset, store, there, **options), kept, [line]


def _can_be_had(
    model: str, dataset: Dataset, store: ExperienceStore | None, options: Mapping[str, Any]
) -> bool:
    """Whether a model's weights can: a probe, which is kept, tells."""
    try:
        task_profile(dataset, store, [model], **options)
    except DatasetError:
        raise
    except ValueError:
        return False
    return True


# -- what a survey has to be --

_DEVICE = {"kind": TEXT, "name": TEXT, "threads": whole(1)}


def _as_profile(_: str, value: Any) -> Any:
    try:
        return TaskProfile.from_json(value)
    except ValueError as error:
        raise InputError(f"survey: {one_line(error)}") from None


def _as_model(place: str, value: Any) -> Any:
    if not isinstance(value, str):
        return WRONG
    try:
        return get(value).name
    except ValueError as error:
        raise InputError(f"{place}: {one_line(error)}") from None


def _as_device(place: str, value: Any) -> Any:
    if not isinstance(value, Mapping) or set(value) != set(_DEVICE):
        return WRONG
    return Device(**{name: rule(f"{place}, {name}", value[name]) for name, rule in _DEVICE.items()})


def _as_step_time(place: str, value: Any) -> Any:
    try:
        return StepTime(**value)
    except TypeError:
        return WRONG
    except RecordError as error:
        raise InputError(f"{place}: {error}") from None


_SIZES = list_of(INPUT_SIZE, "a list of sizes in pixels")
_RULES = {
    "profile": Rule("a profile", _as_profile),
    "models": list_of(Rule("the name of a model", _as_model), "a list of models"),
    "device": Rule(f"an object of {', '.join(_DEVICE)}", _as_device),
    "step_times": list_of(Rule("a step time", _as_step_time), "a list of step times"),
    "decoded": Rule(
        _SIZES.what,
        lambda place, value: WRONG if (kept := _SIZES.convert(place, value)) is WRONG else frozenset(kept),
    ),
    "processors": or_none(whole(1)),
    "decoding_seconds": or_none(SECONDS),
    "notes": list_of(
        Rule("a text", lambda _, value: one_line(value) if isinstance(value, str) else WRONG),
        "a list of texts",
    ),
}
