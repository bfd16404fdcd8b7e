"""Rules for values from outside: each is kept in one form, or refused in one line that says where, what, and what would be right."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from numbers import Integral, Real
from typing import Any

MAX_TEXT, MAX_KEYS, MAX_NUMBER = 500, 200, 1e15
MAX_MINUTES = 60 * 24 * 365  # of a budget

_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
)  # would write to terminals, or cannot be stored as UTF-8
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d))?", re.ASCII)
WRONG = object()
"""What a rule's function returns for a value that it does not allow."""


class RecordError(ValueError):
    """A record that is not one. The message is one line: the field, what is wrong, what would be right."""


@dataclass(frozen=True)
class Rule:
    """What a value has to be.

    Parameters
    ----------
    what
        It in words, as they follow "is not".
    convert
        Called with the place, for messages about what lies deeper, and the value; returns the value as it is kept, or WRONG.
    """

    what: str
    convert: Callable[[str, Any], Any]

    def __call__(self, place: str, value: Any) -> Any:
        """The value as it is kept; a RecordError where it is wrong."""
        kept = self.convert(place, value)
        if kept is WRONG:
            raise RecordError(f"{place}: {shown(value)} is not {self.what}")
        return kept


def number(low: float, high: float, what: str) -> Rule:
    """Real numbers in a closed interval, as float."""
    return Rule(what, lambda _, value: float(value) if _is_number(value) and low <= value <= high else WRONG)


def whole(low: int, high: int) -> Rule:
    """Whole numbers in a closed interval, as int."""
    return Rule(
        f"a whole number from {low} to {high}",
        lambda _, value: (
            int(value)
            if _is_number(value) and isinstance(value, Integral) and low <= value <= high
            else WRONG
        ),
    )


def one_of(allowed: tuple[str, ...]) -> Rule:
    """One of some texts."""
    return Rule(
        f"one of {', '.join(allowed)}",
        lambda _, value: value if isinstance(value, str) and value in allowed else WRONG,
    )


def or_none(rule: Rule) -> Rule:
    """None, or what another rule allows."""
    return Rule(
        f"{rule.what}, or null", lambda place, value: None if value is None else rule.convert(place, value)
    )


def mapping(values: Rule) -> Rule:
    """A mapping of texts to what another rule allows, as dict."""

    def convert(place, pairs):
        if not isinstance(pairs, (dict, Mapping)) or len(pairs) > MAX_KEYS:
            return WRONG
        kept = {TEXT(place, key): values.convert(place, value) for key, value in pairs.items()}
        return (
            kept
            if WRONG not in kept.values()
            else {key: values(f"{place}, '{key}'", value) for key, value in pairs.items()}
        )

    return Rule(f"an object of at most {MAX_KEYS} names and values", convert)


def list_of(item: Rule, most: int, what: str) -> Rule:
    """A list of what another rule allows, as tuple."""

    def convert(place, values):
        if not isinstance(values, (list, tuple)) or len(values) > most:
            return WRONG
        kept = tuple([item.convert(place, value) for value in values])
        return (
            kept
            if WRONG not in kept
            else [item(f"{place}, item {number}", value) for number, value in enumerate(values, start=1)]
        )

    return Rule(f"a list of at most {most} {what}", convert)


def _is_number(value: Any) -> bool:
    kind = type(value)  # the usual ones first: to ask for a Real takes ten times as long
    return kind is float or kind is int or (isinstance(value, Real) and not isinstance(value, bool))


def _is_text(value: str) -> bool:
    return len(value) <= MAX_TEXT and not _CONTROL.search(value)


def _as_scalar(_, value):
    if isinstance(value, (bool, type(None))):
        return value
    if isinstance(value, str):
        return value if _is_text(value) else WRONG
    if not _is_number(value) or not -MAX_NUMBER <= value <= MAX_NUMBER:
        return WRONG
    return float(value) if isinstance(value, float) or not isinstance(value, Integral) else int(value)


def _as_id(_, value):
    try:
        return value.lower() if str(uuid.UUID(value)) == value.lower() else WRONG
    except (ValueError, AttributeError, TypeError):
        return WRONG


def _as_time(_, value):
    return (isinstance(value, str) and "T" in value and utc(value)) or WRONG


TEXT = Rule(
    f"a text of 1 to {MAX_TEXT} characters, without control characters",
    lambda _, value: value if isinstance(value, str) and value.strip() and _is_text(value) else WRONG,
)
SCALAR = Rule(
    f"a number from {-MAX_NUMBER:g} to {MAX_NUMBER:g}, a text of at most {MAX_TEXT} characters without control characters, "
    "true, false or null",
    _as_scalar,
)
SECONDS = number(0, MAX_NUMBER, "a number of seconds, 0 or more")
POSITIVE_SECONDS = number(math.ulp(0.0), MAX_NUMBER, "a number of seconds above 0")
SHARE = number(0, 1, "a number from 0 to 1")
ID = Rule("a UUID such as 6f9619ff-8b86-4d01-b42d-00cf4fc964ff", _as_id)
TIME = Rule("a time with its zone such as 2026-01-31T12:00:00Z", _as_time)


def utc(value: str | datetime) -> str | None:
    """A time as ISO 8601 in UTC with microseconds, so that the texts sort as the times do.

    Parameters
    ----------
    value
        A datetime with its zone, or as a text: a date, which is its beginning in UTC, or a date and time with their zone.

    Returns
    -------
    None where it is none of these.
    """
    try:
        if isinstance(value, str):
            date, time, fraction, zone = _TIME.fullmatch(value).groups()
            value = f"{date}T{time or '00:00:00'}.{(fraction or '').ljust(6, '0')}{'+00:00' if zone in ('Z', None) else zone}"
            value = datetime.fromisoformat(value)
        return (
            None
            if value.tzinfo is None
            else value.astimezone(timezone.utc).isoformat(timespec="microseconds")
        )
    except (ValueError, OverflowError, AttributeError):
        return None


def now() -> str:
    """The present time as `utc` gives it."""
    return utc(datetime.now(timezone.utc))


def one_line(text: object) -> str:
    """A text as one line that the rule TEXT allows."""
    line = _CONTROL.sub("?", " ".join(str(text).split()))
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 3] + "..."


def shown(value: Any) -> str:
    """A value as it may stand in a message: short, on one line."""
    try:
        text = value if isinstance(value, str) and len(value) > 60 else json.dumps(value)
    except (TypeError, ValueError, RecursionError):  # such as a number of a million digits
        text = f"something of type {type(value).__name__}"
    text = _CONTROL.sub("?", text)
    return text if len(text) <= 60 else text[:60] + "..."
