"""Whether what the advice promises comes true on folders of images: the recorded runs."""

from __future__ import annotations

import json

import pytest
from documents import MEASURED

WORDS = ("mae", "coverage", "width")


@pytest.fixture
def promises(script):
    return script("promises")


def test_what_is_told_of_promises_is_what_the_recorded_runs_give(promises):
    recorded = json.loads(promises.RESULT.read_text())
    found = promises.compare(promises.read(promises.DATA), promises.USUAL)
    for name in promises.USUAL:
        for folder, figures in recorded[name].items():
            if folder != "points":
                assert found[name][folder] == pytest.approx(figures, abs=1e-6), (name, folder)
    rows = [
        [
            folder,
            str(found["probes"][folder]["runs"]),
            *(f"{100 * found[name][folder][word]:.1f}" for name in promises.USUAL for word in WORDS),
        ]
        for folder in found["probes"]
        if folder != "points"
    ]
    assert MEASURED.rows("folder | runs | off by") == rows


def test_on_folders_that_no_run_was_on_promises_come_true(promises):
    found = promises.compare(promises.read(promises.DATA), promises.USUAL)
    for name in promises.USUAL:
        for kind in ("all", "heads", "stages", "lite", "untouched"):
            figures = found[name][kind]
            assert figures["runs"] >= 40 and figures["mae"] <= 0.06
            assert 0.7 <= figures["coverage"] <= 0.95, (name, kind)
        assert found[name]["nano"]["mae"] <= 0.075 and found[name]["nano"]["coverage"] >= 0.7


def test_a_run_knows_its_folder(promises):
    names = {run.record.task: run.folder for run in promises.read(promises.DATA)}
    assert names["clipart-food#3"] == "clipart-food"
    assert len({name for name in names.values() if not name.startswith("task:")}) == 6
