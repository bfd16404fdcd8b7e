"""Image folders: a folder for each class, or train/ and val/ with such folders in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .arrays import ImageSplit
from .content import content_digest, kept_digest, stat_digest
from .decoded import Sample, Source, is_decoded, open_decoded
from .left_out import readable
from .listing import ImageFile, Listing, list_folder


def open_folder(
    folder: Path,
    input_size: int,
    seed: int,
    val_fraction: float,
    max_bad: float,
    show_progress: bool | None = None,
) -> ImageSplit:
    """Open a folder of images; see `open_dataset`.

    The cache is keyed by the names and the contents of the files, and by how they are split: a changed folder is decoded
    anew, a copied, moved or touched one is not.
    """
    listing = list_folder(folder, seed, val_fraction)
    parts = listing.train, listing.val
    key = _key(listing, content_digest(folder, _paths(listing), show_progress), seed, val_fraction)

    def source():
        return Source(listing.classes, *([sample_of(folder, file) for file in part] for part in parts))

    return open_decoded(
        readable(folder.resolve().name),
        key,
        input_size,
        source,
        max_bad=max_bad,
        show_progress=show_progress,
        empty_classes=listing.empty_classes,
        other_files=listing.other_files,
    )


class FoundFolder(NamedTuple):
    """A folder whose images were listed, and their sizes and times asked for, once for all who want to know."""

    folder: Path
    listing: Listing
    times: str  # see `content.stat_digest`
    seed: int
    val_fraction: float


def find_folder(folder: Path, seed: int = 0, val_fraction: float = 0.2) -> FoundFolder:
    """List a folder's images; none is opened.

    Parameters
    ----------
    folder, seed, val_fraction
        As `open_dataset` takes them.

    Raises
    ------
    DatasetError
        As in `open_dataset`, where it shows without opening an image.
    """
    listing = list_folder(folder, seed, val_fraction)
    return FoundFolder(folder, listing, stat_digest(folder.resolve(), _paths(listing))[0], seed, val_fraction)


def decoded_sizes(found: FoundFolder, sizes: Iterable[int]) -> set[int]:
    """At which of some sizes, in pixels, a folder's images lie decoded in the cache; no file is read for it."""
    content = kept_digest(found.folder, found.times)
    if content is None:
        return set()
    key = _key(found.listing, content, found.seed, found.val_fraction)
    return {size for size in sizes if is_decoded(key, size)}


def _paths(listing: Listing) -> list[str]:
    return sorted(file.path for file in listing.train + listing.val)


def _key(listing: Listing, content: str, seed: int, val_fraction: float) -> dict[str, Any]:
    return {
        "content": content,
        "classes": listing.classes,
        "split": None if listing.has_val else [seed, val_fraction],
    }


def sample_of(folder: Path, file: ImageFile) -> Sample:
    """A file of a listing, to be decoded."""
    return Sample(partial(_open_image, folder / file.path), file.label, file.path)


def _open_image(path: Path):
    from PIL import Image

    about = os.stat(path)
    if not stat.S_ISREG(about.st_mode):  # to open a pipe would wait for ever
        raise OSError("not a file")
    if not about.st_size:
        raise OSError("the file is empty")
    return Image.open(path)
