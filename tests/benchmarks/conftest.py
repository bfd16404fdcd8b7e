from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """A function that imports a benchmark, and sets the arguments of its command line."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return importlib.import_module(name)

    return load
