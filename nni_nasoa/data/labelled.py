"""Images with the names of their classes, to judge a classifier by: any part of a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nni_nasoa.values import one_of

from .arrays import DatasetError, ImageArrays, ImageSplit
from .dataset import Dataset, Kind
from .decoded import Sample
from .folder import sample_of
from .layout import find_layout
from .left_out import readable
from .named import Named, known_name
from .parts import TEST, TRAIN, VALIDATION
from .walk import ImageFile, PartFolder

if TYPE_CHECKING:
    from PIL import Image

PARTS = ("test", "val", "train", "all")


@dataclass(frozen=True)
class LabelledImages:
    """Images of known classes, which are opened when they are asked for.

    Parameters
    ----------
    part
        Of the dataset: "test", "val", "train", or "all" where it has no parts, or all were asked for.
    classes
        Names of the classes that there are folders of, or that the dataset names.
    samples
        The images; a label is a place in `classes`.
    others
        Numbers of files that were passed over as they are no images by their names, by suffix.
    """

    part: str
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    others: tuple[tuple[str, int], ...] = ()


def labelled_images(dataset: Dataset, part: str | None = None, size: int = 224) -> LabelledImages:
    """The images of a part of a dataset.

    Which folders are parts, `find_layout` says. Where a folder brings none for validation, a share of what is
    trained on is held back, as `Dataset` does it.

    Parameters
    ----------
    part
        One of `PARTS`. By default the first of test and val that there is; of a folder of classes all.
    size
        Height and width at which images are drawn that are no files, in pixels.

    Raises
    ------
    DatasetError
        There is no such dataset, or it has no such part, or no images.
    """
    if part is not None:
        one_of(PARTS)("part", part, DatasetError)
    dataset.check()
    if dataset.kind is Kind.FOLDER:
        found = _of_folder(dataset, part)
    elif dataset.kind is Kind.NAME and part in (None, "test", "all"):
        found = _of_name(dataset, part, size)
    else:
        found = _of_split(dataset.open(size), part)
    if not found.samples:
        raise DatasetError(f"{dataset.name}: no images; a folder for each class is needed")
    return found


def test_part_of(dataset: Dataset) -> str | None:
    """The folder with classes that a folder brings to test on, if it does; a DatasetError as of `open`."""
    return dataset.folder.listing.test if dataset.kind is Kind.FOLDER else None


def _of_name(dataset: Dataset, part: str | None, size: int) -> LabelledImages:
    name = known_name(str(dataset.source))
    test = Named(name, dataset.root).test_part() if name is not None and part != "all" else None
    return _of_split(dataset.open(size), part) if test is None else LabelledImages("test", *test)


def _of_split(split: ImageSplit, part: str | None) -> LabelledImages:
    if part == "test":
        raise DatasetError(f"{split.name}: it has no test part; give val, train or all")
    part = part or "val"
    chosen = [getattr(split, name) for name in ("train", "val") if part in (name, "all")]
    return LabelledImages(part, split.classes, [sample for images in chosen for sample in _in_memory(images)])


def _in_memory(images: ImageArrays) -> Iterable[Sample]:
    for number, label in enumerate(images.labels.tolist()):
        yield Sample(partial(_image, images, number), label, f"image {number}")


def _image(images: ImageArrays, number: int) -> Image.Image:
    from PIL import Image

    return Image.fromarray(images.images[number].transpose(1, 2, 0))


def _of_folder(dataset: Dataset, part: str | None) -> LabelledImages:
    layout = find_layout(dataset.folder.path)
    there = [kind for kind in (TEST, VALIDATION, TRAIN) if kind in layout.parts]
    alone = TRAIN in there and not layout.parts[TRAIN].path  # folders of classes, beside parts or without any
    if part is None:
        part = next((kind for kind in there if kind != TRAIN), "all" if alone else TRAIN)
    if part == "all":
        return _of_classes(dataset, part, [layout.part(kind) for kind in reversed(there)])
    if part != TEST and VALIDATION not in there:
        return _held_back(dataset, part)
    if part not in there:
        beside = f"; there is {', '.join(there)}" if there and not alone else ""
        raise DatasetError(
            f"{readable(str(layout.root))}: no {part}/ with a folder for each class{beside or '; give all'}"
        )
    return _of_classes(dataset, part, [layout.part(part)])


def _held_back(dataset: Dataset, part: str) -> LabelledImages:
    """A part that a run takes by itself of a folder, for training or for validation."""
    folder, listing = dataset.folder.path, dataset.folder.listing
    split = dataset.folder.split(dataset.holdout)
    samples = _samples(folder, split.train if part == TRAIN else split.val)
    return LabelledImages(part, listing.classes, samples, listing.left_out.others)


def _of_classes(dataset: Dataset, part: str, folders: Sequence[PartFolder | None]) -> LabelledImages:
    """All images below the folders of classes in some folders."""
    there = [one for one in folders if one is not None]
    classes = tuple(sorted({name for one in there for name in one.by_class}))
    files = [file for one in there for file in one.labelled(classes)]
    files.sort(key=lambda file: file.label)  # of parts that are taken together, the classes in turn
    samples = _samples(dataset.folder.path, files)
    others = sum((one.others for one in there), Counter())
    return LabelledImages(part, classes, samples, tuple(others.most_common()))


def _samples(folder: Path, files: Iterable[ImageFile]) -> list[Sample]:
    return [sample_of(folder, file) for file in files]
