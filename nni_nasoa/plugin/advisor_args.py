"""The advisor's arguments as they stand in a yml, checked: every error is one line that says what would be right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nni_nasoa.values import MAX_MINUTES

from .class_args import ClassArgsError, is_number, parsed, wrong

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
    zoo: str = "nano"
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
        given = parsed(class_args, _PARSERS)
        one = {name: given.pop(name) for name in ("dataset", "minutes") if name in given}
        if one and "tasks" in given:
            raise ClassArgsError(
                f"classArgs: {' and '.join(one)} beside tasks; "
                "give dataset and minutes for one task, or tasks for several"
            )
        if one or "tasks" not in given:
            given["tasks"] = (_task("classArgs", one),)
        return cls(**given)


def _task(place: str, given: Mapping[str, Any]) -> TaskArgs:
    for name, right in (
        ("dataset", "the folder or the name of a dataset"),
        ("minutes", "the budget of a run"),
    ):
        if name not in given:
            raise ClassArgsError(f"{place}: {name} is missing: {right}")
    return TaskArgs(**given)


def _tasks(value) -> tuple[TaskArgs, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        raise wrong("tasks", value, "a list of {dataset: .., minutes: ..}")
    tasks = []
    for number, one in enumerate(value, start=1):
        if not isinstance(one, Mapping):
            raise wrong(f"tasks, entry {number}", one, "{dataset: .., minutes: ..}")
        place = f"classArgs: tasks, entry {number}"
        try:
            tasks.append(
                _task(place, parsed(one, {name: _PARSERS[name] for name in ("dataset", "minutes")}, place))
            )
        except ClassArgsError as error:
            line = str(error)
            raise ClassArgsError(
                line if line.startswith(place) else line.replace("classArgs", place, 1)
            ) from None
    return tuple(tasks)


def _text(name: str, right: str) -> Callable[[Any], str]:
    def parse(value) -> str:
        if not isinstance(value, str) or not value.strip():
            raise wrong(name, value, right)
        return value

    return parse


def _minutes(value) -> float:
    if not is_number(value) or not 0 < value <= MAX_MINUTES:
        raise wrong("minutes", value, "a number of minutes above 0")
    return float(value)


def _whole(name: str, right: str = "a whole number from 0") -> Callable[[Any], int]:
    def parse(value) -> int:
        if not is_number(value, int) or value < 0:
            raise wrong(name, value, right)
        return value

    return parse


def _zoo(value) -> str:
    from nni_nasoa.advisor.models import models_of

    zoo = _text("zoo", "the name of a family of models, names of models, or a front file")(value)
    if not zoo.endswith(
        ".json"
    ):  # a front file is read when the tuner starts, as its path may be relative to codeDirectory
        try:
            models_of(zoo)
        except ValueError as error:
            raise ClassArgsError(f"classArgs: {error}") from None
    return zoo


def _limits(value) -> dict[str, float]:
    if not isinstance(value, Mapping):
        raise wrong("limits", value, "a mapping such as {max_params_m: 2}")
    return parsed(value, {name: _limit(name) for name in LIMITS}, "classArgs: limits")


def _limit(name: str) -> Callable[[Any], float]:
    def parse(value) -> float:
        if not is_number(value) or not 0 < value < math.inf:
            raise wrong(f"limits: {name}", value, "a number above 0")
        return float(value)

    return parse


_PARSERS = {
    "dataset": _text("dataset", "the folder or the name of a dataset"),
    "minutes": _minutes,
    "tasks": _tasks,
    "zoo": _zoo,
    "store": _text("store", "a file, or postgresql://user@server/database"),
    "device": _text("device", "auto, cpu, cuda, cuda:1, ..."),
    "threads": _whole("threads"),
    "alternatives": _whole("alternatives"),
    "limits": _limits,
    "output": _text("output", "a folder"),
    "root": _text("root", "a folder"),
}
