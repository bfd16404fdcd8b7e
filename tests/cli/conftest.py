from __future__ import annotations

import time

import pytest


@pytest.fixture
def process_just_started(monkeypatch):
    """Budgets begin with a command's process: that of the tests was started long ago."""
    monkeypatch.setattr("nni_nasoa.finetune.clock.process_started", time.monotonic)
