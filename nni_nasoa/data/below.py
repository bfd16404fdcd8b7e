"""The image files below a folder, whatever its folders mean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from nni_nasoa.values import reason

from .arrays import DatasetError
from .left_out import readable
from .listing import SUFFIXES


def images_below(folder: str | os.PathLike[str]) -> tuple[list[str], int]:
    """Paths of the images below a folder, in order of name, and how many other files there are.

    Images are told by their suffixes. Hidden files and folders are passed over, links are followed, into no
    folder a second time.

    Raises
    ------
    DatasetError
        A folder cannot be read.
    """
    found, others = [], 0
    for path in _files(os.fspath(folder)):
        if Path(path).suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            others += 1
    return found, others


def _files(folder: str) -> Iterator[str]:
    entered = set()

    def refuse(error: OSError) -> None:
        raise DatasetError(f"{readable(error.filename)}: the folder cannot be read ({reason(error)})")

    for here, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        about = os.stat(here)
        if (about.st_dev, about.st_ino) in entered:
            folders.clear()
            continue
        entered.add((about.st_dev, about.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(here, name) for name in sorted(files) if not name.startswith("."))
