"""Walks through folders of images, in which each folder is read once and no image is opened or statted."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.values import reason

from .arrays import DatasetError
from .left_out import readable

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
)
# Folders that systems and network drives put beside a user's own; none of them is a class.
_OF_SYSTEMS = frozenset(("__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "lost+found"))


class ImageFile(NamedTuple):
    """A file of the dataset: path, relative to the folder, and label."""

    path: str
    label: int


def folders_among(entries: Iterable[os.DirEntry[str]]) -> list[str]:
    """Names of the folders that may be classes or parts, in order; hidden ones are not."""
    return sorted(entry.name for entry in entries if is_folder(entry) and not is_hidden(entry.name))


def is_image(name: str) -> bool:
    """Whether a file is an image by its name."""
    return name[name.rfind(".") :].lower() in SUFFIXES and not is_hidden(name)


def holds_images(root: Path, name: str) -> bool:
    """Whether there is an image below a folder."""
    return next(iter(_Walk(root).images_below(name)), None) is not None


def images_below(folder: str | os.PathLike[str]) -> tuple[list[str], int]:
    """Paths of the images below a folder, whatever its folders mean, and how many other files there are.

    Images are told by their suffixes, and come in order of name, those of a folder before those of the
    folders in it. Hidden files and folders are passed over; links are followed, into no folder a second time.

    Raises
    ------
    DatasetError
        A folder cannot be read.
    """
    walk = _Walk(Path(folder))
    paths = [os.path.join(folder, path) for path in walk.images_below("")]
    return paths, walk.other_files - walk.hidden_files


class _Walk:
    """Walks through folders below a root, into none a second time, and counts the files that are no images.

    Parameters
    ----------
    root
        Where paths begin.
    entered
        Folders that were entered already, besides the root.

    Attributes
    ----------
    other_files, hidden_files
        How many there were; the hidden ones are among the others.
    inside
        Names of the folders in the one whose images were asked for last.
    """

    def __init__(self, root: Path, *entered: Path):
        self.other_files = self.hidden_files = 0
        self.inside: list[str] = []
        self._root, self._entered = root, {_identity(folder) for folder in (root, *entered)}

    def images_below(self, folder: str) -> Iterable[str]:
        """Paths of images, which are relative to the root, as the folder's is."""
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            names, folders = [], []
            for entry in scan(self._root / here):
                if is_folder(entry):
                    folders.append(entry)
                elif self.is_image(entry.name):
                    names.append(entry.name)
            prefix = os.path.join(here, "")
            yield from (prefix + name for name in sorted(names))
            folders.sort(key=lambda entry: entry.name, reverse=True)
            if here == folder:
                self.inside = [entry.name for entry in folders if not is_hidden(entry.name)]
            waiting += [
                os.path.join(here, entry.name)
                for entry in folders
                if not is_hidden(entry.name) and self.enter(entry)
            ]

    def is_image(self, name: str) -> bool:
        """Whether a file is one by its name; counted where it is not."""
        image = is_image(name)
        self.other_files += not image
        self.hidden_files += is_hidden(name)
        return image

    def enter(self, folder: os.DirEntry[str]) -> bool:
        """Whether to walk through a folder: one that was not yet, nor is a link up to one that holds it."""
        if folder.is_symlink():
            here, target = os.path.realpath(os.path.dirname(folder.path)), os.path.realpath(folder.path)
            if os.path.commonpath((here, target)) == target:
                return False
        identity = _identity(folder)
        if identity in self._entered:
            return False
        self._entered.add(identity)
        return True


class PartFolder:
    """The class folders in `root`/`name`, or some of them, and the images below each.

    These are paths relative to `root`, in order of name. The names of classes are in Unicode's composed form
    (NFC), whatever system the folder was made on.

    Parameters
    ----------
    root, name
        Where it is.
    entries
        What is in it, or that of it which counts, where it was read already.

    Attributes
    ----------
    root, folder
        The dataset's folder, and the part's own path.
    by_class
        Paths of images, by the names of classes.
    inside
        Names of the folders in the folders of classes, by the names of classes.
    loose, other_files
        How many images there are beside the folders of classes, and files that are no images.

    Raises
    ------
    DatasetError
        A folder may not be read.
    """

    def __init__(self, root: Path, name: str = "", entries: Iterable[os.DirEntry[str]] | None = None):
        self.root, self.folder = root, root / name
        self.by_class: dict[str, list[str]] = {}
        self.inside: dict[str, list[str]] = {}
        self.loose, walk, folders = 0, _Walk(root, self.folder), []
        for entry in scan(self.folder) if entries is None else entries:
            if is_folder(entry):
                folders.append(entry)
            else:
                self.loose += walk.is_image(entry.name)
        # All are entered before any is walked through: what is a class is not also a part of another. Real
        # ones come first.
        folders.sort(key=lambda entry: (entry.is_symlink(), entry.name))
        classes = [entry.name for entry in folders if not is_hidden(entry.name) and walk.enter(entry)]
        for class_name, folder_name in sorted(
            (_class_name(folder_name), folder_name) for folder_name in classes
        ):
            paths = walk.images_below(os.path.join(name, folder_name))
            self.by_class.setdefault(class_name, []).extend(paths)
            self.inside.setdefault(class_name, []).extend(walk.inside)
        self.other_files = walk.other_files

    def labelled(self, classes: Iterable[str]) -> list[ImageFile]:
        """The images of these classes."""
        return [
            ImageFile(path, label)
            for label, name in enumerate(classes)
            for path in self.by_class.get(name, ())
        ]


def scan(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder; a DatasetError where it may not be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DatasetError(f"{readable(str(folder))}: the folder cannot be read ({reason(error)})") from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is one, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: os.PathLike[str]) -> tuple[int, int]:
    stat = os.stat(folder)
    return stat.st_dev, stat.st_ino


def _class_name(folder: str) -> str:
    # Bytes that are no text could be neither printed nor saved with a classifier.
    return unicodedata.normalize("NFC", folder.encode("utf-8", "backslashreplace").decode())


def is_hidden(name: str) -> bool:
    """Whether it is the name of what users do not see, or a system has put there."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS
