"""What a run of fine-tuning ended with: why it ended, and what was cut of that which was asked for.

Whatever a program has to know of a run's end stands here, as values. Notes are for people alone: no room
reads them.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from nni_nasoa.values import SECONDS, WRONG, Rule, check_fields, check_names, one_of, or_none, shown, whole

MAX_COUNT = 10**15
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # these ask a run to save what it has


class OutcomeError(ValueError):
    """An outcome that is not one. The message is one line: the field, what is wrong, what would be right."""


class StopReason(str, Enum):
    """Why a run ended.

    Attributes
    ----------
    BUDGET
        Its time was used, but for what is too short for one more step.
    SATURATED
        Every validation image was right, several times in a row.
    FITTED
        Its head was fitted to all that it had time to see, and stages were not to be trained.
    INTERRUPTED
        A signal asked it to save what it had.
    DIVERGED
        Its loss exploded once more after a second start at a lower rate.
    FAILED
        An error ended it: no classifier came of it.
    UNKNOWN
        Nobody says: it was not over when this was written, or an earlier release wrote it.
    """

    BUDGET = "budget"
    SATURATED = "saturated"
    FITTED = "fitted"
    INTERRUPTED = "interrupted"
    DIVERGED = "diverged"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Outcome:
    """What a run ended with.

    Parameters
    ----------
    reason
        Why it ended.
    signal
        Which one interrupted it, of SIGNALS; None where none did, or nobody has noted which.
    cut_to_head
        Whether only the head was trained, as the time was too short for the stages that were asked for.
    sampled
        Whether it had only a sample of the images, as decoding all of them would have taken too long.
    train_images, val_images
        How many images it had, those of the sample where it had one; None where that is not known.
    halved_batch
        Images a step in the end, over all processes, where memory was too short for what was asked; None
        where it was enough.
    steps, images
        Training steps taken, and images seen in them, over all processes; None where that is not known.
    unused_seconds
        That were left, if they were many: too few for another step and what has to follow.

    Raises
    ------
    OutcomeError
        A field is not what it has to be; or there is a signal, though none interrupted the run.
    """

    reason: StopReason
    signal: str | None = None
    cut_to_head: bool = False
    sampled: bool = False
    train_images: int | None = None
    val_images: int | None = None
    halved_batch: int | None = None
    steps: int | None = None
    images: int | None = None
    unused_seconds: float = 0.0

    def __post_init__(self) -> None:
        check_fields(self, _RULES, OutcomeError)
        if self.signal is not None and self.reason is not StopReason.INTERRUPTED:
            raise OutcomeError(
                f"signal: {shown(self.signal)}, where the reason is '{self.reason.value}'; "
                "null would be right"
            )

    def __str__(self) -> str:
        """Why it ended, as people say it."""
        by = {"SIGINT": "Ctrl-C", "SIGHUP": "SIGHUP (its terminal was closed)"}
        return _WORDS[self.reason] + (f" by {by.get(self.signal, self.signal)}" if self.signal else "")

    @property
    def exit_status(self) -> int:
        """Of a process that ends with the run: 0, or 128 and the number of the signal that interrupted it."""
        if self.reason is not StopReason.INTERRUPTED:
            return 0
        return 128 + signal.Signals[self.signal or "SIGINT"]

    @property
    def sample_counts(self) -> dict[str, int]:
        """How many images a sample had, as a dataset's profile calls them; empty where the run had all."""
        counts = {"train_images": self.train_images, "val_images": self.val_images}
        return {name: count for name, count in counts.items() if self.sampled and count}

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {
            "reason": self.reason.value
        }

    @classmethod
    def from_json(cls, data: Any) -> Outcome:
        """The inverse of `to_json`; what is left out, but for the reason, is as by default.

        Raises
        ------
        OutcomeError
            Not a mapping, no reason, a field that there is not, or one that is not what it has to be.
        """
        if not isinstance(data, Mapping):
            raise OutcomeError(f"outcome: {shown(data)} is not an object with the fields of an outcome")
        check_names("outcome", data, _RULES, OutcomeError)
        if "reason" not in data:
            raise OutcomeError(f"reason: is missing; it is {_RULES['reason'].what}")
        return cls(**data)


def _as_reason(place: str, value: Any) -> Any:
    kept = _REASON.convert(place, value)
    return kept if kept is WRONG else StopReason(kept)


_REASON = one_of([reason.value for reason in StopReason])
_COUNT = or_none(whole(0, MAX_COUNT))
_FLAG = Rule("true or false", lambda _, value: value if isinstance(value, bool) else WRONG)
_RULES: dict[str, Rule] = {
    "reason": Rule(_REASON.what, _as_reason, _REASON.hint),
    "signal": or_none(one_of(SIGNALS)),
    "cut_to_head": _FLAG,
    "sampled": _FLAG,
    "train_images": _COUNT,
    "val_images": _COUNT,
    "halved_batch": or_none(whole(1, MAX_COUNT)),
    "steps": _COUNT,
    "images": _COUNT,
    "unused_seconds": SECONDS,
}
_WORDS = {
    StopReason.BUDGET: "its time was used",
    StopReason.SATURATED: "saturated: every validation image was right, several times in a row",
    StopReason.FITTED: "done: the head is fitted, and more time would not change it",
    StopReason.INTERRUPTED: "interrupted",
    StopReason.DIVERGED: "diverged",
    StopReason.FAILED: "failed",
    StopReason.UNKNOWN: "not known how",
}
NOT_KNOWN = Outcome(StopReason.UNKNOWN)
"""Of a run that is not over, or of which nobody says how it ended."""
