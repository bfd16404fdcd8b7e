"""The readers that there are: those of this package, those that were registered, and those of others."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from nni_nasoa.data.arrays import DatasetError
from nni_nasoa.values import reason

from .reader import DatasetReader, FolderReader

ENTRY_POINTS = "nni_nasoa.dataset_readers"

_READERS: dict[str, DatasetReader] = {}


def register_reader(reader: DatasetReader) -> None:
    """Make a form of datasets known; of two that recognise a dataset, the one that came last reads it.

    Raises
    ------
    ValueError
        There is already one of this name.
    """
    if reader.name in _READERS:
        raise ValueError(f"readers: there is already a reader '{reader.name}'")
    _READERS[reader.name] = reader


def reader_names() -> list[str]:
    """Names of the readers, in the order in which they were registered."""
    load_installed()
    return list(_READERS)


def reader_of(given: Any) -> DatasetReader | None:
    """The reader that recognises a dataset by its name or its type; None where none does.

    Raises
    ------
    DatasetError
        A reader of another package cannot be loaded. One line.
    """
    reader = _first(lambda reader: reader.recognises(given))
    if reader is None and not (isinstance(given, Path) and os.path.isdir(given)):
        load_installed()
        reader = _first(lambda reader: reader.recognises(given))
    return reader


def reader_of_folder(folder: Path, files: Sequence[str], folders: Sequence[str]) -> DatasetReader | None:
    """The reader that recognises a folder by what is in it, if one does; see `FolderReader`."""
    return _first(
        lambda reader: isinstance(reader, FolderReader) and reader.recognises_folder(folder, files, folders)
    )


@cache
def load_installed() -> None:
    """Register the readers of packages that are installed, once.

    To find them takes some hundredths of a second, which a folder of images need not wait for: they are asked
    about what nobody else knows.

    Raises
    ------
    DatasetError
        One cannot be loaded. One line.
    """
    from importlib.metadata import entry_points  # it takes its time to load

    for point in entry_points(group=ENTRY_POINTS):
        try:
            register_reader(point.load())
        except Exception as error:  # a package of others can fail in any way
            raise DatasetError(
                f"reader '{point.name}' of {point.value}: cannot be loaded ({reason(error)})"
            ) from error


def _first(recognises: Callable[[DatasetReader], bool]) -> DatasetReader | None:
    return next((reader for reader in reversed(_READERS.values()) if recognises(reader)), None)
