"""What has to be known before the first advice on a dataset: its profile, and how fast networks are on the device."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from .assignment import Assignment

if TYPE_CHECKING:
    from nni_nasoa.advisor import ExperienceStore, StepTime
    from nni_nasoa.advisor.advice import Limits
    from nni_nasoa.advisor.scored_candidates import ScoredCandidates
    from nni_nasoa.advisor.task.profiles import TaskProfile
    from nni_nasoa.data import Dataset
    from nni_nasoa.device.device import Device

SHARE, LEAST_SECONDS = 0.2, 60.0  # of a run's budget that a survey may take, and what it may take in any case


@dataclass(frozen=True)
class Survey:
    """What was found.

    Parameters
    ----------
    profile
        Of the dataset, with the probes of the models.
    models
        Those whose weights can be had where it was made.
    device, step_times
        Where it was made, and how long steps of the models take there.
    notes
        What was left out, a line each.
    """

    profile: TaskProfile
    models: tuple[str, ...]
    device: Device
    step_times: tuple[StepTime, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "profile": self.profile.to_json(),
            "models": list(self.models),
            "device": asdict(self.device),
            "step_times": [asdict(step) for step in self.step_times],
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, data: Any) -> Survey:
        """The inverse of `to_json`.

        Raises
        ------
        ValueError
            It is not a survey; one line.
        """
        from nni_nasoa.advisor import StepTime
        from nni_nasoa.advisor.task.profiles import TaskProfile
        from nni_nasoa.device.device import Device
        from nni_nasoa.zoo import get

        if not isinstance(data, Mapping) or set(data) != set(cls.__dataclass_fields__):
            raise ValueError("survey: not an object of " + ", ".join(cls.__dataclass_fields__))
        try:
            models = tuple(get(name).name for name in data["models"])
            device, steps = Device(**data["device"]), tuple(StepTime(**step) for step in data["step_times"])
            return cls(
                TaskProfile.from_json(data["profile"]), models, device, steps, tuple(map(str, data["notes"]))
            )
        except (TypeError, AttributeError) as error:
            raise ValueError(f"survey: not usable ({error})") from None

    def scored(self, store: ExperienceStore, budget: float, limits: Limits) -> ScoredCandidates:
        """All regimes that fit a budget in seconds, with what is expected of each by what a store has learned until now.

        Raises
        ------
        AdviceError
            Nothing fits; one line.
        """
        from nni_nasoa.advisor.accuracy.predictor import AccuracyPredictor
        from nni_nasoa.advisor.fitting import fitting
        from nni_nasoa.advisor.scored_candidates import scored
        from nni_nasoa.advisor.time.time_model import TimeModel
        from nni_nasoa.zoo import get

        time_model = TimeModel.from_store(store, self.step_times, self.device.key)
        models = [get(name) for name in self.models]
        fit = fitting(self.profile, models, time_model, budget, limits, source="nni")
        return scored(fit, AccuracyPredictor.from_store(store))

    def keep(self, store: ExperienceStore) -> None:
        """Put what was found elsewhere into a store; not what was only estimated."""
        from nni_nasoa.advisor.time.step_kinds import ROUGH

        store.set_profile(self.profile.dataset.fingerprint, self.profile.to_json())
        for step in self.step_times:
            if not step.mode.startswith(ROUGH):
                store.set_step_time(step)


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
    from nni_nasoa.advisor.advising import profile_for
    from nni_nasoa.advisor.time.step_times import step_times_for
    from nni_nasoa.device.device import resolve
    from nni_nasoa.zoo import get

    found = resolve(device)
    if threads and found.kind == "cpu":
        found = replace(found, threads=threads)
    seconds = max(LEAST_SECONDS, SHARE * budget)
    profile, kept, notes = profile_for(
        dataset,
        store,
        [get(name) for name in models],
        device=found.kind,
        seconds=seconds,
        show_progress=False,
    )
    names = tuple(model.name for model in kept)
    return Survey(
        profile, names, found, tuple(step_times_for(names, found, store, seconds=seconds)), tuple(notes)
    )


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


def survey(assignment: Assignment, dataset: Dataset, *, device: str, threads: int) -> dict[str, Any]:
    """What a trial reports of a survey, JSON values.

    They are `survey` as JSON text, and a `default` that ranks behind all runs.
    """
    from nni_nasoa.advisor import ExperienceStore, StoreError

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
