"""What a result belongs to, apart from its network or its run, where NNI does not plot it.

NNI's web page draws an axis for each key of the final results. What is the same for all trials of an
experiment, or is no measurement, makes axes that say nothing, and a nested value makes one, too. An
intermediate result has no axes: so a trial tells these things there, under `CONTEXT`, together with its
network or run, and whoever reads results puts the two together again. Final results of earlier releases have
everything themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from nni_nasoa.training.regime import FineTuneRegime

CONTEXT = "context"
# By the key that says whose a result is, the other keys that are of the context.
_NAMES = {
    "architecture": (
        "device",
        "dataset",
        "input_size",
        "batch_size",
        "epochs",
        "speed_input_size",
        "speed_batch_size",
    ),
    "run": (
        *("dataset", "minutes", "classifier", "outcome", "device", "threads", "record", "survey"),
        *(field.name for field in fields(FineTuneRegime)),
    ),
}


def context_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record belongs to, its network or run first."""
    of = _identity(record)
    return {} if of is None else {name: record[name] for name in (of, *_NAMES[of]) if name in record}


def without_context(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as NNI's final result."""
    of = _identity(record)
    return {name: value for name, value in record.items() if of is None or name not in _NAMES[of]}


def with_context(final: Mapping[str, Any], intermediates: Iterable[Any]) -> dict[str, Any]:
    """A final result, and what the last intermediate result of the same trial and network or run says."""
    of = _identity(final)
    for told in reversed(list(intermediates)):
        context = told.get(CONTEXT) if isinstance(told, Mapping) else None
        if of is not None and isinstance(context, Mapping) and context.get(of) == final[of]:
            return {**context, **final}
    return dict(final)


def _identity(record: Mapping[str, Any]) -> str | None:
    return next((name for name in _NAMES if name in record), None)
