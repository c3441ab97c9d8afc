"""One project's database: one connection, one writer, transactions that carry events with them.

Everything runs on the server's event loop without awaiting inside a transaction, so two of them
never overlap, and "in one transaction" also means "nobody sees it half done".
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, CursorResult, Engine, Table, Update, bindparam, create_engine, event, update
from sqlalchemy.engine import URL, Dialect, Row, make_url
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql import Executable

from boinc_server import models
from boinc_server.fastsql import FastSql

if TYPE_CHECKING:
    from boinc_server.project import Project

AnyRow = Row[Any]

IDLE_SECONDS: Final = 60.0

# Statements are module-level constants. All SQLite projects share one dialect object, hence one cache:
# each statement is compiled once for the whole server.
_COMPILED: dict[Any, Any] = {}


@cache
def _empty_sqlite() -> bytes:
    """A database file with all tables and no rows; copying it is much quicker than CREATE TABLE."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    models.metadata.create_all(engine)
    raw = engine.raw_connection()
    connection = raw.driver_connection
    assert isinstance(connection, sqlite3.Connection)
    connection.commit()
    image = connection.serialize()
    raw.close()
    engine.dispose()
    return image


@cache
def _sqlite_dialect() -> Dialect:
    engine = create_engine("sqlite://")
    with engine.connect():
        dialect = engine.dialect
    engine.dispose()
    return dialect


def _sqlite_engine(url: URL, file: str) -> Engine:
    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver must not begin or commit by itself, or savepoints break.
        connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=10)
        # WAL + NORMAL: a commit survives a kill of the process (though not a power cut).
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-4000", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = Engine(StaticPool(connect), _sqlite_dialect(), url)  # type: ignore[arg-type]  # sqlite3.Connection is one
    event.listen(engine, "begin", lambda conn: conn.exec_driver_sql("BEGIN"))
    return engine


@lru_cache(maxsize=512)
def _update_by_id(table: Table, columns: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {column: bindparam(column) for column in columns}
    return update(table).where(table.c.id == bindparam("_id")).values(values)


class Transaction:
    """An open transaction of a project.

    Events given to `emit` appear in the log when it commits, and not at all when it fails. Workunits given
    to `due` are looked at by the daemons right after the commit.
    """

    def __init__(self, project: Project, conn: Connection) -> None:
        self.project = project
        self.conn = conn
        self.now = project.clock.int_now()
        """Virtual unix seconds, the same for the whole transaction."""
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.due_workunits: dict[int, None] = {}
        self.hooks: list[Callable[[], None]] = []

    def execute(self, statement: Executable, values: Mapping[str, Any] | list[dict[str, Any]] | None = None) -> CursorResult[Any]:
        fast = self.project.db.fast
        if fast is None or isinstance(values, list):
            return self.conn.execute(statement, values)
        result: CursorResult[Any] = fast.execute(statement, values)
        return result

    def one(self, statement: Executable, **values: Any) -> AnyRow | None:
        """The first row, or None."""
        return self.execute(statement, values).first()

    def all(self, statement: Executable, **values: Any) -> list[AnyRow]:
        return list(self.execute(statement, values).all())

    def insert(self, statement: Executable, **values: Any) -> int:
        """Insert one row and return its id."""
        key = self.execute(statement, values).inserted_primary_key
        assert key is not None
        return int(key[0])

    def update(self, table: Table, row_id: int, **values: Any) -> int:
        """Set columns of the row with that id; returns how many rows there were."""
        statement = _update_by_id(table, tuple(values))
        return int(self.execute(statement, values | {"_id": row_id}).rowcount)

    def emit(self, kind: str, **fields: Any) -> None:
        self.events.append((kind, fields))

    def due(self, workunit_id: int) -> None:
        """Something about this workunit changed: run transitioner, validator, ... after the commit."""
        self.due_workunits[workunit_id] = None

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is done inside, its events included, is undone when it raises."""
        events, hooks = len(self.events), len(self.hooks)
        try:
            with self.project.db.savepoint():
                yield
        except BaseException:
            del self.events[events:]
            del self.hooks[hooks:]
            self.project.feeder.reset()
            raise

    def after_commit(self, hook: Callable[[], None]) -> None:
        self.hooks.append(hook)


class Database:
    """The connection of one project.

    Args:
        url: an SQLAlchemy URL. For SQLite a file (made when missing) or ``sqlite://`` for memory.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        parsed = make_url(url)
        self._used = time.monotonic()
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.engine = self._open_sqlite(parsed) if self.is_sqlite else self._open_server(parsed)
        self.conn = self.engine.connect()
        if self.is_sqlite:
            self.conn = self.conn.execution_options(compiled_cache=_COMPILED)
        self.fast = FastSql(self.conn) if self.is_sqlite else None
        raw = self.conn.connection.driver_connection
        self._raw = raw if isinstance(raw, sqlite3.Connection) else None

    @staticmethod
    def _open_server(url: URL) -> Engine:
        engine = create_engine(url, pool_pre_ping=True)
        models.metadata.create_all(engine)
        return engine

    @staticmethod
    def _open_sqlite(url: URL) -> Engine:
        file = url.database or ":memory:"
        if file != ":memory:" and not Path(file).exists():
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).write_bytes(_empty_sqlite())
        engine = _sqlite_engine(url, file)
        if file == ":memory:":
            models.metadata.create_all(engine)
        return engine

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        if self._raw is None:
            # A database server ends connections that were idle for long; the pool tests before it gives one out.
            idle, self._used = time.monotonic() - self._used, time.monotonic()
            if idle > IDLE_SECONDS:
                self.conn.close()
                self.conn = self.engine.connect()
        with self.conn.begin():
            yield self.conn

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A savepoint in the open transaction, undone on an exception."""
        if self._raw is None:
            with self.conn.begin_nested():
                yield
            return
        # Straight to the driver: SQLAlchemy's way costs more than a whole small transaction.
        self._raw.execute("SAVEPOINT inner")
        try:
            yield
        except BaseException:
            self._raw.execute("ROLLBACK TO inner")
            self._raw.execute("RELEASE inner")
            raise
        self._raw.execute("RELEASE inner")

    def close(self) -> None:
        self.conn.close()
        self.engine.dispose()
