"""What `nnictl` itself does before an experiment with our tuners starts: check classArgs, close the port.

The validators that `nnictl algo register` is told of are called by nobody in NNI 3.0 where a config has
today's format. What NNI does check is the type of each field, with typeguard, and typeguard asks plugins
(entry points of the group `typeguard.checker_lookup`) how values of a type are to be checked. This is such a
plugin, for the types of `tuner` and `trainingService`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .listening import OPEN, listen_locally
from .node_options import BROKEN_CONNECTIONS, load_into_manager

Checker = Callable[[Any, Any, Any, Any], None]


def lookup_checker(origin_type: Any, _args: Any, _extras: Any) -> Checker | None:
    """Return the checker for NNI's type of a tuner's config or a training service's, None for any other."""
    name = (getattr(origin_type, "__module__", None), getattr(origin_type, "__qualname__", None))
    return _CHECKERS.get(name)


def _check_algorithm(value: Any, origin_type: Any, _args: Any, _memo: Any) -> None:
    """Check a tuner's config, and let NNI's web server be for this machine alone where the tuner is ours.

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
        _check_ours(value)
        return
    if isinstance(value, Mapping) and _is_nnictl():
        with suppress(AttributeError, TypeError):  # a field that is not there: NNI says which
            try:
                _seen.ours |= _check_ours(origin_type(**value))
            except ValueError as error:
                raise SystemExit(str(error)) from None
    raise TypeCheckError(f"is not an instance of {origin_type.__qualname__}")


def _check_service(value: Any, origin_type: Any, _args: Any, _memo: Any) -> None:
    """Say that the web server is open where nnictl reads a config of ours whose trials run elsewhere.

    NNI looks at the tuner first, and at the training service, a mapping or a list of them, more than once.
    """
    from typeguard import TypeCheckError

    if isinstance(value, origin_type):
        return
    elsewhere = isinstance(value, list) or (isinstance(value, Mapping) and value.get("platform") != "local")
    if elsewhere and _seen.ours and not _seen.told and _is_nnictl():
        _seen.told = True
        sys.stderr.write(f"{OPEN}\n")
    raise TypeCheckError(f"is not an instance of {origin_type.__qualname__}")


@dataclass
class _Seen:
    """What was seen of the config: whether the tuner is ours, and whether the user was told of the port."""

    ours: bool = False
    told: bool = False


_seen = _Seen()
_CHECKERS: dict[tuple[str | None, str | None], Checker] = {
    ("nni.experiment.config.algorithm", "_AlgorithmConfig"): _check_algorithm,
    ("nni.experiment.config.training_service", "TrainingServiceConfig"): _check_service,
}


def _is_nnictl() -> bool:
    return "nni.tools.nnictl.nnictl" in sys.modules


def _check_ours(config: Any) -> bool:
    """Check a tuner's config where it is one of the project; whether it is.

    Raises
    ------
    ValueError
        What the validator of algorithms.yml says is wrong.
    """
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
                raise ValueError(f"{algorithm['className'].rpartition('.')[2]}: {error}") from None
            listen_locally()
            load_into_manager(BROKEN_CONNECTIONS, os.environ)
            return True
    return False


def _algorithms() -> list[dict[str, str]]:
    import yaml

    return yaml.safe_load((Path(__file__).parent / "algorithms.yml").read_text(encoding="utf-8"))[
        "algorithms"
    ]
