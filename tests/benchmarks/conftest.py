from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FOLDER = Path(__file__).parents[2] / "examples" / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """A function that imports a benchmark, and sets the arguments of its command line."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        return importlib.import_module(name)

    return load


@pytest.fixture
def flags(tmp_path):
    """A folder where benchmarks look for flags: two colours, with noise."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("test", 10)):
        for name, level in (("africa", 60), ("europe", 180)):
            place = tmp_path / "real" / "flags" / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = rng.normal(level, 20, (48, 64, 3)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path / "real"
