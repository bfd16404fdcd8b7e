import gc
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from click.testing import CliRunner

from nni_nasoa.advisor import ExperienceStore, StepTime, StoreError
from nni_nasoa.experience.database import Database
from nni_nasoa.experience.migrations import MIGRATIONS
from nni_nasoa.experience.store import State, read_records

pytestmark = pytest.mark.slow


@pytest.fixture
def store(postgresql_url):
    return ExperienceStore(postgresql_url)


def test_records_come_and_go(store, make_record, tmp_path):
    times = ["2026-01-03T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    records = [make_record(created=time, task=f"Bäume {number} 🌳") for number, time in enumerate(times)]
    records.append(make_record(created=times[0]))
    assert store.add_all(records[:3]) == 3 and store.add_all(records) == 1 and not store.add(records[0])
    assert list(store.records(limit=3)) == [records[2], records[0], records[3]]
    assert (
        list(store.records(task=records[1].task)) == [records[1]]
        and store.count(since="2026-01-02") == 3
        and store.count() == 4
    )
    path = tmp_path / "runs.jsonl"
    assert store.export(path) == 4
    file = ExperienceStore(tmp_path / "file.db")
    assert (
        file.add_all(read_records(path)) == 4
        and store.add_all(read_records(path)) == 0
        and list(file.records()) == list(store.records())
    )


def test_profiles_step_times_and_states(store):
    for images in (5, 6):
        store.set_profile("abc", {"images": images})
    assert store.profile("abc") == {"images": 6} and store.profile("def") is None
    steps = [StepTime("gpu", "nano-1", 32, 8, 0, "train", seconds) for seconds in (0.1, 0.2)]
    for step in steps:
        store.set_step_times([step])
    assert store.step_times("gpu") == steps[1:]


def test_records_and_states_go_in_together_or_not_at_all(store, make_record):
    first, late = make_record(), make_record()
    assert store.commit([first], {"predictor": State(b"\x00one", 0)})
    for version in (0, 2):
        assert not store.commit([late], {"predictor": State(b"late", version)})
    assert not store.commit([first, late], {"predictor": State(b"late", 1)})
    assert list(store.records()) == [first] and store.state("predictor") == (b"\x00one", 1)
    assert store.commit([late], {"predictor": State(b"two", 1)}) and store.state("predictor") == (b"two", 2)
    assert store.known([first.id, late.id, "another"]) == {first.id, late.id}


def test_many_processes_at_once_and_one_that_is_killed(postgresql_url, in_processes):
    five = "for _ in range(5): add_and_count('a')"
    endless = "while True:\n    one = record('endless'); store.add(one); print(one.id, flush=True)"
    *adding, doomed = in_processes(postgresql_url, five, five, endless)
    reported = [doomed.stdout.readline().strip() for _ in range(5)]
    doomed.send_signal(signal.SIGKILL)
    reported += doomed.communicate()[0].split()
    assert [process.wait() for process in adding] == [0, 0]
    store = ExperienceStore(postgresql_url, create=False)
    assert {record.id for record in store.records(task="endless")} >= set(reported) and len(reported) >= 5
    assert store.count(task="a") == 10 and store.state("sum") == (b"10", 10)


def test_ctrl_c_at_any_moment_is_answered_by_nothing_else(postgresql_url, interrupted):
    *wrong, moments = interrupted(postgresql_url)
    assert not wrong and int(moments) > 100


def test_a_store_is_migrated_once_by_all_who_open_it(store, postgresql_url, make_record):
    def add_a_column(connection):
        connection.exec_driver_sql("ALTER TABLE nasoa_profiles ADD COLUMN used TEXT")
        connection.exec_driver_sql("INSERT INTO nasoa_profiles VALUES ('new', '{}', 'now')")

    store.add(make_record())
    with ThreadPoolExecutor(3) as pool:
        stores = list(
            pool.map(
                lambda _: ExperienceStore(postgresql_url, migrations=(*MIGRATIONS, add_a_column)), range(3)
            )
        )
    assert [(other.profile("new"), other.count()) for other in stores] == [({}, 1)] * 3
    with pytest.raises(StoreError, match=f"is a store of version {len(MIGRATIONS) + 1}"):
        ExperienceStore(postgresql_url)


def test_a_migration_that_fails_changes_nothing(store, postgresql_url):
    def fail(connection):
        connection.exec_driver_sql("DROP TABLE nasoa_profiles")
        connection.exec_driver_sql("DROP TABLE nasoa_nothing")

    store.set_profile("abc", {})
    with pytest.raises(StoreError, match='table "nasoa_nothing" does not exist'):
        ExperienceStore(postgresql_url, migrations=(*MIGRATIONS, fail))
    assert ExperienceStore(postgresql_url).profile("abc") == {}


def test_a_writer_that_never_ends_is_reported(postgresql_url, store, make_record):
    impatient = ExperienceStore(postgresql_url, wait_seconds=0.5)
    words = r"another process has been writing to it for 0\.5 s; try"
    with Database(postgresql_url).writing(), pytest.raises(StoreError, match=words):
        impatient.add(make_record())
    assert store.add(make_record())


def test_a_connection_that_broke_is_made_again(store, postgresql_url, make_record):
    store.add(make_record())
    with psycopg.connect(postgresql_url, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
            "pid <> pg_backend_pid()"
        )
    assert store.count() == 1


def test_no_password_in_messages(postgresql_url, store):
    assert "se:cr/et" in psycopg.conninfo.conninfo_to_dict(postgresql_url)["password"]
    for url, words in [
        (postgresql_url.replace("se%3Acr%2Fet", "wr0ng"), "password authentication failed"),
        (postgresql_url.replace("/test_", "/none_"), "does not exist"),
        ("postgresql://team:wr0ng@127.0.0.1:1/db", "refused"),
        ("postgresql://team@127.0.0.1:1/db?password=wr0ng", "refused"),
        (postgresql_url + "&passwrd=wr0ng", "invalid connection option"),
    ]:
        with pytest.raises(StoreError, match=words) as caught:
            ExperienceStore(url)
        message = str(caught.value)
        assert (
            "wr0ng" not in message
            and "cr%2Fet" not in message
            and "cr/et" not in message
            and "\n" not in message
        )
    assert "cr%2Fet" not in store.location + repr(store) and store.location.startswith("postgresql://***@")


def test_a_database_without_a_store(postgresql_url):
    with pytest.raises(StoreError, match="holds no experience store"):
        ExperienceStore(postgresql_url, create=False)


# -- connections --


def connections(url) -> int:
    with psycopg.connect(url) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()"
        ).fetchone()
    return count


def none_left(url) -> bool:
    """Whether all connections end: the server takes a moment to see it."""
    end = time.monotonic() + 10
    while connections(url) and time.monotonic() < end:
        time.sleep(0.05)
    return connections(url) == 0


def test_a_store_that_is_closed_has_no_connection(postgresql_url, make_record):
    with ExperienceStore(postgresql_url) as store:
        store.add(make_record())
        assert connections(postgresql_url) == 1
    assert none_left(postgresql_url)
    assert store.count() == 1 and connections(postgresql_url) == 1
    store.close()
    assert none_left(postgresql_url)


def test_threads_that_ask_at_the_same_time_leave_one_connection(store, postgresql_url):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.count(), range(64)))
    assert connections(postgresql_url) <= 1


def test_a_process_that_was_forked_leaves_the_connection_as_it_is(store, postgresql_url):
    store.count()
    if (child := os.fork()) == 0:
        try:
            store.close()
            os._exit(store.count())
        finally:
            os._exit(9)
    assert os.waitpid(child, 0)[1] == 0
    with psycopg.connect(postgresql_url) as connection:
        query = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        before = connection.execute(query).fetchall()
        assert store.count() == 0 and connection.execute(query).fetchall() == before


def test_sixteen_processes_with_a_new_store_each_time(postgresql_url, store, in_processes):
    """A server has a hundred connections for everybody."""
    endless = """
import gc
gc.disable()
for _ in range(15):
    store = ExperienceStore(sys.argv[1])
    store.add(record("a"))
    store.count()
"""
    processes = in_processes(postgresql_url, *[endless] * 16)
    most = 0
    while any(process.poll() is None for process in processes):
        most = max(most, connections(postgresql_url))
        time.sleep(0.05)
    assert [process.returncode for process in processes] == [0] * 16
    assert store.count() == 240 and most <= 2 * 16 + 1
    store.close()
    assert none_left(postgresql_url)


@pytest.mark.parametrize(
    "words", [["list"], ["export", "FILE"], ["import", "FILE"], ["prior", "-o", "FOLDER"]]
)
def test_commands_close_what_they_opened(postgresql_url, store, world, tmp_path, words):
    from nni_nasoa.cli import main

    store.add_all([world.record(number, number) for number in range(3)])
    store.export(tmp_path / "runs.jsonl")
    store.close()
    place = {"FILE": str(tmp_path / "runs.jsonl"), "FOLDER": str(tmp_path / "prior")}
    words = ["experience", *(place.get(word, word) for word in words), "--store", postgresql_url]
    kept = gc.isenabled()
    gc.disable()
    try:
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        assert none_left(postgresql_url)
    finally:
        if kept:
            gc.enable()
