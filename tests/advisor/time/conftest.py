from __future__ import annotations

from types import SimpleNamespace

import pytest


class FreeThreads:
    """Looks at how many threads are free, at most as many as there can be; given in, one after the other."""

    def __init__(self):
        self.left = []

    def __call__(self, most):
        return SimpleNamespace(free=lambda: min(most, self.left.pop(0)))


@pytest.fixture
def free_threads():
    return FreeThreads()


@pytest.fixture
def devices():
    """The devices that step times were measured for."""
    return []
