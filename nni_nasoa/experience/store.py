"""The experience store: every run of fine-tuning, and what the advisor has learned from them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, fields
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    TableClause,
    UpdateBase,
    and_,
    column,
    func,
    or_,
    select,
    table,
    update,
)

from nni_nasoa.files import default_store, parse_json, replacing
from nni_nasoa.values import WRONG, Rule, one_of, or_none, reason, utc, whole

from .database import WAIT_SECONDS, Database, StoreError
from .migrations import MIGRATIONS, Migration, prepare
from .records import STATUSES, RunRecord, StepTime

PAGE = 500  # records that are read or written at a time
MAX_LINE = 8 * 2**20  # bytes; no record is longer

_STEP = tuple(field.name for field in fields(StepTime))
_RUNS = table(
    "nasoa_runs", *map(column, ("number", "id", "created", "task", "model", "device", "status", "record"))
)
_PROFILES = table("nasoa_profiles", column("fingerprint"), column("profile"))
_STEP_TIMES = table("nasoa_step_times", *map(column, _STEP))
_STATES = table("nasoa_states", column("name"), column("version"), column("data"))


class State(NamedTuple):
    """Something learned, and how often it was replaced."""

    data: bytes
    version: int


class _OutdatedError(Exception):
    """Another process was faster."""


class ExperienceStore:
    """Runs of fine-tuning, shared by all processes that open the same database.

    What was added is there: it survives a process that is killed at any moment. In a `with` statement it is
    closed at the end.

    Parameters
    ----------
    url
        Path of an SQLite file, or a URL that begins with sqlite:/// or postgresql://. By default what the
        environment variable NASOA_STORE says, or the user's own file; see `files.default_store`.
    create
        Whether the store is made where it is not there.
    wait_seconds
        Patience with another process that writes.
    migrations
        What makes the tables; for tests.

    Raises
    ------
    StoreError
        It cannot be opened; also from every method, where the database fails.
    """

    def __init__(
        self,
        url: str | os.PathLike | None = None,
        *,
        create: bool = True,
        wait_seconds: float = WAIT_SECONDS,
        migrations: Sequence[Migration] = MIGRATIONS,
    ):
        self._database = Database(default_store() if url is None else url, create, wait_seconds=wait_seconds)
        prepare(self._database, create=create, migrations=migrations)

    def __repr__(self) -> str:
        return f"ExperienceStore({self.location!r})"

    def close(self) -> None:
        """Let go of the connections to the database; where the store is used once more, it makes new ones."""
        self._database.close()

    def __enter__(self) -> ExperienceStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def location(self) -> str:
        """The file or URL, without a password."""
        return self._database.shown

    # -- runs --

    def add(self, record: RunRecord) -> bool:
        """Add a record; whether it is new. One with the same id that is there stays as it is."""
        return self.add_all([record]) == 1

    def add_all(self, records: Iterable[RunRecord]) -> int:
        """Add records, all or, where anything fails, none; how many of them are new."""
        records = list(records)
        with self._database.writing() as connection:
            return self._insert_all(connection, records)

    def _insert_all(self, connection: Connection, records: Sequence[RunRecord]) -> int:
        """How many of them are new."""
        insert = self._database.insert(_RUNS).on_conflict_do_nothing(index_elements=["id"])
        options, added = {"preserve_rowcount": True}, 0
        for start in range(0, len(records), PAGE):
            rows = [_row(record) for record in records[start : start + PAGE]]
            added += connection.execute(insert, rows, execution_options=options).rowcount
        return added

    def records(
        self,
        task: str | None = None,
        model: str | None = None,
        device: str | None = None,
        status: str | None = None,
        since: str | datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[RunRecord]:
        """Records in order of creation.

        Parameters
        ----------
        task, model, device, status
            Only records with this value.
        since
            Only those created at this time or later: a datetime with its zone or an ISO 8601 text, such as
            2026-01-31.
        limit
            Only the newest so many of them.

        Raises
        ------
        StoreError
            No such status, a time that is none, a negative limit.
        """
        return self._records(
            _conditions(task, model, device, status, since), or_none(whole(0))("limit", limit, StoreError)
        )

    def _records(self, conditions: list[ColumnElement[bool]], limit: int | None) -> Iterator[RunRecord]:
        key = (_RUNS.c.created, _RUNS.c.number)
        if limit == 0:
            return
        if limit is not None:
            newest = (
                select(*key)
                .where(*conditions)
                .order_by(*(part.desc() for part in key))
                .offset(limit - 1)
                .limit(1)
            )
            with self._database.reading() as connection:
                first = connection.execute(newest).first()
            if first is not None:
                conditions = [
                    *conditions,
                    or_(key[0] > first[0], and_(key[0] == first[0], key[1] >= first[1])),
                ]
        after: list[ColumnElement[bool]] = []
        while True:  # page by page, so that nobody waits for a reader that takes its time
            query = (
                select(*key, _RUNS.c.id, _RUNS.c.record).where(*conditions, *after).order_by(*key).limit(PAGE)
            )
            with self._database.reading() as connection:
                page = connection.execute(query).all()
            for _, _, id_, text in page:
                try:
                    yield RunRecord.from_json(parse_json(text))
                except ValueError as error:
                    raise StoreError(f"{self.location}: the record {id_} was damaged ({error})") from None
            if len(page) < PAGE:
                return
            after = [or_(key[0] > page[-1][0], and_(key[0] == page[-1][0], key[1] > page[-1][1]))]

    def count(
        self,
        task: str | None = None,
        model: str | None = None,
        device: str | None = None,
        status: str | None = None,
        since: str | datetime | None = None,
    ) -> int:
        """How many records there are; the parameters as `records` takes them."""
        with self._database.reading() as connection:
            query = (
                select(func.count())
                .select_from(_RUNS)
                .where(*_conditions(task, model, device, status, since))
            )
            return connection.execute(query).scalar_one()

    def known(self, ids: Iterable[str]) -> set[str]:
        """Which of some ids are those of records."""
        found: set[str] = set()
        left = iter(ids)
        with self._database.reading() as connection:
            while page := list(islice(left, PAGE)):
                found.update(connection.execute(select(_RUNS.c.id).where(_RUNS.c.id.in_(page))).scalars())
        return found

    def export(self, path: str | os.PathLike[str], **filters: Any) -> int:
        """Write records to a file of JSON lines, which is replaced in one step; how many they are.

        Parameters
        ----------
        filters
            As `records` takes them.
        """
        path, count = Path(path), 0
        records = self.records(**filters)
        try:
            with replacing(path, durable=True) as draft, draft.open("w", encoding="utf-8") as file:
                for record in records:
                    count += 1
                    file.write(_text(record.to_json()) + "\n")
        except OSError as error:
            raise StoreError(
                f"{path}: cannot be written ({reason(error)}); give a file in a folder that may be written to"
            ) from None
        return count

    # -- profiles of datasets --

    def profile(self, fingerprint: str) -> dict[str, Any] | None:
        """The profile of the dataset with this fingerprint, None where it is not known."""
        with self._database.reading() as connection:
            text = connection.execute(
                select(_PROFILES.c.profile).where(_PROFILES.c.fingerprint == fingerprint)
            ).scalar()
        try:
            return None if text is None else parse_json(text)
        except ValueError as error:
            raise StoreError(f"{self.location}: the profile {fingerprint} was damaged ({error})") from None

    def set_profile(self, fingerprint: str, profile: Mapping[str, Any]) -> None:
        """Keep the profile of a dataset, JSON values by name, in place of an earlier one."""
        self._put(_PROFILES, ["fingerprint"], [{"fingerprint": fingerprint, "profile": _text(dict(profile))}])

    # -- step times of devices --

    def step_times(self, device: str | None = None, model: str | None = None) -> list[StepTime]:
        """What was measured, of one device or model or of all."""
        conditions = [
            _STEP_TIMES.c[name] == value
            for name, value in (("device", device), ("model", model))
            if value is not None
        ]
        with self._database.reading() as connection:
            rows = connection.execute(
                select(_STEP_TIMES).where(*conditions).order_by(*(_STEP_TIMES.c[name] for name in _STEP))
            )
            return [StepTime(*row) for row in rows]

    def set_step_times(self, step_times: Iterable[StepTime]) -> None:
        """Keep step times, all or none, each in place of an earlier one of the same step."""
        rows = [dict(zip(_STEP, astuple(step_time))) for step_time in step_times]
        if rows:
            self._put(_STEP_TIMES, list(_STEP[:-2]), rows)

    # -- states of what learns --

    def state(self, name: str) -> State | None:
        """What was kept under a name last, None where nothing was."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(_STATES.c.data, _STATES.c.version).where(_STATES.c.name == name)
            ).first()
        return None if row is None else State(bytes(row[0]), row[1])

    def commit(self, records: Sequence[RunRecord], states: Mapping[str, State]) -> bool:
        """Add records and replace states, all in one step, if nobody was faster.

        What states become is worked out before, from what was read, so that nobody is held up meanwhile.

        Parameters
        ----------
        records
            That are not there yet, each once.
        states
            By name, what to keep in place of the state of this version; 0 where there is none.

        Returns
        -------
        False, and no change, where one of the records is there by now, or a state is of another version.
        """
        try:
            with self._database.writing() as connection:
                if self._insert_all(connection, records) < len(records):
                    raise _OutdatedError
                for name, state in states.items():
                    self._replace(connection, name, state)
        except _OutdatedError:
            return False
        return True

    def _replace(self, connection: Connection, name: str, state: State) -> None:
        if state.version == 0:
            insert = self._database.insert(_STATES).values(name=name, version=1, data=state.data)
            change: UpdateBase = insert.on_conflict_do_nothing(index_elements=["name"])
        else:
            known = (_STATES.c.name == name, _STATES.c.version == state.version)
            change = update(_STATES).where(*known).values(data=state.data, version=state.version + 1)
        if connection.execute(change, execution_options={"preserve_rowcount": True}).rowcount != 1:
            raise _OutdatedError

    def _put(self, table_: TableClause, key: list[str], rows: list[dict[str, Any]]) -> None:
        insert = self._database.insert(table_)
        rest = {name: insert.excluded[name] for name in rows[0] if name not in key}
        with self._database.writing() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=key, set_=rest), rows)


def _text(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _row(record: RunRecord) -> dict[str, str]:
    data = record.to_json()
    return {name: data[name] for name in ("id", "created", "task", "model", "device", "status")} | {
        "record": _text(data)
    }


_SINCE = Rule(
    "a date such as 2026-01-31 or a time with its zone such as 2026-01-31T12:00:00Z",
    lambda _, value: utc(value) or WRONG,
)


def _conditions(
    task: str | None, model: str | None, device: str | None, status: str | None, since: str | datetime | None
) -> list[ColumnElement[bool]]:
    status = or_none(one_of(STATUSES))("status", status, StoreError)
    start = or_none(_SINCE)("since", since, StoreError)
    equal = {"task": task, "model": model, "device": device, "status": status}
    conditions = [_RUNS.c[name] == value for name, value in equal.items() if value is not None]
    return conditions if start is None else [*conditions, _RUNS.c.created >= start]


def read_records(path: str | os.PathLike[str]) -> list[RunRecord]:
    """The records of a file of JSON lines, as `ExperienceStore.export` writes it.

    Empty lines are passed over.

    Raises
    ------
    StoreError
        The file cannot be read, or a line is not a record.
    """
    try:
        with open(path, "rb") as file:
            if not file.seekable():
                raise StoreError(f"{path}: is a pipe or a device; give a file")
            return list(_read_lines(file, path))
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({reason(error)})") from None


def _read_lines(file: BinaryIO, path: str | os.PathLike[str]) -> Iterator[RunRecord]:
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            raise StoreError(f"{path}, line {number}: longer than {MAX_LINE} bytes; no record is")
        if not line.strip():
            continue
        try:
            yield RunRecord.from_json(parse_json(line))
        except ValueError as error:
            raise StoreError(f"{path}, line {number}: {error}") from None
