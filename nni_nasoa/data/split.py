"""Which images of a folder are trained on, and which are held back for validation.

An image's side follows from its content, or from the group that it belongs to: one that comes or goes moves
one other at most, and copies are always on the same side.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from nni_nasoa.messages import readable

from .arrays import DatasetError, Holdout
from .grouped_split import grouped_split
from .identity import Identities, hashed
from .listing import Listing
from .walk import ImageFile


class Split(NamedTuple):
    """The two parts of a folder's images.

    Parameters
    ----------
    train, val
        The images of each.
    key
        What the parts depend on besides the files, as JSON values.
    copies
        Number of images that are exact copies of others.
    notes
        Lines on what was left out, or may be wrong.
    """

    train: list[ImageFile]
    val: list[ImageFile]
    key: list[object] | None
    copies: int
    notes: tuple[str, ...]


def split_listing(listing: Listing, known: Identities, holdout: Holdout) -> Split:
    """The parts of a folder.

    One that brings a part for validation has these parts, but for images to train on that are copies of ones
    to validate on. Of others a share of each class is held back, see `grouped_split`.

    Raises
    ------
    DatasetError
        Nothing is left to validate on, or `group_by` is not found in a path. One line.
    """
    notes = _told_labels(listing, known)
    key: list[object] | None
    if listing.val is None:
        groups = _groups(listing.train, known, holdout.group_by)
        labels = [file.label for file in listing.train]
        chosen = grouped_split(labels, groups, holdout.fraction, holdout.seed)
        train, val = ([listing.train[i] for i in part.tolist()] for part in chosen)
        key = ["content", holdout.seed, holdout.fraction, *filter(None, [holdout.group_by])]
    else:
        train, val, dropped = _without_copies(listing.train, listing.val, known.copies)
        notes += dropped
        key = ["copies", len(train), len(val)] if dropped else None
    there = {file.path for part in (train, val) for file in part} if known.copies else ()
    if more := sum(max(0, sum(path in there for path in paths) - 1) for paths in known.copies):
        notes.append(
            f"{more} image{'s are exact copies of others' if more > 1 else ' is an exact copy of another'}"
        )
    return Split(train, val, key, more, tuple(notes))


def _groups(files: Sequence[ImageFile], known: Identities, group_by: str | None) -> list[int]:
    """The number of each image's group: by its content, or by what a regular expression finds in its path."""
    if group_by is None:
        return [known.keys[file.path] for file in files]
    pattern, groups = re.compile(group_by), {}
    for file in files:
        if (found := pattern.search(file.path)) is None:
            raise DatasetError(f"group_by (--group-by): '{group_by}' is not found in '{readable(file.path)}'")
        groups[file.path] = hashed(os.fsencode("\0".join(found.groups("") or [found.group()])))
    joined = dict(zip(groups.values(), groups.values()))  # groups that have an image in common are one

    def first(group: int) -> int:
        while joined[group] != group:
            group = joined[group]
        return group

    for copies in known.copies:
        roots = {first(groups[path]) for path in copies}
        joined.update(dict.fromkeys(roots, min(roots)))
    return [first(groups[file.path]) for file in files]


def _without_copies(
    train: list[ImageFile], val: list[ImageFile], copies: Sequence[Sequence[str]]
) -> tuple[list[ImageFile], list[ImageFile], list[str]]:
    """Parts that a folder brings, without copies on both sides, and a line on how many were left out."""
    judged = {file.path for file in val}
    both = [paths for paths in copies if 0 < sum(path in judged for path in paths) < len(paths)]
    if not both:
        return train, val, []
    in_both = {path for paths in both for path in paths}
    left = {file.label for file in train if file.path not in in_both}
    kept = [file for file in train if file.path not in in_both or file.label not in left]
    # A class of which nothing else is left to train on keeps its images there.
    trained = {file.path for file in kept}
    gone = {path for paths in both if any(path in trained for path in paths) for path in paths}
    kept_val = [file for file in val if file.path not in gone]
    if not kept_val:
        raise DatasetError(
            f"all {len(val)} images to validate on are copies of ones to train on; move them away, and a "
            "share of the others is held back"
        )
    number, first = len(train) - len(kept) + len(val) - len(kept_val), sorted(both[0])[:2]
    note = (
        f"{number} images of one part are exact copies of ones in the other, and are left out; the first: "
        f"{' = '.join(map(readable, first))}"
    )
    return kept, kept_val, [note]


def _told_labels(listing: Listing, known: Identities) -> list[str]:
    """A line on images that are in two classes."""
    if not known.copies:
        return []
    label = {file.path: file.label for file in listing.files}
    doubtful = [paths for paths in known.copies if len({label[path] for path in paths}) > 1]
    if not doubtful:
        return []
    first = sorted(doubtful[0], key=lambda path: label[path])
    other = next(path for path in first if label[path] != label[first[0]])
    line = f"{len(doubtful)} images are in two classes, so that a label may be wrong; the first: "
    return [f"{line}{readable(first[0])} = {readable(other)}"]
