"""What tells an image file from others, whatever it is called: its size, and pieces of its content.

Read are the beginning, the middle and the end of a file, so that it costs little more than to stat it. Files
in which these agree are read as a whole before they count as copies. What was found is kept with a digest of
the files' times, as in `content`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.files import read_json

from .content import SETTLED, file_digest, keep, memo_path
from .parallel import in_threads
from .walk import BEGINNING_SUFFIXES, begins_as_image, suffix_of

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
        The folder, and paths in it. What is no file, or no image, or cannot be read, is known by its path.
    times, newest
        As `stat_digest` gives them.
    """
    memo = memo_path(folder).with_suffix(".identities.json")
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_json(memo)
        if kept["times"] == times and len(kept["keys"]) == len(files):
            return Identities(dict(zip(files, kept["keys"])), kept["copies"])
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    read = in_threads(lambda chunk: [_pieces(folder, file) for file in chunk], chunks)
    found = dict(zip(files, (key for keys in read for key in keys)))
    found, alike = _told_apart(folder, found)
    made = Identities(found, _copies(folder, alike))
    if newest < time.time() - SETTLED:
        with suppress(OSError):  # a cache that cannot be written says so elsewhere
            keep(memo, {"times": times, "keys": [*found.values()], "copies": made.copies})
    return made


def hashed(content: bytes) -> int:
    """A number from 0 to 2^64 - 1, the same for the same bytes."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _of_path(file: str) -> int:
    return hashed(b"path " + os.fsencode(file))


def _pieces(folder: Path, file: str) -> int:
    try:
        # A pipe would be waited for.
        opened = os.open(os.path.join(folder, file), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return _of_path(file)
    try:
        about = os.fstat(opened)
        if not stat.S_ISREG(about.st_mode) or not about.st_size:
            return _of_path(file)
        size = about.st_size
        places = (0,) if size <= 3 * PIECE else (0, size // 2, size - PIECE)
        length = size if size <= 3 * PIECE else PIECE
        return hashed(b"%d " % size + b"".join(os.pread(opened, length, place) for place in places))
    except OSError:
        return _of_path(file)
    finally:
        os.close(opened)


def _told_apart(folder: Path, keys: dict[str, int]) -> tuple[dict[str, int], list[str]]:
    """The keys, and the files that have one in common; what is no image is known by its path from now on."""
    number = Counter(keys.values())
    alike = [file for file, key in keys.items() if number[key] > 1]
    images = [*in_threads(lambda file: _may_be_image(os.path.join(folder, file)), alike)]
    others = {file: _of_path(file) for file, image in zip(alike, images) if not image}
    return {**keys, **others}, [file for file, image in zip(alike, images) if image]


def _may_be_image(path: str) -> bool:
    """Whether a file begins as images do, or is of a format that begins in any way."""
    if suffix_of(path) not in BEGINNING_SUFFIXES:
        return True
    with suppress(OSError), open(path, "rb", buffering=0) as file:
        return begins_as_image(file.read(16))
    return False


def _copies(folder: Path, files: Sequence[str]) -> list[list[str]]:
    """Those of some files that are the same byte for byte."""
    same = defaultdict(list)
    for file, digest in zip(files, in_threads(lambda file: file_digest(os.path.join(folder, file)), files)):
        same[digest].append(file)
    return [paths for paths in same.values() if len(paths) > 1]
