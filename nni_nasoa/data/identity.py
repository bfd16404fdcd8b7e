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
from typing import NamedTuple

from nni_nasoa.files import read_json

from .arrays import NotInTimeError
from .content import SETTLED, file_digest, keep, memo_path
from .parallel import in_threads
from .place import Place, Where, begin_of
from .time_left import Left, check_left, no_end
from .walk import BEGINNING_SUFFIXES, begins_as_image, suffix_of

PIECE = 4096  # bytes of each of the three
_AGAIN = ", or start again: what is known of them is kept"
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


def identities(
    place: Place, files: Sequence[str], times: str, newest: float, left: Left = no_end
) -> Identities:
    """The identities of a dataset's files.

    Those that were found before the time was over are kept, and not looked for again.

    Parameters
    ----------
    place, files
        Where they are, and their names. What is no file, or no image, or cannot be read, is known by its
        name.
    times, newest
        As `stat_digest` gives them.
    left
        Seconds that may still be taken.

    Raises
    ------
    NotInTimeError
        No time is left.
    """
    memo, keys = memo_path(place).with_suffix(".identities.json"), list[int]()
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_json(memo)
        if kept["times"] == times and len(kept["keys"]) == len(files) and "copies" in kept:
            return Identities(dict(zip(files, kept["keys"])), kept["copies"])
        if kept["times"] == times and "copies" not in kept:
            keys = kept["keys"][: len(files)]

    def keep_found(**more: object) -> None:
        if newest < time.time() - SETTLED:
            with suppress(OSError):  # a cache that cannot be written says so elsewhere
                keep(memo, {"times": times, "keys": keys, **more})

    chunks = [files[start : start + _CHUNK] for start in range(len(keys), len(files), _CHUNK)]
    try:
        for found in in_threads(lambda chunk: [_pieces(place, file) for file in chunk], chunks):
            keys += found
            check_left(left, f"{len(keys)} of {len(files)} are known", _AGAIN)
    except NotInTimeError:
        keep_found()
        raise
    told_apart, alike = _told_apart(place, dict(zip(files, keys)))
    made = Identities(told_apart, _copies(place, alike))
    keys = [*told_apart.values()]
    keep_found(copies=made.copies)
    return made


def hashed(content: bytes) -> int:
    """A number from 0 to 2^64 - 1, the same for the same bytes."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _of_path(file: str) -> int:
    return hashed(b"path " + os.fsencode(file))


def _pieces(place: Place, file: str) -> int:
    path, begin, size = place.extent(file)
    try:
        # A pipe would be waited for.
        opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return _of_path(file)
    try:
        about = os.fstat(opened)
        size = about.st_size if size is None else size
        if not stat.S_ISREG(about.st_mode) or not size:
            return _of_path(file)
        places = (0,) if size <= 3 * PIECE else (0, size // 2, size - PIECE)
        length = size if size <= 3 * PIECE else PIECE
        return hashed(b"%d " % size + b"".join(os.pread(opened, length, begin + at) for at in places))
    except OSError:
        return _of_path(file)
    finally:
        os.close(opened)


def _told_apart(place: Place, keys: dict[str, int]) -> tuple[dict[str, int], list[str]]:
    """The keys, and the files that have one in common; what is no image is known by its path from now on."""
    number = Counter(keys.values())
    alike = [file for file, key in keys.items() if number[key] > 1]
    images = [*in_threads(lambda file: _may_be_image(file, place.where(file)), alike)]
    others = {file: _of_path(file) for file, image in zip(alike, images) if not image}
    return {**keys, **others}, [file for file, image in zip(alike, images) if image]


def _may_be_image(name: str, where: Where) -> bool:
    """Whether a file begins as images do, or is of a format that begins in any way."""
    if suffix_of(name) not in BEGINNING_SUFFIXES:
        return True
    begin = begin_of(where, 16)
    return begin is not None and begins_as_image(begin)


def _copies(place: Place, files: Sequence[str]) -> list[list[str]]:
    """Those of some files that are the same byte for byte."""
    same = defaultdict(list)
    for file, digest in zip(files, in_threads(lambda file: file_digest(place.extent(file)), files)):
        same[digest].append(file)
    return [paths for paths in same.values() if len(paths) > 1]
