"""What a command or a call is about, as a value: a name, a folder of images, a list of them, or arrays.

It is made once, where the command or the call begins, and passed on. It alone asks what was given; and what
it finds out, such as which files there are, is found out once. So it is not to be kept for longer than the
command: files may come and go.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from nni_nasoa.values import INPUT_SIZE, PART, PATTERN, SEED, check_fields, number, one_of, or_none, shown

from .arrays import DatasetError, Holdout, ImageSplit, NotInTimeError
from .columns import ANY, Columns, respelled
from .decoded import check_usable
from .decoding import Decoding
from .fingerprint import fingerprint_of_arrays
from .folder_images import FolderImages
from .given import Kind, Source, check_columns, check_geometry, files_at, in_memory, whole_path
from .image_files import ImageFiles
from .image_list import ImageList
from .left_out import warn_of
from .named import EMBEDDED, Named, known_name
from .own_process import over_in_time
from .read_files import ReadFiles
from .rendering import GEOMETRIES
from .split_defaults import MAX_BAD, VAL_FRACTION

_RULES = {
    "val_fraction": PART,
    "seed": SEED,
    "max_bad": number(0, 1, "a share between 0 and 1"),
    "group_by": or_none(PATTERN),
    "geometry": or_none(one_of(GEOMETRIES)),
}


@dataclass(frozen=True)
class Dataset:
    """A dataset, and how it is to be taken; the same values always give the same images in the same parts.

    Whether it is there shows when it is asked for something, or by `check`: it may be another machine's.

    Parameters
    ----------
    source
        "digits" (embedded), "fractals" (drawn here from formulas: 40 classes), a torchvision dataset's name
        ("cifar10", "flowers102", ...), "task:NAME" (a small task that is drawn here, see `tasks.list_tasks`),
        or a folder: a folder of images for each class, or train/ and val/ with such folders in them; test/ is
        left alone. A folder whose name is that of a dataset is meant by "./name". Or what a reader knows, see
        `readers`: "labels.csv", or "labels.csv?label=species,path=image" where columns have unusual names; a
        table of pandas; an ImageList. Or an ImageSplit, which is taken as it is.
    root
        Where torchvision's datasets lie or are downloaded to, by default in the cache. Where relative paths
        begin in a file that lists images, by default its folder, or a table, by default where the process is.
    val_fraction
        Share of each class that is held back for validation, where the dataset brings no validation part.
        Official test parts are never touched: they are for the last comparison, not for a search.
    seed
        Seed of the split, where the dataset brings no validation part of its own.
    max_bad
        Share of the images that may be unreadable. They are left out and listed in `left_out` of what is
        opened; more are an error.
    group_by
        A regular expression that is found in the path of each image of a folder. Images for which its groups,
        or all of it where it has none, are the same are held back together, or not at all.
    geometry
        How a square comes of an oblong image in a file: "crop", "pad" or "squish", see `Rendering`. None goes
        by how oblong the images are.
    columns
        Which columns of a table are what, as Columns or a mapping with "path", "label" and "part"; those that
        are not given are found by their usual names.

    Raises
    ------
    DatasetError
        One of these is not what it has to be. One line.
    """

    source: Source
    root: str | os.PathLike[str] | None = None
    val_fraction: float = VAL_FRACTION
    seed: int = 0
    max_bad: float = MAX_BAD
    group_by: str | None = None
    geometry: str | None = None
    columns: Columns | Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        check_fields(self, _RULES, DatasetError)
        check_geometry(self.source, self.geometry)
        columns = Columns.of(self.columns)
        if isinstance(self.source, (str, os.PathLike)):
            check_columns(self.source, columns)
        elif not isinstance(self.source, (ImageSplit, ImageList)):
            object.__setattr__(self, "source", in_memory(self.source, columns, self.root))
            columns = ANY
        object.__setattr__(self, "columns", columns)

    @classmethod
    def of(cls, given: Dataset | Source, **options: Any) -> Dataset:
        """What a public call was given, as a Dataset.

        Parameters
        ----------
        given
            A Dataset, which is taken as it is, or the source of one.
        options
            The other fields. Beside a Dataset, which brings its own, they have to be the defaults.

        Raises
        ------
        DatasetError
            A field is not what it has to be, or is given beside a Dataset. One line.
        """
        if not isinstance(given, Dataset):
            return cls(given, **options)
        defaults = {field.name: field.default for field in dataclasses.fields(cls)}
        for name, value in options.items():
            if value != defaults[name]:
                raise DatasetError(f"{name}: {shown(value)} is given beside a Dataset, which brings its own")
        return given

    def but(
        self, *, seed: int | None = None, max_bad: float | None = None, geometry: str | None = None
    ) -> Dataset:
        """The same images, taken in another way; what is known of their files is known to both."""
        asked: dict[str, Any] = {"seed": seed, "max_bad": max_bad, "geometry": geometry}
        given = {name: one for name, one in asked.items() if one not in (None, getattr(self, name))}
        if not given:
            return self
        other = dataclasses.replace(self, **given)
        vars(other)["_images"] = self._images
        return other

    def absolute(self, base: str | os.PathLike[str] = ".") -> Dataset:
        """The dataset with absolute paths; relative ones begin at a folder, "~" is the home."""
        root = None if self.root is None else whole_path(self.root, base)
        if not isinstance(self.source, (str, os.PathLike)) or self.kind is Kind.NAME:
            return dataclasses.replace(self, root=root)
        return dataclasses.replace(self, source=whole_path(self.source, base), root=root)

    @property
    def spelled(self) -> str:
        """The source as a command or a config takes it, the columns that the user has named included."""
        return respelled(str(self.source), Columns.of(self.columns))

    @cached_property
    def _decodings(self) -> list[Decoding]:
        return []

    def __getstate__(self) -> dict[str, Any]:
        """All but what goes on in this process."""
        return {name: value for name, value in vars(self).items() if name != "_decodings"}

    @cached_property
    def _images(self) -> ImageSplit | Named | ImageFiles:
        if isinstance(self.source, ImageSplit):
            return self.source
        if isinstance(self.source, ImageList):
            return ReadFiles(self.source)
        path = str(self.source)
        name = known_name(path)
        return (
            Named(name, self.root)
            if name is not None
            else files_at(path, Columns.of(self.columns), self.root)
        )

    @property
    def kind(self) -> Kind:
        """As what it is given."""
        if isinstance(self._images, ImageSplit):
            return Kind.ARRAYS
        return Kind.FILES if isinstance(self._images, ImageFiles) else Kind.NAME

    @property
    def name(self) -> str:
        """What results call it: of a folder or a file the last part of its path."""
        return self._images.name

    @property
    def identity(self) -> str:
        """What tells it from others on this machine: its name, or the absolute path of a folder or file."""
        return self._images.identity if isinstance(self._images, ImageFiles) else self.name

    @property
    def input_size(self) -> int | None:
        """Height and width of images in memory, in pixels; None of others, which come in any size."""
        return self._images.input_size if isinstance(self._images, ImageSplit) else None

    @property
    def files(self) -> ImageFiles:
        """The files of a folder or a list; a DatasetError where it is given as something else."""
        if isinstance(self._images, ImageFiles):
            return self._images.found
        raise DatasetError(f"dataset: '{self.name}' is given as {self.kind.value}, which has no files")

    @property
    def holdout(self) -> Holdout:
        """What is held back for validation."""
        return Holdout(self.val_fraction, self.seed, self.group_by)

    @cached_property
    def fingerprint(self) -> str:
        """What tells the dataset, and how it is split, from others; no image is opened for it.

        Of files it is a digest of their paths, sizes and times, so that a change gives another one, as a copy
        does, and of the labels in a list of them. Of a named dataset it is one of the name and the version of
        this package; of an ImageSplit of its labels and up to 64 MiB of its images, evenly spaced.

        Raises
        ------
        DatasetError
            As in `open`, where it shows without opening an image.
        """
        if isinstance(self._images, ImageSplit):
            return fingerprint_of_arrays(self._images)
        if isinstance(self._images, Named):
            return self._images.fingerprint(self.holdout)
        return self.files.fingerprint(self.holdout, self.geometry)

    def check(self) -> None:
        """Raise what `open` raises about what is neither a known name nor a folder, without opening it."""
        if not isinstance(self._images, ImageSplit):
            self._images.check()

    def open(self, size: int, show_progress: bool | None = None) -> ImageSplit:
        """The images, decoded and in their two parts.

        Parameters
        ----------
        size
            Height and width in pixels. An ImageSplit is not resized.
        show_progress
            Whether to show a bar on stderr while images are decoded; None shows one where that is a terminal.

        Raises
        ------
        DatasetError
            One line: what is wrong, and what would be right.

        Warns
        -----
        DatasetWarning
            One line about what was left out: images that cannot be read, classes without images.
        """
        size = _checked_size(size)
        if isinstance(self._images, ImageSplit):
            return self._images
        if isinstance(self._images, Named):
            split = self._images.open(size, self.holdout, show_progress)
        else:
            split = self.files.open(size, self.holdout, self.geometry, show_progress)
        check_usable(split, self.max_bad)
        warn_of(split.left_out, split.name)
        return split

    def decode_in_time(self, size: int, seconds: float, show_progress: bool | None = False) -> bool:
        """Decode the images into the cache in a process of its own; whether that was over in time.

        If it was, `open` takes next to no time, or fails at once as that did. The process is ended when its
        time is up, without harm to the cache; what it has decoded of a folder stays, see `decoding`.

        Parameters
        ----------
        size, show_progress
            As `open` takes them.
        seconds
            That it may take; where they are infinitely many, there is no need for a process.

        Raises
        ------
        DatasetError
            Where it shows without opening an image.
        """
        size = _checked_size(size)
        images = self._images
        if isinstance(images, ImageSplit) or (isinstance(images, Named) and images.name == EMBEDDED):
            return True  # there is nothing to decode
        if math.isinf(seconds):
            return True
        deadline = time.monotonic() + seconds
        if not isinstance(images, ImageFiles):
            return over_in_time(
                partial(_decode, self, size, show_progress), seconds, quiet=show_progress is False
            )
        self.files.split(self.holdout)  # what is wrong with them is said, however short the time is
        if seconds <= 0:
            return False
        with suppress(DatasetError), self.decoding(size) as decoding:  # who opens it next will see the same
            return decoding.show(deadline - time.monotonic(), show_progress)
        return True

    def decoding(self, size: int) -> Decoding:
        """Decode a folder's images in a process of its own, beside other work.

        It does so while the context that is returned is entered. What it has decoded stays in the cache, and
        `open`, `sample` and the next `decoding` go on from there. See `Decoding` for what can be asked.

        Parameters
        ----------
        size
            Height and width, in pixels.

        Raises
        ------
        DatasetError
            It is no folder, or one that cannot be used, where that shows without opening an image.
        """
        size = _checked_size(size)
        decoding = Decoding(_images_of(self), size, self.max_bad, partial(_images_of, self))
        self._decodings.append(decoding)
        return decoding

    def decoding_under_way(self, size: int) -> Decoding | None:
        """Decoding of this size or a larger one that was begun by `decoding`, and goes on."""
        return next((one for one in self._decodings if one.running and one.size >= size), None)

    def sample(
        self,
        size: int,
        seconds: float,
        most: int | None = None,
        show_progress: bool | None = False,
        *,
        enough: int | None = None,
        decode_size: int | None = None,
    ) -> ImageSplit:
        """As many images as can be had in some time.

        Of a folder they are taken from what is decoded at this size or a larger one. What is missing is
        decoded, all classes in turn, until the time is over, and stays in the cache; where that cannot be
        written, it is decoded into memory. Other datasets are opened, or not.

        Parameters
        ----------
        size, show_progress
            As `open` takes them.
        seconds
            That it may take; a little more, where a folder's first images take longer.
        most
            Images of a folder, at most.
        enough
            Images of a folder, two classes among them, after which it is over before the time is.
        decode_size
            Height and width, in pixels, at which a folder's images are decoded, if more than `size`: those of
            the largest sample that will be asked for, so that none is decoded a second time.

        Raises
        ------
        NotInTimeError
            There was not even an image of two classes, and one to validate on.
        DatasetError
            As in `open`. As for unreadable images: those that were found are more than the share `max_bad` of
            all in a folder.
        """
        size = _checked_size(size)
        if isinstance(self._images, ImageFiles):
            begin, images = time.monotonic(), _images_of(self)
            seconds -= time.monotonic() - begin
            return images.sample(size, seconds, most, self.max_bad, enough=enough, decode_size=decode_size)
        if not self.decode_in_time(size, seconds, show_progress):
            raise NotInTimeError(f"dataset: '{self.name}' could not be opened in {seconds:.3g} s")
        return self.open(size, show_progress)

    def decoded(self, sizes: Iterable[int]) -> set[int]:
        """At which of some sizes, in pixels, a folder's images lie decoded in the cache; no file is read.

        A size counts, too, where they do at a larger one, of which they are made in next to no time.

        Raises
        ------
        DatasetError
            As in `open`, where it shows without opening an image.
        """
        return self.files.decoded(sizes, self.holdout, self.geometry) if self.kind is Kind.FILES else set()


def _decode(dataset: Dataset, size: int, show_progress: bool | None) -> None:
    with suppress(DatasetError):  # who opens it next will see the same
        dataset.open(size, show_progress)


def _images_of(dataset: Dataset) -> FolderImages:
    return dataset.files.images(dataset.holdout, dataset.geometry)


def _checked_size(size: int) -> int:
    return INPUT_SIZE("input size", size, DatasetError)
