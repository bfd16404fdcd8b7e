"""The folder that a run saves in: it is empty or a classifier's, and one run's at a time.

Names such as `model.safetensors` are those of other programs, too, so that not a name but what stands in a
file says whose it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from nni_nasoa.files import is_draft, open_lock, parse_json, read_json, take_lock
from nni_nasoa.values import reason, shown

from .classifier import DESCRIPTION, FORMAT, WEIGHTS
from .errors import ClassifierError

EVALUATIONS = "evaluations.jsonl"
LOCK = ".nasoa.lock"  # is there while a run is, and stays where one was killed before it saved anything


@dataclass(frozen=True)
class OutputFolder:
    """A folder that is reserved for a run in this process."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)


@contextmanager
def reserved(folder: str | os.PathLike[str]) -> Iterator[OutputFolder]:
    """Reserve a folder to save in, which is made where there is none.

    Parameters
    ----------
    folder
        Its path; an OutputFolder is reserved already, and stays so.

    Raises
    ------
    ClassifierError
        It cannot be written, holds other things than a classifier, or another run saves there.
    """
    if isinstance(folder, OutputFolder):
        yield folder
        return
    path = Path(folder)
    with _clear_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        _check_owner(path)
        lock = _lock(path)
    try:
        with _clear_errors(path), TemporaryFile(dir=path):
            pass
        yield OutputFolder(path)
    finally:
        with suppress(OSError):
            if (path / WEIGHTS).exists() or os.listdir(path) == [LOCK]:  # else it says whose the rest is
                os.unlink(path / LOCK)
        os.close(lock)


@contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ClassifierError(f"output: cannot write to {path} ({reason(error)})") from None


def _check_owner(path: Path) -> None:
    """Raise a ClassifierError unless a folder is empty or marked as a classifier's."""
    names = sorted(os.listdir(path))
    for name, description in ((WEIGHTS, _described_in_weights), (DESCRIPTION, _read_description)):
        if name in names:
            about = description(path / name)
            if not isinstance(about, dict) or about.get("format") != FORMAT:
                raise ClassifierError(
                    f"output: {name} in {path} is not a classifier of ours, and would be lost; "
                    "give a new folder"
                )
            return  # the weights' mark counts, as a description beside them may have been edited
    others = [name for name in names if not is_draft(name, WEIGHTS, DESCRIPTION)]
    if others and LOCK not in others:
        raise ClassifierError(
            f"output: {path} is not empty and holds no classifier (there is {shown(others[0])}); "
            "give a new folder"
        )


def _described_in_weights(path: Path) -> Any:
    """The description in the metadata of a file of weights; None where it has none."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            return parse_json((file.metadata() or {}).get("classifier", "null"))
    except (SafetensorError, ValueError):
        return None


def _read_description(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return read_json(path)
    except ValueError:
        return None


def _lock(path: Path) -> int:
    """The descriptor of the folder's lock, which this process has; on a file system without locks, too."""
    while True:
        file = open_lock(path / LOCK)
        try:
            with suppress(OSError):
                if not take_lock(file, patience=0):
                    raise ClassifierError(
                        f"output: another run is saving in {path}; give another folder, or wait for its end"
                    )
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file), os.stat(path / LOCK)):
                    return file  # and not one that its holder has just removed
        except BaseException:
            os.close(file)
            raise
        os.close(file)
