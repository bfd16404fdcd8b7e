"""Image folders: a folder for each class, or train/ and val/ with such folders in them."""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from nni_nasoa.values import MAX_REASON, one_line, reason, suggestion

from .arrays import DatasetError, Holdout, ImageSplit
from .content import SETTLED, content_digest, kept_digest, quick_digest, stat_digest
from .decoded import Loaded, Sample, Source
from .earlier import copy_may_be_there, largest_decoded
from .find_rendering import find_rendering
from .fingerprint import fingerprint_of
from .folder_images import Contents, FolderImages
from .identity import Identities, identities
from .left_out import LeftOut, readable
from .listing import Listing, list_folder
from .named import dataset_names
from .opening import open_image
from .rendering import PLAIN, Rendering
from .split import Split, split_listing
from .torchvision_sets import normalized
from .walk import ImageFile

DECODING = 2  # changes with how the files of a folder are decoded, and those of named datasets are not


class Folder:
    """A folder of images, listed when somebody first asks, and once for all who want to know.

    Parameters
    ----------
    given
        Its path, as a user writes it. Whether there is such a folder shows when it is asked for something.
    """

    def __init__(self, given: str | os.PathLike[str]):
        self._given = given
        self._marks: dict[str, str] = {}
        self._splits: dict[Holdout, Split] = {}

    @cached_property
    def name(self) -> str:
        """What results call it: the last part of its path, on one line."""
        path = os.path.expanduser(self._given)
        with suppress(ValueError):  # a zero byte, which is in no path
            path = os.path.realpath(path)
        return readable(os.path.basename(path)) or "/"

    @property
    def identity(self) -> str:
        """Its absolute path; what was given where there is no such folder."""
        try:
            return str(self.path.resolve())
        except DatasetError:
            return str(self._given)

    @cached_property
    def path(self) -> Path:
        """Where it is; a DatasetError where it is not there."""
        return existing_folder(self._given)

    @cached_property
    def listing(self) -> Listing:
        """Its images; a DatasetError as of `list_folder`."""
        return list_folder(self.path)

    @cached_property
    def _files(self) -> list[str]:
        return sorted(file.path for file in self.listing.files)

    @cached_property
    def _stats(self) -> tuple[str, float]:
        return stat_digest(self.path.resolve(), self._files)

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
        return identities(self.path.resolve(), self._files, *self._stats)

    @cached_property
    def rendering(self) -> Rendering:
        """How its images are rendered, of which some are opened for it where that is not known."""
        return find_rendering(self.path.resolve(), self._files, self._identities.keys, self._stats[0])

    def check(self) -> None:
        """Raise a DatasetError where it is not there."""
        existing_folder(self._given)

    def fingerprint(self, holdout: Holdout) -> str:
        """Of its name, of the paths, sizes and times of its images, and of how they are split."""
        name = os.fsdecode(self.path.resolve().name)
        return fingerprint_of("folder", name, self._stats[0], self.split(holdout).key)

    def open(self, size: int, holdout: Holdout, show_progress: bool | None) -> ImageSplit:
        """The images; see `Dataset.open`.

        The cache is keyed by the names and the contents of the files, and by how they are split: a changed
        folder is decoded anew, a copied, moved or touched one is not.
        """
        return self.images(holdout, show_progress).open(size, show_progress)

    def decoded(self, sizes: Iterable[int], holdout: Holdout) -> set[int]:
        """At which of some sizes, in pixels, its images lie decoded in the cache; no file is read for it.

        Those count, too, that are made of a larger one.
        """
        content = kept_digest(self.path, self._stats[0])
        if content is None:
            return set()
        largest = largest_decoded({"content": content, **self._key(holdout)})
        return {size for size in sizes if size <= largest}

    def images(self, holdout: Holdout, show_progress: bool | None = False) -> FolderImages:
        """Its images as they are now, of which some or all are in the cache, or will be."""
        listing, folder, split = self.listing, self.path.resolve(), self.split(holdout)
        parts, left_out = (split.train, split.val), self.left_out(holdout)
        times, newest = stat_digest(folder, self._files)
        if times not in self._marks:  # a file that has just changed may change once more, and not show it
            self._marks[times] = "" if newest < time.time() - SETTLED else secrets.token_hex(8)
        return FolderImages(
            Loaded(self.name, left_out=left_out, rendering=self.rendering),
            Source(
                listing.classes,
                *([sample_of(self.path, file, self.rendering) for file in part] for part in parts),
            ),
            str(self.path),
            holdout.seed,
            f"{folder} {times} {self._marks[times]}",
            lambda: f"{folder} {stat_digest(folder, self._files)[0]} {self._marks[times]}",
            Contents(
                lambda: (
                    kept_digest(folder, times)
                    or (
                        quick_digest(folder, self._files) if copy_may_be_there(sum(map(len, parts))) else None
                    )
                ),
                lambda: content_digest(folder, self._files, show_progress),
            ),
            self._key(holdout),
        )

    def _key(self, holdout: Holdout) -> dict[str, Any]:
        key = {"classes": self.listing.classes, "split": self.split(holdout).key, "decoding": DECODING}
        return key if self.rendering == PLAIN else {**key, "rendering": self.rendering.to_json()}


def existing_folder(given: str | os.PathLike[str]) -> Path:
    """The path of a folder, or a DatasetError that says why it is none."""
    name = one_line(readable(str(given)), MAX_REASON)
    try:
        folder = Path(given).expanduser()
        if not name:
            raise FileNotFoundError
        if stat.S_ISDIR(os.stat(folder).st_mode):
            return folder
    except (FileNotFoundError, NotADirectoryError):
        known = dataset_names()
        hint = suggestion(normalized(name), known, f"give a folder of images, or one of {', '.join(known)}")
        raise DatasetError(f"dataset: '{name}' is neither a folder nor a known name; {hint}") from None
    # No permission, a link to itself, a zero byte, no such user's home.
    except (OSError, ValueError, RuntimeError) as error:
        raise DatasetError(f"dataset: '{name}' cannot be opened ({reason(error)})") from error
    raise DatasetError(
        f"dataset: '{name}' is a file, where a folder of images is needed (unpack an archive first)"
    )


def sample_of(folder: Path, file: ImageFile, rendering: Rendering = PLAIN) -> Sample:
    """A file of a listing, to be decoded."""
    return Sample(partial(open_image, os.path.join(folder, file.path)), file.label, file.path, rendering)
