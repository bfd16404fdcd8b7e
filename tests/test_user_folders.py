"""Where the user's folders are."""

from pathlib import Path

import pytest

from nni_nasoa.files import cache_folder, data_folder, default_store, weights_folder, zoo_folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("NASOA_CACHE", "NASOA_WEIGHTS", "NASOA_ZOO", "NASOA_STORE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_where_folders_are_unless_they_are_named(home, monkeypatch):
    share = home / ".local" / "share" / "nni_nasoa"
    assert cache_folder() == home / ".cache" / "nni_nasoa"
    assert weights_folder() == home / ".cache" / "nni_nasoa" / "weights"
    assert (data_folder(), zoo_folder(), default_store()) == (
        share,
        share / "zoo",
        str(share / "experience.db"),
    )
    monkeypatch.setenv("XDG_DATA_HOME", "~/share")
    share = home / "share" / "nni_nasoa"
    assert (data_folder(), zoo_folder(), default_store()) == (
        share,
        share / "zoo",
        str(share / "experience.db"),
    )
    monkeypatch.setenv("XDG_DATA_HOME", "")
    assert data_folder() == home / ".local" / "share" / "nni_nasoa"


@pytest.mark.parametrize(
    "variable, folder",
    [("NASOA_CACHE", cache_folder), ("NASOA_WEIGHTS", weights_folder), ("NASOA_ZOO", zoo_folder)],
)
def test_folders_can_be_named(home, monkeypatch, variable, folder):
    monkeypatch.setenv(variable, "/mnt/there")
    assert folder() == Path("/mnt/there")
    monkeypatch.setenv(variable, "~/there")
    assert folder() == home / "there"


def test_a_store_can_be_a_server(home, monkeypatch):
    monkeypatch.setenv("NASOA_STORE", "postgresql://me@server/runs")
    assert default_store() == "postgresql://me@server/runs"
