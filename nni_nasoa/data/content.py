"""A digest of what is in the files of a folder, so that a copy of a folder is known for what it is.

To read all files costs a second or so for each gigabyte, and each trial of a search would do it. So the
digest is kept, with a digest of the files' sizes, times and inodes: while these are as they were, it takes
one stat a file. The bytes are read again where they are not, which is still far cheaper than to decode.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nni_nasoa.files import cache_folder, own_folder, read_json, write_text

from .parallel import in_threads, progress_bar
from .place import Extent, Place
from .time_left import Left, check_left, no_end

SETTLED = 2.0  # seconds without a change, after which another one is sure to show in a file's times
FEW_FILES, FEW_BYTES = 500, 2**25  # are read in some hundredths of a second
_CHUNK = 64  # files a thread reads in one go
_BLOCK = 2**20  # bytes that are read at once
_LOOK = 4096  # files between two looks at the clock


def content_digest(place: Place, files: Sequence[str], show_progress: bool | None = None) -> str:
    """A digest of names and bytes.

    Parameters
    ----------
    place, files
        Where they are, and their names; a file that cannot be read counts as such.
    show_progress
        As `progress_bar` takes it.
    """
    now = time.time()
    times, newest = stat_digest(place, files)
    if kept := kept_digest(place, times):
        return kept
    content, all_read = _read(place, files, show_progress)
    if all_read and newest < now - SETTLED:
        with suppress(OSError):  # a cache that cannot be written says so elsewhere
            keep(memo_path(place), {"folder": place.key, "times": times, "content": content})
    return content


def kept_digest(place: Place, times: str) -> str | None:
    """What `content_digest` gives for files with these `times`, or None where only reading them would tell.

    `times` is the digest that `stat_digest` gives.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_json(memo_path(place))
        if kept["times"] == times:
            return kept["content"]
    return None


def quick_digest(place: Place, files: Sequence[str]) -> str | None:
    """What `content_digest` gives, where they are few and small: to start a process for it takes longer."""
    if len(files) <= FEW_FILES:
        with suppress(OSError):
            if sum(map(place.size, files)) <= FEW_BYTES:
                return content_digest(place, files, False)
    return None


def memo_path(place: Place) -> Path:
    """Where it is kept what was found out of the files of a dataset."""
    return cache_folder() / "folders" / f"{hashlib.sha256(os.fsencode(place.key)).hexdigest()[:32]}.json"


def stat_digest(place: Place, files: Sequence[str], left: Left = no_end) -> tuple[str, float]:
    """A digest of what changes where a file does, and when that was last.

    The time is that of the inode, which no user sets, in seconds since the epoch.

    Raises
    ------
    NotInTimeError
        No time is left.
    """
    lines, newest = [], 0.0
    for number, file in enumerate(files):
        if not number % _LOOK:
            check_left(left, f"{number} of {len(files)} were statted")
        where = place.where(file)
        try:
            if isinstance(where, str):
                stat, piece = os.stat(where), ""
            else:
                stat, piece = os.stat(where.path), f"{where.offset} {where.size} "
            times = f"{piece}{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
            newest = max(newest, stat.st_ctime)
        except OSError as error:  # a link that leads nowhere
            times = f"error {error.errno}"
        lines.append(f"{file}\0{times}\0")
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest(), newest


def _read(place: Place, files: Sequence[str], show_progress: bool | None) -> tuple[str, bool]:
    """The digest, and whether all files were read, or are known to lead nowhere."""
    digest, all_read = hashlib.sha256(), True
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    with progress_bar(f"{os.path.basename(place.key)}: reading", len(files), show_progress) as advance:
        for chunk, results in zip(
            chunks,
            in_threads(lambda chunk: [file_digest(place.extent(file)) for file in chunk], chunks),
        ):
            for file, result in zip(chunk, results):
                all_read &= result != b"unreadable"
                digest.update(os.fsencode(file) + b"\0" + result)
            advance(len(chunk))
    return digest.hexdigest(), all_read


def file_digest(extent: Extent) -> bytes:
    """A digest of a file's bytes; what stands for it where it is no file or cannot be read."""
    path, offset, size = extent
    if not os.path.isfile(path):  # nor is a pipe opened, which would wait for ever
        return b"no file"
    try:
        digest = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:
            if offset:
                file.seek(offset)
            left = sys.maxsize if size is None else size
            while block := file.read(min(_BLOCK, left)):
                digest.update(block)
                left -= len(block)
        return digest.digest()
    except OSError:
        return b"unreadable"


def keep(memo: Path, record: dict) -> None:
    """Keep JSON values that were found out, in a file that is the user's own; an OSError where that fails."""
    own_folder(memo.parent)
    write_text(memo, json.dumps(record)).chmod(0o600)
