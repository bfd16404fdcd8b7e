"""What reads a form of datasets: the protocol, and what it is told beside the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nni_nasoa.data.columns import ANY, Columns
from nni_nasoa.data.image_list import ImageList


@dataclass(frozen=True)
class ReadOptions:
    """How a dataset is to be read.

    Parameters
    ----------
    columns
        Which columns of a table are what.
    root
        Where relative paths begin; None for the folder in which the dataset's file is.
    """

    columns: Columns = ANY
    root: Path | None = None


class DatasetReader(Protocol):
    """A form of datasets: how one is known, and how its images and labels are found.

    Reading opens no image. What comes of it, an `ImageList`, is all that the rest asks for: how it is split,
    decoded, cached, looked at and evaluated is the same for all forms.
    """

    @property
    def name(self) -> str:
        """What the form is called, in a word."""

    def recognises(self, given: Any) -> bool:
        """Whether a dataset is of this form.

        It is asked of everything that is given, before any disk is looked at.

        Parameters
        ----------
        given
            A pathlib.Path, which may not be there, and is told by its name; in Python any object.
        """

    def read(self, given: Any, options: ReadOptions) -> ImageList:
        """The images of a dataset that it recognises.

        Raises
        ------
        DatasetError
            It cannot be read. One line that begins with the path.
        """


@runtime_checkable
class FolderReader(DatasetReader, Protocol):
    """A form of datasets of which some are folders that are known by what is in them."""

    def recognises_folder(self, folder: Path, files: Sequence[str], folders: Sequence[str]) -> bool:
        """Whether a folder, of which the name tells nothing, holds a dataset of this form.

        Parameters
        ----------
        folder
            Its path.
        files, folders
            Names of what is in it, so that it is not read again: it may be large, on a slow disk.
        """
