"""`open_dataset`: a name or a folder to an ImageSplit."""

from __future__ import annotations

import os
import stat
from difflib import get_close_matches
from pathlib import Path

from . import tasks
from .arrays import DatasetError, ImageSplit
from .decoded import MAX_BAD
from .digits import open_digits
from .folder import open_folder
from .fractals import open_fractals
from .left_out import readable
from .torchvision_sets import KNOWN, normalized, open_torchvision

MAX_INPUT_SIZE = 2048
FRACTALS = {"classes": 40, "instances": 40, "val_instances": 10}
FRACTAL_SEED = 1_000_003  # far from the seeds of pretraining: a search on fractals sees other classes


def dataset_names() -> list[str]:
    """Names that `open_dataset` knows; anything else is taken as a folder."""
    return ["digits", "fractals", *KNOWN]


def open_dataset(
    name_or_folder,
    *,
    input_size: int,
    seed: int = 0,
    root=None,
    val_fraction: float = 0.2,
    max_bad: float = MAX_BAD,
    show_progress: bool | None = None,
) -> ImageSplit:
    """Open a dataset at a given size; the same arguments always give the same images in the same parts.

    Parameters
    ----------
    name_or_folder
        "digits" (embedded), "fractals" (drawn here from formulas: 40 classes), a torchvision dataset's name ("cifar10",
        "flowers102", ...), "task:NAME" (a small task that is drawn here, see `tasks.list_tasks`), or a folder: a folder of
        images for each class, or train/ and val/ (or test/) with such folders in them. A folder whose name is that of a
        dataset is meant by "./name".
    input_size
        Height and width in pixels: the shorter side is resized to it, the centre cropped.
    seed
        Of the split, where the dataset brings no validation part of its own.
    root
        Where torchvision's datasets lie or are downloaded to; by default in the cache, see `cache.cache_folder`.
    val_fraction
        Share of each class that is held back for validation, where the dataset brings no validation part. The official
        test parts of torchvision's datasets are never touched: they are for the last comparison, not for a search.
    max_bad
        Share of the images that may be unreadable. They are left out and listed in the result's `report`; more are an error.
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
    if (
        isinstance(input_size, bool)
        or not isinstance(input_size, int)
        or not 1 <= input_size <= MAX_INPUT_SIZE
    ):
        raise DatasetError(f"input size: {input_size!r} is not a whole number from 1 to {MAX_INPUT_SIZE}")
    if not 0 < val_fraction < 1:
        raise DatasetError(f"val_fraction: {val_fraction} is not between 0 and 1")
    if isinstance(max_bad, bool) or not isinstance(max_bad, (int, float)) or not 0 <= max_bad <= 1:
        raise DatasetError(f"max_bad: {max_bad!r} is not a share between 0 and 1")
    if str(name_or_folder).startswith(tasks.PREFIX):
        return tasks.open_task(str(name_or_folder).removeprefix(tasks.PREFIX), input_size)
    name = normalized(str(name_or_folder))
    if name == "digits":
        return open_digits(input_size, seed, val_fraction)
    if name == "fractals":
        return open_fractals(size=input_size, seed=FRACTAL_SEED + seed, **FRACTALS)
    if name in KNOWN:
        return open_torchvision(name, input_size, seed, val_fraction, root, max_bad, show_progress)
    return open_folder(
        existing_folder(name_or_folder), input_size, seed, val_fraction, max_bad, show_progress
    )


def check_name(name_or_folder) -> None:
    """Raise the DatasetError that `open_dataset` raises about what is neither a known name nor a folder, without opening it."""
    name = str(name_or_folder)
    if name.startswith(tasks.PREFIX):
        tasks.get_task(name.removeprefix(tasks.PREFIX))
    elif normalized(name) not in dataset_names():
        existing_folder(name_or_folder)


def existing_folder(given) -> Path:
    """The path of a folder, or a DatasetError that says why it is none."""
    name = readable(str(given))
    try:
        folder = Path(given).expanduser()
        if not name:
            raise FileNotFoundError
        if stat.S_ISDIR(os.stat(folder).st_mode):
            return folder
    except (FileNotFoundError, NotADirectoryError):
        close = get_close_matches(normalized(name), dataset_names(), n=1)
        hint = (
            f"did you mean '{close[0]}'?"
            if close
            else f"give a folder of images, or one of {', '.join(dataset_names())}"
        )
        raise DatasetError(f"dataset: '{name}' is neither a folder nor a known name; {hint}") from None
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # no permission, a link to itself, a zero byte, no such user's home
        raise DatasetError(
            f"dataset: '{name}' cannot be opened ({getattr(error, 'strerror', None) or error})"
        ) from error
    raise DatasetError(
        f"dataset: '{name}' is a file, where a folder of images is needed (unpack an archive first)"
    )
