"""Where the images of a dataset are: files of their own, or pieces of larger files, as members of archives.

A piece is known by its file, where in that it begins, and its bytes. So it is read, stated and hashed as a
file is, by any process, without the library that has found it, and nothing is unpacked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .opening import open_bytes, open_image

if TYPE_CHECKING:
    from PIL import Image

MOST_BYTES = 2**28  # of a piece, which is read into memory as a whole


class Piece(NamedTuple):
    """Bytes of a file that are an image: the file's path, where they begin, and how many they are."""

    path: str
    offset: int
    size: int


Where = str | Piece


class Extent(NamedTuple):
    """Of a file, where an image begins, and how many bytes it has; None where it is the whole file."""

    path: str
    offset: int
    size: int | None


@dataclass(frozen=True)
class Place:
    """Where the images of a dataset are, by their names.

    Parameters
    ----------
    folder
        Where names that are relative paths begin.
    pieces
        Those images that are no files of their own.
    known_by
        What tells the dataset from others, by which it is kept what was found out of it; by default the
        folder.
    holds
        What has to be there for as long as the images are.
    """

    folder: Path
    pieces: Mapping[str, Piece] = field(default_factory=dict)
    known_by: str | None = None
    holds: object = None

    @cached_property
    def _prefix(self) -> str:
        return os.path.join(self.folder, "")

    @property
    def key(self) -> str:
        """What tells it from other places."""
        return str(self.folder) if self.known_by is None else self.known_by

    def where(self, name: str) -> Where:
        """An image's path, or its piece of a file."""
        if self.pieces and (piece := self.pieces.get(name)) is not None:
            return piece
        return name if name[:1] == "/" else self._prefix + name

    def open(self, name: str) -> Image.Image:
        """Open an image, whose pixels are not read yet; errors are those of `open_image`."""
        return open_where(self.where(name))

    def extent(self, name: str) -> Extent:
        """An image's file, and which bytes of it."""
        where = self.where(name)
        return Extent(where, 0, None) if isinstance(where, str) else Extent(*where)

    def size(self, name: str) -> int:
        """Bytes of an image; an OSError where there is no such file."""
        where = self.where(name)
        return os.stat(where).st_size if isinstance(where, str) else where.size


def open_where(where: Where) -> Image.Image:
    """Open an image, whose pixels are not read yet; errors are those of `open_image`."""
    return open_image(where) if isinstance(where, str) else open_bytes(read_piece(where))


def begin_of(where: Where, most: int) -> bytes | None:
    """So many first bytes of an image at most; None of what is no file or cannot be read."""
    path, offset, size = (where, 0, most) if isinstance(where, str) else where
    with suppress(OSError):
        if os.path.isfile(path):  # a pipe would be waited for
            with open(path, "rb", buffering=0) as file:
                file.seek(offset)
                return file.read(min(most, size))
    return None


def read_piece(piece: Piece) -> bytes:
    """The bytes of a piece.

    Raises
    ------
    OSError
        They cannot be read, or are more than `MOST_BYTES`.
    """
    if piece.size > MOST_BYTES:
        raise OSError(f"{piece.size} bytes, where {MOST_BYTES} are the most")
    if not piece.size:
        raise OSError("the file is empty")
    with open(piece.path, "rb", buffering=0) as file:
        file.seek(piece.offset)
        content = file.read(piece.size)
    if len(content) < piece.size:
        raise OSError("the file ends in the middle of the image")
    return content
