"""The database behind the experience store: a file of SQLite, or a server of PostgreSQL.

One writer at a time in both.

Whatever goes wrong is a StoreError of one line, in which no password stands.
"""

from __future__ import annotations

import os
import re
import sqlite3
import time
import weakref
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy
from sqlalchemy import Connection, Engine, TableClause, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from nni_nasoa.device.signals import signals_deferred
from nni_nasoa.files import data_folder, own_file, own_folder
from nni_nasoa.values import reason, shown

from .location import PASSWORD_BY

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

WAIT_SECONDS = 30  # patience with another process that writes
CONNECT_SECONDS = 10  # patience with a server that does not answer
WRITERS = zlib.crc32(b"nni_nasoa experience store")  # the advisory lock of PostgreSQL that a writer holds
_POSTGRESQL = ("postgres", "postgresql", "postgresql+psycopg")
_RIGHT = f"give the path of a file, or postgresql://USER@SERVER/DATABASE; for its password {PASSWORD_BY}"
_BUSY = "another process has been writing to it for {wait_seconds:g} s; try again"
_REASONS = {  # what the databases say, in a user's words
    "file is not a database": (
        "is not an SQLite database; give the file of an experience store, or one that is not there yet"
    ),
    "database is locked": _BUSY,
    "no password supplied": f"asks for a password: {PASSWORD_BY}",
    "canceling statement due to lock timeout": _BUSY,
    "unable to open database file": "cannot be opened; give a file in a folder that may be written to",
    "attempt to write a readonly database": "may only be read; give a file that may be written to",
    "database disk image is malformed": (
        "is damaged; put a copy in its place, or import an export into a new store"
    ),
}


class StoreError(ValueError):
    """A store that cannot be opened, read or written, or a file that cannot be imported.

    The message is one line.
    """


class Database:
    """Connections to a database, and transactions.

    Its connections are closed by `close`, or with the last reference to it.

    Parameters
    ----------
    location
        Path of a file, or a URL that begins with sqlite:/// or postgresql://.
    create
        Whether a file that is not there is made.
    wait_seconds
        Patience with another process that writes.

    Raises
    ------
    StoreError
        It is neither of these, the file is not there, its folder cannot be made, or
        PostgreSQL's client is not installed.
    """

    def __init__(
        self, location: str | os.PathLike, create: bool = True, *, wait_seconds: float = WAIT_SECONDS
    ):
        self.wait_seconds = wait_seconds
        self._url, self.shown = _resolve(os.fspath(location))
        self.is_file = self._url.get_backend_name() == "sqlite"
        if self.is_file:
            self._check_file(Path(self._file), create)
        secrets = (self._url.password, *_passwords(self._url), os.environ.get("PGPASSWORD"))
        self._secrets = [value for value in secrets if value]
        self._engine = self._new_engine()
        self._own_connections()

    def close(self) -> None:
        """Let go of all connections; where it is used once more, it makes new ones."""
        if os.getpid() == self._pid:
            self._engine.dispose()

    def _own_connections(self) -> None:
        """Connections are this process's, and end with this object, whether or not anybody closes it."""
        self._pid = os.getpid()
        self._closing = weakref.finalize(self, _dispose, self._engine, self._pid)

    @property
    def _file(self) -> str:
        """Path of a database of SQLite; `_resolve` lets no URL of one pass without it."""
        return str(self._url.database)

    def _check_file(self, path: Path, create: bool) -> None:
        try:
            if path.is_dir():
                raise StoreError(
                    f"{self.shown}: is a folder; give the file of an experience store, "
                    f"such as {path / 'experience.db'}"
                )
            if not create and not path.exists():
                raise StoreError(f"{self.shown}: there is no such experience store")
            if not path.parent.is_dir() or path.parent == data_folder():
                own_folder(path.parent)
            with suppress(FileExistsError):  # SQLite would let everybody read what it makes
                os.close(own_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        except OSError as error:
            raise StoreError(
                f"{self.shown}: cannot be opened ({reason(error)}); "
                "give a file in a folder that may be written to"
            ) from None

    def _new_engine(self) -> Engine:
        if self.is_file:
            # No pool: a connection of SQLite must not be carried over a fork.
            engine = sqlalchemy.create_engine(
                self._url,
                poolclass=NullPool,
                hide_parameters=True,
                connect_args={"timeout": self.wait_seconds},
            )
            event.listen(engine, "connect", _leave_transactions_to_us)
            event.listen(engine, "begin", _begin)
            return engine
        timeout = {} if "connect_timeout" in self._url.query else {"connect_timeout": CONNECT_SECONDS}
        try:
            # No limit to connections: the pool counts those as in use whose opening was interrupted.
            return sqlalchemy.create_engine(
                self._url,
                pool_size=1,  # is kept between two transactions: a server has a hundred for everybody
                max_overflow=-1,
                pool_pre_ping=True,
                connect_args=timeout,
                hide_parameters=True,
            )
        except ImportError:
            raise StoreError(f"{self.shown}: needs psycopg; pip install 'nni-nasoa[postgresql]'") from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in a transaction that reads."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction that is the only one that writes.

        It is committed at the end, or undone by an exception.
        """
        with self._transaction(writes=True) as connection:
            if not self.is_file:
                milliseconds = max(1, round(1000 * self.wait_seconds))
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")
            yield connection

    @contextmanager
    def _transaction(self, writes: bool) -> Iterator[Connection]:
        """A connection in a transaction.

        Signals wait while it ends, but not while it waits for a lock or a server.

        Where Ctrl-C comes as SQLAlchemy ends a transaction or closes a connection, it logs a traceback, or an
        assertion of its own takes the place of the KeyboardInterrupt.
        """
        with self._clear_errors():
            connection = self._connect()
            try:
                transaction = connection.execution_options(nasoa_writes=writes).begin()
                yield connection
                with signals_deferred():
                    transaction.commit()
            finally:
                with signals_deferred():
                    connection.close()  # what was not committed is undone

    def use_write_ahead_log(self) -> None:
        """Let readers and a writer of a file not wait for each other; kept in the file."""
        deadline = time.monotonic() + self.wait_seconds
        with self._clear_errors():
            while True:
                try:
                    with closing(sqlite3.connect(self._file, timeout=self.wait_seconds)) as connection:
                        connection.execute("PRAGMA journal_mode = WAL")
                    return
                except sqlite3.OperationalError as error:
                    # SQLite does not wait by itself where two processes do this at once.
                    if not re.search("locked|busy", str(error)) or time.monotonic() > deadline:
                        raise
                time.sleep(0.01)

    def insert(self, table: TableClause) -> postgresql.Insert | sqlite.Insert:
        """An INSERT of the dialect, which has ON CONFLICT."""
        return import_module(f"sqlalchemy.dialects.{self._engine.dialect.name}").insert(table)

    def _connect(self) -> Connection:
        if os.getpid() != self._pid:  # the pool's connections belong to the process that we were forked from
            self._engine.dispose(close=False)
            self._closing.detach()
            self._own_connections()
        return self._engine.connect()

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            said = error if error.orig is None else error.orig
            # psycopg complains of a query that was interrupted.
            if isinstance(said.__context__, KeyboardInterrupt):
                raise said.__context__ from None
            raise StoreError(f"{self.shown}: {self._reason(said)}") from None
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StoreError(f"{self.shown}: {self._reason(error)}") from None

    def _reason(self, error: BaseException) -> str:
        text = " ".join(str(error).split())
        for secret in self._secrets:
            text = text.replace(secret, "***")
        for said, words in _REASONS.items():
            if said in text:
                return words.format(wait_seconds=self.wait_seconds)
        return text[:300]


def _dispose(engine: Engine, pid: int) -> None:
    if os.getpid() == pid:  # a process that was forked from it has its sockets, too
        engine.dispose()


def _leave_transactions_to_us(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # else the sqlite3 module begins transactions late, and none for DDL


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(
        "BEGIN IMMEDIATE" if connection.get_execution_options().get("nasoa_writes") else "BEGIN"
    )


def _resolve(location: str) -> tuple[URL, str]:
    """The URL, and how it is shown."""
    if "://" not in location:
        if re.match(r"(?i)(postgres|sqlite)[\w+]*:", location):
            raise StoreError(
                f"store: '{location.partition(':')[0]}:' begins a URL, but no // follows; {_RIGHT}"
            )
        if not location.strip() or "\0" in location or location == ":memory:":
            raise StoreError(f"store: {shown(location)} is not a file; {_RIGHT}")
        path = str(Path(location).expanduser())
        return URL.create("sqlite", database=path), path
    scheme, _, rest = location.partition("://")
    # The password ends at the last @.
    public = f"{scheme}://{'***@' if '@' in rest else ''}{rest.rpartition('@')[2]}"
    public = re.sub(r"(?i)(pass\w*=)[^&]*", r"\1***", public)
    if rest.partition("?")[0].count("@") > 1:
        raise StoreError(f"{public}: write an @ in a password or name as %40")
    try:
        url = make_url(location)
    except (ArgumentError, ValueError):
        raise StoreError(f"{public}: is not a URL of a database; {_RIGHT}") from None
    if (
        url.drivername == "sqlite"
        and url.database
        and url.database != ":memory:"
        and not url.host
        and not url.query
    ):
        return url, str(url.database)
    if url.drivername in _POSTGRESQL:
        return url.set(drivername="postgresql+psycopg"), public
    raise StoreError(f"{public}: is neither a file nor PostgreSQL; {_RIGHT}")


def _passwords(url: URL) -> list[str]:
    values = (value for key, value in url.query.items() if "pass" in key.lower())
    return [part for value in values for part in ([value] if isinstance(value, str) else value)]
