"""How a folder of images is laid out: folders of classes, parts of a dataset with these in them, or both."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.messages import readable, some

from .parts import TEST, TRAIN, kinds_of_parts
from .time_left import Left, no_end
from .walk import PartFolder, folders_among, holds_images, is_folder, is_image, scan


class Part(NamedTuple):
    """A folder with folders of classes in it: its path in the dataset's folder, and what of it counts."""

    path: str
    entries: Sequence[os.DirEntry[str]]


class Layout(NamedTuple):
    """Which of the folders in a folder are parts of a dataset.

    Parameters
    ----------
    root
        The folder.
    parts
        By their kinds, "train", "val" and "test". The folder itself is the one to train on where classes lie
        in it.
    problem
        A line that says why there is none to train on; None where there is one.
    notes
        How it was taken what names alone do not tell, a line each.
    """

    root: Path
    parts: Mapping[str, Part]
    problem: str | None = None
    notes: tuple[str, ...] = ()

    def part(self, kind: str, left: Left = no_end) -> PartFolder | None:
        """The classes of a part, and the images of each; None where there is no such part."""
        part = self.parts.get(kind)
        return None if part is None else PartFolder(self.root, part.path, part.entries, left)


def find_layout(root: Path, entries: Sequence[os.DirEntry[str]] | None = None) -> Layout:
    """Find the parts of a dataset in a folder. It is read, and the folders in it that may be parts.

    These are told by their names, see `kinds_of_parts`, and have folders in them. Where none is to train on,
    the classes are the folders that are no parts by their names; "train" is one, too, beside others.

    Parameters
    ----------
    root
        The folder.
    entries
        What is in it, where it was read already.

    Raises
    ------
    DatasetError
        A folder may not be read.
    """
    entries = scan(root) if entries is None else entries
    folders = folders_among(entries)
    kinds = kinds_of_parts(folders)
    others = [name for name in folders if name not in kinds]
    parts: dict[str, Part] = {}
    used = set()
    for name, kind in kinds.items():
        if kind not in parts and (part := _with_classes(root, name, kind)) is not None:
            parts[kind] = part
            used.add(name)
    if TRAIN in parts:
        unused = [name for name in folders if name not in used and kinds.get(name) != TEST]
        notes = _note("not used, beside the parts", root, unused)
        loose = sum(is_image(entry) for entry in entries if not is_folder(entry))
        return Layout(
            root, parts, notes=(*notes, *([f"not used: {loose} images beside the parts"] * (loose > 0)))
        )
    if TRAIN in kinds.values():
        if not others or set(kinds.values()) != {TRAIN}:
            return Layout(root, parts, _without_classes(root, kinds, others))
        note = "taken as a class, as no folders of classes are in it"
        return Layout(root, {TRAIN: Part("", entries)}, notes=_note(note, root, kinds))
    if kinds and not others:
        name = next(iter(kinds))
        problem = (
            f"{readable(str(root))}: only {named(kinds)}, by which a classifier is judged; there has to be a "
            f"train/, too, or give {readable(str(root / name))} to train on it"
        )
        return Layout(root, parts, problem)
    unused = [name for name in kinds if kinds[name] == TEST or name not in used]
    return Layout(
        root,
        {**parts, TRAIN: Part("", [entry for entry in entries if entry.name not in kinds])},
        notes=_note("not trained on, as the name is that of a part and not of a class", root, unused),
    )


def named(folders: Iterable[str]) -> str:
    """Some folders as a line names them."""
    return some([f"{readable(name)}/" for name in folders], 3)


def _note(text: str, root: Path, folders: Iterable[str]) -> tuple[str, ...]:
    """A line on those of some folders in which images are."""
    there = [name for name in folders if holds_images(root, name)]
    return (f"{text}: {named(there)}",) if there else ()


def _with_classes(root: Path, path: str, kind: str) -> Part | None:
    """A part, where folders are in it; archives may have it twice, as in seg_train/seg_train/."""
    entries = scan(root / path)
    inside = folders_among(entries)
    if inside == [os.path.basename(path)] or (
        len(inside) == 1 and kinds_of_parts(inside) == {inside[0]: kind}
    ):
        return _with_classes(root, os.path.join(path, inside[0]), kind)
    return Part(path, entries) if inside else None


def _without_classes(root: Path, kinds: Mapping[str, str], others: Sequence[str]) -> str:
    """Why nothing can be trained on where a part for it has no folders of classes."""
    name = next(name for name, kind in kinds.items() if kind == TRAIN)
    images = sum(is_image(entry) for entry in scan(root / name) if not is_folder(entry))
    beside = [other for other in (*kinds, *others) if other != name]
    return (
        f"{readable(str(root / name))}: {images} images but no class folders, beside {named(beside)}; put "
        f"the images of each class into a folder of its own, {readable(name)}/CLASS/"
        + (", or rename it if it is a class itself" if others else "")
    )
