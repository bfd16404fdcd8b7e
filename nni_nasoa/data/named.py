"""The datasets that are known by a name."""

from __future__ import annotations

import os
from pathlib import Path

from . import decoded, tasks
from .arrays import Holdout, ImageSplit
from .digits import open_digits
from .fingerprint import fingerprint_of
from .fractals import open_fractals
from .torchvision_sets import KNOWN, normalized, open_torchvision, test_part

EMBEDDED = "digits"
FRACTALS = {"classes": 40, "instances": 40, "val_instances": 10}
FRACTAL_SEED = 1_000_003  # far from the seeds of pretraining: a search on fractals sees other classes


def dataset_names() -> list[str]:
    """Names that `Dataset` knows, besides those of tasks; anything else is taken as a folder."""
    return [EMBEDDED, "fractals", *KNOWN]


def known_name(text: str) -> str | None:
    """The name of a dataset as this project writes it, or None where a text is not one: CIFAR-10 is cifar10.

    Every "task:NAME" is one, also where there is no such task.
    """
    if text.startswith(tasks.PREFIX):
        return text
    name = normalized(text)
    return name if name in dataset_names() else None


class Named:
    """A dataset that is known by a name.

    Parameters
    ----------
    name
        As `known_name` gives it.
    place
        Where torchvision's datasets lie or are downloaded to; None for the cache.
    """

    def __init__(self, name: str, place: str | os.PathLike[str] | None):
        self.name = name
        self._place = place

    def check(self) -> None:
        """Raise a DatasetError where it is a task that there is not."""
        if self.name.startswith(tasks.PREFIX):
            tasks.get_task(self.name.removeprefix(tasks.PREFIX))

    def fingerprint(self, holdout: Holdout) -> str:
        """Of the name, of where it lies, of the split and of the version of this package."""
        from nni_nasoa import __version__

        place = None if self._place is None else os.path.abspath(os.path.expanduser(self._place))
        return fingerprint_of(
            "named", self.name, __version__, decoded.VERSION, place, holdout.fraction, holdout.seed
        )

    def open(self, size: int, holdout: Holdout, show_progress: bool | None) -> ImageSplit:
        """The images; see `Dataset.open`."""
        if self.name.startswith(tasks.PREFIX):
            return tasks.open_task(self.name.removeprefix(tasks.PREFIX), size)
        if self.name == EMBEDDED:
            return open_digits(size, holdout)
        if self.name == "fractals":
            return open_fractals(size=size, seed=FRACTAL_SEED + holdout.seed, **FRACTALS)
        folder = None if self._place is None else Path(self._place)
        return open_torchvision(self.name, folder, holdout, size, show_progress)

    def test_part(self) -> tuple[tuple[str, ...], list[decoded.Sample]] | None:
        """The classes and images of its official test part; None where it has none."""
        if self.name not in KNOWN:
            return None
        return test_part(self.name, None if self._place is None else Path(self._place))
