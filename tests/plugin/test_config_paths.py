from __future__ import annotations

from pathlib import Path

import pytest

from nni_nasoa.plugin.config_paths import ConfigPaths

LOCAL = {"platform": "local"}


@pytest.mark.parametrize(
    "config, folder, here",
    [
        ({"tuner": {"codeDirectory": "/code"}, "trainingService": LOCAL}, "/code", True),
        (
            {"tuner": {}, "trialCodeDirectory": "/trials", "trainingService": {"platform": "remote"}},
            "/trials",
            False,
        ),
        (
            {"tuner": {"codeDirectory": "/code"}, "trainingService": [LOCAL, {"platform": "remote"}]},
            "/code",
            False,
        ),
        ({}, ".", True),
    ],
)
def test_a_config_says_where_paths_start_and_whether_trials_are_here(config, folder, here):
    assert ConfigPaths.of(config) == ConfigPaths(folder, here)


def test_paths_start_at_the_code_directory_and_a_home_is_one(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    paths = ConfigPaths("/code", True)
    assert paths.absolute("store.db") == "/code/store.db" and paths.absolute("/own.db") == "/own.db"
    assert paths.absolute("~/own.db") == "/home/somebody/own.db"


def test_what_lies_on_other_machines_is_theirs(tmp_path):
    (tmp_path / "flowers").mkdir()
    here, there = ConfigPaths(str(tmp_path), True), ConfigPaths(str(tmp_path), False)
    assert here.of_trials("out") == str(tmp_path / "out") and there.of_trials("out") == "out"
    assert here.of_trials(None) is there.of_trials(None) is None
    assert Path(here.dataset("flowers", None).source) == tmp_path / "flowers"
    assert (
        there.dataset("flowers", "data").source == "flowers"
        and there.dataset("flowers", "data").root == "data"
    )
    listed = here.dataset("labels.csv?label=species", None)
    assert listed.spelled == f"{tmp_path / 'labels.csv'}?label=species"
    assert there.dataset("labels.csv", None).spelled == "labels.csv"
    assert here.dataset("digits", "data").root == str(tmp_path / "data")
