"""Find the classes and the images of a folder, without opening or statting an image."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.values import reason

from .arrays import DatasetError, Holdout
from .left_out import readable

SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
)
# Names of folders that are parts of a dataset, and hold folders of classes.
TRAIN, VALIDATION, TEST = ("train", "training"), ("val", "valid", "validation"), ("test", "testing")


class ImageFile(NamedTuple):
    """A file of the dataset: path, relative to the folder, and label."""

    path: str
    label: int


class Listing(NamedTuple):
    """The images of a folder; see `LeftOut` for what was left out."""

    classes: tuple[str, ...]
    train: list[ImageFile]  # all of them, where the folder brings no validation part
    val: list[ImageFile] | None
    empty_classes: tuple[str, ...]
    other_files: int

    @property
    def files(self) -> list[ImageFile]:
        """All images."""
        return self.train + (self.val or [])

    def parts(self, holdout: Holdout) -> tuple[list[ImageFile], list[ImageFile]]:
        """The training and the validation part; what the folder brings as such depends on no holdout.

        Raises
        ------
        DatasetError
            Nothing is left to validate on.
        """
        if self.val is not None:
            return self.train, self.val
        train, val = holdout.parts([file.label for file in self.train])
        return [self.train[i] for i in train], [self.train[i] for i in val]


def list_folder(folder: Path) -> Listing:
    """Find the classes and the images of a folder, each folder in it being read once.

    A folder for each class, or such folders in train/, which may come with val/ or test/; capitals do not
    matter. Links are followed, but into no folder a second time.

    Raises
    ------
    DatasetError
        No images, a single class, a class to validate on that is not trained on, a folder that may not be
        read.
    """
    entries = _scan(folder)
    names = {entry.name.lower(): entry.name for entry in entries if _is_folder(entry)}
    train = _first_with_images(folder, names, TRAIN)
    val = _first_with_images(folder, names, (*VALIDATION, *TEST)) if train is not None else None
    train = train or PartFolder(folder, "", entries)
    _check_classes(train)
    classes = tuple(name for name, paths in train.by_class.items() if paths)
    files = train.labelled(classes)
    left_out = tuple(name for name, paths in train.by_class.items() if not paths)
    if val is None:
        return Listing(classes, files, None, left_out, train.other_files)
    if strange := sorted(name for name, paths in val.by_class.items() if paths and name not in classes):
        raise DatasetError(
            f"{val.folder}: class '{readable(strange[0])}' is not in {train.folder}; "
            "both need the same class folders"
        )
    return Listing(classes, files, val.labelled(classes), left_out, train.other_files + val.other_files)


def folders_in(folder: Path) -> list[str]:
    """Names of the folders in a folder that may be classes or parts; hidden ones are not.

    Raises
    ------
    DatasetError
        It may not be read.
    """
    return [entry.name for entry in _scan(folder) if _is_folder(entry) and not _is_hidden(entry.name)]


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
    """

    def __init__(self, root: Path, *entered: Path):
        self.other_files = self.hidden_files = 0
        self._root, self._entered = root, {_identity(folder) for folder in (root, *entered)}

    def images_below(self, folder: str) -> Iterable[str]:
        """Paths of images, which are relative to the root, as the folder's is."""
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            names, folders = [], []
            for entry in _scan(self._root / here):
                if _is_folder(entry):
                    folders.append(entry)
                elif self.is_image(entry.name):
                    names.append(entry.name)
            prefix = os.path.join(here, "")
            yield from (prefix + name for name in sorted(names))
            folders.sort(key=lambda entry: entry.name, reverse=True)
            waiting += [
                os.path.join(here, entry.name)
                for entry in folders
                if not _is_hidden(entry.name) and self.enter(entry)
            ]

    def is_image(self, name: str) -> bool:
        """Whether a file is one by its name; counted where it is not."""
        image = name[name.rfind(".") :].lower() in SUFFIXES and not _is_hidden(name)
        self.other_files += not image
        self.hidden_files += _is_hidden(name)
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
    """The class folders in `root`/`name`, and the images below each.

    These are paths relative to `root`, in order of name. The names of classes are in Unicode's composed form
    (NFC), whatever system the folder was made on.

    Parameters
    ----------
    root, name
        Where it is.
    entries
        What is in it, where that was read already.

    Attributes
    ----------
    folder
        The part's own path.
    by_class
        Paths of images, by the names of classes.
    loose, other_files
        How many images there are beside the folders of classes, and files that are no images.

    Raises
    ------
    DatasetError
        A folder may not be read.
    """

    def __init__(self, root: Path, name: str = "", entries: Iterable[os.DirEntry[str]] | None = None):
        self.folder = root / name
        self.by_class: dict[str, list[str]] = {}
        self.loose, walk, folders = 0, _Walk(root, self.folder), []
        for entry in _scan(self.folder) if entries is None else entries:
            if _is_folder(entry):
                folders.append(entry)
            else:
                self.loose += walk.is_image(entry.name)
        # All are entered before any is walked through: what is a class is not also a part of another. Real
        # ones come first.
        folders.sort(key=lambda entry: (entry.is_symlink(), entry.name))
        classes = [entry.name for entry in folders if not _is_hidden(entry.name) and walk.enter(entry)]
        for class_name, folder_name in sorted(
            (_class_name(folder_name), folder_name) for folder_name in classes
        ):
            paths = walk.images_below(os.path.join(name, folder_name))
            self.by_class.setdefault(class_name, []).extend(paths)
        self.other_files = walk.other_files

    def labelled(self, classes: Iterable[str]) -> list[ImageFile]:
        """The images of these classes."""
        return [
            ImageFile(path, label)
            for label, name in enumerate(classes)
            for path in self.by_class.get(name, ())
        ]


def _first_with_images(root: Path, names: dict[str, str], wanted: tuple[str, ...]) -> PartFolder | None:
    parts = (PartFolder(root, names[name]) for name in wanted if name in names)
    return next((part for part in parts if any(part.by_class.values())), None)


def _check_classes(part: PartFolder) -> None:
    classes = [name for name, paths in part.by_class.items() if paths]
    if len(classes) > 1:
        return
    if classes:
        raise DatasetError(
            f"{part.folder}: only one class, '{readable(classes[0])}'; "
            "two or more folders with images are needed"
        )
    if part.loose:
        raise DatasetError(
            f"{part.folder}: {part.loose} images but no class folders; "
            "put the images of each class into a folder of its own"
        )
    raise DatasetError(
        f"{part.folder}: no images found; a folder for each class is needed, "
        f"with {', '.join(sorted(SUFFIXES))} files"
    )


def _scan(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DatasetError(f"{readable(str(folder))}: the folder cannot be read ({reason(error)})") from error


def _is_folder(entry: os.DirEntry) -> bool:
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


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
