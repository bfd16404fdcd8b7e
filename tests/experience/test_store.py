import json
import multiprocessing
import os
import signal
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from nni_nasoa.advisor import ExperienceStore, StepTime, StoreError
from nni_nasoa.experience.migrations import MIGRATIONS
from nni_nasoa.experience.store import PAGE, State, read_records

VERSION_1 = """
CREATE TABLE nasoa_schema (version INTEGER NOT NULL);
INSERT INTO nasoa_schema VALUES (1);
CREATE TABLE nasoa_runs (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
                         created TEXT NOT NULL, task TEXT NOT NULL, model TEXT NOT NULL,
                         device TEXT NOT NULL, status TEXT NOT NULL, record TEXT NOT NULL);
CREATE TABLE nasoa_profiles (fingerprint TEXT PRIMARY KEY, profile TEXT NOT NULL);
CREATE TABLE nasoa_step_times (device TEXT, model TEXT, input_size INTEGER, batch_size INTEGER,
                               frozen_stages INTEGER, mode TEXT, seconds DOUBLE PRECISION, measured_at TEXT,
                               PRIMARY KEY (device, model, input_size, batch_size, frozen_stages, mode));
CREATE TABLE nasoa_states (name TEXT PRIMARY KEY, version INTEGER NOT NULL, data BLOB NOT NULL);
INSERT INTO nasoa_profiles VALUES ('abc', '{"images": 5}');
"""


@pytest.fixture
def store(tmp_path):
    return ExperienceStore(tmp_path / "folder" / "store.db")


def whole(path) -> bool:
    with sqlite3.connect(path) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_is_added_is_there_for_all_who_open_it(store, make_record):
    record = make_record(task="Blumen und Bäume 🌳")
    assert store.add(record) and list(ExperienceStore(store.location).records()) == [record]


def test_a_record_is_added_once(store, make_record):
    record = make_record()
    assert store.add(record) and not store.add(record) and store.add_all([record, make_record()]) == 1
    assert store.count() == 2 and store.add_all([]) == 0


def test_all_are_added_or_none(store, make_record):
    with pytest.raises(AttributeError):
        store.add_all([make_record(), "rubbish"])
    assert store.count() == 0


def test_records_are_filtered_and_in_order_of_creation(store, make_record):
    times = [
        "2026-01-03T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2026-01-04T01:00:00+02:00",
        "2026-01-02T00:00:00Z",
    ]
    records = [
        make_record(created=time, task=f"task-{number % 2}", model=f"nano-{number}")
        for number, time in enumerate(times)
    ]
    records.append(
        make_record(created=times[0], status="killed", seconds=None, accuracy=None, device="a GPU")
    )
    store.add_all(records)

    def found(**filters):
        numbers = [records.index(record) for record in store.records(**filters)]
        filters.pop("limit", None)
        assert store.count(**filters) >= len(numbers)
        return numbers

    assert found() == [1, 3, 0, 4, 2]
    assert (
        found(task="task-1") == [1, 3]
        and found(model="nano-2") == [2]
        and found(device="a GPU") == [4] == found(status="killed")
    )
    assert (
        found(since="2026-01-03") == [0, 4, 2] == found(since=datetime(2026, 1, 3, tzinfo=timezone.utc))
        and found(task="none") == []
    )
    assert (
        found(limit=2) == [4, 2]
        and found(limit=9) == [1, 3, 0, 4, 2]
        and found(limit=0) == []
        and found(task="task-0", limit=1) == [2]
    )
    assert store.count(status="ok", since="2026-01-02") == 3


@pytest.mark.parametrize("limit", [None, PAGE + 1, 3 * PAGE + 1])
def test_pages_meet_without_gap_or_overlap(store, make_record, limit):
    created = make_record().created
    records = [make_record(created=created) for _ in range(3 * PAGE + 1)]
    assert store.add_all(records) == len(records)
    assert list(store.records(limit=limit)) == records[-limit if limit else None :]


def test_adding_while_reading(store, make_record):
    store.add_all([make_record() for _ in range(3)])
    for _ in store.records(limit=3):
        assert store.add(make_record(created="2026-01-01T00:00:00Z"))
    assert store.count() == 6


@pytest.mark.parametrize(
    "filters, words",
    [
        ({"status": "good"}, "status: 'good' is not one of ok, failed, killed"),
        ({"since": "yesterday"}, "since: 'yesterday' is not a date"),
        ({"limit": -1}, "limit: -1 is not"),
    ],
)
def test_wrong_filter(store, filters, words):
    with pytest.raises(StoreError, match=f"^{words}"):
        store.records(**filters)


def test_export_and_import(store, make_record, tmp_path):
    records = [make_record() for _ in range(3)]
    store.add_all(records)
    path = tmp_path / "runs.jsonl"
    path.write_text("what was there before")
    assert store.export(path) == 3 and len(path.read_text().splitlines()) == 3
    other = ExperienceStore(tmp_path / "other.db")
    assert other.add_all(read_records(path)) == 3 and list(other.records()) == records
    assert other.add_all(read_records(path)) == 0 and other.count() == 3
    assert other.export(path, limit=1) == 1 and {entry.name for entry in tmp_path.iterdir()} >= {"runs.jsonl"}
    assert not list(tmp_path.glob(".*"))


def test_an_export_that_fails_leaves_the_file_as_it_was(store, make_record, tmp_path):
    store.add(make_record())
    path = tmp_path / "runs.jsonl"
    path.write_text("what was there before")
    with sqlite3.connect(store.location) as connection:
        connection.execute("UPDATE nasoa_runs SET record = '{'")
    with pytest.raises(StoreError, match="was damaged"):
        store.export(path)
    assert path.read_text() == "what was there before" and not list(tmp_path.glob(".*"))
    with pytest.raises(
        StoreError, match="cannot be written \\(No such file or directory\\); give a file in a folder"
    ):
        store.export(tmp_path / "nowhere" / "runs.jsonl")


@pytest.mark.parametrize(
    "line, words",
    [
        ('{"id": ', "not JSON"),
        ("[1]", "record: [1] is not an object"),
        ("[" * 5000, "not JSON"),
        ("\udcff", "not text in UTF-8"),
        ('{"accuracy": NaN}', "id: is missing"),
        ("1" * 5000, ""),
        (" " * 9_000_000, "longer than 8388608 bytes"),
    ],
)
def test_a_bad_line_imports_nothing(store, make_record, tmp_path, line, words):
    path = tmp_path / "runs.jsonl"
    good = json.dumps(make_record().to_json())
    path.write_bytes(f"{good}\n\n{line}\n{good}".encode("utf-8", "surrogateescape"))
    with pytest.raises(StoreError) as caught:
        store.add_all(read_records(path))
    assert (
        str(caught.value).startswith(f"{path}, line 3: {words}")
        and "\n" not in str(caught.value)
        and store.count() == 0
    )


def test_records_of_what_is_no_file(tmp_path):
    with pytest.raises(StoreError, match="cannot be read \\(No such file"):
        read_records(tmp_path / "none.jsonl")
    with pytest.raises(StoreError, match="cannot be read \\(Is a directory"):
        read_records(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    end = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(StoreError, match="pipe: is a pipe or a device; give a file"):
        read_records(tmp_path / "pipe")
    os.close(end)


def test_profiles_step_times_and_states(store):
    store.set_profile("abc", {"images": 5})
    store.set_profile("abc", {"images": 6})
    assert store.profile("abc") == {"images": 6} and store.profile("def") is None
    steps = [StepTime("cpu", "nano-1", 32, batch, 0, "train", 0.1) for batch in (8, 16)]
    slower = StepTime("cpu", "nano-1", 32, 8, 0, "train", 0.2)
    store.set_step_times(iter([*steps, StepTime("gpu", "nano-1", 32, 8, 0, "train", 0.1)]))
    store.set_step_times([slower])
    store.set_step_times([])
    assert (
        store.step_times("cpu") == [slower, steps[1]]
        and len(store.step_times()) == 3
        and store.step_times(model="nano-2") == []
    )
    assert store.state("predictor") is None


def test_step_times_go_in_together_or_not_at_all(store, full_disk):
    first = [StepTime("cpu", "nano-1", 32, batch, 0, "train", 0.1) for batch in (8, 16)]
    slower = [replace(step, seconds=0.2) for step in first]
    store.set_step_times([*first, slower[0]])
    assert store.step_times() == [slower[0], first[1]]
    with full_disk(), pytest.raises(StoreError):
        store.set_step_times(slower)
    assert store.step_times() == [slower[0], first[1]]
    store.set_step_times([])
    store.set_step_times(iter(slower))
    assert store.step_times() == slower


def test_records_and_states_go_in_together_or_not_at_all(store, make_record):
    first, second, late = make_record(), make_record(), make_record()
    assert store.commit([first], {"one": State(b"1", 0), "two": State(b"\x002", 0)})
    assert store.state("one") == (b"1", 1) and store.state("two") == (b"\x002", 1)
    assert store.commit([second], {"one": State(b"11", 1)}) and store.state("one") == (b"11", 2)
    for states in ({"one": State(b"late", 0)}, {"two": State(b"new", 1), "one": State(b"late", 1)}):
        assert not store.commit([late], states)  # one of them is another by now
    assert not store.commit([late, second], {"two": State(b"new", 1)})  # one of them is there by now
    assert list(store.records()) == [first, second]
    assert store.state("one") == (b"11", 2) and store.state("two") == (b"\x002", 1)
    assert store.commit([late], {}) and store.count() == 3
    assert store.known([first.id, late.id, "another"]) == {first.id, late.id}


def test_many_records_are_committed_and_known_as_few_are(store, make_record):
    records = [make_record() for _ in range(1100)]
    assert store.commit(records, {}) and not store.commit(records[-1:], {})
    assert store.known(record.id for record in records) == {record.id for record in records}


def test_many_processes_at_once_and_one_that_is_killed(tmp_path, in_processes):
    """None has the store before; they make it at the same time."""
    path = tmp_path / "store.db"
    ten = "for _ in range(10): add_and_count('a')"
    endless = "while True:\n    one = record('endless'); store.add(one); print(one.id, flush=True)"
    *adding, doomed = in_processes(path, ten, ten, ten, endless)
    reported = [doomed.stdout.readline().strip() for _ in range(5)]
    doomed.send_signal(signal.SIGKILL)
    reported += doomed.communicate()[0].split()
    assert [process.wait() for process in adding] == [0, 0, 0] and doomed.returncode == -signal.SIGKILL
    store = ExperienceStore(path, create=False)
    there = {record.id for record in store.records(task="endless")}
    assert len(reported) >= 5 and there >= set(reported) and len(there) <= len(reported) + 1
    assert store.count(task="a") == 30 and store.state("sum") == (b"30", 30) and whole(path)


def test_a_fork_goes_on_with_the_store(store, make_record):
    record = make_record()
    store.count()
    child = multiprocessing.get_context("fork").Process(target=store.add, args=(record,))
    child.start()
    child.join()
    assert list(store.records()) == [record] and whole(store.location)


def test_ctrl_c_at_any_moment_is_answered_by_nothing_else(tmp_path, interrupted):
    *wrong, moments = interrupted(tmp_path / "store.db")
    assert not wrong and int(moments) > 100


def test_a_store_of_version_1_is_migrated_once_by_all_who_open_it(tmp_path, make_record):
    path, record = tmp_path / "old.db", make_record()
    with sqlite3.connect(path) as connection:
        connection.executescript(VERSION_1)
        connection.execute(
            "INSERT INTO nasoa_runs (id, created, task, model, device, status, record) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                record.id,
                record.created,
                record.task,
                record.model,
                record.device,
                record.status,
                json.dumps(record.to_json()),
            ),
        )
    connection.close()
    assert list(ExperienceStore(path).records()) == [record]

    def add_a_column(connection):
        connection.exec_driver_sql("ALTER TABLE nasoa_profiles ADD COLUMN used TEXT")
        connection.exec_driver_sql("INSERT INTO nasoa_profiles VALUES ('new', '{}', 'now')")

    with ThreadPoolExecutor(3) as pool:
        stores = list(
            pool.map(lambda _: ExperienceStore(path, migrations=(*MIGRATIONS, add_a_column)), range(3))
        )
    assert [store.profile("new") for store in stores] == [{}] * 3 and list(stores[0].records()) == [record]
    assert stores[0].profile("abc") == {"images": 5} and stores[0].add(make_record())
    with pytest.raises(
        StoreError,
        match=f"old.db: is a store of version {len(MIGRATIONS) + 1}, this nni-nasoa knows versions up to "
        f"{len(MIGRATIONS)}; upgrade nni-nasoa",
    ):
        ExperienceStore(path)


def test_a_migration_that_fails_changes_nothing(store):
    def fail(connection):
        connection.exec_driver_sql("DROP TABLE nasoa_profiles")
        connection.exec_driver_sql("ALTER TABLE nasoa_nothing ADD COLUMN x TEXT")

    store.set_profile("abc", {})
    with pytest.raises(StoreError, match="no such table: nasoa_nothing"):
        ExperienceStore(store.location, migrations=(*MIGRATIONS, fail))
    assert ExperienceStore(store.location).profile("abc") == {}


def test_the_first_version_is_as_it_was_released(store, tmp_path):
    """Stores of users have these columns; what is to change is for a new migration."""

    def columns(path):
        with sqlite3.connect(path) as connection:
            return {
                table: [row[1:3] for row in connection.execute(f"PRAGMA table_info({table})")]
                for (table,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE name LIKE 'nasoa%' AND type = 'table'"
                )
            }

    with sqlite3.connect(tmp_path / "hand.db") as connection:
        connection.executescript(VERSION_1)
    ExperienceStore(tmp_path / "new.db", migrations=MIGRATIONS[:1])
    assert columns(tmp_path / "new.db") == columns(tmp_path / "hand.db")


def test_the_place_of_the_store(tmp_path, monkeypatch):
    for name in ("NASOA_STORE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ExperienceStore().location == str(tmp_path / ".local/share/nni_nasoa/experience.db")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert ExperienceStore().location == str(tmp_path / "data/nni_nasoa/experience.db")
    monkeypatch.setenv("NASOA_STORE", f"sqlite:///{tmp_path}/mine.db")
    assert ExperienceStore().location == f"{tmp_path}/mine.db" and (tmp_path / "mine.db").exists()


def test_a_store_is_closed_and_can_be_used_once_more(tmp_path, make_record):
    with ExperienceStore(tmp_path / "store.db") as store:
        store.add(make_record())
    assert open_files() == []
    assert store.count() == 1
    store.close()
    store.close()
    assert open_files() == []


def open_files():
    """That are the store's: those of others come and go."""
    links = (Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd"))
    return [
        str(link.readlink()) for link in links if link.is_symlink() and "store.db" in str(link.readlink())
    ]


def test_a_profile_that_was_damaged_is_said_in_one_line(tmp_path):
    store = ExperienceStore(tmp_path / "store.db")
    store.set_profile("abc", {"images": 5})
    with sqlite3.connect(store.location) as database:
        database.execute("UPDATE nasoa_profiles SET profile = ?", ["[" * 10**5])
    with pytest.raises(StoreError, match=r"the profile abc was damaged \(not JSON") as error:
        store.profile("abc")
    assert "\n" not in str(error.value) and len(str(error.value)) < 500
