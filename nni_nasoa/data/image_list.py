"""Images with their labels, as a list: what a reader finds in a file of any form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from .place import Piece

Label = str | int | float | None


class ListedImage(NamedTuple):
    """An image of a list.

    Parameters
    ----------
    path
        Of its file, absolute or from the list's root on. Of a piece of a file what the image is called, which
        no other one of the list is.
    label
        Name of its class, or a number; None where there is none.
    part
        Which part of the dataset it is in, as the list calls it: "train", "validation", "test", ... None
        where the list has no parts.
    piece
        Where it is, if it is no file of its own.
    """

    path: str
    label: Label
    part: str | None = None
    piece: Piece | None = None


class Table(Protocol):
    """A table in memory, as pandas has it; see `readers.data_frame`."""

    @property
    def columns(self) -> Any:
        """Names of its columns."""


@dataclass(frozen=True, eq=False)
class ImageList:
    """The images of a dataset.

    Parameters
    ----------
    images
        In any order.
    root
        Where relative paths begin.
    classes
        Names of the classes in their order, where that is known. Labels that are whole numbers are places in
        it. By default the labels that there are, sorted.
    notes
        Lines on what was left out, or may be wrong.
    name
        What results call it, where it has no path.
    holds
        What has to be there for as long as the images are.
    """

    images: Sequence[ListedImage]
    root: Path = Path(".")
    classes: Sequence[str] | None = None
    notes: tuple[str, ...] = ()
    name: str = "images"
    holds: object = None

    @property
    def numbered(self) -> bool:
        """Whether labels are whole numbers that have no names."""
        return self.classes is None and all(isinstance(one.label, int) for one in self.images)
