"""The cache of decoded images: made once, by one process, and memory-mapped by all.

An entry is a folder that is complete from the moment it can be seen: it is made under another name and
renamed, under a file lock, so that trials that start together decode once. Entries are never changed. Where a
new one needs room, those go that were not used for longest, but for those in use: an entry's images carry a
shared lock for as long as they are mapped. (Where a file system knows no locks, a deleted file stays with
those who have it mapped.)

Beside the entries there are growing ones (`growing.py`), which are kept and deleted by the same rules.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from nni_nasoa.files import PARTIAL, cache_folder, locked, own_folder, take_lock
from nni_nasoa.values import reason, shown

from .arrays import DatasetError

DEFAULT_LIMIT = "20GB"
GROWING = ".growing"  # how the name of an entry ends that is not whole, and of use all the same
JUST_USED = 60.0  # seconds in which an entry that was asked for is not deleted: it is about to be opened
_UNITS = {
    "": 1,
    "B": 1,
    **{
        f"{unit}{binary}B": base**power
        for binary, base in (("", 1000), ("I", 1024))
        for power, unit in enumerate("KMGT", start=1)
    },
}
T = TypeVar("T")


class CacheError(DatasetError):
    """The cache cannot be read or written, or has no room."""


def cache_limit() -> int:
    """Bytes of decoded images that are kept at most: NASOA_CACHE_LIMIT ("500MB", "1.5TB"), or 20 GB.

    Raises
    ------
    DatasetError
        The environment variable does not say a size.
    """
    text = os.environ.get("NASOA_CACHE_LIMIT") or DEFAULT_LIMIT
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?I?B?)", text.strip().upper())
    unit = match and match[2] + ("B" if match[2] and not match[2].endswith("B") else "")
    if not match or unit not in _UNITS:
        raise DatasetError(
            f"NASOA_CACHE_LIMIT: {shown(text)} is not a size; give bytes, or a number with MB, GB or TB, "
            f"such as {DEFAULT_LIMIT}"
        )
    return int(min(float(match[1]) * _UNITS[unit], 2.0**62))  # a number of 400 digits is infinite


def has_entry(key: Mapping[str, Any]) -> bool:
    """Whether `open_entry` would find an entry; that it was asked for does not count as a use of it."""
    return entry_path(key).is_dir()


def entry_path(key: Mapping[str, Any]) -> Path:
    """Where the entry is that a key stands for, if there is one."""
    return _images_folder() / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]


def growing_path(key: Mapping[str, Any]) -> Path:
    """Where the growing entry is that a key stands for, if there is one."""
    return entry_path(key).with_suffix(GROWING)


def entry_names(suffix: str = "") -> set[str]:
    """Names of the entries, or of the growing ones."""
    with suppress(OSError):
        return {name for name in os.listdir(_images_folder()) if os.path.splitext(name)[1] == suffix}
    return set()


@contextmanager
def writing(entry: Path, patience: float | None = None) -> Iterator[None]:
    """Be the one process that writes an entry; nobody deletes it meanwhile.

    Parameters
    ----------
    entry
        Its path.
    patience
        Seconds to wait for another process that writes it; None waits for as long as it takes.

    Raises
    ------
    BlockingIOError
        Another process writes it for longer than that.
    CacheError
        The cache cannot be written, also where that shows later.
    """
    with clear_errors("write to", entry.parent):
        own_folder(entry.parent)
        with locked(_lock(entry), patience=patience):
            yield


def delete_entry(entry: Path) -> None:
    """Delete an entry, by the process that holds its lock; renamed first, so that nobody finds half of it."""
    partial = _new_partial(entry)
    try:
        os.rename(entry, partial / "gone")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def open_entry(key: Mapping[str, Any], build: Callable[[Path], None], load: Callable[[Path], T]) -> T:
    """What `load` makes of the folder of the entry that `key` stands for, built first where it is not there.

    An entry that another process deletes before it is loaded, or that was damaged from outside, is built
    again.

    Parameters
    ----------
    key
        What the entry depends on, as JSON values.
    build
        Called with an empty folder that it fills, having called `make_room` where it knows how much that will
        be; called at most once among processes that ask at the same time.
    load
        Called with the folder; raises FileNotFoundError, ValueError, EOFError, KeyError or TypeError where
        something is missing or broken.

    Raises
    ------
    CacheError
        The cache cannot be read or written: no permission, no room.
    """
    entry = entry_path(key)
    folder = entry.parent

    def load_whole() -> T | None:
        with suppress(FileNotFoundError, ValueError, EOFError, KeyError, TypeError):
            return load(entry) if _is_there(entry) else None
        return None

    with clear_errors("read", folder):
        loaded = load_whole()
    if loaded is not None:
        return loaded
    cache_limit()  # what is wrong with it is said before the work
    with clear_errors("write to", folder):
        own_folder(folder)
        with locked(_lock(entry)):  # nobody deletes the entry meanwhile
            loaded = load_whole()
            if loaded is not None:  # another process was faster
                return loaded
            if entry.exists():
                delete_entry(entry)
            _build(entry, build)
            loaded = load(entry)
        make_room()  # not every build has made any
    return loaded


def make_room(size: int = 0) -> None:
    """Delete entries until `size` more bytes fit under the limit and on the disk.

    Those go first that were not used for longest. Entries in use stay, and may hold the cache above its limit
    for a while.

    Raises
    ------
    CacheError
        `size` alone is above the limit, or the disk is too full.
    """
    limit, folder = cache_limit(), _images_folder()
    if size > limit:
        raise CacheError(
            f"image cache: the decoded images take {_in_words(size)}, the limit is {_in_words(limit)}; "
            "set NASOA_CACHE_LIMIT to more, or choose a smaller input size"
        )
    entries = sorted(_entries(folder))
    used, free = sum(bytes_ for _, bytes_, _ in entries), shutil.disk_usage(folder).free
    for _, bytes_, entry in entries:
        if used + size <= limit and size <= free:
            return
        if _delete_unused(entry):
            used, free = used - bytes_, free + bytes_
    if size > free:
        raise CacheError(
            f"image cache: the decoded images take {_in_words(size)}, where {folder} has {_in_words(free)} "
            "left; set NASOA_CACHE to a folder with room"
        )


def map_array(path: Path, mode: Literal["c", "r"] = "c") -> np.ndarray:
    """Map a .npy file, and mark its entry as in use for as long as it is mapped.

    It is mapped copy-on-write: torch asks for arrays that may be written to, and the file stays as it is. One
    that others still write is mapped to be read alone (mode "r").
    """
    with open(path, "rb") as file:
        with suppress(OSError):  # a file system without locks
            take_lock(file, shared=True)  # the lock belongs to the opened file, which the map holds on to
        np.lib.format.read_magic(file)
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, mode, file.tell(), shape, "F" if fortran_order else "C")


@contextmanager
def clear_errors(what: str, folder: Path) -> Iterator[None]:
    """Raise a CacheError of one line in place of an error of the system."""
    try:
        yield
    except BlockingIOError:  # nothing is wrong: another process holds the lock
        raise
    except OSError as error:
        raise CacheError(
            f"image cache: cannot {what} {folder} ({reason(error)}); set NASOA_CACHE to a folder with room"
        ) from error


def _lock(entry: Path) -> Path:
    return entry.with_name(f"{entry.name.partition('.')[0]}.lock")


def _images_folder() -> Path:
    return cache_folder() / "images"


def _is_there(entry: Path) -> bool:
    """Whether an entry exists; notes that it is used now."""
    try:
        os.utime(entry)
    except FileNotFoundError:
        return False
    except OSError:  # a cache that may only be read
        return entry.is_dir()
    return True


def _build(entry: Path, build: Callable[[Path], None]) -> None:
    for stale in entry.parent.glob(
        f"{entry.name}.*{PARTIAL}"
    ):  # left by a killed process: the lock is ours now
        shutil.rmtree(stale, ignore_errors=True)
    partial = _new_partial(entry)
    try:
        build(partial)
        for file in os.scandir(partial):
            os.chmod(file, 0o600)
        os.utime(partial)
        os.rename(partial, entry)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _new_partial(entry: Path) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=PARTIAL, dir=entry.parent))


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each entry was last used, its size in bytes, and its path; half-made ones as well.

    What was used in the future, as of a clock that was set back since, was not used since then.
    """
    latest = time.time() + JUST_USED
    for entry in folder.iterdir():
        with suppress(FileNotFoundError, NotADirectoryError):
            used = entry.stat().st_mtime
            yield used if used <= latest else 0.0, sum(map(_bytes, os.scandir(entry))), entry


def _bytes(file: os.DirEntry) -> int:
    """Bytes of a file; where two entries share it, half of them."""
    about = file.stat()
    written = 512 * about.st_blocks if Path(file.path).parent.suffix == GROWING else about.st_size
    return min(about.st_size, written) // max(1, about.st_nlink)


def _delete_unused(entry: Path) -> bool:
    """Delete an entry that nobody uses, or what a killed process has left of one; whether that was done."""
    with suppress(OSError), locked(_lock(entry), patience=0):
        # Nobody builds it, since the lock is ours.
        if entry.suffix == PARTIAL or (
            abs(time.time() - entry.stat().st_mtime) > JUST_USED and not _is_mapped(entry)
        ):
            delete_entry(entry)
            return True
    return False


def _is_mapped(entry: Path) -> bool:
    for path in entry.glob("*.npy"):
        with open(path, "rb+") as file:
            if not take_lock(file, patience=0):
                return True
    return False


def _in_words(size: float) -> str:
    power = min(4, max(0, len(str(int(size))) - 1) // 3)
    return f"{size / 1000**power:.4g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
