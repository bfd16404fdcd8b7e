from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from nni_nasoa.finetune.classifier import BATCH
from nni_nasoa.finetune.serving.queue import ON_PROCESSOR, PredictionQueue


class Counting:
    """Gives each number itself, a batch at a time, once it may."""

    def __init__(self, device="cpu"):
        self.device = torch.device(device)
        self.batches, self.threads, self.may = [], set(), threading.Event()

    def stream(self, images):
        self.may.wait(30)
        self.batches.append(list(images))
        self.threads.add(threading.get_ident())
        if "bad" in self.batches[-1]:
            raise RuntimeError("out of memory")
        return map(np.array, self.batches[-1])


@pytest.mark.parametrize("device, most", [("cpu", ON_PROCESSOR), ("cuda", BATCH)])
def test_what_waits_is_computed_together_in_one_thread(device, most):
    classifier = Counting(device)
    with PredictionQueue(classifier).at_work() as queue:
        futures = queue.put([0])
        futures += [future for number in range(1, 200) for future in queue.put([number])]
        classifier.may.set()
        assert [int(future.result(30)) for future in futures] == list(range(200))
    assert len(classifier.threads) == 1 and len(classifier.batches) <= 200 / most + 2
    assert max(map(len, classifier.batches)) == most


def test_an_error_is_of_those_who_met_it_and_nobody_waits_for_what_was_given_up():
    classifier = Counting()
    with PredictionQueue(classifier).at_work() as queue:
        (first,) = queue.put([0])
        given_up, bad = queue.put([1, "bad"])
        assert given_up.cancel()
        classifier.may.set()
        with pytest.raises(RuntimeError, match="out of memory"):
            bad.result(30)
        (after,) = queue.put([3])
        assert int(after.result(30)) == 3
    assert 1 not in [number for batch in classifier.batches for number in batch]
    assert first.done()


def test_what_waits_at_the_end_is_still_done():
    classifier = Counting()
    with PredictionQueue(classifier).at_work() as queue:
        futures = queue.put(range(100))
        classifier.may.set()
    assert all(future.done() for future in futures)
