"""Decode images in threads, each of use as soon as it is there, until a clock says that it is enough."""

from __future__ import annotations

import bisect
import heapq
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence

from nni_nasoa.device.processor import allowed_processors

POLL_SECONDS = 0.1  # between two looks at what may end the work, at most
# A giant has so many pixels at least, and so many times those of an image that most others do not exceed.
LEAST_GIANT, GIANT_FACTOR, USUAL_SHARE = 8_000_000, 4, 0.95


def fill(
    slots: Sequence[int],
    decode: Callable[[int, bool], bytes | str | int],
    put: Callable[[int, bytes | str], None],
    left: Callable[[], float],
    advance: Callable[[int], None] = lambda _: None,
) -> bool:
    """Decode images on all processors that this process may use; whether all were decoded.

    When the time is up, nobody waits for the images that are just being decoded, which may be huge. Their
    threads end with them, and they are dropped.

    Parameters
    ----------
    slots
        Which, in the order in which they are begun.
    decode
        Gives the pixels of one, or why there are none, or, where it is told that this may be, the number of
        its pixels: it is to come after the others. Called in threads.
    put
        Takes them, one at a time.
    left
        Seconds that may still be taken; asked after each image, in its thread, and now and then.
    advance
        Told how many more are done.

    Raises
    ------
    OSError
        Of `put`.
    """
    work = _Work(slots, decode, put, left, len(allowed_processors()))
    seen = 0
    with warnings.catch_warnings(), work.turn:
        # Pillow's, about metadata; not in the threads, as the filters are those of all.
        warnings.simplefilter("ignore")
        for _ in range(work.active):
            # No thread of a pool: the interpreter would wait for those before it ends.
            threading.Thread(target=work.run, daemon=True).start()
        try:
            while work.active and not work.over and work.error is None and (seconds := left()) > 0:
                work.turn.wait(min(seconds, POLL_SECONDS))
                advance(work.done - seen)
                seen = work.done
            if work.error is not None:
                raise work.error
            return work.done == len(slots)
        finally:
            work.over = True


class Giants:
    """Tells images that are so much larger than the others that these had better come first.

    One image of hundreds of megapixels takes as long as a thousand usual ones. They are few by definition, so
    that what there is without them is a fair sample.
    """

    def __init__(self) -> None:
        self._seen: list[int] = []
        self._turn = threading.Lock()

    def has(self, pixels: int) -> bool:
        """Whether an image with so many pixels is one; it counts among those that were seen from now on."""
        with self._turn:
            bisect.insort(self._seen, pixels)
            usual = self._seen[int(USUAL_SHARE * (len(self._seen) - 1))]
            return pixels > max(LEAST_GIANT, GIANT_FACTOR * usual)


class _Work:
    """What the threads of one `fill` share; `turn` is held by whoever looks at it, or changes it."""

    def __init__(
        self,
        slots: Iterable[int],
        decode: Callable[[int, bool], bytes | str | int],
        put: Callable[[int, bytes | str], None],
        left: Callable[[], float],
        threads: int,
    ):
        self.turn = threading.Condition()
        self.active, self.done, self.over = threads, 0, False
        self.error: BaseException | None = None
        self._slots, self._decode, self._put, self._left = iter(slots), decode, put, left
        self._waiting: list[tuple[int, int]] = []  # numbers of pixels, and slots
        self._may_wait = True

    def run(self) -> None:
        """Decode one after the other."""
        try:
            while (slot := self._next()) is not None:
                result = self._decode(slot, self._may_wait)
                with self.turn:
                    if self.over:
                        return
                    if isinstance(result, int):
                        heapq.heappush(self._waiting, (result, slot))
                        continue
                    self._put(slot, result)
                    self.done += 1
                    self.over = self._left() <= 0  # asked here, as others may take their turn long before
                    self.turn.notify()
        except BaseException as error:
            self.error = error
        finally:
            with self.turn:
                self.active -= 1
                self.turn.notify()

    def _next(self) -> int | None:
        with self.turn:
            if self.over:
                return None
            slot = next(self._slots, None) if self._may_wait else None
            if slot is None:
                self._may_wait = False
                slot = heapq.heappop(self._waiting)[1] if self._waiting else None
            return slot
