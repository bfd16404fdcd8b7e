"""What a dataset is like, as numbers, without reading more of it than that takes.

All files of a folder are listed and their sizes asked for; the headers of a sample of them are read, and a
smaller sample is decoded. The fingerprint tells whether a dataset is still the one that a profile was made
of, without opening an image.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from nni_nasoa.messages import readable
from nni_nasoa.values import (
    MAX_NUMBER,
    TRUTH,
    WRONG,
    Rule,
    check_fields,
    check_given,
    check_names,
    number,
    or_none,
    whole,
)

from .arrays import ImageSplit, classes_in_turn
from .dataset import Dataset, Kind
from .image_statistics import (
    COLOURS,
    PIXEL_SIZE,
    class_statistics,
    colour_statistics,
    header_statistics,
    pixel_statistics,
    total_bytes,
)
from .parallel import progress_bar

HEADERS, PIXELS = 2000, 400  # images whose headers are read, and that are decoded, at most
HEADER_SHARE, PIXEL_SHARE = 0.5, 0.9  # shares of the time, by when headers and pixels are to be read
MAX_NAME = 200


class ProfileError(ValueError):
    """A profile that is not one. The message is one line."""


@dataclass(frozen=True)
class DatasetProfile:
    """What a dataset is like.

    None stands for what is not known: there was no time, or it comes as arrays, without files.

    Parameters
    ----------
    name
        Name of the dataset, as results have it.
    fingerprint
        See `Dataset.fingerprint`.
    images, train_images, val_images, classes
        How many there are; of images, also those that cannot be read.
    class_mean, class_std, class_min, class_max
        Images of a class, in both parts.
    width, height, width_std, height_std
        Medians and standard deviations, in pixels, as an image is shown (a rotation noted in EXIF is
        applied).
    aspect, aspect_std
        Width over height: median and standard deviation.
    grey_share, alpha_share
        Share of the images without colour, and of those with transparency.
    red_mean, green_mean, blue_mean, red_std, green_std, blue_std
        Means and standard deviations of the pixels, from 0 to 1.
    bytes_total, bytes_mean
        Size of the files.
    mirrored
        Whether an image means the same when mirrored left to right.
    headers_read, pixels_read
        How many images the above was found in.
    decode_seconds
        To decode an image to 48 pixels square, on average: time of one processor, whatever else it does
        meanwhile.

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

    def __post_init__(self) -> None:
        check_fields(self, _RULES, ProfileError, "profile: ")

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> DatasetProfile:
        """The inverse of `to_json`.

        Raises
        ------
        ProfileError
            Not a mapping, fields that are missing or that there are not, or one that is not what it has to
            be.
        """
        if not isinstance(data, Mapping):
            raise ProfileError("profile: not an object with the fields of a dataset's profile")
        check_names("profile", data, _RULES, ProfileError)
        check_given(data, _RULES, ProfileError, "profile: ")
        return cls(**data)


def _rule(name: str, kind: str) -> Rule:
    """What a field of a profile has to be, by its name and its type."""
    if kind == "str":
        return _NAME
    if kind == "bool":
        return or_none(TRUTH)
    if kind == "int":
        return or_none(whole(0, MAX_NUMBER, "a whole number from 0"))
    share = name.endswith("_share") or name.partition("_")[0] in COLOURS
    return or_none(number(0, 1 if share else MAX_NUMBER))


_NAME = Rule(
    f"a text of 1 to {MAX_NAME} characters",
    lambda _, value: (
        value if isinstance(value, str) and 0 < len(value) <= MAX_NAME and readable(value) == value else WRONG
    ),
)
_RULES = {field.name: _rule(field.name, field.type.partition(" ")[0]) for field in fields(DatasetProfile)}


def profile_dataset(
    dataset: Dataset,
    *,
    show_progress: bool | None = None,
    seconds: float = 20.0,
    headers: int = HEADERS,
    pixels: int = PIXELS,
) -> DatasetProfile:
    """Find out what a dataset is like.

    Parameters
    ----------
    dataset
        One with a name is opened, which may decode it first.
    show_progress
        As `Dataset.open` takes it.
    seconds
        After which no more images of a folder are opened; listing it takes the time that it takes.
    headers, pixels
        Images of a folder whose headers are read, and of those how many are decoded, at most.

    Raises
    ------
    DatasetError
        As in `Dataset.open`. Files that cannot be read are passed over, however many they are.
    """
    if dataset.kind is Kind.FILES:
        return _profile_files(dataset, show_progress, time.monotonic(), seconds, headers, pixels)
    return profile_arrays(dataset.open(PIXEL_SIZE, show_progress), dataset.fingerprint)


def profile_arrays(split: ImageSplit, fingerprint: str) -> DatasetProfile:
    """The profile of a dataset that was opened; of the sizes of its images and files nothing is known."""
    chosen = np.sort(classes_in_turn(split.train.labels, 0)[:PIXELS])
    return DatasetProfile(
        _shown(split.name),
        fingerprint,
        mirrored=split.mirrored,
        **colour_statistics(np.asarray(split.train.images[chosen])),
        **class_statistics(split.train.labels, split.val.labels, len(split.classes)),
    )


def _profile_files(
    dataset: Dataset, show_progress: bool | None, started: float, seconds: float, headers: int, pixels: int
) -> DatasetProfile:
    place, listing = dataset.files.place, dataset.files.listing
    parts = dataset.files.split(dataset.holdout)[:2]
    train, val = (np.array([file.label for file in part], dtype=np.int64) for part in parts)
    files = [file for part in parts for file in part]
    sample = [files[i] for i in classes_in_turn(np.concatenate([train, val]), dataset.seed)[:headers]]
    name = _shown(dataset.name)
    with (
        progress_bar(
            f"{name}: profiling", len(files) + len(sample) + len(sample[:pixels]), show_progress
        ) as advance,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # Pillow's, about metadata
        bytes_total = total_bytes(place, files, advance)
        known = header_statistics(place, sample, started + HEADER_SHARE * seconds, advance)
        rendering, deadline = dataset.files.rendering(dataset.geometry), started + PIXEL_SHARE * seconds
        known |= pixel_statistics(place, sample[:pixels], deadline, advance, rendering)
    return DatasetProfile(
        name,
        dataset.fingerprint,
        mirrored=True,
        bytes_total=bytes_total,
        bytes_mean=bytes_total / len(files),
        **class_statistics(train, val, len(listing.classes)),
        **known,
    )


def _shown(name: str) -> str:
    return readable(name)[:MAX_NAME] or "/"
