"""Images with the names of their classes, to judge a classifier by: any part of a dataset."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nni_nasoa.messages import readable
from nni_nasoa.values import one_of

from .arrays import DatasetError, ImageArrays, ImageSplit
from .dataset import Dataset, Kind
from .decoded import Sample
from .image_files import samples_of
from .named import Named, known_name
from .parts import TEST, TRAIN, VALIDATION

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

    Which folders are parts, `find_layout` says. Where a folder or a list brings none for validation, a share
    of what is trained on is held back, as `Dataset` does it.

    Parameters
    ----------
    part
        One of `PARTS`. By default the first of test and val that there is; of a folder or a
        list without parts all.
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
    if dataset.kind is Kind.FILES:
        found = _of_files(dataset, part)
    elif dataset.kind is Kind.NAME and part in (None, "test", "all"):
        found = _of_name(dataset, part, size)
    else:
        found = _of_split(dataset.open(size), part)
    if not found.samples:
        raise DatasetError(f"{dataset.name}: no images; a folder for each class is needed")
    return found


def test_part_of(dataset: Dataset) -> str | None:
    """What messages call the part to test on that a dataset's files bring; a DatasetError as of `open`."""
    if dataset.kind is not Kind.FILES or dataset.files.listing.test is None:
        return None
    return dataset.files.parts[TEST]


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


def _of_files(dataset: Dataset, part: str | None) -> LabelledImages:
    parts = dataset.files.parts
    there = [kind for kind in (TEST, VALIDATION, TRAIN) if kind in parts]
    alone = TRAIN in there and not parts[TRAIN]  # folders of classes, beside parts or without any
    if part is None:
        part = next((kind for kind in there if kind != TRAIN), "all" if alone else TRAIN)
    if part == "all":
        return _of_parts(dataset, part, [*reversed(there)])
    if part != TEST and VALIDATION not in there:
        return _held_back(dataset, part)
    if part not in there:
        beside = f"; there is {', '.join(there)}" if there and not alone else ""
        raise DatasetError(
            f"{readable(dataset.files.title)}: no {dataset.files.missing(part)}{beside or '; give all'}"
        )
    return _of_parts(dataset, part, [part])


def _held_back(dataset: Dataset, part: str) -> LabelledImages:
    """A part that a run takes by itself, for training or for validation."""
    listing, split = dataset.files.listing, dataset.files.split(dataset.holdout)
    samples = samples_of(dataset.files.place, split.train if part == TRAIN else split.val)
    return LabelledImages(part, listing.classes, samples, listing.left_out.others)


def _of_parts(dataset: Dataset, part: str, kinds: Sequence[str]) -> LabelledImages:
    """All images of some parts."""
    found = dataset.files.of_parts(kinds)
    files = sorted(found.files, key=lambda file: file.label)  # of several parts, the classes in turn
    return LabelledImages(part, found.classes, samples_of(dataset.files.place, files), found.others)
