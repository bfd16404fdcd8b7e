"""The images of a dataset that come as files, or as pieces of files, and are decoded one by one."""

from __future__ import annotations

import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import Any, NamedTuple

from .arrays import Holdout, ImageSplit
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
from .walk import ImageFile

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
        return stat_digest(self.place, self._files)

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
        return identities(self.place, self._files, *self._stats)

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
        listing, place, split = self.listing, self.place, self.split(holdout)
        parts, left_out = (split.train, split.val), self.left_out(holdout)
        rendering = self.rendering(geometry)
        times, newest = stat_digest(place, self._files)
        if times not in self._marks:  # a file that has just changed may change once more, and not show it
            self._marks[times] = "" if newest < time.time() - SETTLED else secrets.token_hex(8)
        return FolderImages(
            Loaded(self.name, left_out=left_out, rendering=rendering),
            Source(
                listing.classes,
                *([sample_of(place, file, rendering) for file in part] for part in parts),
            ),
            self.title,
            holdout.seed,
            f"{place.key} {times} {self._marks[times]}",
            lambda: f"{place.key} {stat_digest(place, self._files)[0]} {self._marks[times]}",
            Contents(
                lambda: (
                    kept_digest(place, times)
                    or (quick_digest(place, self._files) if copy_may_be_there(sum(map(len, parts))) else None)
                ),
                lambda: content_digest(place, self._files, show_progress),
            ),
            self._key(holdout, geometry),
        )

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
    return Sample(partial(place.open, file.path), file.label, file.path, rendering)
