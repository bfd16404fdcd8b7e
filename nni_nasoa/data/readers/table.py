"""Tables with a column of images and one of labels, whatever they were read from."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from nni_nasoa.data.arrays import DatasetError
from nni_nasoa.data.image_list import ImageList, Label, ListedImage
from nni_nasoa.data.parts import kind_of_part
from nni_nasoa.messages import readable
from nni_nasoa.values import shown

from .held import HeldImages, encoded
from .reader import ReadOptions

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def list_of_table(
    place: str,
    columns: Sequence[str],
    take: Callable[[str], Iterable[Any]],
    options: ReadOptions,
    folder: Path,
    name: str = "",
) -> ImageList:
    """The images of a table.

    Parameters
    ----------
    place
        The table, as messages call it.
    columns
        Names of its columns.
    take
        Gives the values of a column, None where there is none. In the place of paths there may be images
        themselves; see `held.encoded`.
    options
        Which columns are what, and where paths begin.
    folder
        Where they begin otherwise.
    name
        What results call it.

    Raises
    ------
    DatasetError
        There is no such column, or there are URLs in the place of paths. One line.
    """
    notes = []
    chosen = []
    for kind in options.columns._fields:
        try:
            column, note = options.columns.found(kind, columns)
        except DatasetError as error:
            raise DatasetError(f"{place}: {error}") from None
        chosen.append(column)
        notes += [note] if note else []
    path_column, label_column, part_column = chosen
    labels, parts = [*take(str(label_column))], [*take(part_column)] if part_column is not None else []
    told = {str(part) for part in parts if part is not None}
    if options.columns.part is None and not any(map(kind_of_part, told)):
        if part_column is not None:
            notes.append(
                f"column '{part_column}' is not taken for parts, as none of them is train, val or test"
            )
        parts = []
    rows = zip(take(str(path_column)), labels, parts or repeat(None))
    images, without, held = [], 0, None
    for number, (value, label, part) in enumerate(rows):
        path, content = _path_or_content(place, value)
        if content is not None:
            held = held or HeldImages()
            path = f"{number}/{os.path.basename(path)}" if path else str(number)
        if path is None:
            without += 1
            continue
        piece = held.add(content) if held is not None and content is not None else None
        images.append(ListedImage(path, label_of(label), None if part is None else str(part).strip(), piece))
    if without:
        notes.append(f"not used: {without} rows without a path")
    root = folder if options.root is None else options.root
    return ImageList(images, root, notes=tuple(notes), name=name, holds=held)


def _path_or_content(place: str, value: Any) -> tuple[str | None, bytes | None]:
    """A path, or an image itself and what it is called, if that is said."""
    if value is None or isinstance(value, (str, os.PathLike)):
        return _path(place, value), None
    if (content := encoded(value)) is not None:
        return str(value.get("path") or "") if isinstance(value, Mapping) else None, content
    if isinstance(value, Mapping) and isinstance(value.get("path"), str):
        return _path(place, value["path"]), None
    raise DatasetError(f"{place}: {shown(value)} ({type(value).__name__}) is neither a path nor an image")


def label_of(value: Any) -> Label:
    """A label as it is kept: text without blanks around it, a number, or None where there is none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return value.strip() or None
    if value is None or isinstance(value, bool):
        return None if value is None else str(value)
    if isinstance(value, int):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value).strip() or None
    if math.isnan(number):  # as tables have it in the place of no label
        return None
    return int(number) if number.is_integer() else number


def _path(place: str, value: Any) -> str | None:
    """A path as text; None where there is none that a file can have."""
    text = "" if value is None else os.fsdecode(value).strip()
    if _URL.match(text):
        raise DatasetError(
            f"{place}: {shown(readable(text))} is a URL, where the path of a file is needed; download the "
            "images first"
        )
    try:
        os.fsencode(text)
    except UnicodeEncodeError:  # half a character, which no file's name has
        return None
    return text if text and "\0" not in text else None
