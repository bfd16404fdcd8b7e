"""Is this input right? Rules for values from outside: each is kept in one form, or refused in one line.

The line says where, what is wrong, and what would be right: "threads: 0 is not a whole number from 1 to 256".
A rule is called with the place, the value and the error of the room that asks:

>>> whole(1, 256)("threads", 2, RecordError)
2
"""

from __future__ import annotations

import math
import re
import reprlib
import sys
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from numbers import Integral, Real
from typing import Any

MAX_TEXT, MAX_KEYS, MAX_NUMBER = 500, 200, 1e15
LARGEST = sys.float_info.max  # finite number
MAX_SHOWN, MAX_REASON = 60, 200  # characters in a message: of a value, of another message
MAX_MINUTES = 60 * 24 * 365  # a year is the largest budget
MAX_INPUT_SIZE = 2048  # pixels

# Characters that would write to terminals, or cannot be stored as UTF-8.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?(Z|[+-]\d\d:\d\d))?", re.ASCII)
WRONG = object()
"""What a rule's function returns for a value that it does not allow."""


class InputError(ValueError):
    """A value that a rule does not allow, where no other error is asked for. The message is one line."""


@dataclass(frozen=True)
class Rule:
    """What a value has to be.

    Parameters
    ----------
    what
        It in words, as they follow "is not".
    convert
        Called with the place, for messages about what lies deeper, and the value; returns the value as it is
        kept, or WRONG. Where something deeper is wrong it may also raise an InputError.
    hint
        What is added to the message about a wrong value; by default nothing.
    """

    what: str
    convert: Callable[[str, Any], Any]
    hint: Callable[[Any], str] = lambda _: ""

    def __call__(self, place: str, value: Any, error: type[Exception] = InputError) -> Any:
        """The value as it is kept; an `error` of one line where it is wrong."""
        try:
            kept = self.convert(place, value)
        except InputError as deeper:
            raise error(str(deeper)) from None
        if kept is WRONG:
            raise error(f"{place}: {shown(value)} is not {self.what}{self.hint(value)}")
        return kept

    def allows(self, value: Any) -> bool:
        """Whether a value is right."""
        try:
            return self.convert("", value) is not WRONG
        except InputError:
            return False


# -- kinds of rules --
# Those of many values take all of them at once, which is quick, and look for the wrong
# one where there is one.


def number(low: float, high: float, what: str = "") -> Rule:
    """Numbers in a closed interval, as float; see `above` and `below` for open ends."""

    def convert(_: str, value: Any) -> Any:
        try:
            return float(value) if _is_number(value) and low <= value <= high else WRONG
        except OverflowError:  # a whole number that no float holds, where `high` is infinite
            return WRONG

    return Rule(what or f"a number from {low:g} to {high:g}", convert)


def above(low: float) -> float:
    """The least number above another one."""
    return math.nextafter(low, math.inf)


def below(high: float) -> float:
    """The largest number below another one."""
    return math.nextafter(high, -math.inf)


def whole(low: int, high: float = math.inf, what: str = "") -> Rule:
    """Whole numbers in a closed interval, as int; a float is none, even 1.0."""
    return Rule(
        what or f"a whole number from {low}{'' if high == math.inf else f' to {high}'}",
        lambda _, value: int(value) if _is_whole(value) and low <= value <= high else WRONG,
    )


def one_of(allowed: Collection[str]) -> Rule:
    """One of some texts; a close one is suggested."""

    def hint(value: Any) -> str:
        close = close_names(value, allowed) if isinstance(value, str) else []
        return f"; did you mean '{close[0]}'?" if close else ""

    return Rule(
        f"one of {', '.join(allowed)}",
        lambda _, value: value if isinstance(value, str) and value in allowed else WRONG,
        hint,
    )


def text(what: str) -> Rule:
    """Any text that is not blank, as it is: a name, a path."""
    return Rule(what, lambda _, value: value if isinstance(value, str) and value.strip() else WRONG)


def or_none(rule: Rule) -> Rule:
    """None, or what another rule allows."""
    return Rule(
        f"{rule.what}, or null",
        lambda place, value: None if value is None else rule.convert(place, value),
        rule.hint,
    )


def mapping(values: Rule, what: str = f"an object of at most {MAX_KEYS} names and values") -> Rule:
    """A mapping of at most MAX_KEYS texts to what another rule allows, as dict."""

    def convert(place: str, pairs: Any) -> Any:
        if not isinstance(pairs, (dict, Mapping)) or len(pairs) > MAX_KEYS:
            return WRONG
        with suppress(InputError):
            kept = {TEXT(place, key): values.convert(place, value) for key, value in pairs.items()}
            if WRONG not in kept.values():
                return kept
        return {TEXT(place, key): values(f"{place}, {shown(key)}", value) for key, value in pairs.items()}

    return Rule(what, convert)


def list_of(item: Rule, what: str, least: int = 0, most: float = math.inf) -> Rule:
    """A list of what another rule allows, as tuple."""

    def convert(place: str, values: Any) -> Any:
        if not isinstance(values, (list, tuple)) or not least <= len(values) <= most:
            return WRONG
        with suppress(InputError):
            kept = tuple([item.convert(place, value) for value in values])
            if WRONG not in kept:
                return kept
        return tuple(
            [item(f"{place}, entry {number}", value) for number, value in enumerate(values, start=1)]
        )

    return Rule(what, convert)


def check_names(
    place: str,
    given: Iterable[object],
    known: Collection[str],
    error: type[Exception] = InputError,
    unknown: str = "no field",
) -> None:
    """Raise an `error` about the first name that is not known; it says which one may have been meant."""
    for name in given:
        if name not in known:
            raise error(f"{place}: {unknown} {shown(name)}; {suggestion(name, known)}")


def check_fields(
    value: object, rules: Mapping[str, Rule], error: type[Exception] = InputError, place: str = ""
) -> None:
    """Put the fields of a frozen dataclass into the form in which they are kept; for its `__post_init__`.

    The name of a field is the place in messages, after `place`.
    """
    for name, rule in rules.items():
        object.__setattr__(value, name, rule(place + name, getattr(value, name), error))


def check_given(
    given: Collection[object], rules: Mapping[str, Rule], error: type[Exception] = InputError, place: str = ""
) -> None:
    """Raise an `error` about the first name, after `place`, that is missing; it says what it would be."""
    for name, rule in rules.items():
        if name not in given:
            raise error(f"{place}{name}: is missing; it is {rule.what}")


def _is_number(value: Any) -> bool:
    kind = type(value)  # the usual ones first: to ask for a Real takes ten times as long
    return kind is float or kind is int or (isinstance(value, Real) and not isinstance(value, bool))


def _is_whole(value: Any) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, bool))


def _is_text(value: str) -> bool:
    return len(value) <= MAX_TEXT and not _CONTROL.search(value)


def _as_scalar(_: str, value: Any) -> Any:
    if isinstance(value, (bool, type(None))):
        return value
    if isinstance(value, str):
        return value if _is_text(value) else WRONG
    if not _is_number(value) or not -MAX_NUMBER <= value <= MAX_NUMBER:
        return WRONG
    return int(value) if _is_whole(value) else float(value)


def _as_id(_: str, value: Any) -> Any:
    try:
        return value.lower() if str(uuid.UUID(value)) == value.lower() else WRONG
    except (ValueError, AttributeError, TypeError):
        return WRONG


def _as_pattern(_: str, value: Any) -> Any:
    try:
        re.compile(value)
    except (re.error, TypeError):
        return WRONG
    return value if isinstance(value, str) and value else WRONG


def _as_time(_: str, value: Any) -> Any:
    return (isinstance(value, str) and "T" in value and utc(value)) or WRONG


# -- rules that several rooms ask for --

NUMBER = number(-LARGEST, LARGEST, "a number")
POSITIVE = number(above(0), LARGEST, "a positive number")
SHARE = number(0, 1)
PART = number(above(0), below(1), "between 0 and 1")
TRUTH = Rule("a truth value", lambda _, value: value if isinstance(value, bool) else WRONG)
SECONDS = number(0, MAX_NUMBER, "a number of seconds, 0 or more")
POSITIVE_SECONDS = number(above(0), MAX_NUMBER, "a number of seconds above 0")
MINUTES = number(above(0), MAX_MINUTES, f"a number of minutes above 0, up to {MAX_MINUTES} (a year)")
SEED = whole(0, 2**63 - 1, "a whole number from 0 to 2^63 - 1")
INPUT_SIZE = whole(1, MAX_INPUT_SIZE)
TEXT = Rule(
    f"a text of 1 to {MAX_TEXT} characters, without control characters",
    lambda _, value: value if isinstance(value, str) and value.strip() and _is_text(value) else WRONG,
)
SCALAR = Rule(
    f"a number from {-MAX_NUMBER:g} to {MAX_NUMBER:g}, a text of at most {MAX_TEXT} characters "
    "without control characters, true, false or null",
    _as_scalar,
)
ID = Rule("a UUID such as 6f9619ff-8b86-4d01-b42d-00cf4fc964ff", _as_id)
PATTERN = Rule("a regular expression", _as_pattern)
TIME = Rule("a time with its zone such as 2026-01-31T12:00:00Z", _as_time)


# -- times --


def utc(value: str | datetime) -> str | None:
    """A time as ISO 8601 in UTC with microseconds, so that the texts sort as the times do.

    Parameters
    ----------
    value
        A datetime with its zone, or as a text: a date, which is its beginning in UTC, or a date and time with
        their zone.

    Returns
    -------
    None where it is none of these.
    """
    try:
        time = value if isinstance(value, datetime) else _read_time(value)
        if time is None or time.tzinfo is None:
            return None
        return time.astimezone(timezone.utc).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        return None


def _read_time(value: Any) -> datetime | None:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    date, time, fraction, zone = match.groups()
    offset = "+00:00" if zone in ("Z", None) else zone
    return datetime.fromisoformat(f"{date}T{time or '00:00:00'}.{(fraction or '').ljust(6, '0')}{offset}")


def now() -> str:
    """The present time as `utc` gives it."""
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")


# -- texts for messages --


def one_line(text: object, most: int = MAX_TEXT) -> str:
    """A text as one line that the rule TEXT allows; an exception's message, or its name where it has none."""
    line = _CONTROL.sub("?", " ".join(str(text).split()))
    if not line and isinstance(text, BaseException):
        line = type(text).__name__
    return line if len(line) <= most else line[: most - 3] + "..."


def reason(error: BaseException) -> str:
    """Why something failed, as it stands in brackets in another message: one line, shortened."""
    said = error.strerror if isinstance(error, OSError) else None
    return one_line(said or error, MAX_REASON)


class _Written(reprlib.Repr):
    """Writes a value as far as it may be seen: aliases in YAML make lists whose text no memory holds."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 20
        self.maxstring = self.maxlong = 1000

    def repr_instance(self, x: Any, level: int) -> str:  # noqa: ARG002 - reprlib's own swallows errors
        return repr(x)


_WRITTEN = _Written()


def shown(value: Any) -> str:
    """A value as it may stand in a message: short, on one line, as Python writes it; numbers as digits."""
    try:
        written = str(value) if _is_number(value) else _WRITTEN.repr(value)
    except Exception:  # a number of a million digits; what is not ours may raise anything
        written = f"something of type {type(value).__name__}"
    start = "".join(one if one.isprintable() else "?" for one in written[:MAX_SHOWN].replace("\n", " "))
    return start if len(written) <= MAX_SHOWN else start + "..."


def suggestion(given: object, known: Collection[str], otherwise: str = "", most: int = 1) -> str:
    """The end of a message about an unknown name: which ones may have been meant, or else what there is."""
    if close := close_names(given, known, most):
        return f"did you mean {' or '.join(', '.join(map(repr, close)).rsplit(', ', 1))}?"
    return otherwise or f"there are {', '.join(known)}"


def close_names(given: object, known: Iterable[str], most: int = 1) -> list[str]:
    """Those of the known names that may have been meant, the closest first."""
    from difflib import get_close_matches  # few inputs are wrong

    by_lower = {name.lower(): name for name in known}
    return [by_lower[name] for name in get_close_matches(one_line(given).lower(), by_lower, most)]
