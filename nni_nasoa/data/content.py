"""A digest of what is in the files of a folder, so that a copy of a folder is known for what it is.

To read all files costs a second or so for each gigabyte, and each trial of a search would do it. So the
digest is kept, with a digest of the files' sizes, times and inodes: while these are as they were, it takes
one stat a file. The bytes are read again where they are not, which is still far cheaper than to decode.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from nni_nasoa.files import cache_folder, own_folder, read_json, write_text

from .parallel import in_threads, progress_bar

SETTLED = 2.0  # seconds without a change, after which another one is sure to show in a file's times
FEW_FILES, FEW_BYTES = 500, 2**25  # are read in some hundredths of a second
_CHUNK = 64  # files a thread reads in one go


def content_digest(folder: Path, files: Sequence[str], show_progress: bool | None = None) -> str:
    """A digest of names and bytes.

    Parameters
    ----------
    folder, files
        The folder, and paths in it; a file that cannot be read counts as such.
    show_progress
        As `progress_bar` takes it.
    """
    folder = folder.resolve()
    now = time.time()
    times, newest = stat_digest(folder, files)
    if kept := _kept(folder, times):
        return kept
    content, all_read = _read(folder, files, show_progress)
    if all_read and newest < now - SETTLED:
        with suppress(OSError):  # a cache that cannot be written says so elsewhere
            keep(memo_path(folder), {"folder": str(folder), "times": times, "content": content})
    return content


def kept_digest(folder: Path, times: str) -> str | None:
    """What `content_digest` gives for files with these `times`, or None where only reading them would tell.

    `times` is the digest that `stat_digest` gives.
    """
    return _kept(folder.resolve(), times)


def quick_digest(folder: Path, files: Sequence[str]) -> str | None:
    """What `content_digest` gives, where they are few and small: to start a process for it takes longer."""
    if len(files) <= FEW_FILES:
        with suppress(OSError):
            if sum(os.path.getsize(os.path.join(folder, file)) for file in files) <= FEW_BYTES:
                return content_digest(folder, files, False)
    return None


def memo_path(folder: Path) -> Path:
    """Where it is kept what was found out of the files of a folder."""
    return cache_folder() / "folders" / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"


def _kept(folder: Path, times: str) -> str | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_json(memo_path(folder))
        if kept["times"] == times:
            return kept["content"]
    return None


def stat_digest(folder: Path, files: Sequence[str]) -> tuple[str, float]:
    """A digest of what changes where a file does, and when that was last.

    The time is that of the inode, which no user sets, in seconds since the epoch.
    """
    prefix, lines, newest = os.path.join(folder, ""), [], 0.0
    for file in files:
        try:
            stat = os.stat(prefix + file)
            times = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"
            newest = max(newest, stat.st_ctime)
        except OSError as error:  # a link that leads nowhere
            times = f"error {error.errno}"
        lines.append(f"{file}\0{times}\0")
    return hashlib.sha256(os.fsencode("".join(lines))).hexdigest(), newest


def _read(folder: Path, files: Sequence[str], show_progress: bool | None) -> tuple[str, bool]:
    """The digest, and whether all files were read, or are known to lead nowhere."""
    digest, all_read = hashlib.sha256(), True
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    with progress_bar(f"{folder.name}: reading", len(files), show_progress) as advance:
        for chunk, results in zip(
            chunks,
            in_threads(lambda chunk: [file_digest(os.path.join(folder, file)) for file in chunk], chunks),
        ):
            for file, result in zip(chunk, results):
                all_read &= result != b"unreadable"
                digest.update(os.fsencode(file) + b"\0" + result)
            advance(len(chunk))
    return digest.hexdigest(), all_read


def file_digest(path: str) -> bytes:
    """A digest of a file's bytes; what stands for it where it is no file or cannot be read."""
    if not os.path.isfile(path):  # nor is a pipe opened, which would wait for ever
        return b"no file"
    try:
        digest = hashlib.sha256()
        with open(path, "rb", buffering=0) as file:
            while block := file.read(1 << 20):
                digest.update(block)
        return digest.digest()
    except OSError:
        return b"unreadable"


def keep(memo: Path, record: dict) -> None:
    """Keep JSON values that were found out, in a file that is the user's own; an OSError where that fails."""
    own_folder(memo.parent)
    write_text(memo, json.dumps(record)).chmod(0o600)
