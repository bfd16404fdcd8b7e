"""Images with the names of their classes, to judge a classifier by: any part of a dataset."""

from __future__ import annotations

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
from .left_out import readable
from .listing import TEST, TRAIN, VALIDATION, ImageFile, PartFolder, folders_in
from .named import Named, known_name

if TYPE_CHECKING:
    from PIL import Image

PARTS = ("test", "val", "train", "all")
_FOLDERS = {"test": TEST, "val": VALIDATION, "train": TRAIN}


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
    other_files
        Number of files that were passed over, as their names are not those of images.
    """

    part: str
    classes: tuple[str, ...]
    samples: Sequence[Sample]
    other_files: int = 0


def labelled_images(dataset: Dataset, part: str | None = None, size: int = 224) -> LabelledImages:
    """The images of a part of a dataset.

    A folder may hold test/, val/ and train/ with a folder for each class in them, or such folders itself.
    What its own val/ is not is held back of train/, or of the whole folder, as `Dataset` does it.

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


def has_test_part(dataset: Dataset) -> bool:
    """Whether a dataset is a folder with test/ in it, which holds folders of classes."""
    return dataset.kind is Kind.FOLDER and "test" in _parts_of(dataset.folder.path)


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


def _parts_of(folder: Path) -> dict[str, str]:
    """Names of the folders that are parts, in the order of `PARTS`; none where its folders are classes."""
    inside = {name.lower(): name for name in folders_in(folder)}
    found: dict[str, str] = {}
    for part, names in _FOLDERS.items():
        for name in names:
            if part not in found and name in inside and folders_in(folder / inside[name]):
                found[part] = inside[name]
    return found


def _of_folder(dataset: Dataset, part: str | None) -> LabelledImages:
    folder = dataset.folder.path
    there = _parts_of(folder)
    if not there:  # its folders are the classes
        if part == "test":
            raise DatasetError(f"{readable(str(folder))}: no test/ with a folder for each class; give all")
        return _of_classes(folder, [""], "all") if part in (None, "all") else _held_back(dataset, part)
    if part == "all":
        return _of_classes(folder, there.values(), part)
    chosen = part or next(iter(there))
    if chosen in there and not (chosen == "train" and "val" not in there):
        return _of_classes(folder, [there[chosen]], chosen)
    if chosen in ("val", "train") and "train" in there:
        return _held_back(dataset, chosen)
    raise DatasetError(f"{readable(str(folder))}: no {chosen}/; there is {', '.join(sorted(there))}")


def _held_back(dataset: Dataset, part: str) -> LabelledImages:
    """A part that a run takes by itself of a folder, for training or for validation."""
    folder, listing = dataset.folder.path, dataset.folder.listing
    train, val = listing.parts(dataset.holdout)
    samples = _samples(folder, train if part == "train" else val)
    return LabelledImages(part, listing.classes, samples, listing.other_files)


def _of_classes(folder: Path, names: Iterable[str], part: str) -> LabelledImages:
    """All images below the folders of classes in some folders."""
    folders = [PartFolder(folder, name) for name in names]
    classes = tuple(sorted({name for one in folders for name in one.by_class}))
    files = [file for one in folders for file in one.labelled(classes)]
    files.sort(key=lambda file: file.label)  # of parts that are taken together, the classes in turn
    return LabelledImages(part, classes, _samples(folder, files), sum(one.other_files for one in folders))


def _samples(folder: Path, files: Iterable[ImageFile]) -> list[Sample]:
    return [sample_of(folder, file) for file in files]
