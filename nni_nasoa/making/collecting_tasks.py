"""What the runs of a collection are on: drawn tasks, and parts of folders of real images.

A task is named by a text: that of a drawn one, "signs-20", or a folder's path with the number of a part of
it, "/data/flowers#3". Part 0 has all classes and most of their images, the others have fewer of both, drawn
by their number. Each task keeps images that no run sees, by which its runs are judged: to the validation
images, which a run does see, a head may have been fitted in the end.
"""

from __future__ import annotations

import dataclasses
import math
import os
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from nni_nasoa.data import Dataset, DatasetError
from nni_nasoa.data.arrays import ImageArrays, ImageSplit, classes_in_turn, stratified_split
from nni_nasoa.data.image_list import ImageList, ListedImage
from nni_nasoa.data.tasks import get_task
from nni_nasoa.values import shown

PART_MARK = "#"  # between a folder's path and the number of its part
MOST_DRAWN = 2 / 3  # Of a class, so much of it may be drawn for a dataset; the others judge.
LEAST_PER_CLASS, LEAST_IMAGES, LEAST_CLASSES = 8, 60, 2
MOST_JUDGING = 300  # images that a run of a folder's part is judged by


class Judging(NamedTuple):
    """Images that no run sees.

    Parameters
    ----------
    images, labels
        As `ImageArrays` has them.
    weights
        What each counts for, (n,); their sum is 1.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


class CollectedTask(Protocol):
    """A dataset, and images beside it that judge what was trained on it."""

    @property
    def name(self) -> str:
        """What records call it."""

    @property
    def dataset(self) -> Dataset:
        """What profiles are made of."""

    def open(self, size: int) -> tuple[ImageSplit, Judging]:
        """What a run is made on, and what it is judged by.

        Parameters
        ----------
        size
            Height and width in pixels.

        Raises
        ------
        DatasetError
            As in `Dataset.open`, or no image is left of a class to judge by. One line.
        """


@dataclass(frozen=True)
class DrawnTask:
    """A task that is drawn here; one half of its validation images judges.

    Parameters
    ----------
    task
        Its name.
    """

    task: str

    @cached_property
    def dataset(self) -> Dataset:
        """The task as others open it."""
        return Dataset(f"task:{self.task}")

    @property
    def name(self) -> str:
        """As its dataset is called."""
        return self.dataset.name

    def open(self, size: int) -> tuple[ImageSplit, Judging]:
        """See `CollectedTask.open`."""
        split = self.dataset.open(size)
        seen, judging = stratified_split(split.val.labels, 0.5, seed=0)
        val = ImageArrays(split.val.images[seen], split.val.labels[seen])
        judges = split.val.images[judging], split.val.labels[judging], np.full(len(judging), 1 / len(judging))
        return dataclasses.replace(split, val=val), Judging(*judges)


@dataclass(frozen=True)
class FolderPart:
    """Some images of some classes of a folder, whatever part of it they lie in; others of these judge.

    Parameters
    ----------
    folder
        Its path.
    number
        0 for all classes and as many images as there are but for those that judge.
    """

    folder: Path
    number: int

    @property
    def name(self) -> str:
        """Name of the folder, with the number."""
        return f"{self.folder.name}{PART_MARK}{self.number}"

    @cached_property
    def _drawn(self) -> tuple[ImageList, ImageList]:
        """The images of the dataset, and those that judge."""
        files = Dataset(self.folder).files
        classes, found, _ = files.of_parts([*files.parts])
        place, labels = files.place, np.array([file.label for file in found])
        rng = np.random.default_rng([zlib.crc32(os.fsencode(self.folder.name)), self.number])
        counts = self._counts(labels, rng)
        drawn, others = [], []
        for label, count in counts.items():
            rows = rng.permutation(np.flatnonzero(labels == label))
            drawn += rows[:count].tolist()
            others += rows[count:].tolist()
        judging = np.array(others)[classes_in_turn(labels[others], seed=self.number)[:MOST_JUDGING]]
        names = sorted(classes[label] for label in counts)

        def listed(rows: list[int], name: str) -> ImageList:
            images = (ListedImage(str(place.where(found[row].path)), classes[labels[row]]) for row in rows)
            return ImageList(tuple(images), classes=names, name=name)

        return listed(drawn, self.name), listed(judging.tolist(), f"{self.name}, judging")

    def _counts(self, labels: np.ndarray, rng: np.random.Generator) -> dict[int, int]:
        """How many images of which classes are drawn."""
        most = {label: int(MOST_DRAWN * count) for label, count in enumerate(np.bincount(labels))}
        enough = [label for label, count in most.items() if count >= LEAST_PER_CLASS]
        if len(enough) < LEAST_CLASSES:
            least = math.ceil(LEAST_PER_CLASS / MOST_DRAWN)
            raise DatasetError(f"{self.folder}: fewer than {LEAST_CLASSES} classes of {least} images or more")
        if not self.number:
            return {label: most[label] for label in enough}
        number = _between(rng, LEAST_CLASSES, len(enough))
        chosen = rng.choice(enough, number, replace=False).tolist()
        least = max(LEAST_PER_CLASS, math.ceil(LEAST_IMAGES / number))
        each = _between(rng, least, max(least, *(most[label] for label in chosen)))
        return {label: min(most[label], each) for label in chosen}

    @cached_property
    def dataset(self) -> Dataset:
        """The images that were drawn, of which a share is held back for validation, as of any folder."""
        return Dataset(self._drawn[0])

    def open(self, size: int) -> tuple[ImageSplit, Judging]:
        """See `CollectedTask.open`."""
        split = self.dataset.open(size, show_progress=False)
        others = Dataset(self._drawn[1], geometry=split.rendering.geometry).open(size, show_progress=False)
        (own, own_labels), (images, labels) = map(_together, (split, others))
        known = {hash(image.tobytes()) for image in own}
        new = np.array([hash(image.tobytes()) not in known for image in images])  # no copies of those
        images, labels = images[new], labels[new]
        counts, shares = (np.bincount(each, minlength=len(split.classes)) for each in (labels, own_labels))
        if others.classes != split.classes or not counts.all():
            raise DatasetError(f"{self.name}: nothing is left of a class to judge by")
        # Each class counts for what it is of the dataset, whatever is left of it.
        return split, Judging(images, labels, (shares / shares.sum() / counts)[labels])


def collected_task(text: str) -> DrawnTask | FolderPart:
    """What a text names.

    Raises
    ------
    DatasetError
        There is no such task, or no such folder. One line.
    """
    path, mark, number = text.rpartition(PART_MARK)
    if not mark:
        get_task(text)
        return DrawnTask(text)
    if not number.isdecimal():
        raise DatasetError(f"task: {shown(text)} is no folder with the number of a part: data/flowers#0")
    part = FolderPart(Path(path), int(number))
    Dataset(part.folder).files.check()
    return part


def _together(split: ImageSplit) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of both parts."""
    parts = split.train, split.val
    return np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts])


def _between(rng: np.random.Generator, least: int, most: int) -> int:
    """A whole number whose logarithm may lie anywhere between those of two others."""
    return round(math.exp(rng.uniform(math.log(least), math.log(most))))
