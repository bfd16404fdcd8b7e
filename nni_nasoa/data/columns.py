"""Which columns of a table are what: given by the user, or found by their usual names.

A dataset's spelling may name them, too: `labels.csv?label=species,part=fold`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

from nni_nasoa.messages import some
from nni_nasoa.values import TEXT, check_names, shown

from .arrays import DatasetError

# The plainest name first: where there are several of them, that is the one.
USUAL: Mapping[str, Sequence[str]] = {
    "path": ("path", "filepath", "imagepath", "file", "filename", "image", "imagefile", "img", "imgpath"),
    "label": ("label", "class", "category", "target", "labelname", "classname", "labels", "cls"),
    "part": ("part", "split", "set", "subset"),
}
_MEANING = {"path": "image paths", "label": "labels", "part": "parts"}
_SPELLED = re.compile(r"(?P<source>.+)\?(?P<columns>(?:path|label|part)=[^/?]*)", re.DOTALL)


class Columns(NamedTuple):
    """Names of the columns of image paths, of labels and of parts; None finds them by their usual names."""

    path: str | None = None
    label: str | None = None
    part: str | None = None

    @classmethod
    def of(cls, given: Any) -> Columns:
        """What a public call was given: a Columns, a mapping, or None.

        Raises
        ------
        DatasetError
            It is neither, or names what there is not. One line.
        """
        if given is None:
            return cls()
        if isinstance(given, cls):
            return cls.of(given._asdict())
        if not isinstance(given, Mapping):
            raise DatasetError(f"columns: {shown(given)} is not an object with path, label and part")
        check_names("columns", given, cls._fields, DatasetError)
        texts = {name: value for name, value in given.items() if value is not None}
        return cls(**{name: TEXT(f"columns, {name}", value, DatasetError) for name, value in texts.items()})

    def but(self, other: Columns) -> Columns:
        """These, and in the place of each that another one names that."""
        return Columns(*(theirs or own for own, theirs in zip(self, other)))

    def found(self, name: str, there: Sequence[str]) -> tuple[str | None, str | None]:
        """A column that is meant, and a line on others that may be.

        Parameters
        ----------
        name
            "path", "label" or "part".
        there
            The columns of the table.

        Raises
        ------
        DatasetError
            The user names one that there is not; or there is none, and it cannot be done without. The
            message is the end of a line.
        """
        given = getattr(self, name)
        if given is not None:
            if given in there:
                return given, None
            raise DatasetError(f"no column {shown(given)}; {_listed(there)}")
        plain = {re.sub(r"[\s_-]+", "", str(column)).lower(): column for column in reversed(there)}
        usual = [plain[one] for one in USUAL[name] if one in plain]
        if usual:
            more = f"{_MEANING[name]} are taken from '{usual[0]}', not from '{usual[-1]}'"
            return usual[0], (f"{more}; --{name}-column names another" if len(usual) > 1 else None)
        if name == "part":
            return None, None
        raise DatasetError(
            f"no column of {_MEANING[name]} ({', '.join(USUAL[name][:5])}); {_listed(there)}; name it with "
            f"--{name}-column"
        )


ANY = Columns()


def _listed(there: Iterable[str]) -> str:
    names = [shown(name) for name in there]
    return f"there are {some(names, 20)}" if names else "there are none"


def parsed(text: str) -> tuple[str, Columns]:
    """A dataset's spelling without its columns, and these.

    Raises
    ------
    DatasetError
        The columns are spelled in another way. One line.
    """
    match = _SPELLED.fullmatch(text)
    if match is None:
        return text, Columns()
    pairs = [pair.partition("=") for pair in match["columns"].split(",")]
    for name, _, value in pairs:
        if name not in Columns._fields or not value:
            raise DatasetError(
                f"dataset: '{text}' is not spelled as 'FILE?path=COLUMN,label=COLUMN,part=COLUMN' is"
            )
    return match["source"], Columns(**{name: unquote(value) for name, _, value in pairs})


def spelled(source: str, columns: Columns) -> str:
    """The inverse of `parsed`.

    It has neither # nor //, behind which NNI takes JSON for a comment where there is JSON in a text.
    """
    pairs = [f"{name}={quote(value, ' ')}" for name, value in columns._asdict().items() if value is not None]
    return f"{source}?{','.join(pairs)}" if pairs else source


def respelled(text: str, columns: Columns) -> str:
    """A dataset's spelling, in which some columns are named in the place of those that it names."""
    source, named = parsed(text)
    return spelled(source, named.but(columns))
