"""What a dataset is like, as numbers, without reading more of it than that takes.

All files of a folder are listed and their sizes asked for; the headers of a sample of them are read, and a smaller sample is
decoded. `fingerprint` tells whether a dataset is still the one that a profile was made of, without opening an image.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from . import decoded, tasks
from .arrays import ImageSplit, classes_in_turn
from .datasets import dataset_names, existing_folder, open_dataset
from .folder import FoundFolder, find_folder
from .image_statistics import (
    COLOURS,
    PIXEL_SIZE,
    class_statistics,
    colour_statistics,
    header_statistics,
    pixel_statistics,
    total_bytes,
)
from .left_out import readable
from .parallel import progress_bar
from .torchvision_sets import normalized

VERSION = 1  # of what a profile says
HEADERS, PIXELS = 2000, 400  # images whose headers are read, and that are decoded, at most
HEADER_SHARE, PIXEL_SHARE = 0.5, 0.9  # of the time, by when headers and pixels have to be read
HASHED_BYTES = 2**26  # of an array's images, evenly spaced, go into its digest
MAX_NAME, MAX_NUMBER = 200, 1e15


class ProfileError(ValueError):
    """A profile that is not one. The message is one line."""


@dataclass(frozen=True)
class DatasetProfile:
    """What a dataset is like. None stands for what is not known: there was no time, or it comes as arrays, without files.

    Parameters
    ----------
    name
        Of the dataset, as results have it.
    fingerprint
        See `fingerprint`.
    images, train_images, val_images, classes
        How many there are; of images, also those that cannot be read.
    class_mean, class_std, class_min, class_max
        Images of a class, in both parts.
    width, height, width_std, height_std
        Medians and standard deviations, in pixels, as an image is shown (a rotation noted in EXIF is applied).
    aspect, aspect_std
        Width over height: median and standard deviation.
    grey_share, alpha_share
        Share of the images without colour, and of those with transparency.
    red_mean, green_mean, blue_mean, red_std, green_std, blue_std
        Of the pixels, from 0 to 1.
    bytes_total, bytes_mean
        Size of the files.
    mirrored
        Whether an image means the same when mirrored left to right.
    headers_read, pixels_read
        How many images the above was found in.
    decode_seconds
        To decode an image to 48 pixels square, on average: time of one processor, whatever else it does meanwhile.

    Raises
    ------
    ProfileError
        A field is not what it has to be.
    """

    name: str
    fingerprint: str
    images: int | None = None
    train_images: int | None = None
    val_images: int | None = None
    classes: int | None = None
    class_mean: float | None = None
    class_std: float | None = None
    class_min: int | None = None
    class_max: int | None = None
    width: float | None = None
    height: float | None = None
    width_std: float | None = None
    height_std: float | None = None
    aspect: float | None = None
    aspect_std: float | None = None
    grey_share: float | None = None
    alpha_share: float | None = None
    red_mean: float | None = None
    green_mean: float | None = None
    blue_mean: float | None = None
    red_std: float | None = None
    green_std: float | None = None
    blue_std: float | None = None
    bytes_total: int | None = None
    bytes_mean: float | None = None
    mirrored: bool | None = None
    headers_read: int | None = None
    pixels_read: int | None = None
    decode_seconds: float | None = None

    def __post_init__(self):
        for field in fields(self):
            value = _checked(field.name, field.type.partition(" ")[0], getattr(self, field.name))
            object.__setattr__(self, field.name, value)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> DatasetProfile:
        """The inverse of `to_json`.

        Raises
        ------
        ProfileError
            Not a mapping, fields that are missing or that there are not, or one that is not what it has to be.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(data, Mapping):
            raise ProfileError("profile: not an object with the fields of a dataset's profile")
        if wrong := sorted(names.symmetric_difference(map(str, data))):
            raise ProfileError(
                f"profile: the field '{readable(wrong[0][:MAX_NAME])}' "
                + ("is missing" if wrong[0] in names else "is not one of a dataset's profile")
            )
        return cls(**data)


def _checked(name: str, kind: str, value: Any) -> Any:
    """A value as it is kept; a ProfileError where it is not of that kind."""
    if kind == "str":
        if isinstance(value, str) and 0 < len(value) <= MAX_NAME and readable(value) == value:
            return value
        raise ProfileError(f"profile: {name} is not a text of 1 to {MAX_NAME} characters")
    if value is None or (kind == "bool" and isinstance(value, bool)):
        return value
    most = 1 if name.endswith("_share") or name.partition("_")[0] in COLOURS else MAX_NUMBER
    numbers = {"int": (int, np.integer), "float": (int, float, np.integer, np.floating)}.get(kind, ())
    if isinstance(value, numbers) and not isinstance(value, bool) and 0 <= value <= most:
        return int(value) if kind == "int" else float(value)
    right = {"bool": "true or false", "int": "a whole number from 0"}.get(
        kind, f"a number from 0 to {most:g}"
    )
    raise ProfileError(f"profile: {name} is neither {right} nor null")


def is_named(dataset) -> bool:
    """Whether `open_dataset` takes this as the name of a dataset, not as a folder."""
    return _canonical(dataset) in dataset_names() or str(dataset).startswith(tasks.PREFIX)


def _canonical(dataset) -> str:
    return str(dataset) if str(dataset).startswith(tasks.PREFIX) else normalized(str(dataset))


def fingerprint(
    dataset, *, root=None, val_fraction: float = 0.2, seed: int = 0, found: FoundFolder | None = None
) -> str:
    """What tells a dataset, and how it is split, from others; no image is opened for it.

    Of a folder it is a digest of the paths, sizes and times of its files, so that a folder with a change in it has another one,
    as a copy of it has. Of a named dataset it is one of the name and the version of this package; of an ImageSplit one of its
    labels and of up to 64 MiB of its images, evenly spaced.

    Parameters
    ----------
    dataset, root, val_fraction, seed
        An ImageSplit, or what `open_dataset` takes.
    found
        The folder, where it was looked at already.

    Raises
    ------
    DatasetError
        As in `open_dataset`, where it shows without opening an image.
    """
    if isinstance(dataset, ImageSplit):
        parts = map(_array_digest, (dataset.train, dataset.val))
        return _digest("arrays", dataset.name, dataset.classes, dataset.mirrored, *parts)
    if is_named(dataset):
        from nni_nasoa import __version__

        place = None if root is None else os.path.abspath(os.path.expanduser(root))
        return _digest("named", _canonical(dataset), __version__, decoded.VERSION, place, val_fraction, seed)
    return _folder_fingerprint(found or find_folder(existing_folder(dataset), seed, val_fraction))


def _folder_fingerprint(found: FoundFolder) -> str:
    split = None if found.listing.has_val else [found.val_fraction, found.seed]
    return _digest("folder", os.fsdecode(found.folder.resolve().name), found.times, split)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps([VERSION, *parts]).encode()).hexdigest()


def _array_digest(part) -> str:
    step = max(1, math.ceil(part.images.nbytes / HASHED_BYTES))
    digest = hashlib.sha256(f"{part.images.shape} {part.images.dtype}".encode())
    digest.update(np.ascontiguousarray(part.labels))
    digest.update(np.ascontiguousarray(part.images[::step]))
    return digest.hexdigest()


def profile_dataset(
    dataset,
    *,
    root=None,
    val_fraction: float = 0.2,
    seed: int = 0,
    show_progress: bool | None = None,
    seconds: float = 20.0,
) -> DatasetProfile:
    """Find out what a dataset is like.

    Parameters
    ----------
    dataset, root, val_fraction, seed
        An ImageSplit, or what `open_dataset` takes. A named dataset is opened, which may decode it first.
    show_progress
        As `open_dataset` takes it.
    seconds
        After which no more images of a folder are opened; listing it takes the time that it takes.

    Raises
    ------
    DatasetError
        As in `open_dataset`. Files that cannot be read are passed over, however many they are.
    """
    started, split = time.monotonic(), dataset if isinstance(dataset, ImageSplit) else None
    if split is None and is_named(dataset):
        split = open_dataset(
            dataset,
            input_size=PIXEL_SIZE,
            seed=seed,
            root=root,
            val_fraction=val_fraction,
            show_progress=show_progress,
        )
    if split is not None:
        return profile_arrays(split, fingerprint(dataset, root=root, val_fraction=val_fraction, seed=seed))
    return _profile_folder(existing_folder(dataset), val_fraction, seed, show_progress, started, seconds)


def profile_arrays(split: ImageSplit, fingerprint: str) -> DatasetProfile:
    """The profile of a dataset that was opened; of the size of its images and files nothing is known any more."""
    chosen = np.sort(classes_in_turn(split.train.labels, 0)[:PIXELS])
    return DatasetProfile(
        _shown(split.name),
        fingerprint,
        mirrored=split.mirrored,
        **colour_statistics(np.asarray(split.train.images[chosen])),
        **class_statistics(split.train.labels, split.val.labels, len(split.classes)),
    )


def _profile_folder(
    folder: Path, val_fraction: float, seed: int, show_progress: bool | None, started: float, seconds: float
) -> DatasetProfile:
    found = find_folder(folder, seed, val_fraction)
    listing = found.listing
    files = listing.train + listing.val
    labels = [
        np.array([file.label for file in part], dtype=np.int64) for part in (listing.train, listing.val)
    ]
    sample = [files[i] for i in classes_in_turn(np.concatenate(labels), seed)[:HEADERS]]
    name = _shown(folder.resolve().name)
    with (
        progress_bar(
            f"{name}: profiling", len(files) + len(sample) + len(sample[:PIXELS]), show_progress
        ) as advance,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Pillow's, about metadata
        bytes_total = total_bytes(folder, files, advance)
        known = header_statistics(folder, sample, started + HEADER_SHARE * seconds, advance)
        known |= pixel_statistics(folder, sample[:PIXELS], started + PIXEL_SHARE * seconds, advance)
    return DatasetProfile(
        name,
        _folder_fingerprint(found),
        mirrored=True,
        bytes_total=bytes_total,
        bytes_mean=bytes_total / len(files),
        **class_statistics(*labels, len(listing.classes)),
        **known,
    )


def _shown(name: str) -> str:
    return readable(name)[:MAX_NAME] or "/"
