"""Image folders: a folder for each class, or train/ and val/ with such folders in them."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from nni_nasoa.messages import readable
from nni_nasoa.values import MAX_REASON, one_line, reason, shown, suggestion

from .arrays import DatasetError
from .columns import ANY
from .image_files import ImageFiles, PartImages
from .layout import Layout, find_layout
from .listing import Listing, list_folder
from .named import dataset_names
from .place import Place
from .read_files import ReadFiles, name_of_path
from .readers import ReadOptions, load_installed, reader_of_folder
from .torchvision_sets import normalized
from .walk import is_folder, scan


class Folder(ImageFiles):
    """A folder of images.

    Parameters
    ----------
    given
        Its path, as a user writes it. Whether there is such a folder shows when it is asked for something.
    options
        How it is read, where a reader recognises it.
    """

    form = "folder"

    def __init__(self, given: str | os.PathLike[str], options: ReadOptions | None = None):
        super().__init__()
        self._given, self._options = given, options or ReadOptions()

    def __getstate__(self) -> dict[str, Any]:
        """All but what the system has said of the entries, which cannot be pickled."""
        state = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_entries", "_layout")}

    @cached_property
    def name(self) -> str:
        """What results call it: the last part of its path, on one line."""
        return name_of_path(self._given)

    @property
    def identity(self) -> str:
        """Its absolute path; what was given where there is no such folder."""
        try:
            return str(self.path.resolve())
        except DatasetError:
            return str(self._given)

    @property
    def title(self) -> str:
        """Its path."""
        return str(self.path)

    @cached_property
    def path(self) -> Path:
        """Where it is; a DatasetError where it is not there."""
        return existing_folder(self._given)

    @cached_property
    def place(self) -> Place:
        """Where it is, without links."""
        return Place(self.path.resolve())

    @cached_property
    def listing(self) -> Listing:
        """Its images; a DatasetError as of `list_folder`."""
        return list_folder(self.path, self._layout, self._left)

    @cached_property
    def found(self) -> ImageFiles:
        """What is in it: folders of classes, or what a reader recognises."""
        folders = [entry.name for entry in self._entries if is_folder(entry)]
        files = [*{entry.name for entry in self._entries} - {*folders}]
        reader = reader_of_folder(self.path, files, folders)
        if reader is None and self._layout.problem is not None:
            load_installed()
            reader = reader_of_folder(self.path, files, folders)
        if reader is not None:
            return ReadFiles(self.path, reader, self._options)
        if self._options.columns != ANY:
            raise DatasetError(
                f"dataset: {shown(str(self._given))} is no table, of which columns could be named"
            )
        return self

    @cached_property
    def _entries(self) -> list[os.DirEntry[str]]:
        return scan(self.path)

    @cached_property
    def _layout(self) -> Layout:
        return find_layout(self.path, self._entries)

    @property
    def parts(self) -> Mapping[str, str]:
        """The folders that are parts, by their kinds."""
        return {kind: f"{part.path}/" if part.path else "" for kind, part in self._layout.parts.items()}

    def of_parts(self, kinds: Sequence[str]) -> PartImages:
        """All images below the folders of classes in some parts."""
        there = [part for kind in kinds if (part := self._layout.part(kind)) is not None]
        classes = tuple(sorted({name for part in there for name in part.by_class}))
        files = [file for part in there for file in part.labelled(classes)]
        others = sum((part.others for part in there), Counter())
        return PartImages(classes, files, tuple(others.most_common()))

    def missing(self, kind: str) -> str:
        """What is missing where a part is."""
        return f"{kind}/ with a folder for each class"

    def check(self) -> None:
        """Raise a DatasetError where it is not there."""
        existing_folder(self._given)


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
        f"dataset: '{name}' is a file, where a folder of images is needed (unpack an archive first), or one "
        "that lists images, as .csv"
    )
