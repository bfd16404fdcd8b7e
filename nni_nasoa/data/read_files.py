"""A dataset that a reader lists: a table of paths, shards, or what else there is a reader for."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.messages import readable
from nni_nasoa.values import MAX_REASON, one_line, reason

from .arrays import DatasetError
from .columns import spelled
from .image_files import ImageFiles, PartImages
from .image_list import ImageList
from .listed import Listed, listed
from .listing import Listing
from .parts import TRAIN
from .place import Place
from .readers import DatasetReader, ReadOptions

PATTERN = frozenset("*?[{")  # of which one is in the path of several files


def name_of_path(given: str | os.PathLike[str]) -> str:
    """The last part of a path as a user writes it, on one line."""
    path = os.path.expanduser(given)
    with suppress(ValueError):  # a zero byte, which is in no path
        path = os.path.realpath(path)
    return readable(os.path.basename(path)) or "/"


class _Read(NamedTuple):
    """What was read: the images that are used, where they are, and what tells their labels and parts."""

    listed: Listed
    place: Place
    digest: str


class ReadFiles(ImageFiles):
    """The images of a dataset that a reader recognises.

    Parameters
    ----------
    given
        Its path; or a list of images.
    reader, options
        Of a path: what reads it, and how.
    """

    form = "listed"

    def __init__(
        self,
        given: Path | ImageList,
        reader: DatasetReader | None = None,
        options: ReadOptions | None = None,
    ):
        super().__init__()
        self._given, self._reader, self._options = given, reader, options or ReadOptions()

    @cached_property
    def name(self) -> str:
        """What results call it: of a path the last part."""
        return self._given.name if isinstance(self._given, ImageList) else name_of_path(self._given)

    @property
    def identity(self) -> str:
        """Its absolute path, with the columns that the user has named; the name of what has no path."""
        if isinstance(self._given, ImageList):
            return self.name
        return spelled(os.path.abspath(self._given), self._options.columns)

    @property
    def title(self) -> str:
        """Its path, where it has one."""
        return self.name if isinstance(self._given, ImageList) else readable(str(self._given))

    @cached_property
    def _read(self) -> _Read:
        images = self._images()
        found = listed(images, self.title)
        pieces = {image.path: image.piece for image in images.images if image.piece is not None}
        about = [found.classes, [*found.listing.train], found.listing.val]
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        key = f"{self.name} {digest}" if isinstance(self._given, ImageList) else os.path.abspath(self._given)
        place = Place(Path(os.path.abspath(images.root)), pieces, key, images.holds)
        files = [file.path for part in found.by_part.values() for file in part]
        if not pieces and not any(map(os.path.exists, map(str, map(place.where, files)))):
            first = readable(str(place.where(files[0])))
            raise DatasetError(
                f"{self.title}: no image found: none of {len(files)} paths is that of a file; the first: "
                f"{first}; --root names the folder in which they begin"
            )
        return _Read(found, place, digest)

    def _images(self) -> ImageList:
        if isinstance(self._given, ImageList):
            return self._given
        self.check()
        assert self._reader is not None
        return self._reader.read(self._given, self._options)

    @property
    def place(self) -> Place:
        """Where the images are."""
        return self._read.place

    @property
    def listing(self) -> Listing:
        """The images that are trained and validated on."""
        return self._read.listed.listing

    @property
    def listed(self) -> str:
        """What tells the labels and parts."""
        return self._read.digest

    @property
    def parts(self) -> Mapping[str, str]:
        """The parts that there are, by their kinds."""
        there = self._read.listed.by_part
        return {kind: "" if kind == TRAIN and len(there) == 1 else f"the part {kind}" for kind in there}

    def of_parts(self, kinds: Sequence[str]) -> PartImages:
        """The images of some parts."""
        found = self._read.listed
        return PartImages(found.classes, [file for kind in kinds for file in found.by_part[kind]])

    def missing(self, kind: str) -> str:
        """What is missing where a part is."""
        return f"part {kind}"

    def check(self) -> None:
        """Raise a DatasetError where there is no such file; of a pattern that shows when it is read."""
        if isinstance(self._given, ImageList) or PATTERN & {*str(self._given)}:
            return
        try:
            os.stat(self._given)
        except (OSError, ValueError, RuntimeError) as error:
            name = one_line(readable(str(self._given)), MAX_REASON)
            raise DatasetError(f"dataset: '{name}' cannot be opened ({reason(error)})") from error
