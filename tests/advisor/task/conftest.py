"""What tests of what the advisor knows of a dataset share."""

from __future__ import annotations

import numpy as np
import pytest
from fixtures.looks import Look
from PIL import Image

from nni_nasoa.advisor import ExperienceStore


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("NASOA_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def store(tmp_path):
    return ExperienceStore(tmp_path / "store.db")


@pytest.fixture
def folder(tmp_path):
    """Nine images of three classes, and one that is broken."""
    rng = np.random.default_rng(0)
    for label in ("a", "b", "ü"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(
                tmp_path / "pets" / label / f"{i}.png"
            )
    (tmp_path / "pets" / "a" / "broken.png").write_bytes(b"no image")
    return tmp_path / "pets"


@pytest.fixture
def look():
    """`task_profile` with instruments that take no time."""
    return Look()
