"""Decoding that goes on beside other work, in a process of its own, and of which all that is done is of use.

    with Dataset("my-images/").decoding(224) as decoding:
        ...                                 # other work
        decoding.wait(5, until=100)
        split = decoding.split()            # what is there by now

What was decoded stays in the cache (`growing.py`): whoever asks next for the same images goes on from there,
also where a process was killed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType

import numpy as np

from .arrays import DatasetError, ImageSplit
from .decoded import Source, check_usable
from .earlier import Whole, copy_may_be_there
from .filling import POLL_SECONDS
from .folder_images import FilesChangedError, FolderImages
from .growing import Growing, InMemory
from .own_process import end_process, start_process
from .parallel import progress_bar
from .sample import Sampling

SHOW_SECONDS = 0.2  # between two looks at how many images are there, for a bar
LEAST_TIMED = 8  # images that tell how fast they are decoded
_PAUSE, _GO_ON = b"p", b"g"  # What the process is told by its stdin, of which the end tells it to end.


class Decoding:
    """The images of a folder, of which more and more are decoded; see `Dataset.decoding`.

    Images are known by their places in the listing, which `done` gives of those that are there. A process
    decodes for as long as the context is entered. Who enters it once more, inside, takes it over: decoding
    ends where that one leaves it.

    Parameters
    ----------
    images
        Of which folder.
    size
        Height and width, in pixels.
    max_bad
        Share of the images that may be unreadable.
    again
        Gives the images as they are when the process looks at them; can be pickled.
    """

    def __init__(self, images: FolderImages, size: int, max_bad: float, again: Callable[[], FolderImages]):
        self.size = size
        self._images, self._max_bad, self._again = images, max_bad, again
        self._process: subprocess.Popen[bytes] | None = None
        self._found: Whole | Growing | None = None
        self._begin, self._at_begin = time.monotonic(), 0
        self._paused_seconds = 0.0
        self._paused_since: float | None = None

    def __enter__(self) -> Decoding:
        if self._process is None and not self._images.is_decoded(self.size):
            self._process = start_process(partial(_decode, self._again, self.size))
            self._begin, self._at_begin = time.monotonic(), self.progress[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_process(process)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """The context in which no further image is begun.

        Passes of a network on all processors take several times as long beside threads that decode: each part
        of them waits for the slowest processor. One after the other is the sooner done.
        """
        self._paused_since = time.monotonic()
        self._tell(_PAUSE)
        try:
            yield
        finally:
            self._tell(_GO_ON)
            self._paused_seconds, self._paused_since = self._paused(), None

    def _paused(self) -> float:
        """Seconds of all pauses until now."""
        since = self._paused_since
        return self._paused_seconds + (0.0 if since is None else time.monotonic() - since)

    def _tell(self, what: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # It may have ended.
                self._process.stdin.write(what)

    @property
    def source(self) -> Source:
        """The images, in the order of the listing, and the classes."""
        return self._images.source

    @property
    def complete(self) -> bool:
        """Whether all images were decoded, or found to be unreadable, and are in the cache.

        Raises
        ------
        DatasetError
            They cannot be: the cache cannot be written, say.
        """
        if self._process is not None and self._process.poll() is not None:
            process, self._process = self._process, None
            self._take_report(process)
        return self._images.is_decoded(self.size)

    @property
    def running(self) -> bool:
        """Whether there is a process that decodes, or waits for another one that does."""
        return self._process is not None and self._process.poll() is None

    @property
    def progress(self) -> tuple[int, int]:
        """How many images were decoded, or found to be unreadable, and how many there are."""
        total = self._images.shape(self.size).total
        there = self._there()
        return (total if there is None and self.complete else 0 if there is None else there.number), total

    @property
    def seconds_left(self) -> float | None:
        """That it will take until all are decoded, as fast as until now; None while too few are to tell."""
        done, total = self.progress
        new = done - self._at_begin
        if done < total and new < LEAST_TIMED:
            return None
        spent = time.monotonic() - self._begin - self._paused()
        return 0.0 if done >= total else spent / new * (total - done)

    def wait(self, seconds: float, until: int | None = None) -> bool:
        """Wait for images; whether all are in the cache, or as many as were asked for are there.

        Parameters
        ----------
        seconds
            To wait at most. Where the process was killed, nobody waits any longer.
        until
            Number of images; None waits for all.

        Raises
        ------
        DatasetError
            As of `complete`.
        """
        deadline = time.monotonic() + seconds
        while not self.complete:
            if until is not None and self.progress[0] >= until:
                return True
            rest = deadline - time.monotonic()
            if self._process is None or rest <= 0:
                return False
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(min(rest, POLL_SECONDS))
        return True

    def show(
        self, seconds: float, show_progress: bool | None, go_on: Callable[[int], bool] = lambda _: True
    ) -> bool:
        """Wait for all images, with a bar as `Dataset.open` has one; whether they are there.

        Only while `go_on` says so of the number that is there.
        """
        (seen, total), deadline = self.progress, time.monotonic() + seconds
        with progress_bar(f"{self._images.about.name}: decoding", total, show_progress) as advance:
            advance(seen)
            while not (whole := self.wait(min(SHOW_SECONDS, max(0.0, deadline - time.monotonic())))):
                done = self.progress[0]
                advance(done - seen)
                seen = done
                if not self.running or time.monotonic() >= deadline or not go_on(seen):
                    break
        return whole

    def done(self, part: str) -> np.ndarray:
        """Images of a part, "train" or "val", that are there, in the order in which they were decoded.

        Of those that were there at the beginning it is the one in which they would have been. So the first
        ones are always a fair sample, with all classes in turn. They are places in `images` and `labels`:
        (n,) int64.
        """
        there = self._there()
        if there is None:
            return np.empty(0, dtype=np.int64)
        first, number = there.shape.part(part)
        slots = there.records()
        if isinstance(there, Whole):
            slots = self._images.order[np.isin(self._images.order, slots)]
        return slots[(slots >= first) & (slots < first + number)] - first

    def images(self, part: str) -> np.ndarray:
        """All images of a part, of which those count that `done` gives: (n, 3, size, size) uint8.

        They are mapped, to be read, and copied where an image of the part could not be read.
        """
        there = self._there()
        shape = self._images.shape(self.size)
        empty = np.broadcast_to(np.uint8(0), (shape.part(part)[1], 3, self.size, self.size))
        return empty if there is None else there.images(part)

    def labels(self, part: str) -> np.ndarray:
        """Labels of all images of a part, whether they are there or not, by the classes of the listing."""
        samples = self.source.train if part == "train" else self.source.val
        return np.array([sample.label for sample in samples], dtype=np.int64)

    def split(self) -> ImageSplit:
        """What is there now: all images, mapped, or a copy of a part of them.

        Raises
        ------
        NotInTimeError
            There are not yet two classes, and an image to validate on.
        DatasetError
            As in `Dataset.open`.
        """
        if self.complete:
            split = self._images.open(self.size, False)
            check_usable(split, self._max_bad)
            return split
        images = self._images
        sampling = Sampling(images.about, images.source, images.order, images.path, self._max_bad)
        return sampling.take(self._there() or InMemory(images.shape(self.size)), self.size, None)

    def _there(self) -> Whole | Growing | None:
        """Where the images are; once it is known, it stays, also where the entry has another name later."""
        if self._found is None:
            self._found = self._images.at(self.size)
        return self._found

    def _take_report(self, process: subprocess.Popen[bytes]) -> None:
        """Take what a process that has ended has said; nothing where it was killed."""
        said = b"" if process.stdout is None else process.stdout.read()
        end_process(process)
        report = json.loads(said or b"{}")
        if "error" in report:
            raise DatasetError(report["error"])
        if "contents" in report:
            self._images.contents.tell(report["contents"])


def _decode(again: Callable[[], FolderImages], size: int) -> None:
    """What the process does; it ends when its stdin does, so that it never outlives its parent."""
    ended, may_go_on, report = threading.Event(), threading.Event(), {}
    may_go_on.set()
    threading.Thread(target=_listen, args=(ended, may_go_on), daemon=True).start()
    try:
        images = again()
        if images.contents.known is None and copy_may_be_there(len(images.order)):
            threading.Thread(target=images.contents.find, daemon=True).start()
        if images.complete(size, lambda: 0.0 if ended.is_set() else math.inf, wait=may_go_on.wait):
            report = {"contents": images.contents.find()}
    except FilesChangedError:
        pass
    except DatasetError as error:
        report = {"error": str(error)}
    os.write(sys.stdout.fileno(), json.dumps(report).encode())
    os._exit(0)  # nobody waits for threads that are in the middle of an image


def _listen(ended: threading.Event, may_go_on: threading.Event) -> None:
    while told := os.read(sys.stdin.fileno(), 1):
        if told == _PAUSE:
            may_go_on.clear()
        else:
            may_go_on.set()
    ended.set()
    may_go_on.set()
