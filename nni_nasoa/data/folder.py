"""Image folders: a folder for each class, or train/ and val/ with such folders in them."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

from .arrays import DatasetError, ImageSplit, stratified_split
from .decoded import Sample, Source, open_decoded

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
TRAIN = ("train", "training")
VAL = ("val", "valid", "validation", "test")


class ImageFile(NamedTuple):
    """A file of the dataset: path, relative to the folder, and label."""

    path: str
    label: int


def open_folder(folder: Path, input_size: int, seed: int, val_fraction: float) -> ImageSplit:
    """Open a folder of images; see `open_dataset`.

    The cache is keyed by the names, sizes and times of the files, so that a changed folder is decoded anew.
    """
    classes, train, val = list_folder(folder, seed, val_fraction)

    def source():
        return Source(classes, *([Sample(partial(_open_image, folder / file.path), file.label, file.path) for file in part]
                                 for part in (train, val)))

    key = {"folder": str(folder.resolve()), "classes": classes, "files": [_fingerprint(folder, part) for part in (train, val)]}
    return open_decoded(folder.resolve().name, key, input_size, source)


def list_folder(folder: Path, seed: int, val_fraction: float) -> tuple[tuple[str, ...], list[ImageFile], list[ImageFile]]:
    """Find the classes and the files of the two parts, without opening a file.

    Raises
    ------
    DatasetError
        No images, a single class, a class to validate on that is not trained on.
    """
    train_folder, by_class = _first_with_images(folder, TRAIN)
    val_folder, val_by_class = _first_with_images(folder, VAL) if by_class else (None, {})
    if not by_class:
        train_folder, by_class = folder, _images_by_class(folder)
    _check_classes(train_folder, by_class)
    classes = tuple(by_class)
    if strange := sorted(set(val_by_class) - set(classes)):
        raise DatasetError(f"{val_folder}: class '{strange[0]}' is not in {train_folder}; both need the same class folders")
    files = _labelled(by_class, classes, folder)
    if val_by_class:
        return classes, files, _labelled(val_by_class, classes, folder)
    train, val = stratified_split([file.label for file in files], val_fraction, seed)
    return classes, [files[i] for i in train], [files[i] for i in val]


def _first_with_images(folder: Path, names: tuple[str, ...]) -> tuple[Path | None, dict[str, list[Path]]]:
    found = ((folder / name, _images_by_class(folder / name)) for name in names)
    return next((pair for pair in found if pair[1]), (None, {}))


def _labelled(by_class: dict[str, list[Path]], classes: tuple[str, ...], folder: Path) -> list[ImageFile]:
    labels = {name: label for label, name in enumerate(classes)}
    return [ImageFile(str(path.relative_to(folder)), labels[name]) for name, paths in by_class.items() for path in paths]


def _check_classes(folder: Path, by_class: dict[str, list[Path]]) -> None:
    if len(by_class) > 1:
        return
    if by_class:
        raise DatasetError(f"{folder}: only one class, '{next(iter(by_class))}'; at least two folders with images are needed")
    loose = sum(_is_image(path) for path in folder.iterdir())
    if loose:
        raise DatasetError(f"{folder}: {loose} images but no class folders; put the images of each class into a folder of its own")
    raise DatasetError(f"{folder}: no images found; a folder for each class is needed, with {', '.join(sorted(SUFFIXES))} files")


def _images_by_class(folder: Path) -> dict[str, list[Path]]:
    """The images below each folder of `folder`, in order of name; folders without images are no classes."""
    if not folder.is_dir():
        return {}
    names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not _is_hidden(entry.name))
    return {name: paths for name in names if (paths := list(_images_below(folder / name)))}


def _images_below(folder: Path):
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _is_hidden(name))
        yield from (path for name in sorted(names) if _is_image(path := Path(here, name)))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not _is_hidden(path.name)


def _fingerprint(folder: Path, files: list[ImageFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        try:
            stat = os.stat(folder / file.path)
        except OSError:  # a dangling link; it is counted as broken when it is decoded
            digest.update(f"{file.path}\0{file.label}\0missing\n".encode(errors="surrogateescape"))
            continue
        digest.update(f"{file.path}\0{file.label}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _open_image(path: Path):
    from PIL import Image

    return Image.open(path)
