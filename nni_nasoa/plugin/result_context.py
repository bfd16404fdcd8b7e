"""What a result of a search belongs to, apart from its network, where NNI does not plot it.

NNI's web page draws an axis for each key of the final results. What is the same for all trials of an
experiment makes axes that say nothing, and a nested value makes one, too. An intermediate result has no
axes: so a trial tells these things there, under `CONTEXT`, together with its network, and whoever reads
results puts the two together again. Final results of earlier releases have everything themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CONTEXT = "context"
_NAMES = (
    "device",
    "dataset",
    "input_size",
    "batch_size",
    "epochs",
    "speed_input_size",
    "speed_batch_size",
)
_OF = "architecture"


def context_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a record belongs to, its network first."""
    return {name: record[name] for name in (_OF, *_NAMES) if name in record}


def without_context(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record as NNI's final result."""
    return {name: value for name, value in record.items() if name not in _NAMES}


def with_context(final: Mapping[str, Any], intermediates: Iterable[Any]) -> dict[str, Any]:
    """A final result, and what the last intermediate result of the same trial and network says beside it."""
    for told in reversed(list(intermediates)):
        context = told.get(CONTEXT) if isinstance(told, Mapping) else None
        if isinstance(context, Mapping) and _OF in final and context.get(_OF) == final[_OF]:
            return {**context, **final}
    return dict(final)
