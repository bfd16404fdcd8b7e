"""Decode a source of images, once, into a cache entry, and open that as an ImageSplit."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nni_nasoa.files import read_json
from nni_nasoa.values import reason

from .alike import Alike, look_alike
from .arrays import DatasetError, ImageArrays, ImageSplit
from .cache import has_entry, make_room, map_array, open_entry
from .growing import PARTS, Growing, write_header
from .left_out import LIST_NAME, BadFile, LeftOut, read_bad_files, write_bad_files
from .parallel import in_threads, progress_bar
from .rendering import PLAIN, Rendering

_NO_CLASS = "of its class no image for training can be read"
VERSION = 2  # changes with what an entry holds, and with how images are decoded


class Sample(NamedTuple):
    """One image to decode: how to open it (a PIL image), its label, what to call it if it is left out."""

    open: Callable[[], Any]
    label: int
    name: str
    rendering: Rendering = PLAIN


class Source(NamedTuple):
    """The images of a dataset, before they are decoded."""

    classes: tuple[str, ...]
    train: Sequence[Sample]
    val: Sequence[Sample]


@dataclass(frozen=True)
class Loaded:
    """How an entry is opened: what its images are called, and what was left out before they were decoded."""

    name: str
    mirrored: bool = True
    left_out: LeftOut = field(default_factory=LeftOut)
    rendering: Rendering = PLAIN

    def load(self, entry: Path) -> ImageSplit:
        """What is in an entry; errors as `open_entry` wants them of `load`."""
        about = read_json(entry / "about.json")
        train, val = (
            ImageArrays(map_array(entry / f"{part}_images.npy"), np.load(entry / f"{part}_labels.npy"))
            for part in PARTS
        )
        bad = read_bad_files(entry)
        left_out = replace(
            self.left_out,
            images=about["images"],
            bad=bad,
            bad_list=entry / LIST_NAME if bad else None,
            empty_classes=(*self.left_out.empty_classes, *about["empty_classes"]),
            notes=(
                *self.left_out.notes,
                *Alike(*about.get("alike", ())).notes(self.left_out.copies, len(val)),
            ),
        )
        classes = tuple(about["classes"])
        return ImageSplit(train, val, classes, self.name, self.mirrored, left_out, self.rendering)


def open_decoded(
    about: Loaded,
    key: Mapping[str, Any],
    input_size: int,
    source: Callable[[], Source],
    *,
    show_progress: bool | None = None,
    build: Callable[[Path], None] | None = None,
) -> ImageSplit:
    """Open a dataset from the cache; `source` is called only where it has to be decoded first.

    An entry holds the images that can be read and the list of those that cannot, however many these are. So
    it depends on the images alone, and one with too many is refused, or admitted by a higher `max_bad`,
    without decoding again; see `check_usable`.

    Parameters
    ----------
    about
        How it is opened.
    key
        What the images depend on besides the size, as JSON values.
    show_progress
        As `Dataset.open` takes it.
    build
        What fills the entry's folder, in place of decoding `source`.

    Raises
    ------
    DatasetError
        The cache cannot be written.
    """

    def decode(entry: Path) -> None:
        _decode_source(source(), input_size, entry, about.name, show_progress)

    return open_entry(sized(key, input_size), build or decode, about.load)


def is_decoded(key: Mapping[str, Any], input_size: int) -> bool:
    """Whether `open_decoded` would find a dataset in the cache."""
    return has_entry(sized(key, input_size))


def sized(key: Mapping[str, Any], input_size: int) -> dict[str, Any]:
    """The key of an entry, of what its images depend on besides the size."""
    return {**key, "version": VERSION, "input_size": input_size}


def check_bad(name: str, left_out: LeftOut, max_bad: float) -> None:
    """Raise DatasetError where more than the share `max_bad` of a dataset's images cannot be read."""
    if left_out.bad and len(left_out.bad) / left_out.images > max_bad:
        raise DatasetError(
            f"{name}: "
            f"{left_out.bad_line(f', more than the {100 * max_bad:.3g}% that max_bad (--max-bad) allows')}"
        )


def check_usable(split: ImageSplit, max_bad: float) -> None:
    """Raise DatasetError where too many of a dataset's images cannot be read, or too few remain.

    Parameters
    ----------
    split
        As `open_decoded` gives it.
    max_bad
        Share of the images that may be unreadable.
    """
    check_bad(split.name, split.left_out, max_bad)
    if len(split.classes) < 2 or not len(split.val):
        what = "two classes" if len(split.classes) < 2 else "an image to validate on"
        bad = f", but {split.left_out.bad_line()}" if split.left_out.bad else ""
        raise DatasetError(f"{split.name}: {what} needed{bad}")


def _decode_source(source: Source, size: int, folder: Path, name: str, show_progress: bool | None) -> None:
    total = len(source.train) + len(source.val)
    make_room(total * 3 * size * size)
    bad: list[BadFile] = []
    with progress_bar(f"{name}: decoding", total, show_progress) as advance, warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # Pillow's, about metadata; set here, since the filters are those of all threads
        labels = _decode_part(source.train, size, folder / "train_images.npy", bad, advance)
        present = np.unique(labels)  # a class of which no image can be read is no class
        known = set(present.tolist())
        bad += [BadFile(sample.name, _NO_CLASS) for sample in source.val if sample.label not in known]
        val = [sample for sample in source.val if sample.label in known]
        val_labels = _decode_part(val, size, folder / "val_images.npy", bad, advance)
    _write_about(folder, source, labels, val_labels, bad, Alike())


def _write_about(
    folder: Path,
    source: Source,
    labels: np.ndarray,
    val_labels: np.ndarray,
    bad: list[BadFile],
    alike: Alike,
) -> None:
    """Write all of an entry but its images."""
    present = np.unique(labels)
    known = set(present.tolist())
    np.save(folder / "train_labels.npy", np.searchsorted(present, labels))
    np.save(folder / "val_labels.npy", np.searchsorted(present, val_labels))
    write_bad_files(folder, sorted(bad))
    about = {
        "images": len(source.train) + len(source.val),
        "classes": [source.classes[label] for label in present],
        "empty_classes": [
            class_name for label, class_name in enumerate(source.classes) if label not in known
        ],
        "alike": alike,
    }
    (folder / "about.json").write_text(json.dumps(about))


def write_entry(folder: Path, source: Source, growing: Growing, images_folder: Path) -> None:
    """Make an entry of a growing one in which all images were decoded, or found to be unreadable.

    Parameters
    ----------
    folder
        Of the entry, empty.
    source
        The images, in the order of their slots.
    growing, images_folder
        What was decoded, and where.
    """
    reasons, shape = growing.reasons(), growing.shape
    there = np.zeros(shape.total, bool)
    records = growing.records()
    there[records[records >= 0]] = True
    labels = np.array([sample.label for sample in (*source.train, *source.val)], dtype=np.int64)
    of_class = np.isin(labels, labels[: shape.train][there[: shape.train]])
    kept = there & of_class  # a class without an image to train on is no class
    reasons |= {slot: _NO_CLASS for slot in range(shape.train, shape.total) if not of_class[slot]}
    names = [sample.name for sample in (*source.train, *source.val)]
    bad = [BadFile(names[slot], reasons.get(slot, "")) for slot in np.flatnonzero(~kept).tolist()]
    for part in PARTS:
        first, number = shape.part(part)
        name, of_part = f"{part}_images.npy", kept[first : first + number]
        if of_part.all():
            _share(images_folder / name, folder / name)
            continue
        with open(folder / name, "wb") as file:
            write_header(file, int(of_part.sum()), shape.size)
            file.writelines(growing.images(part)[index] for index in np.flatnonzero(of_part))
    train, val = slice(shape.train), slice(shape.train, None)
    alike = look_alike(*(np.load(folder / f"{part}_images.npy", "r") for part in PARTS))
    _write_about(folder, source, labels[train][kept[train]], labels[val][kept[val]], bad, alike)


def _share(written: Path, place: Path) -> None:
    """Have a file in a second place, safe from a power cut, which would leave holes in it."""
    with open(written, "rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(written, place)
    except OSError:  # a file system without links
        shutil.copyfile(written, place)


def _decode_part(
    samples: Sequence[Sample], size: int, path: Path, bad: list[BadFile], advance: Callable[[int], None]
) -> np.ndarray:
    """Write the images that can be read to a .npy file, and note the others; the labels of the former."""
    labels = []
    # Written as a stream, not through a memory map, whose owner would be killed by a full disk.
    with open(path, "wb") as file:
        write_header(file, len(samples), size)
        for sample, result in zip(samples, in_threads(lambda sample: decode_one(sample, size), samples)):
            if isinstance(result, str):
                bad.append(BadFile(sample.name, result))
            else:
                file.write(result)
                labels.append(sample.label)
            advance(1)
        file.seek(0)
        write_header(file, len(labels), size)
    return np.array(labels, dtype=np.int64)


def decode_one(sample: Sample, size: int) -> bytes | str:
    """The pixels, or why there are none."""
    result = decode_unless(sample, size, lambda _: False)
    assert not isinstance(result, int)
    return result


def decode_unless(sample: Sample, size: int, too_large: Callable[[int], bool]) -> bytes | str | int:
    """The pixels, or why there are none, or how many an image has that is too large; it is not decoded."""
    from PIL import UnidentifiedImageError

    from .decode import to_array

    try:
        with sample.open() as image:
            pixels = image.width * image.height
            return pixels if too_large(pixels) else to_array(image, size, sample.rendering).tobytes()
    except UnidentifiedImageError:
        return "the content is not that of an image"
    except Exception as error:  # a broken file can fail in any way inside a decoder
        return reason(error)
