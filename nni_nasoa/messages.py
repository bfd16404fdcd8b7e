"""Names in messages: whatever they hold, and however many there are, a message is one short line."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from .values import one_line

MAX_LISTED, MAX_MESSAGE = 400, 900  # Characters of the names in a message, and of a whole one.


def readable(name: str) -> str:
    """A name as it can be printed on one line: what is no printable text in it is escaped."""
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        else character
        for character in name
    )


def some(names: Sequence[str], most: int = 5) -> str:
    """The first of some names, as far as MAX_LISTED characters go, and how many more there are."""
    taken: list[str] = []
    for name in names[:most]:
        if taken and len(", ".join((*taken, name))) > MAX_LISTED:
            break
        taken.append(one_line(name, MAX_LISTED))
    more = f" and {len(names) - len(taken)} more" if len(names) > len(taken) else ""
    return ", ".join(taken) + more


def quoted(names: Iterable[str]) -> list[str]:
    """Names as they stand in messages."""
    return [f"'{readable(name)}'" for name in names]


def cut_in_the_middle(text: str, most: int) -> str:
    """A text of at most so many characters, with its beginning and its end."""
    end = (most - 3) // 2
    return text if len(text) <= most else f"{text[: most - 3 - end]}...{text[-end:]}"
