"""From a list of images to a listing: which classes there are, which parts, and what is not used, told."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nni_nasoa.messages import quoted, readable, some

from .arrays import DatasetError
from .image_list import ImageList, Label, ListedImage
from .left_out import LeftOut
from .listing import Listing, hardly_differing
from .parts import TEST, TRAIN, VALIDATION, kind_of_part
from .walk import ImageFile

_HELD_OUT = (TRAIN, VALIDATION, TEST)  # of an image in several parts the last one counts


class Listed(NamedTuple):
    """The images of a list that are used.

    Parameters
    ----------
    listing
        What is trained and validated on.
    by_part
        All of them by the kinds of their parts, "train", "val" and "test", in the order of classes. What has
        no parts is to train on.
    classes
        Names of the classes of all parts, of which the listing may have fewer.
    """

    listing: Listing
    by_part: Mapping[str, Sequence[ImageFile]]
    classes: tuple[str, ...]


class _Named(NamedTuple):
    """An image with the name of its class, and the kind of its part."""

    path: str
    label: str
    part: str


def listed(images: ImageList, place: str) -> Listed:
    """Find the classes and the parts of a list.

    Images without a label or in a part of another name are not used. Of an image that is listed several times
    the first one counts, and that of a part to test or validate on before one to train on.

    Parameters
    ----------
    place
        The dataset, as messages call it.

    Raises
    ------
    DatasetError
        No images, or none to train on, a single class, a class to validate on that is not trained on.
    """
    notes = [*images.notes]
    kinds = _kinds_of_parts(images.images, place, notes)
    with_part = [image for image in images.images if kinds.get(image.part) is not None]
    with_label = [image for image in with_part if image.label is not None]
    if unlabelled := len(with_part) - len(with_label):
        first = next(image.path for image in with_part if image.label is None)
        notes.append(f"not used: {_images(unlabelled)} without a label; the first: {readable(first)}")
    if not with_label:
        raise DatasetError(f"{place}: no images{' with a label' if with_part else ''} found")
    order = _order(with_label, images.classes, place)
    name_of = {image.label: class_name(image.label, images.classes) for image in with_label}
    rows = _once(
        [_Named(_plain(image), name_of[image.label], str(kinds[image.part])) for image in with_label], notes
    )
    rows.sort(key=lambda row: (order[row.label], row.path))
    trained = {row.label for row in rows if row.part == TRAIN}
    classes = tuple(name for name in order if name in trained)
    parts = {row.part for row in rows}
    _check(place, rows, classes, parts)

    def of_part(part: str, names: Sequence[str]) -> list[ImageFile]:
        number = {name: label for label, name in enumerate(names)}
        return [ImageFile(row.path, number[row.label]) for row in rows if row.part == part]

    empty = tuple(name for name in order if name not in trained)
    listing = Listing(
        classes,
        of_part(TRAIN, classes),
        of_part(VALIDATION, classes) if VALIDATION in parts else None,
        LeftOut(empty_classes=empty, notes=(*notes, *hardly_differing(classes))),
        TEST if TEST in parts else None,
    )
    everything = tuple(order)
    return Listed(
        listing, {part: of_part(part, everything) for part in _HELD_OUT if part in parts}, everything
    )


def class_name(label: Label, names: Sequence[str] | None) -> str:
    """The name of a label's class: a whole number is a place in the names, where there are any."""
    if names is not None and isinstance(label, int):
        return names[label]
    return readable(unicodedata.normalize("NFC", str(label)))


def _order(images: Iterable[ListedImage], names: Sequence[str] | None, place: str) -> dict[str, int]:
    """The places of the classes by their names: that which is known, or sorted, numbers as such."""
    labels = {image.label for image in images}
    if names is not None:
        if wrong := sorted(one for one in labels if isinstance(one, int) and not 0 <= one < len(names)):
            raise DatasetError(f"{place}: label {wrong[0]} is not one of the {len(names)} classes, from 0")
        others = sorted({str(one) for one in labels if not isinstance(one, int)} - {*names})
        return {name: number for number, name in enumerate(dict.fromkeys((*names, *map(readable, others))))}
    numbers = sorted(one for one in labels if isinstance(one, (int, float)))
    texts = sorted(one for one in labels if isinstance(one, str))
    return {
        name: number
        for number, name in enumerate(dict.fromkeys(class_name(one, None) for one in (*numbers, *texts)))
    }


def _kinds_of_parts(
    images: Iterable[ListedImage], place: str, notes: list[str]
) -> dict[str | None, str | None]:
    """The kind of each part by its name, None of those that are not used; all are to train without parts."""
    number = Counter(image.part or None for image in images)
    kinds = {part: None if part is None else kind_of_part(part) for part in number}
    if set(number) <= {None}:
        return {None: TRAIN, "": TRAIN}
    unused = sorted((part or "" for part, kind in kinds.items() if kind is None), key=str)
    if not any(kinds.values()):
        raise DatasetError(f"{place}: the parts are {some(quoted(unused))}, and not train, val and test")
    if unused:
        left = sum(number[part or None] for part in unused)
        notes.append(
            f"not used: {_images(left)} of other parts than train, val and test: {some(quoted(unused))}"
        )
    return {**kinds, "": None, None: None}


def _plain(image: ListedImage) -> str:
    """An image's path in one spelling; where folders are left upwards, links may count, and it stays."""
    path = image.path
    return path if image.piece is not None or ".." in path.split("/") else os.path.normpath(path)


def _once(rows: Sequence[_Named], notes: list[str]) -> list[_Named]:
    """Each path once, and lines on those that were there several times."""
    kept: dict[str, _Named] = {}
    twice: list[str] = []
    in_two: dict[str, str] = {}
    for row in rows:
        other = kept.get(row.path)
        if other is None:
            kept[row.path] = row
            continue
        twice.append(row.path)
        if other.label != row.label:
            in_two.setdefault(row.path, f"{readable(row.path)} ('{other.label}', '{row.label}')")
        if _HELD_OUT.index(row.part) > _HELD_OUT.index(other.part):
            kept[row.path] = row
    if twice:
        notes.append(f"{_images(len(twice))} listed again, which count once; the first: {readable(twice[0])}")
    if in_two:
        notes.append(
            f"{_images(len(in_two))} listed with two labels, of which one is taken; the first: "
            f"{next(iter(in_two.values()))}"
        )
    return [*kept.values()]


def _images(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"


def _check(place: str, rows: Sequence[_Named], classes: Sequence[str], parts: set[str]) -> None:
    """Raise a DatasetError where one cannot train on these."""
    if TRAIN not in parts:
        raise DatasetError(
            f"{place}: only images of {' and '.join(sorted(parts))}, by which a classifier is judged; there "
            "have to be some to train on"
        )
    if len(classes) < 2:
        raise DatasetError(f"{place}: only one class, '{classes[0]}'; two or more are needed")
    known = {*classes}
    if strange := sorted({row.label for row in rows if row.part == VALIDATION} - known):
        raise DatasetError(f"{place}: class '{strange[0]}' of the part val is not in the part train")
