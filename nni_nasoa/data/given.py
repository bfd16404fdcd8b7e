"""What a dataset is given as: a path, of which a reader or the folder itself takes care, or an object."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path
from typing import Any

from nni_nasoa.values import shown

from .arrays import DatasetError, ImageSplit
from .columns import Columns, parsed
from .folder import Folder
from .image_files import ImageFiles
from .image_list import ImageList, Table
from .named import known_name
from .read_files import ReadFiles
from .readers import ReadOptions, reader_of

StrPath = str | os.PathLike[str]
Source = StrPath | ImageSplit | ImageList | Table


class Kind(Enum):
    """As what a dataset is given."""

    NAME = "a name"
    FILES = "files"
    ARRAYS = "arrays"


def files_at(path: StrPath, columns: Columns, root: StrPath | None) -> ImageFiles:
    """What is at a path: of a form that a reader knows, or a folder of images.

    Parameters
    ----------
    path
        As a user writes it, maybe with columns.
    columns
        Which count before those.
    root
        Where relative paths begin in a file that lists images.

    Raises
    ------
    DatasetError
        A reader cannot be loaded. One line.
    """
    text, named = parsed(os.fspath(path))
    options = ReadOptions(named.but(columns), _folder(root))
    place = Path(os.path.expanduser(text))
    if text and (reader := reader_of(place)) is not None:
        return ReadFiles(place, reader, options)
    return Folder(text, options)


def check_columns(source: StrPath, columns: Columns) -> None:
    """Raise a DatasetError where columns are spelled wrong, or named of what is known by a name."""
    columns = parsed(os.fspath(source))[1].but(columns)
    if columns != Columns() and known_name(str(source)) is not None:
        raise DatasetError(f"dataset: {shown(str(source))} is no table, of which columns could be named")


def check_geometry(source: Source, geometry: str | None) -> None:
    """Raise a DatasetError where a geometry is asked for of images that are decoded in their own way."""
    by_name = isinstance(source, (str, os.PathLike)) and known_name(str(source)) is not None
    if geometry is not None and (by_name or isinstance(source, ImageSplit)):
        name = source.name if isinstance(source, ImageSplit) else str(source)
        raise DatasetError(
            f"geometry: {shown(geometry)} is for images in files; leave it out with {shown(name)}"
        )


def in_memory(given: Any, columns: Columns, root: StrPath | None) -> ImageList:
    """The images of an object that a reader knows.

    Raises
    ------
    DatasetError
        None does, or the reader cannot read it. One line.
    """
    reader = reader_of(given)
    if reader is None:
        raise DatasetError(
            f"dataset: {type(given).__name__} is neither a name, nor a folder or file, nor a table of "
            "pandas, nor an ImageSplit"
        )
    return reader.read(given, ReadOptions(columns, _folder(root)))


def whole_path(path: StrPath, base: StrPath) -> str:
    """A path, absolute: a relative one begins at a folder, "~" is the home; no text is no path, and stays."""
    return str((Path(base) / Path(path).expanduser()).absolute()) if os.fspath(path) else ""


def _folder(root: StrPath | None) -> Path | None:
    return None if root is None else Path(os.path.expanduser(root))
