"""The cache of decoded images: made once, by one process, and memory-mapped by all.

An entry is a folder that is complete from the moment it can be seen: it is made under another name and renamed, under a
file lock, so that trials that start together decode once. Entries are never changed; any may be deleted at any time.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Mapping

from .arrays import DatasetError


def cache_folder() -> Path:
    """Where decoded images and downloads are kept: the environment variable NASOA_CACHE, or ~/.cache/nni_nasoa."""
    return Path(os.environ.get("NASOA_CACHE") or "~/.cache/nni_nasoa").expanduser()


@contextmanager
def file_lock(path: Path):
    """Hold an exclusive lock between processes on `path`; the lock of a process that dies is free."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached_entry(key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return the folder of the entry that `key` stands for, built first where it is not there.

    Parameters
    ----------
    key
        What the entry depends on, as JSON values.
    build
        Called with an empty folder that it fills; called at most once among processes that ask at the same time.

    Raises
    ------
    DatasetError
        The cache cannot be written: no permission, no room.
    """
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache_folder() / "images"
    entry = folder / digest
    if entry.is_dir():
        return entry
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file_lock(folder / f"{digest}.lock"):
            if not entry.is_dir():
                _build(entry, build)
    except OSError as error:
        reason = error.strerror or error
        raise DatasetError(f"image cache: cannot write to {folder} ({reason}); set NASOA_CACHE to a folder with room") from error
    return entry


def _build(entry: Path, build: Callable[[Path], None]) -> None:
    for stale in entry.parent.glob(f"{entry.name}.*.partial"):  # of a process that was killed; the lock is ours now
        shutil.rmtree(stale, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=".partial", dir=entry.parent))
    try:
        build(partial)
        os.rename(partial, entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
