"""The images of a folder on their way into the cache: all of them, or as many as there is time for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nni_nasoa.values import MAX_INPUT_SIZE

from .arrays import DatasetError, ImageSplit
from .cache import CacheError, delete_entry, growing_path, writing
from .decoded import Loaded, Source, decode_unless, is_decoded, open_decoded, sized, write_entry
from .earlier import Whole, growing_entries, whole_entries
from .filling import POLL_SECONDS, Giants, fill
from .growing import Growing, GrowingWriter, InMemory, Shape, Squares, growing_entry
from .parallel import progress_bar
from .sample import Sampling, decoding_order, patience
from .time_left import Left, no_end


class FilesChangedError(DatasetError):
    """Files were changed while they were decoded."""


class Contents:
    """What tells the contents of a folder's files, found out when somebody asks.

    Parameters
    ----------
    kept
        Gives it where that takes next to no time, else None.
    read
        Reads the files.
    """

    def __init__(self, kept: Callable[[], str | None], read: Callable[[], str]):
        self._kept, self._read = kept, read
        self._found: str | None = None
        self._looked, self._turn = False, threading.Lock()

    @property
    def known(self) -> str | None:
        """It, or None where only reading many files would tell."""
        if not self._looked:
            self._found, self._looked = self._kept(), True
        return self._found

    def find(self) -> str:
        """It; reads the files if need be, once however many threads ask."""
        with self._turn:
            if self.known is None:
                self.tell(self._read())
            return str(self._found)

    def tell(self, found: str) -> None:
        """Take it from another process, which has found it out."""
        self._found, self._looked = found, True


@dataclass(frozen=True, eq=False)
class FolderImages:
    """The images of a folder as they are now.

    Parameters
    ----------
    about, source
        What the dataset is called, and its images.
    path
        Of the folder, for messages.
    seed
        Of the order in which images are decoded.
    times
        What tells the files from those that they were, or will be: by it growing entries are known.
    current_times
        Gives the same for the files as they are when it is called.
    contents
        What tells the contents of the files, by which complete entries are known.
    key
        What else the images depend on, as JSON values.
    """

    about: Loaded
    source: Source
    path: str
    seed: int
    times: str
    current_times: Callable[[], str]
    contents: Contents
    key: Mapping[str, Any]

    @cached_property
    def order(self) -> np.ndarray:
        """The slots, in the order in which they are decoded."""
        train, val = (
            np.array([sample.label for sample in part], dtype=np.int64)
            for part in (self.source.train, self.source.val)
        )
        return decoding_order(train, val, self.seed)

    def shape(self, size: int) -> Shape:
        """Of what is decoded at some size in pixels."""
        return Shape(len(self.source.train), len(self.source.val), size)

    @property
    def growing_key(self) -> dict[str, Any]:
        """The key of growing entries, but for their size."""
        return {"times": self.times, **self.key}

    def growing_path(self, size: int) -> Path:
        """Where the growing entry of some size in pixels is, if there is one."""
        return growing_path(sized(self.growing_key, size))

    def is_decoded(self, size: int) -> bool:
        """Whether a complete entry is known to be there."""
        contents = self.contents.known
        return contents is not None and is_decoded(self.whole_key(contents), size)

    def whole_key(self, contents: str) -> dict[str, Any]:
        """The key of complete entries, but for their size."""
        return {"content": contents, **self.key}

    def open(self, size: int, show_progress: bool | None) -> ImageSplit:
        """All images, decoded first where they are not in the cache."""
        key = self.whole_key(self.contents.find())
        if not is_decoded(key, size):
            # Where files change meanwhile, they are taken as they are when it is their turn.
            with (
                suppress(FilesChangedError),
                progress_bar(f"{self.about.name}: decoding", len(self.order), show_progress) as advance,
            ):
                self.complete(size, advance=advance)
        return open_decoded(self.about, key, size, lambda: self.source, show_progress=show_progress)

    def complete(
        self,
        size: int,
        left: Left = no_end,
        advance: Callable[[int], None] = lambda _: None,
        wait: Callable[[], object] = lambda: None,
    ) -> bool:
        """Decode what is not yet there at some size, and make an entry of all; whether that is there now.

        Where another process does so, this one looks on, and goes on where that one ends.

        Parameters
        ----------
        size
            Height and width, in pixels.
        left
            Seconds that may still be taken.
        advance
            Told how many more images are done.
        wait
            Called before each image, and returns when that may be begun.

        Raises
        ------
        CacheError
            The cache cannot be written.
        FilesChangedError
            The entry would not hold the images that the files have now.
        """
        folder, seen, waited = self.growing_path(size), 0, False
        while left() > 0:
            if self.is_decoded(size):
                return True
            try:
                with writing(folder, min(POLL_SECONDS, left())):
                    if waited and not folder.exists():
                        self.contents.find()  # for another process may have made an entry of all
                    if self.is_decoded(size):
                        return True
                    with growing_entry(folder, self.shape(size), len(self.order)) as (growing, writer):
                        advance(growing.number - seen)
                        seen = growing.number
                        if self._fill(self.order, growing, writer, left, advance, wait):
                            self._finish(folder, growing)
                            return True
                        seen = growing.number
            except BlockingIOError:
                waited = True
                if (other := Growing.found(folder, self.shape(size))) is not None:
                    advance(other.number - seen)
                    seen = other.number
                    other.close()
        return False

    def _finish(self, folder: Path, growing: Growing) -> None:
        """Make an entry of a growing one that has all images."""
        contents = self.contents.find()
        if self.current_times() != self.times:
            delete_entry(folder)
            raise FilesChangedError(f"{self.path}: files were changed while they were decoded; start again")

        def build(entry: Path) -> None:
            write_entry(entry, self.source, growing, folder)

        size = growing.shape.size
        open_decoded(self.about, self.whole_key(contents), size, lambda: self.source, build=build)
        delete_entry(folder)

    def sample(
        self,
        size: int,
        seconds: float,
        most: int | None,
        max_bad: float,
        *,
        enough: int | None = None,
        decode_size: int | None = None,
    ) -> ImageSplit:
        """What can be had in some time; see `Dataset.sample`."""
        wanted = self.order[:most]
        there = self._most_there(size, max(size, decode_size or 0), wanted)
        sampling = Sampling(self.about, self.source, self.order, self.path, max_bad)
        if most is None and isinstance(there, Whole) and there.shape.size == size:
            return sampling.whole(there)
        in_time = patience(seconds, lambda: sampling.enough(there), lambda: there.number)

        def left() -> float:
            is_enough = enough is not None and there.number >= enough and sampling.enough(there)
            return 0.0 if is_enough else in_time()

        folder, shape = self.growing_path(there.shape.size), there.shape
        while len(self._missing(wanted, there)) and left() > 0:
            try:
                with (
                    writing(folder, min(POLL_SECONDS, left())),
                    growing_entry(folder, shape, len(wanted)) as (growing, writer),
                ):
                    there = growing
                    self._fill(wanted, there, writer, left)
                    return sampling.take(there, size, most)
            except BlockingIOError:  # another process decodes
                there = Growing.found(folder, shape) or there
            except CacheError:
                there = memory = InMemory(self.shape(size))
                self._fill(wanted, memory, memory, left)
                break
        return sampling.take(there, size, most)

    def _fill(
        self,
        slots: np.ndarray,
        there: Squares,
        writer: GrowingWriter | InMemory,
        left: Left,
        advance: Callable[[int], None] = lambda _: None,
        wait: Callable[[], object] = lambda: None,
    ) -> bool:
        """Decode those that are not there; whether all are. It ends early where more of them become known."""
        from .decode import resized  # with Pillow, which is not loaded before an image is needed

        size, known = there.shape.size, self.contents.known
        giants = Giants()
        samples = (*self.source.train, *self.source.val)
        earlier = self._earlier(size if isinstance(writer, InMemory) else size + 1)

        def decode(slot: int, may_wait: bool) -> bytes | str | int:
            wait()
            found = earlier.get(slot)
            if found is None:
                return decode_unless(samples[slot], size, lambda pixels: may_wait and giants.has(pixels))
            return found if isinstance(found, str) else resized(found.pixels(slot), size).tobytes()

        return fill(
            self._missing(slots, there).tolist(),
            decode,
            writer.put,
            lambda: left() if self.contents.known == known else 0.0,
            advance,
        )

    @staticmethod
    def _missing(slots: np.ndarray, there: Squares) -> np.ndarray:
        records = there.records()
        return slots[~np.isin(slots, np.where(records < 0, ~records, records))]

    def _earlier(self, least: int) -> dict[int, Squares | str]:
        """What can be had without its file, from some size on: where it is, or why it cannot be read."""
        found: dict[int, Squares | str] = {}
        sizes = range(MAX_INPUT_SIZE, least - 1, -1)
        there: list[Squares] = [*self._whole(least)]
        there += growing_entries(self.growing_key, self.shape(least), sizes)
        for squares in there:
            records, reasons = squares.records(), squares.reasons()
            for slot in records.tolist():
                found.setdefault(
                    slot if slot >= 0 else ~slot, squares if slot >= 0 else reasons.get(~slot, "")
                )
        return found

    def at(self, size: int) -> Whole | Growing | None:
        """Where images are decoded at this size."""
        for whole in self._whole(size, size):
            return whole
        return Growing.found(self.growing_path(size), self.shape(size))

    def _most_there(self, size: int, decode_size: int, wanted: np.ndarray) -> Squares:
        """Where most images are decoded at some size, or a larger one; what is missing is to come there."""
        for whole in self._whole(size):
            return whole
        sizes = range(MAX_INPUT_SIZE, size - 1, -1)
        growing = [*growing_entries(self.growing_key, self.shape(size), sizes)]
        for least in (size, decode_size):
            large = [one for one in growing if one.shape.size >= least]
            there = max(large, key=lambda one: one.number, default=None)
            if there is not None and (least == decode_size or not len(self._missing(wanted, there))):
                return there
        return InMemory(self.shape(decode_size))

    def _whole(self, least: int, most: int = MAX_INPUT_SIZE) -> Iterator[Whole]:
        """Complete entries of these sizes, in pixels, the largest first."""
        contents = self.contents.known
        if contents is not None:
            names = [sample.name for sample in (*self.source.train, *self.source.val)]
            yield from whole_entries(
                self.whole_key(contents),
                range(most, least - 1, -1),
                lambda entry, size: Whole(self.about.load(entry), self.shape(size), names),
            )
