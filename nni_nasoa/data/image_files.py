"""The images of a dataset that come as files, or as pieces of files, and are decoded one by one."""

from __future__ import annotations

import math
import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from nni_nasoa.messages import readable

from .arrays import Holdout, ImageSplit, NotInTimeError
from .content import SETTLED, content_digest, kept_digest, quick_digest, stat_digest
from .decoded import Loaded, Sample, Source
from .earlier import copy_may_be_there, largest_decoded
from .find_rendering import find_rendering
from .fingerprint import fingerprint_of
from .folder_images import Contents, FolderImages
from .identity import Identities, identities
from .left_out import LeftOut
from .listing import Listing
from .place import Place
from .rendering import PLAIN, Rendering
from .split import Split, split_listing
from .time_left import Left, no_end
from .walk import ImageFile

STATS_HOLD = 20  # times as long as it takes to stat all files, before they are statted again
DECODING = 2  # changes with how files are decoded, and those of named datasets are not


class PartImages(NamedTuple):
    """The images of some parts, to judge a classifier by.

    Parameters
    ----------
    classes
        Names of their classes.
    files
        The images.
    others
        Numbers of files beside them that are no images, by suffix, the most first.
    """

    classes: tuple[str, ...]
    files: Sequence[ImageFile]
    others: tuple[tuple[str, int], ...] = ()


class ImageFiles(ABC):
    """Images and their labels, listed when somebody first asks, and once for all who want to know."""

    form = ""  # what it is, in the fingerprint

    def __init__(self) -> None:
        self._marks: dict[str, str] = {}
        self._splits: dict[Holdout, Split] = {}
        self._sources: dict[tuple[Holdout, str | None], Source] = {}
        self._left: Left = no_end
        self._looked = -math.inf, 0.0  # when the files were last statted, and how long that took, in seconds
        self._latest = "", 0.0  # what that gave

    def __getstate__(self) -> dict[str, Any]:
        """All but what another process makes in less time than it would take to hand it over."""
        return {**vars(self), "_sources": {}}

    @property
    @abstractmethod
    def name(self) -> str:
        """What results call it, on one line."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What tells it from others on this machine: an absolute path, where it has one."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What messages call it."""

    @property
    @abstractmethod
    def place(self) -> Place:
        """Where the images are; a DatasetError where they are not."""

    @property
    @abstractmethod
    def listing(self) -> Listing:
        """The images; a DatasetError of one line where they cannot be trained on."""

    @property
    def found(self) -> ImageFiles:
        """The images in the form in which they are there, which shows when that is looked at."""
        return self

    @property
    def listed(self) -> str | None:
        """What tells the labels and parts, where these do not follow from the names of the images."""
        return None

    @property
    @abstractmethod
    def parts(self) -> Mapping[str, str]:
        """What messages call the parts that there are, by their kinds: "train", "val" and "test".

        That to train on has no name where it is no part of its own: what is in no other part.
        """

    @abstractmethod
    def of_parts(self, kinds: Sequence[str]) -> PartImages:
        """The images of some parts that there are."""

    @abstractmethod
    def missing(self, kind: str) -> str:
        """What is missing, in words, where there is no part of a kind."""

    @abstractmethod
    def check(self) -> None:
        """Raise a DatasetError where it is not there."""

    @cached_property
    def _files(self) -> list[str]:
        return sorted(file.path for file in self.listing.files)

    @cached_property
    def _stats(self) -> tuple[str, float]:
        return self._stat()

    def _stat(self) -> tuple[str, float]:
        begin = time.monotonic()
        self._latest = stat_digest(self.place, self._files, self._left)
        self._looked = begin, time.monotonic() - begin
        return self._latest

    def _recent_stats(self) -> tuple[str, float]:
        """The latest, found out anew if they are some time old for as long as it takes: a small share of all.

        What changes meanwhile is noticed before an entry is made of it.
        """
        when, seconds = self._looked
        return self._stat() if time.monotonic() - when > STATS_HOLD * seconds else self._latest

    def look(self, holdout: Holdout, left: Left) -> None:
        """Find out which files there are, and how they are split, in some time; it is known from then on.

        Parameters
        ----------
        holdout
            What is held back for validation.
        left
            Seconds that may still be taken.

        Raises
        ------
        NotInTimeError
            They were too few; one line. What was found out is kept for the next time.
        DatasetError
            It cannot be used, where that shows without opening an image.
        """
        self._left = left
        try:
            self.split(holdout)
        except NotInTimeError as error:
            raise NotInTimeError(f"{readable(self.title)}: {error}") from None
        finally:
            self._left = no_end

    def split(self, holdout: Holdout) -> Split:
        """Its two parts; a DatasetError where nothing is left to validate on."""
        if holdout not in self._splits:
            self._splits[holdout] = split_listing(self.listing, self._identities, holdout)
        return self._splits[holdout]

    def left_out(self, holdout: Holdout) -> LeftOut:
        """What is left out, or may be wrong, as far as that shows without opening an image."""
        split, found = self.split(holdout), self.listing.left_out
        return replace(found, copies=split.copies, notes=(*found.notes, *split.notes))

    @cached_property
    def _identities(self) -> Identities:
        return identities(self.place, self._files, *self._stats, self._left)

    def rendering(self, geometry: str | None) -> Rendering:
        """How its images are rendered, of which some are opened for it where that is not known.

        Parameters
        ----------
        geometry
            That is asked for, here and below; None goes by how oblong the images are.
        """
        return self._rendering if geometry is None else replace(self._rendering, geometry=geometry)

    @cached_property
    def _rendering(self) -> Rendering:
        return find_rendering(self.place, self._files, self._identities.keys, self._stats[0])

    def fingerprint(self, holdout: Holdout, geometry: str | None) -> str:
        """Of its name, of the names, sizes and times of its images, of their labels, and of what is asked."""
        more = [one for one in (geometry, self.listed) if one is not None]
        name = os.path.basename(self.place.key)
        return fingerprint_of(self.form, name, self._stats[0], self.split(holdout).key, *more)

    def open(
        self, size: int, holdout: Holdout, geometry: str | None, show_progress: bool | None
    ) -> ImageSplit:
        """The images; see `Dataset.open`.

        The cache is keyed by the names and the contents of the files, and by how they are split: a changed
        folder is decoded anew, a copied, moved or touched one is not.
        """
        return self.images(holdout, geometry, show_progress).open(size, show_progress)

    def decoded(self, sizes: Iterable[int], holdout: Holdout, geometry: str | None) -> set[int]:
        """At which of some sizes, in pixels, its images lie decoded in the cache; no file is read for it.

        Those count, too, that are made of a larger one.
        """
        content = kept_digest(self.place, self._stats[0])
        if content is None:
            return set()
        largest = largest_decoded({"content": content, **self._key(holdout, geometry)})
        return {size for size in sizes if size <= largest}

    def images(
        self, holdout: Holdout, geometry: str | None, show_progress: bool | None = False
    ) -> FolderImages:
        """Its images as they are now, of which some or all are in the cache, or will be."""
        place, split = self.place, self.split(holdout)
        left_out, (times, newest) = self.left_out(holdout), self._recent_stats()
        if times not in self._marks:  # a file that has just changed may change once more, and not show it
            self._marks[times] = "" if newest < time.time() - SETTLED else secrets.token_hex(8)
        return FolderImages(
            Loaded(self.name, left_out=left_out, rendering=self.rendering(geometry)),
            self._source(holdout, geometry),
            self.title,
            holdout.seed,
            f"{place.key} {times} {self._marks[times]}",
            lambda: f"{place.key} {stat_digest(place, self._files)[0]} {self._marks[times]}",
            Contents(
                lambda: (
                    kept_digest(place, times)
                    or (
                        quick_digest(place, self._files)
                        if copy_may_be_there(len(split.train) + len(split.val))
                        else None
                    )
                ),
                lambda: content_digest(place, self._files, show_progress),
            ),
            self._key(holdout, geometry),
        )

    def _source(self, holdout: Holdout, geometry: str | None) -> Source:
        if (holdout, geometry) not in self._sources:
            split, rendering = self.split(holdout), self.rendering(geometry)
            train, val = (samples_of(self.place, part, rendering) for part in (split.train, split.val))
            self._sources[holdout, geometry] = Source(self.listing.classes, train, val)
        return self._sources[holdout, geometry]

    def _key(self, holdout: Holdout, geometry: str | None) -> dict[str, Any]:
        rendering = self.rendering(geometry)
        key: dict[str, Any] = {
            "classes": self.listing.classes,
            "split": self.split(holdout).key,
            "decoding": DECODING,
        }
        key |= {} if self.listed is None else {"listed": self.listed}
        return key if rendering == PLAIN else {**key, "rendering": rendering.to_json()}


def sample_of(place: Place, file: ImageFile, rendering: Rendering = PLAIN) -> Sample:
    """An image of a listing, to be decoded."""
    return samples_of(place, [file], rendering)[0]


def samples_of(place: Place, files: Iterable[ImageFile], rendering: Rendering = PLAIN) -> list[Sample]:
    """Images of a listing, to be decoded; there may be hundreds of thousands."""
    opened = place.open
    return [Sample(partial(opened, path), label, path, rendering) for path, label in files]
