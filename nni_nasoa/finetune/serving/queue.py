"""One thread that predicts for all requests: what waits at the same time is computed together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from nni_nasoa.finetune.classifier import BATCH, Classifier

# Images that a processor computes at once. More take longer each, as they leave its cache; these are answered
# sooner, and take less memory.
ON_PROCESSOR = 8


class PredictionQueue:
    """Images that wait for their probabilities.

    Parameters
    ----------
    classifier
        Is used by the thread of the queue alone.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        # One batch of the network at most: the type that it computes in, and so what it answers, would else
        # depend on who else asks.
        self._most = ON_PROCESSOR if classifier.device.type == "cpu" else BATCH
        self._waiting: SimpleQueue[tuple[Any, Future] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="predictions", daemon=True)

    @contextmanager
    def at_work(self) -> Iterator[PredictionQueue]:
        """Predict in this context; what waits at its end is still done."""
        self._thread.start()
        try:
            yield self
        finally:
            self._waiting.put(None)
            self._thread.join()

    def put(self, images: Iterable[Any]) -> list[Future]:
        """Have images wait, as `Classifier.stream` takes them; for each what that gives, once it is done."""
        futures: list[Future] = []
        for image in images:
            futures.append(Future())
            self._waiting.put((image, futures[-1]))
        return futures

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < self._most and (another := self._another()) is not None:
                batch.append(another)
            wanted = [one for one in batch if one[1].set_running_or_notify_cancel()]
            try:
                rows = list(self._classifier.stream([image for image, _ in wanted]))
            except Exception as error:  # such as a full memory: the next ones may be smaller
                for _, future in wanted:
                    future.set_exception(error)
            else:
                for (_, future), row in zip(wanted, rows):
                    future.set_result(row)

    def _another(self) -> tuple[Any, Future] | None:
        try:
            item = self._waiting.get_nowait()
        except Empty:
            return None
        if item is None:
            self._waiting.put(None)  # the end, after this batch
        return item
