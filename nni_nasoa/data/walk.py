"""Walks through folders of images, in which each folder is read once and no image is opened or statted."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from nni_nasoa.messages import readable
from nni_nasoa.values import reason

from .arrays import DatasetError
from .opening import HEIC
from .time_left import Left, check_left, no_end

# Of files that Pillow opens by itself, or, in the case of HEIC, with pillow-heif.
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .avif .avifs .heic .heif .hif .gif .bmp .dib .tif .tiff "
    ".ppm .pgm .pbm .pnm .pfm .jp2 .j2k .jpc .jpf .jpx .j2c .psd .tga .icb .vda .vst .ico .icns .cur .pcx "
    ".dcx .dds .qoi .sgi .rgb .rgba .bw .ras .im .xbm .xpm .fits".split()
)
# How images begin, by which those without a suffix are known: all bytes of one, or those from a place on.
_BEGINNINGS = (
    (
        0,
        (
            b"\xff\xd8\xff",
            b"\x89PNG\r\n",
            b"GIF8",
            b"BM",
            b"II*\0",
            b"MM\0*",
            b"8BPS",
            b"\xffO\xffQ",
            b"qoif",
        ),
    ),
    (0, tuple(b"P%d%s" % (kind, end) for kind in range(1, 7) for end in (b"\n", b" "))),
    (4, (b"jP  \r\n", b"ftypavif", b"ftypavis", *HEIC)),
    (8, (b"WEBPVP8",)),
)
# Suffixes of which images always begin in one of these ways, if not in that of another suffix.
BEGINNING_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
# What systems and network drives put beside a user's own: no classes, nor files that are missed.
_OF_SYSTEMS = frozenset(
    "__macosx @eadir #recycle @recycle $recycle.bin lost+found thumbs.db desktop.ini".split()
)


class ImageFile(NamedTuple):
    """A file of the dataset: path, relative to the folder, and label."""

    path: str
    label: int


def folders_among(entries: Iterable[os.DirEntry[str]]) -> list[str]:
    """Names of the folders that may be classes or parts, in order; hidden ones are not."""
    return sorted(entry.name for entry in entries if is_folder(entry) and not is_hidden(entry.name))


def is_image(file: os.DirEntry[str]) -> bool:
    """Whether a file is an image by its suffix; without one, by how it begins."""
    if is_hidden(file.name):
        return False
    if file.name[file.name.rfind(".") :].lower() in SUFFIXES:
        return True
    return not suffix_of(file.name) and _is_image_inside(file)


def suffix_of(name: str) -> str:
    """The suffix of a file's name in small letters, with its dot; nothing where there is none."""
    return os.path.splitext(name)[1].lower()


def begins_as_image(begin: bytes) -> bool:
    """Whether a file that begins so is an image of a format that is known by it."""
    return any(begin[place:].startswith(beginnings) for place, beginnings in _BEGINNINGS)


def _is_image_inside(file: os.DirEntry[str]) -> bool:
    with suppress(OSError):
        if file.is_file():  # a pipe would be waited for
            with open(file.path, "rb", buffering=0) as opened:
                return begins_as_image(opened.read(16))
    return False


def holds_images(root: Path, name: str) -> bool:
    """Whether there is an image below a folder."""
    return next(iter(_Walk(root).images_below(name)), None) is not None


def images_below(folder: str | os.PathLike[str]) -> tuple[list[str], Mapping[str, int]]:
    """Paths of the images below a folder, whatever its folders mean, and numbers of other files by suffix.

    Images are told as by `is_image`, and come in order of name, those of a folder before those of the folders
    in it. Hidden files and folders are passed over; links are followed, into no folder a second time.

    Raises
    ------
    DatasetError
        A folder cannot be read.
    """
    walk = _Walk(Path(folder))
    paths = [os.path.join(folder, path) for path in walk.images_below("")]
    return paths, walk.others


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
    others
        How many there were, by suffix; hidden ones do not count.
    inside
        Names of the folders in the one whose images were asked for last.
    """

    def __init__(self, root: Path, *entered: Path):
        self.others: Counter[str] = Counter()
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
                elif self.is_image(entry):
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

    def is_image(self, file: os.DirEntry[str]) -> bool:
        """Whether a file is one; counted where it is not."""
        image = is_image(file)
        if not image and not is_hidden(file.name):
            self.others[suffix_of(file.name)] += 1
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
    left
        Seconds that may still be taken.

    Attributes
    ----------
    root, folder
        The dataset's folder, and the part's own path.
    by_class
        Paths of images, by the names of classes.
    inside
        Names of the folders in the folders of classes, by the names of classes.
    loose
        How many images there are beside the folders of classes.
    others
        How many files are no images, by their suffixes.

    Raises
    ------
    DatasetError
        A folder may not be read.
    NotInTimeError
        No time is left.
    """

    def __init__(
        self,
        root: Path,
        name: str = "",
        entries: Iterable[os.DirEntry[str]] | None = None,
        left: Left = no_end,
    ):
        self.root, self.folder = root, root / name
        self.by_class: dict[str, list[str]] = {}
        self.inside: dict[str, list[str]] = {}
        self.loose, walk, folders = 0, _Walk(root, self.folder), []
        for entry in scan(self.folder) if entries is None else entries:
            if is_folder(entry):
                folders.append(entry)
            else:
                self.loose += walk.is_image(entry)
        # All are entered before any is walked through: what is a class is not also a part of another. Real
        # ones come first.
        folders.sort(key=lambda entry: (entry.is_symlink(), entry.name))
        classes = [entry.name for entry in folders if not is_hidden(entry.name) and walk.enter(entry)]
        for class_name, folder_name in sorted(
            (_class_name(folder_name), folder_name) for folder_name in classes
        ):
            check_left(left, f"{len(self.by_class)} of {len(classes)} classes are listed")
            paths = walk.images_below(os.path.join(name, folder_name))
            self.by_class.setdefault(class_name, []).extend(paths)
            self.inside.setdefault(class_name, []).extend(walk.inside)
        self.others = walk.others

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
