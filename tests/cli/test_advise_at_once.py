"""Two advices at the same time, which share a store and a cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import astuple

import numpy as np
import pytest
from PIL import Image

from nni_nasoa.advisor import ExperienceStore


@pytest.fixture
def photos(tmp_path):
    """A folder of images in two classes."""
    rng = np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 190)):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            pixels = rng.normal(level, 20, (40, 50, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


@pytest.mark.slow
def test_both_end_well_and_what_they_found_is_kept_once(photos, tmp_path):
    store = tmp_path / "store.db"
    command = [sys.executable, "-m", "nni_nasoa.cli", "advise", "--dataset", str(photos), "--zoo", "nano-a"]
    command += ["--minutes", "0.5", "--device", "cpu", "--json", "--store", str(store)]
    environment = os.environ | {"NASOA_CACHE": str(tmp_path / "cache")}
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    networks = [json.loads(printed)["choices"][0]["regime"]["model"] for printed, _ in said]
    assert networks == ["nano-a", "nano-a"]
    with ExperienceStore(store) as opened:
        found = [astuple(step)[:6] for step in opened.step_times()]  # of what, without how long and when
        assert found and len(found) == len({*found})
