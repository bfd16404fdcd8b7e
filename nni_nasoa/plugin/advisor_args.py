"""The advisor's arguments as they stand in a yml, checked: an error is a line that says what is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nni_nasoa.values import LARGEST, MINUTES, WRONG, Rule, above, list_of, number, text, whole

from .class_args import ClassArgsError, parsed

LIMITS = ("max_params_m", "max_latency_ms", "max_memory_mib")


@dataclass(frozen=True)
class TaskArgs:
    """A dataset, and the minutes of each run on it."""

    dataset: str
    minutes: float

    @property
    def seconds(self) -> float:
        """The budget of a run."""
        return 60 * self.minutes


@dataclass(frozen=True)
class AdvisorArgs:
    """Checked arguments of `OnlineAdvisor`, where each is explained."""

    tasks: tuple[TaskArgs, ...]
    zoo: str = "auto"
    store: str | None = None
    device: str = "auto"
    threads: int = 1
    alternatives: int = 3
    limits: Mapping[str, float] = field(default_factory=dict)
    output: str | None = None
    root: str | None = None

    @classmethod
    def parse(cls, class_args: Mapping[str, Any]) -> AdvisorArgs:
        """Check arguments as they come from a yml; None stands for the default.

        Raises
        ------
        ClassArgsError
            The first argument that is unknown, wrong or missing.
        """
        given = parsed(class_args, _RULES)
        one: dict[str, Any] = {name: given.pop(name) for name in ("dataset", "minutes") if name in given}
        if one and "tasks" in given:
            raise ClassArgsError(
                f"classArgs: {' and '.join(one)} beside tasks; "
                "give dataset and minutes for one task, or tasks for several"
            )
        if one or "tasks" not in given:
            given["tasks"] = (_task("classArgs", one),)
        return cls(**given)


def _task(place: str, given: Mapping[str, Any]) -> TaskArgs:
    for name, right in (("dataset", _DATASET.what), ("minutes", "the budget of a run")):
        if name not in given:
            raise ClassArgsError(f"{place}: {name} is missing: {right}")
    return TaskArgs(**given)


def _as_task(place: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return WRONG
    return _task(place, parsed(value, _TASK, place))


def _as_zoo(place: str, value: Any) -> Any:
    from nni_nasoa.advisor.models import models_of

    zoo = _ZOO(place, value)
    # A front file is read when the tuner starts, as its path may be relative to codeDirectory.
    if not zoo.endswith(".json"):
        try:
            models_of(zoo)
        except ValueError as error:
            raise ClassArgsError(f"classArgs: {error}") from None
    return zoo


def _as_store(place: str, value: Any) -> Any:
    from nni_nasoa.experience.location import PASSWORD_BY, without_password

    if _STORE.allows(value) and without_password(value)[1]:
        raise ClassArgsError(f"{place}: has a password in it, which NNI shows to everyone; {PASSWORD_BY}")
    return _STORE(place, value)


def _as_limits(place: str, value: Any) -> Any:
    return parsed(value, dict.fromkeys(LIMITS, _LIMIT), place) if isinstance(value, Mapping) else WRONG


_DATASET = text("the folder or the name of a dataset")
_ZOO = text("the name of a family of models, names of models, or a front file")
_STORE = text("a file, or postgresql://user@server/database")
_LIMIT = number(above(0), LARGEST, "a number above 0")
_FOLDER = text("a folder")
_TASK: dict[str, Rule] = {"dataset": _DATASET, "minutes": MINUTES}
_RULES: dict[str, Rule] = {
    **_TASK,
    "tasks": list_of(
        Rule("{dataset: .., minutes: ..}", _as_task), "a list of {dataset: .., minutes: ..}", least=1
    ),
    "zoo": Rule(_ZOO.what, _as_zoo),
    "store": Rule(_STORE.what, _as_store),
    "device": text("auto, cpu, cuda, cuda:1, ..."),
    "threads": whole(0),
    "alternatives": whole(0),
    "limits": Rule("a mapping such as {max_params_m: 2}", _as_limits),
    "output": _FOLDER,
    "root": _FOLDER,
}
