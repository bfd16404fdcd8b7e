"""Versions of the store's tables.

Version n is what the first n migrations make; a released one is never changed. To change the
tables, append a function here that changes those of the version before, data included.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from sqlalchemy import Connection, column, inspect, select, table, update

from nni_nasoa.files import parse_json

from .database import Database, StoreError
from .old_records import upgraded_record

Migration = Callable[[Connection], None]
PAGE = 500  # records that are read at a time


def _tables(connection: Connection) -> None:
    # Texts compare by their bytes in both databases, whatever the server's language.
    number, text, blob = {
        "sqlite": ("INTEGER PRIMARY KEY AUTOINCREMENT", "TEXT", "BLOB"),
        "postgresql": ("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", 'TEXT COLLATE "C"', "BYTEA"),
    }[connection.dialect.name]
    for statement in (
        (
            f"CREATE TABLE nasoa_runs (number {number}, id {text} NOT NULL UNIQUE, created {text} NOT NULL, "
            f"task {text} NOT NULL, model {text} NOT NULL, device {text} NOT NULL, "
            f"status {text} NOT NULL, record {text} NOT NULL)"
        ),
        "CREATE INDEX nasoa_runs_created ON nasoa_runs (created, number)",
        "CREATE INDEX nasoa_runs_task ON nasoa_runs (task, created, number)",
        f"CREATE TABLE nasoa_profiles (fingerprint {text} PRIMARY KEY, profile {text} NOT NULL)",
        (
            f"CREATE TABLE nasoa_step_times (device {text} NOT NULL, model {text} NOT NULL, "
            "input_size INTEGER NOT NULL, batch_size INTEGER NOT NULL, frozen_stages INTEGER NOT NULL, "
            f"mode {text} NOT NULL, seconds DOUBLE PRECISION NOT NULL, measured_at {text} NOT NULL, "
            "PRIMARY KEY (device, model, input_size, batch_size, frozen_stages, mode))"
        ),
        (
            f"CREATE TABLE nasoa_states (name {text} PRIMARY KEY, version INTEGER NOT NULL, "
            f"data {blob} NOT NULL)"
        ),
    ):
        connection.exec_driver_sql(statement)


def _outcomes(connection: Connection) -> None:
    """Records say as values how their runs ended, not in notes alone; what is no record stays as it is."""
    runs = table("nasoa_runs", column("number"), column("record"))
    last = 0
    while page := connection.execute(
        select(runs.c.number, runs.c.record).where(runs.c.number > last).order_by(runs.c.number).limit(PAGE)
    ).all():
        last = page[-1].number
        for number, text in page:
            try:
                old = parse_json(text)
            except ValueError:  # whoever reads it is told that it was damaged
                continue
            if (new := upgraded_record(old)) is not old:
                values = {"record": json.dumps(new, ensure_ascii=False, separators=(",", ":"))}
                connection.execute(update(runs).where(runs.c.number == number).values(values))


MIGRATIONS: tuple[Migration, ...] = (_tables, _outcomes)


def prepare(database: Database, *, create: bool = True, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring a database to the latest version.

    All in one transaction, by one process, while others that open it wait.

    Parameters
    ----------
    create
        Whether tables are made where there are none.

    Raises
    ------
    StoreError
        The database has no store and may not get one, is another program's file, or of a newer version.
    """
    with database.reading() as connection:
        version = _version(connection, database, len(migrations))
    if version == len(migrations):
        return
    if version == 0 and not create:
        raise StoreError(f"{database.shown}: holds no experience store")
    if version == 0 and database.is_file:
        database.use_write_ahead_log()
    with database.writing() as connection:
        version = _version(connection, database, len(migrations))  # another process may have been first
        for migration in migrations[version:]:
            migration(connection)
        connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS nasoa_schema (version INTEGER NOT NULL)")
        connection.exec_driver_sql("DELETE FROM nasoa_schema")
        connection.exec_driver_sql(f"INSERT INTO nasoa_schema (version) VALUES ({len(migrations)})")


def _version(connection: Connection, database: Database, known: int) -> int:
    """The version of the tables, 0 where there are none."""
    tables = inspect(connection).get_table_names()
    if "nasoa_schema" not in tables:
        if database.is_file and tables:
            raise StoreError(f"{database.shown}: is a database of another program, not an experience store")
        return 0
    version = connection.exec_driver_sql("SELECT version FROM nasoa_schema").scalar_one()
    if version > known:
        raise StoreError(
            f"{database.shown}: is a store of version {version}, "
            f"this nni-nasoa knows versions up to {known}; upgrade nni-nasoa"
        )
    return version
