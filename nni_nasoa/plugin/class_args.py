"""The tuner's arguments as they stand in a yml, checked: every error is one line that says what would be right."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from numbers import Real
from typing import Any

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.search.evolution import Limit, Objective


class ClassArgsError(ValueError):
    """An argument under `classArgs` is wrong."""


@dataclass(frozen=True)
class EvolutionArgs:
    """Checked arguments of `EvolutionTuner`, where each is explained."""

    objectives: tuple[Objective, ...] | None = None
    limits: tuple[Limit, ...] = ()
    population_size: int = 20
    crossover_probability: float = 0.5
    initial: tuple[str | Mapping[str, Any], ...] = ()
    blocks_from: str | None = None
    macros_from: str | None = None
    seed: int | None = None

    @classmethod
    def parse(cls, class_args: Mapping[str, Any]) -> EvolutionArgs:
        """Check arguments as they come from a yml; None stands for the default.

        Raises
        ------
        ClassArgsError
            The first argument that is unknown or wrong.
        """
        return cls(**parsed(class_args, _PARSERS))


def parsed(
    class_args: Mapping[str, Any], parsers: Mapping[str, Callable[[Any], Any]], place: str = "classArgs"
) -> dict[str, Any]:
    """The arguments that are given, each as its parser reads it.

    Raises
    ------
    ClassArgsError
        The first argument that is unknown or wrong.
    """
    for name in class_args:
        if name not in parsers:
            near = get_close_matches(str(name), parsers, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(parsers)}"
            raise ClassArgsError(f"{place}: unknown argument '{name}'; {hint}")
    return {name: parsers[name](value) for name, value in class_args.items() if value is not None}


def wrong(name: str, value, right: str) -> ClassArgsError:
    """The error of an argument that is not what is right."""
    text = repr(value)
    return ClassArgsError(
        f"classArgs: {name}: {text if len(text) < 100 else text[:96] + ' ...'} is not {right}"
    )


def is_number(value, kind=Real) -> bool:
    """Whether a value of a yml is a number of this kind, and not true, false or NaN."""
    return isinstance(value, kind) and not isinstance(value, bool) and not math.isnan(value)


def _objectives(value) -> tuple[Objective, ...]:
    right = "a list of metrics, each a name or {name: .., mode: maximize or minimize}"
    if not isinstance(value, (list, tuple)) or not value:
        raise wrong("objectives", value, right)
    objectives = tuple(map(_objective, value))
    names = [objective.name for objective in objectives]
    for name in names:
        if names.count(name) > 1:
            raise ClassArgsError(f"classArgs: objectives: '{name}' is there twice")
    return objectives


def _objective(value) -> Objective:
    if isinstance(value, str) and value:
        return Objective(value)
    if (
        isinstance(value, Mapping)
        and set(value) in ({"name"}, {"name", "mode"})
        and isinstance(value["name"], str)
        and value.get("mode", "maximize") in ("maximize", "minimize")
    ):
        return Objective(value["name"], value.get("mode", "maximize") == "maximize")
    raise wrong("objectives", value, "a metric's name or {name: .., mode: maximize or minimize}")


def _limits(value) -> tuple[Limit, ...]:
    if not isinstance(value, Mapping):
        raise wrong("limits", value, "a mapping such as {params_m: {max: 5}}")
    for name, bounds in value.items():
        if (
            not isinstance(bounds, Mapping)
            or not bounds
            or not set(bounds) <= {"max", "min"}
            or not all(map(is_number, bounds.values()))
        ):
            raise wrong(f"limits: {name}", bounds, "{max: number}, {min: number} or both")
        if bounds.get("min", -math.inf) > bounds.get("max", math.inf):
            raise wrong(f"limits: {name}", bounds, "possible: min is above max")
    return tuple(
        Limit(str(name), maximum=bounds.get("max"), minimum=bounds.get("min"))
        for name, bounds in value.items()
    )


def _population_size(value) -> int:
    if not is_number(value, int) or value < 2:
        raise wrong("population_size", value, "a whole number from 2")
    return value


def _crossover_probability(value) -> float:
    if not is_number(value) or not 0 <= value <= 1:
        raise wrong("crossover_probability", value, "a number from 0 to 1")
    return float(value)


def _initial(value) -> tuple:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, (str, Mapping)) for one in value):
        raise wrong("initial", value, "a list of encodings, or of samples of the search space")
    for number, one in enumerate(value, start=1):
        if isinstance(one, str):
            try:
                Architecture.parse(one)
            except ArchitectureError as error:
                raise ClassArgsError(f"classArgs: initial, entry {number}: {error}") from None
    return tuple(value)


def _source(name: str):
    def parse(value) -> str:
        if not isinstance(value, str) or not value:
            raise wrong(name, value, "a front file or an experiment id")
        return value

    return parse


def _seed(value) -> int:
    if not is_number(value, int) or value < 0:
        raise wrong("seed", value, "a whole number from 0")
    return value


_PARSERS = {
    "objectives": _objectives,
    "limits": _limits,
    "population_size": _population_size,
    "crossover_probability": _crossover_probability,
    "initial": _initial,
    "blocks_from": _source("blocks_from"),
    "macros_from": _source("macros_from"),
    "seed": _seed,
}
