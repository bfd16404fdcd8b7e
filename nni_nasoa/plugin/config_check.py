"""The tuner's classArgs, checked by `nnictl` itself before an experiment starts.

The validators that `nnictl algo register` is told of are called by nobody in NNI 3.0 where a config has
today's format. What NNI does check is the type of each field, with typeguard, and typeguard asks plugins
(entry points of the group `typeguard.checker_lookup`) how values of a type are to be checked. This is such a
plugin, for the type of `tuner`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Checker = Callable[[Any, Any, Any, Any], None]


def lookup_checker(origin_type: Any, _args: Any, _extras: Any) -> Checker | None:
    """Return the checker for NNI's type of a tuner's config, and None for any other type."""
    name = (getattr(origin_type, "__module__", None), getattr(origin_type, "__qualname__", None))
    return _check_algorithm if name == ("nni.experiment.config.algorithm", "_AlgorithmConfig") else None


def _check_algorithm(value: Any, origin_type: Any, _args: Any, _memo: Any) -> None:
    """Check a tuner's config.

    Raises
    ------
    SystemExit
        A config that nnictl reads has a wrong argument: nnictl says so in one line and ends with status 1. At
        that time the config is a mapping still, and nothing has begun.
    ValueError
        A config that was made in Python has one; NNI checks it before it starts anything, too.
    """
    from typeguard import TypeCheckError

    if isinstance(value, origin_type):
        if line := _wrong_argument(value):
            raise ValueError(line)
        return
    if isinstance(value, Mapping) and "nni.tools.nnictl.nnictl" in sys.modules:
        with suppress(AttributeError, TypeError):  # a field that is not there: NNI says which
            if line := _wrong_argument(origin_type(**value)):
                raise SystemExit(line)
    raise TypeCheckError(f"is not an instance of {origin_type.__qualname__}")


def _wrong_argument(config: Any) -> str | None:
    """What the validator of algorithms.yml says is wrong, if this is a tuner of the project."""
    for algorithm in _algorithms():
        if (
            config.class_name == algorithm["className"]
            or str(config.name).lower() == algorithm["builtinName"].lower()
        ):
            # That it is a mapping, NNI checks itself.
            class_args = config.class_args if isinstance(config.class_args, Mapping) else {}
            module, _, validator = algorithm["classArgsValidator"].rpartition(".")
            try:
                getattr(importlib.import_module(module), validator)().validate_class_args(
                    **{str(name): value for name, value in class_args.items()}
                )
            except ValueError as error:
                return f"{algorithm['className'].rpartition('.')[2]}: {error}"
    return None


def _algorithms() -> list[dict[str, str]]:
    import yaml

    return yaml.safe_load((Path(__file__).parent / "algorithms.yml").read_text(encoding="utf-8"))[
        "algorithms"
    ]
