"""What was left out of a dataset, and why."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.files import parse_json
from nni_nasoa.messages import quoted, readable, some

LIST_NAME = "bad_files.jsonl"
SUFFIXES = 5  # that a line names


class DatasetWarning(UserWarning):
    """Something of a dataset was left out."""


class BadFile(NamedTuple):
    """An image that could not be read: its path, relative to the folder of the dataset, and the reason."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{readable(self.file)} ({self.reason})"


@dataclass(frozen=True)
class LeftOut:
    """What was left out of a dataset.

    Parameters
    ----------
    images
        Number of image files that were found.
    bad
        Those that could not be read.
    bad_list
        A file of JSON lines that holds `bad`, with keys "file" and "reason"; it lies in the cache. None where
        all could be read.
    empty_classes
        Names of classes without an image to train on, which are none of the dataset.
    others
        Numbers of files that were passed over as they are no images by their names, by suffix, the most
        first; hidden ones do not count.
    copies
        Number of images that are exact copies of others.
    notes
        Lines on what else is not used, or was taken in a way that may not be meant.
    """

    images: int = 0
    bad: tuple[BadFile, ...] = ()
    bad_list: Path | None = None
    empty_classes: tuple[str, ...] = ()
    others: tuple[tuple[str, int], ...] = ()
    copies: int = 0
    notes: tuple[str, ...] = ()

    @property
    def other_files(self) -> int:
        """How many files were passed over as they are no images by their names."""
        return sum(number for _, number in self.others)

    def bad_line(self, comment: str = "") -> str:
        """How many are bad, the first of them, and where to find them all."""
        return (
            f"{len(self.bad)} of {self.images} images cannot be read{comment}; the first: {self.bad[0]}"
            + (f"; all are listed in {self.bad_list}" if self.bad_list is not None else "")
        )

    def lines(self) -> list[str]:
        """What is missing, a line for each kind."""
        parts = [self.bad_line(" and are left out")] if self.bad else []
        if self.empty_classes:
            parts.append(f"classes without images: {some(quoted(self.empty_classes))}")
        if self.others:
            parts.append(f"passed over as no images by their names: {files_by_suffix(self.others)}")
        return [*parts, *self.notes]

    def summary(self) -> str | None:
        """One line about what is missing; None where nothing is."""
        return "; ".join(self.lines()) or None


def files_by_suffix(others: Sequence[tuple[str, int]]) -> str:
    """How many files there are, and of which suffixes most of them are."""
    total = sum(number for _, number in others)
    named = [
        f"{number} {readable(suffix) if suffix else 'without a suffix'}"
        for suffix, number in others[:SUFFIXES]
    ]
    more = [f"{len(others) - SUFFIXES} more kinds"] if len(others) > SUFFIXES else []
    return f"{total} file{'s' if total > 1 else ''} ({', '.join((*named, *more))})"


def warn_of(left_out: LeftOut, name: str) -> None:
    """Warn of what is missing, naming the line outside of this room that opens the dataset."""
    if line := left_out.summary():
        level, frame = 1, sys._getframe()
        while frame.f_back is not None and frame.f_globals.get("__package__") == __package__:
            level, frame = level + 1, frame.f_back
        warnings.warn(f"{name}: {line}", DatasetWarning, stacklevel=level)


def write_bad_files(folder: Path, bad: Iterable[BadFile]) -> None:
    """Write the list of bad files into a folder."""
    with open(folder / LIST_NAME, "w", encoding="ascii") as file:
        file.writelines(json.dumps(item._asdict()) + "\n" for item in bad)


def read_bad_files(folder: Path) -> tuple[BadFile, ...]:
    """Read what `write_bad_files` has written."""
    with open(folder / LIST_NAME, encoding="ascii") as file:
        return tuple(BadFile(**parse_json(line)) for line in file)
