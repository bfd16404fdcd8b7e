"""What tells an image file from others, whatever it is called: its size, and pieces of its content.

Read are the beginning, the middle and the end of a file, so that it costs little more than to stat it. Files
in which these agree are read as a whole before they count as copies. What was found is kept with a digest of
the files' times, as in `content`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.files import write_text

from .content import SETTLED, file_digest, memo_path
from .parallel import in_threads

PIECE = 4096  # bytes of each of the three
_CHUNK = 64  # files a thread reads in one go


class Identities(NamedTuple):
    """What a folder's files are.

    Parameters
    ----------
    keys
        A number from 0 to 2^64 - 1 by path, the same for the same content.
    copies
        Paths of files that are the same byte for byte, those of two or more that are.
    """

    keys: Mapping[str, int]
    copies: Sequence[Sequence[str]]


def identities(folder: Path, files: Sequence[str], times: str, newest: float) -> Identities:
    """The identities of files in a folder.

    Parameters
    ----------
    folder, files
        The folder, and paths in it. What is no file, or empty, or cannot be read, is known by its path.
    times, newest
        As `stat_digest` gives them.
    """
    memo = memo_path(folder).with_suffix(".identities.json")
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(memo.read_text())
        if kept["times"] == times and len(kept["keys"]) == len(files):
            return Identities(dict(zip(files, kept["keys"])), kept["copies"])
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    read = in_threads(lambda chunk: [_pieces(folder, file) for file in chunk], chunks)
    found = dict(zip(files, (key for keys in read for key in keys)))
    made = Identities(found, _copies(folder, found))
    if newest < time.time() - SETTLED:
        with suppress(OSError):  # a cache that cannot be written says so elsewhere
            memo.parent.mkdir(parents=True, exist_ok=True)
            write_text(memo, json.dumps({"times": times, "keys": [*found.values()], "copies": made.copies}))
    return made


def hashed(content: bytes) -> int:
    """A number from 0 to 2^64 - 1, the same for the same bytes."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _pieces(folder: Path, file: str) -> int:
    try:
        # A pipe would be waited for.
        opened = os.open(os.path.join(folder, file), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return hashed(b"path " + os.fsencode(file))
    try:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode) or not about.st_size:
            return hashed(b"path " + os.fsencode(file))
        size = about.st_size
        places = (0,) if size <= 3 * PIECE else (0, size // 2, size - PIECE)
        length = size if size <= 3 * PIECE else PIECE
        return hashed(b"%d " % size + b"".join(os.pread(opened, length, place) for place in places))
    except OSError:
        return hashed(b"path " + os.fsencode(file))
    finally:
        os.close(opened)


def _copies(folder: Path, keys: Mapping[str, int]) -> list[list[str]]:
    """Files that are the same byte for byte."""
    alike = defaultdict(list)
    for file, key in keys.items():
        alike[key].append(file)
    several = [file for files in alike.values() if len(files) > 1 for file in files]
    same = defaultdict(list)
    for file, digest in zip(
        several, in_threads(lambda file: file_digest(os.path.join(folder, file)), several)
    ):
        same[digest].append(file)
    return [files for files in same.values() if len(files) > 1]
