"""Find the classes and the images of a folder, without opening or statting an image."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.messages import readable

from .arrays import DatasetError
from .layout import Layout, find_layout, named
from .left_out import LeftOut, files_by_suffix
from .parts import TEST, TRAIN, VALIDATION, drawn_beside_images, kinds_of_parts
from .time_left import Left, no_end
from .walk import ImageFile, PartFolder


class Listing(NamedTuple):
    """The images of a folder, what was left out of them, and where there are others to test on."""

    classes: tuple[str, ...]
    train: list[ImageFile]  # all of them, where the folder brings no validation part
    val: list[ImageFile] | None
    left_out: LeftOut
    test: str | None = None  # path of the part

    @property
    def files(self) -> list[ImageFile]:
        """All images."""
        return self.train + (self.val or [])


def list_folder(folder: Path, layout: Layout | None = None, left: Left = no_end) -> Listing:
    """Find the classes and the images of a folder, each folder in it being read once.

    A folder for each class, or such folders in train/, which may come with val/; see `find_layout`. What is
    in test/ is not looked at. Links are followed, but into no folder a second time.

    Parameters
    ----------
    folder
        Which one.
    layout
        How it is laid out, where that was found already.
    left
        Seconds that may still be taken.

    Raises
    ------
    DatasetError
        No images, a single class, a class to validate on that is not trained on, parts where classes belong,
        a folder that may not be read.
    NotInTimeError
        No time is left.
    """
    layout = find_layout(folder) if layout is None else layout
    train = layout.part(TRAIN, left)
    if train is None:
        raise DatasetError(str(layout.problem))
    _check_classes(train)
    classes = tuple(name for name, paths in train.by_class.items() if paths)
    files = train.labelled(classes)
    empty = tuple(name for name, paths in train.by_class.items() if not paths)
    loose = [f"not used: {train.loose} images beside the folders of classes"] * (train.loose > 0)
    notes = (*layout.notes, *loose, *hardly_differing(classes))
    left_out = LeftOut(empty_classes=empty, others=_in_order(train.others), notes=notes)
    test = layout.parts[TEST].path if TEST in layout.parts else None
    val = layout.part(VALIDATION, left)
    if val is None or not any(val.by_class.values()):
        return Listing(classes, files, None, left_out, test)
    if strange := sorted(name for name, paths in val.by_class.items() if paths and name not in classes):
        raise DatasetError(
            f"{val.folder}: class '{readable(strange[0])}' is not in {train.folder}; "
            "both need the same class folders"
        )
    left_out = replace(left_out, others=_in_order(train.others + val.others))
    return Listing(classes, files, val.labelled(classes), left_out, test)


def hardly_differing(classes: Iterable[str]) -> list[str]:
    """A line on classes that may be meant to be one."""
    plain = defaultdict(list)
    for name in classes:
        plain[" ".join(re.split(r"[\s_-]+", unicodedata.normalize("NFKC", name).casefold().strip()))].append(
            name
        )
    pairs = [
        f"'{readable(names[0])}' and '{readable(names[1])}'" for names in plain.values() if len(names) > 1
    ]
    if not pairs:
        return []
    more = f" and {len(pairs) - 1} more" if len(pairs) > 1 else ""
    return [f"two classes, whose names hardly differ: {pairs[0]}{more}"]


def _in_order(others: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(others.items(), key=lambda item: (-item[1], item[0])))


def _check_classes(part: PartFolder) -> None:
    """Raise a DatasetError where these are no classes."""
    classes, place = [name for name, paths in part.by_class.items() if paths], readable(str(part.folder))
    if len(classes) == 1:
        raise DatasetError(f"{place}: {_only_one(part, classes[0])}")
    if not classes and part.loose:
        raise DatasetError(
            f"{place}: {part.loose} images but no class folders; "
            "put the images of each class into a folder of its own"
        )
    if not classes:
        passed = f" (passed over: {files_by_suffix(_in_order(part.others))})" if part.others else ""
        raise DatasetError(
            f"{place}: no images found{passed}; a folder for each class is needed, with .jpg, .png, .webp or "
            "other images in it"
        )
    for name in classes:
        if parts := _parts_in(part.inside[name]):
            raise DatasetError(
                f"{place}: '{readable(name)}' holds {named(parts)}, which are parts of a dataset; give "
                f"{readable(str(part.folder / name))}, or put the classes into the parts (train/CLASS/)"
            )
    if drawn := drawn_beside_images(classes):
        raise DatasetError(
            f"{place}: {named(drawn)} seem to be images and what was drawn of them, and no classes; "
            "a folder for each class is needed"
        )


def _parts_in(folders: list[str]) -> list[str]:
    """Those of the folders in a class that are parts of a dataset: to test, or of two kinds."""
    kinds = kinds_of_parts(folders)
    return [*kinds] if TEST in kinds.values() or len(set(kinds.values())) > 1 else []


def _only_one(part: PartFolder, name: str) -> str:
    """What is wrong with a single class, which may be a folder around the classes or the parts."""
    folders = {os.path.dirname(path) for path in part.by_class[name]}
    around = os.path.commonpath(folders)
    if kinds_of_parts([os.path.basename(around)]):
        around = os.path.dirname(around)
    inside = sorted({os.path.relpath(folder, around or ".").partition(os.sep)[0] for folder in folders})
    if around in ("", os.path.relpath(part.folder, part.root)) or around in folders:
        return f"only one class, '{readable(name)}'; two or more folders with images are needed"
    whole = readable(str(part.root / around))
    return f"all images are in {readable(around)}/, which holds {named(inside)}; give {whole}"
