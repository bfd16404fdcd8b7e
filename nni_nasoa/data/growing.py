"""Entries of the cache that grow: images that are decoded one after the other, each of use at once.

A growing entry is a folder beside the others:

- `train_images.npy` and `val_images.npy` have a slot for each image, in the order of the listing, as they are
  in the entry that becomes of it. What is not there yet is a hole in the file, which takes no room. They are
  written with pwrite(2) and not through a map: a full disk is an error, and does not kill the process.
- `done` has a little-endian int32 for each image that was decoded, in that order: its slot (those of the
  training part come first), or, where it could not be read, the slot's complement. It is written after the
  pixels, so what it names is there, whoever is killed when.
- `reasons.jsonl` says why images could not be read.
- `about.json` comes first, and last of what begins an entry. It names the start of the machine: what was
  written shortly before a power cut may be lost, so that an entry begins anew after one.

One process writes, under the lock of `cache.writing`; any may read.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np

from nni_nasoa.files import append_line, own_file, own_folder, read_json, read_lines, write_text

from .cache import delete_entry, make_room, map_array

PARTS = ("train", "val")
BOOT = Path("/proc/sys/kernel/random/boot_id")
_DONE, _REASONS, _ABOUT = "done", "reasons.jsonl", "about.json"


class Shape(NamedTuple):
    """How many images there are in each part, and their height and width in pixels."""

    train: int
    val: int
    size: int

    @property
    def total(self) -> int:
        """Images of both parts, which is the number of slots."""
        return self.train + self.val

    @property
    def bytes(self) -> int:
        """Bytes that all images take."""
        return self.total * self.bytes_of_one

    @property
    def bytes_of_one(self) -> int:
        """Bytes that an image takes."""
        return 3 * self.size * self.size

    def place(self, slot: int) -> tuple[str, int]:
        """Part, and index in it, of a slot."""
        return ("train", slot) if slot < self.train else ("val", slot - self.train)

    def part(self, name: str) -> tuple[int, int]:
        """First slot of a part, and how many it has."""
        return (0, self.train) if name == "train" else (self.train, self.val)


class Squares(Protocol):
    """Images that were decoded already, by their slots."""

    @property
    def shape(self) -> Shape:
        """How many there are, and their size."""

    @property
    def number(self) -> int:
        """How many were decoded, or found to be unreadable."""

    def records(self) -> np.ndarray:
        """Those that were decoded, in that order, as `Growing.records` gives them."""

    def pixels(self, slot: int) -> np.ndarray:
        """One that is there: (3, size, size) uint8."""

    def reasons(self) -> dict[int, str]:
        """Why others cannot be read."""


class Growing:
    """A growing entry, to be read; it is not deleted for as long as this is there.

    Parameters
    ----------
    folder, shape
        Where it is, and what it has room for.

    Raises
    ------
    OSError, ValueError
        There is none, or not this one, or one from before the machine was started.
    """

    def __init__(self, folder: Path, shape: Shape):
        if read_json(folder / _ABOUT) != _about(shape):
            raise ValueError(f"{folder}: another entry")
        self.shape = shape
        self._maps = {part: map_array(folder / f"{part}_images.npy", "r") for part in PARTS}
        if [len(self._maps[part]) for part in PARTS] != [shape.train, shape.val]:
            raise ValueError(f"{folder}: not whole")
        self._folder = folder
        self._done = os.open(folder / _DONE, os.O_RDONLY)
        self._closing = weakref.finalize(self, os.close, self._done)
        with suppress(OSError):
            os.utime(folder)

    @classmethod
    def found(cls, folder: Path, shape: Shape) -> Growing | None:
        """One that is there."""
        with suppress(OSError, ValueError):
            return cls(folder, shape)
        return None

    @property
    def number(self) -> int:
        """How many images were decoded, or found to be unreadable."""
        return os.fstat(self._done).st_size // 4

    def records(self) -> np.ndarray:
        """What was decoded, in that order: slots, or complements of those that cannot be read; (n,) int64."""
        content = os.pread(self._done, 4 * self.number, 0)
        return np.frombuffer(content, "<i4").astype(np.int64)

    def images(self, part: str) -> np.ndarray:
        """All slots of a part, mapped: (n, 3, size, size) uint8."""
        return self._maps[part]

    def pixels(self, slot: int) -> np.ndarray:
        """An image that is there: (3, size, size) uint8."""
        part, index = self.shape.place(slot)
        return self._maps[part][index]

    def reasons(self) -> dict[int, str]:
        """Why images cannot be read, by their slots."""
        with suppress(OSError):
            lines = read_lines(self._folder / _REASONS, lambda *_: None)
            return {slot: reason for _, (slot, reason) in lines}
        return {}

    def close(self) -> None:
        """Let go of it; what was mapped stays for as long as somebody has it."""
        self._closing()
        self._maps = {}


class GrowingWriter:
    """A growing entry, to be written to by the process that holds its lock; see `growing_entry`."""

    def __init__(self, folder: Path, shape: Shape):
        self.folder, self.shape = folder, shape
        self._files: dict[str, BinaryIO] = {
            part: open(folder / f"{part}_images.npy", "r+b")  # noqa: SIM115 - `close` does it
            for part in PARTS
        }
        self._starts = {part: _start_of_array(file) for part, file in self._files.items()}
        self._done = open(folder / _DONE, "ab", buffering=0)  # noqa: SIM115 - `close` does it
        self._done.truncate(os.fstat(self._done.fileno()).st_size // 4 * 4)  # half a number goes

    def put(self, slot: int, result: bytes | str) -> None:
        """Write the pixels of an image, or why there are none; an OSError where the disk is full."""
        if isinstance(result, str):
            append_line(self.folder / _REASONS, [slot, result])
            slot = ~slot
        else:
            part, index = self.shape.place(slot)
            rest, at = memoryview(result), self._starts[part] + index * self.shape.bytes_of_one
            while rest:
                written = os.pwrite(self._files[part].fileno(), rest, at)
                rest, at = rest[written:], at + written
        self._done.write(np.array(slot, "<i4").tobytes())

    def close(self) -> None:
        """Close its files."""
        for file in (*self._files.values(), self._done):
            file.close()


@contextmanager
def growing_entry(folder: Path, shape: Shape, wanted: int) -> Iterator[tuple[Growing, GrowingWriter]]:
    """A growing entry, begun where there is none, by the process that holds its lock.

    Parameters
    ----------
    folder, shape
        As `Growing` takes them.
    wanted
        Images that are to be there in the end; room is made for those that are not yet.

    Raises
    ------
    DatasetError
        There is no room.
    OSError
        The cache cannot be written.
    """
    growing = Growing.found(folder, shape)
    make_room(shape.bytes_of_one * max(0, wanted - (growing.number if growing else 0)))
    if growing is None:
        if folder.exists():
            delete_entry(folder)
        _begin(folder, shape)
        growing = Growing(folder, shape)
    writer = GrowingWriter(folder, shape)
    try:
        yield growing, writer
    finally:
        writer.close()
        growing.close()


class InMemory:
    """Images that are decoded into memory, where there is no cache to write to."""

    def __init__(self, shape: Shape):
        self.shape = shape
        self._records: list[int] = []
        self._pixels: dict[int, np.ndarray] = {}
        self._reasons: dict[int, str] = {}

    @property
    def number(self) -> int:
        """How many images were decoded, or found to be unreadable."""
        return len(self._records)

    def put(self, slot: int, result: bytes | str) -> None:
        """Take the pixels of an image, or why there are none."""
        if isinstance(result, str):
            self._reasons[slot] = result
        else:
            pixels = np.frombuffer(result, np.uint8)
            self._pixels[slot] = pixels.reshape(3, self.shape.size, self.shape.size)
        self._records.append(~slot if isinstance(result, str) else slot)

    def records(self) -> np.ndarray:
        """As `Growing.records`."""
        return np.array(self._records, dtype=np.int64)

    def pixels(self, slot: int) -> np.ndarray:
        """As `Growing.pixels`."""
        return self._pixels[slot]

    def reasons(self) -> dict[int, str]:
        """As `Growing.reasons`."""
        return self._reasons


def write_header(file: BinaryIO, images: int, size: int) -> None:
    """Write the header of a .npy file of images; numpy leaves room in it for their number to change."""
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": (images, 3, size, size)}
    )


def _begin(folder: Path, shape: Shape) -> None:
    own_folder(folder)
    for part in PARTS:
        images = shape.part(part)[1]
        with open(folder / f"{part}_images.npy", "wb", opener=own_file) as file:
            write_header(file, images, shape.size)
            file.truncate(file.tell() + images * shape.bytes_of_one)
    for name in (_DONE, _REASONS):
        (folder / name).touch(mode=0o600)
    write_text(folder / _ABOUT, json.dumps(_about(shape))).chmod(0o600)


def _start_of_array(file: BinaryIO) -> int:
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_1_0(file)
    return file.tell()


def _about(shape: Shape) -> dict[str, Any]:
    boot = ""
    with suppress(OSError):
        boot = BOOT.read_text().strip()
    return {**shape._asdict(), "boot": boot}
