"""What the journal of a search says of its candidates, and of its search space."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SPACE = "space"


@dataclass
class Remembered:
    """What became of candidates, by their keys.

    Parameters
    ----------
    asked
        Those that were asked for.
    told
        Candidates and metrics of the first result of each.
    failed
        Those that ended without a result.
    lost
        Those that were ever lost with a machine.
    again
        Of these, those that have not been asked for since.
    """

    asked: dict[str, Any] = field(default_factory=dict)
    told: dict[str, tuple[Any, Mapping[str, Any]]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    again: set[str] = field(default_factory=set)

    @property
    def waiting(self) -> dict[str, Any]:
        """Candidates without an end."""
        return {
            key: one for key, one in self.asked.items() if key not in self.told and key not in self.failed
        }


def remembered(
    events: Iterable[Mapping[str, Any]], candidate_of: Callable[[Any], Any], key: Callable[[Any], str]
) -> Remembered:
    """What a journal's events say, of candidates of the present search space.

    Parameters
    ----------
    candidate_of
        The candidate that parameters mean, None where the space does not have it.
    key
        Of a candidate.
    """
    known = Remembered()
    for event in events:
        if event.get("event") == SPACE or (candidate := candidate_of(event["parameters"])) is None:
            continue
        name = key(candidate)
        if event["event"] == "told":
            known.told.setdefault(name, (candidate, event["metrics"]))
        elif event["event"] == "failed":
            known.failed.add(name)
        elif event["event"] == "lost":
            known.lost.add(name)
            known.again.add(name)
        else:
            known.asked[name] = candidate
            known.again.discard(name)
    return known


def last_space(events: Sequence[Mapping[str, Any]]) -> Any:
    """The search space that was last in use; None where none was written down."""
    return next((event["space"] for event in reversed(events) if event.get("event") == SPACE), None)
