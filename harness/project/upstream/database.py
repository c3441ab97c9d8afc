"""An upstream project's database, read from outside with its own password; and the thread that follows its journal."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import pymysql
import pymysql.cursors

from harness.errors import HarnessError
from harness.history import History
from harness.project.upstream import journal
from harness.project.upstream.journal import Change

#: seconds for one statement
TIMEOUT: Final = 20
#: seconds between two looks into the journal
EVERY: Final = 0.05
#: the connection may break this often in a row before everybody is told
FAILURES: Final = 20
BATCH: Final = 500

Row = dict[str, object]


class DatabaseGone(HarnessError):
    """The upstream server's database does not answer."""

    exit_code = 69


class Database:
    """Statements on a project's schema. Thread-safe: one connection for each thread that asks."""

    def __init__(self, host: str, port: int, password: str, schema: str) -> None:
        self.schema = schema
        self._where: dict[str, Any] = {"host": host, "port": port, "password": password}
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"<Database {self.schema} on {self._where['host']}>"

    def _connection(self) -> pymysql.connections.Connection[Any]:
        found: pymysql.connections.Connection[Any] | None = getattr(self._local, "connection", None)
        if found is None:
            found = pymysql.connect(
                **self._where,
                user="root",
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=5,
                read_timeout=TIMEOUT,
                write_timeout=TIMEOUT,
                cursorclass=pymysql.cursors.DictCursor,
            )
            found.select_db(self.schema)
            self._local.connection = found
        return found

    def rows(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """What a statement selects, as dicts of plain numbers and texts. Raises `DatabaseGone`."""
        try:
            with self._connection().cursor() as cursor:
                cursor.execute(statement, tuple(values))
                return [{name: _plain(value) for name, value in row.items()} for row in cursor.fetchall()]
        except (pymysql.err.Error, OSError) as error:
            self.close()
            raise DatabaseGone(
                "the project's database refused a statement",
                thing=f"{self!r}: {statement[:200]}",
                expected=f"rows; it said: {error}",
                remedy="look at the log of the mysql container in the evidence",
            ) from error

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        self.rows(statement, values)

    def close(self) -> None:
        """Close this thread's connection."""
        found = getattr(self._local, "connection", None)
        self._local.connection = None
        if found is not None and found.open:
            try:
                found.close()
            except (pymysql.err.Error, OSError):
                return  # it was broken already


def _plain(value: object) -> object:
    """A column's value as the embedded server's JSON gives it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


class JournalFollower(threading.Thread):
    """Takes what the triggers wrote and hands it on, oldest first; every row once."""

    def __init__(self, database: Database, history: History, project: str) -> None:
        super().__init__(name=f"journal of {project}", daemon=True)
        self._database = database
        self._history = history
        self._project = project
        self._halt = threading.Event()
        self._apps: dict[int, str] = {}

    def stop(self) -> None:
        """No more events are wanted; returns when the thread has let go of the database."""
        self._halt.set()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(TIMEOUT)

    def run(self) -> None:
        failures = 0
        while not self._halt.is_set():
            try:
                taken = self.take()
                failures = 0
            except DatabaseGone as error:
                failures += 1
                if failures > FAILURES:
                    if not self._halt.is_set():
                        self._history.break_off(error)
                    return
                taken = 0
            if not taken:
                self._halt.wait(EVERY if not failures else 0.25)
        self._database.close()

    def take(self) -> int:
        """Record what is in the journal now; how many rows that were.

        Rows are removed when they have been read instead of remembering the last number: a number is given when a transaction
        writes, but seen when it commits, so that a smaller one may turn up after a larger one.
        """
        rows = self._database.rows(f"SELECT seq, at, tab, old, new FROM {journal.JOURNAL} ORDER BY seq LIMIT {BATCH}")
        if not rows:
            return 0
        marks = ", ".join(["%s"] * len(rows))
        self._database.execute(f"DELETE FROM {journal.JOURNAL} WHERE seq IN ({marks})", [row["seq"] for row in rows])
        for row in rows:
            self._record(row)
        return len(rows)

    def _record(self, row: Row) -> None:
        at, table = row["at"], str(row["tab"])
        assert isinstance(at, int | float)
        change = Change(float(at), table, json.loads(str(row["old"])) if row["old"] else {}, json.loads(str(row["new"])))
        if table == "workunit" and not change.old and change.number("appid") not in self._apps:
            self._apps = {int(str(app["id"])): str(app["name"]) for app in self._database.rows("SELECT id, name FROM app")}
        for kind, fields in journal.translate(change, self._apps):
            self._history.add(kind, "server", real=change.at, project=self._project, **fields)  # type: ignore[arg-type]  # no times


def install_journal(database: Database, say: Callable[[str], object] | None = None) -> None:
    """Make the journal and its triggers."""
    for statement in journal.ddl(database.schema):
        if say is not None:
            say(statement)
        database.execute(statement)
