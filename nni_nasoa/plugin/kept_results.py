"""Results that outlive the trial, and the NNI manager, that they were for."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import click

from nni_nasoa.files import read_json, take_lock, write_text


class KeptResults:
    """The results that trials of this experiment reported on this machine: a JSON file for each.

    A resumed experiment may hand out an architecture that was evaluated before it stopped; its result is then
    reported again, and not worked out again.

    Parameters
    ----------
    folder
        Where the files are; None keeps nothing.
    key
        The field of a result that says what was to be done.
    speaker
        Who tells the user.
    """

    def __init__(self, folder: Path | None, key: str = "architecture", speaker: str = "search_trial") -> None:
        self.folder, self._key, self._speaker = folder, key, speaker

    @classmethod
    def of_experiment(cls, environ: Mapping[str, str] = os.environ, **options: Any) -> KeptResults:
        """The results beside the trials of the running experiment: .../trials/<trial> makes .../results."""
        given = environ.get("NNI_SYS_DIR") or environ.get("NNI_OUTPUT_DIR")
        trials = Path(given).resolve().parent if given else None
        return cls(
            trials.parent / "results" if trials is not None and trials.name == "trials" else None, **options
        )

    @contextmanager
    def claimed(self, identity: str) -> Iterator[None]:
        """Let no other trial of this experiment on this machine do the same meanwhile; wait where one does.

        A trial outlives an NNI manager that is killed, and a resumed experiment runs it again beside it.
        """
        file = self._lock_file(identity)
        if file is None:
            yield
            return
        with file:  # the lock goes when it is closed, and with a process that is killed
            with suppress(OSError):  # a file system without locks
                if not take_lock(file, patience=0):
                    click.echo(
                        f"{self._speaker}: {identity}: another trial of this experiment is at it; "
                        "waiting for its result",
                        err=True,
                    )
                    take_lock(file)
            yield

    def _lock_file(self, identity: str) -> BinaryIO | None:
        """A file to lock, or None where there is no folder to write to."""
        if self.folder is None:
            return None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return _path(self.folder, identity, ".lock").open("ab")
        except OSError:
            return None

    def find(self, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
        """The record with this identity, if there is one."""
        if self.folder is None:
            return None
        try:
            record = read_json(_path(self.folder, wanted[self._key]))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and wanted.items() <= record.items() else None

    def keep(self, record: Mapping[str, Any]) -> None:
        """Write a record, so that it is there whole or not at all.

        What cannot be written is said, and not kept.
        """
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(_path(self.folder, record[self._key]), json.dumps(record))
        except OSError as error:
            click.echo(f"{self._speaker}: the result could not be kept in {self.folder}: {error}", err=True)


def _path(folder: Path, identity: str, suffix: str = ".json") -> Path:
    return folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}{suffix}"
