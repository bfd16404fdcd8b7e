"""The tuner's arguments as they stand in a yml, checked: an error is a line that says what is right."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nni_nasoa.architecture import Architecture, ArchitectureError
from nni_nasoa.search.evolution import Limit, Objective
from nni_nasoa.values import (
    NUMBER,
    SHARE,
    TRUTH,
    WRONG,
    InputError,
    Rule,
    check_names,
    list_of,
    shown,
    text,
    whole,
)


class ClassArgsError(InputError):
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
    surrogate: bool = True
    measure_speed: int = 0
    brief_epochs: int | None = None
    seed: int | None = None

    @classmethod
    def parse(cls, class_args: Mapping[str, Any]) -> EvolutionArgs:
        """Check arguments as they come from a yml; None stands for the default.

        Raises
        ------
        ClassArgsError
            The first argument that is unknown or wrong.
        """
        return cls(**parsed(class_args, _RULES))


def python_args(**given: Any) -> EvolutionArgs:
    """Arguments as Python's users give them: besides a yml's words there may be objects of the package.

    Raises
    ------
    ValueError
        The first argument that is wrong.
    """
    objectives, limits, initial = (given.get(name) for name in ("objectives", "limits", "initial"))
    if isinstance(objectives, (list, tuple)):
        objectives = [_in_words(objective) for objective in objectives]
    if isinstance(limits, (list, tuple)) and all(isinstance(limit, Limit) for limit in limits):
        bounds = {limit.name: {"max": limit.maximum, "min": limit.minimum} for limit in limits}
        limits = {
            name: {key: bound for key, bound in pair.items() if bound is not None}
            for name, pair in bounds.items()
        }
    if isinstance(initial, (list, tuple)):
        initial = [str(one) if isinstance(one, Architecture) else one for one in initial]
    try:
        return EvolutionArgs.parse({**given, "objectives": objectives, "limits": limits, "initial": initial})
    except ClassArgsError as error:
        raise ValueError(str(error).removeprefix("classArgs: ")) from None


def _in_words(objective: Any) -> Any:
    if isinstance(objective, Objective):
        return {"name": objective.name, "mode": "maximize" if objective.maximize else "minimize"}
    if isinstance(objective, (tuple, list)) and len(objective) == 2:
        return {"name": objective[0], "mode": objective[1]}
    if isinstance(objective, Mapping) and isinstance(objective.get("maximize"), bool):
        rest = {key: value for key, value in objective.items() if key != "maximize"}
        return {"mode": "maximize" if objective["maximize"] else "minimize", **rest}
    return objective


def parsed(
    class_args: Mapping[str, Any], rules: Mapping[str, Rule], place: str = "classArgs"
) -> dict[str, Any]:
    """The arguments that are given, each as its rule keeps it; None stands for the default.

    Raises
    ------
    ClassArgsError
        The first argument that is unknown or wrong.
    """
    check_names(place, class_args, rules, ClassArgsError, unknown="unknown argument")
    return {
        name: rules[name](f"{place}: {name}", value, ClassArgsError)
        for name, value in class_args.items()
        if value is not None
    }


def _as_objective(_: str, value: Any) -> Any:
    if isinstance(value, str) and value:
        return Objective(value)
    if (
        isinstance(value, Mapping)
        and set(value) in ({"name"}, {"name", "mode"})
        and isinstance(value["name"], str)
        and value.get("mode", "maximize") in ("maximize", "minimize")
    ):
        return Objective(value["name"], value.get("mode", "maximize") == "maximize")
    return WRONG


_METRICS = list_of(
    Rule("a metric's name or {name: .., mode: maximize or minimize}", _as_objective),
    "a list of metrics, each a name or {name: .., mode: maximize or minimize}",
    least=1,
)


def _as_objectives(place: str, value: Any) -> Any:
    objectives = _METRICS.convert(place, value)
    if objectives is not WRONG:
        names = [objective.name for objective in objectives]
        for name in names:
            if names.count(name) > 1:
                raise InputError(f"{place}: {shown(name)} is there twice")
    return objectives


def _as_bounds(place: str, value: Any) -> Any:
    if not isinstance(value, Mapping) or not value or not set(value) <= {"max", "min"}:
        return WRONG
    if not all(map(NUMBER.allows, value.values())):
        return WRONG
    if value.get("min", -math.inf) > value.get("max", math.inf):
        raise InputError(f"{place}: {shown(value)} is not possible: min is above max")
    return value


_BOUNDS = Rule("{max: number}, {min: number} or both", _as_bounds)


def _as_limits(place: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return WRONG
    bounds = {str(name): _BOUNDS(f"{place}: {name}", pair) for name, pair in value.items()}
    return tuple(Limit(name, pair.get("max"), pair.get("min")) for name, pair in bounds.items())


def _as_initial(place: str, value: Any) -> Any:
    if isinstance(value, str):
        try:
            Architecture.parse(value)
        except ArchitectureError as error:
            raise InputError(f"{place}: {error}") from None
    return value if isinstance(value, (str, Mapping)) else WRONG


_RULES = {
    "objectives": Rule(_METRICS.what, _as_objectives),
    "limits": Rule("a mapping such as {params_m: {max: 5}}", _as_limits),
    "population_size": whole(2),
    "crossover_probability": SHARE,
    "initial": list_of(
        Rule("an encoding, or a sample of the search space", _as_initial),
        "a list of encodings, or of samples of the search space",
    ),
    "blocks_from": text("a front file or an experiment id"),
    "macros_from": text("a front file or an experiment id"),
    "surrogate": TRUTH,
    "measure_speed": whole(0),
    "brief_epochs": whole(1),
    "seed": whole(0),
}
