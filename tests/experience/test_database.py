"""The database behind the store: who waits for whom, and what is no store."""

import os
import sqlite3
import stat
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from nni_nasoa.advisor import ExperienceStore, StoreError


@pytest.fixture
def store(tmp_path):
    return ExperienceStore(tmp_path / "folder" / "store.db")


def test_a_store_is_the_users_own(tmp_path, monkeypatch, make_record):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("NASOA_STORE")
    (tmp_path / "data" / "nni_nasoa").mkdir(parents=True)  # as earlier releases made it
    (tmp_path / "data" / "nni_nasoa").chmod(0o755)
    umask = os.umask(0)
    try:
        for place in (None, tmp_path / "a" / "b" / "c.db"):
            with ExperienceStore(place) as store:
                store.add(make_record())
                assert modes(Path(store.location).parent) == {0o700}
                assert modes(*Path(store.location).parent.iterdir()) == {0o600}
    finally:
        os.umask(umask)


def test_a_folder_that_a_user_has_for_other_things_stays_as_it_is(tmp_path):
    tmp_path.chmod(0o755)
    with ExperienceStore(tmp_path / "store.db"):
        assert modes(tmp_path) == {0o755} and modes(tmp_path / "store.db") == {0o600}


def modes(*paths):
    return {stat.S_IMODE(path.stat().st_mode) for path in paths}


def test_readers_do_not_wait_for_a_writer(store, make_record):
    with sqlite3.connect(store.location, isolation_level=None) as writer:
        assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        writer.execute("BEGIN IMMEDIATE")
        assert store.count() == 0 and list(store.records()) == []
        writer.execute("ROLLBACK")


def test_a_writer_that_never_ends_is_reported(store, make_record):
    impatient = ExperienceStore(store.location, wait_seconds=0.1)
    with sqlite3.connect(store.location, isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"another process has been writing to it for 0\.1 s; try"):
            impatient.add(make_record())
        writer.execute("ROLLBACK")
    assert impatient.add(make_record())


def test_a_store_that_cannot_be_created_is_told_at_once(tmp_path, full_disk):
    """To wait helps where others write, and not where there is no room."""
    begin = time.monotonic()
    with full_disk(), pytest.raises(StoreError, match=r"store\.db: ") as caught:
        ExperienceStore(tmp_path / "store.db")
    assert time.monotonic() - begin < 5 and "\n" not in str(caught.value)


def test_two_who_create_a_store_wait_for_each_other(tmp_path):
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN EXCLUSIVE")
        threading.Timer(0.5, other.execute, ["ROLLBACK"]).start()
        assert ExperienceStore(path).count() == 0


def test_what_is_no_store(tmp_path):
    (tmp_path / "text.db").write_text("no database, but a text of some length\n" * 50)
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE things (name TEXT)")
    (tmp_path / "empty.db").touch()
    for place, create, words in [
        ("text.db", True, "text.db: is not an SQLite database; give the file of an experience store"),
        (".", True, "is a folder; give the file"),
        ("other.db", True, "other.db: is a database of another program"),
        ("none.db", False, "none.db: there is no such experience store"),
        ("empty.db", False, "empty.db: holds no experience store"),
        ("text.db/store.db", True, "store.db: cannot be opened \\("),
    ]:
        with pytest.raises(StoreError, match=words) as caught:
            ExperienceStore(tmp_path / place, create=create)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "none.db").exists() and ExperienceStore(tmp_path / "empty.db").count() == 0


@pytest.mark.parametrize(
    "url, words",
    [
        (
            "mysql://me:s3cret@server/db",
            r"mysql://\*{3}@server/db: is neither a file nor PostgreSQL; give the path of a file, or postgresql://",
        ),
        ("postgresql://me:s3cret@server:port/db", "is not a URL of a database; give"),
        ("postgresql://me:p@s3cret@server/db", "write an @ in a password"),
        ("sqlite://", "is neither a file"),
        ("sqlite:///:memory:", "is neither a file"),
        (":memory:", "is not a file"),
        ("", "is not a file"),
        ("postgresql:/me:s3cret@server/db", "begins a URL, but no // follows"),
        ("http://server/?password=s3cret", r"password=\*{3}: is neither"),
    ],
)
def test_wrong_url(url, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match=words) as caught:
        ExperienceStore(url)
    assert "s3cret" not in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
