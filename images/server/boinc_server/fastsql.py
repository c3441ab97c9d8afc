"""A short way from a compiled SQLAlchemy statement to sqlite3, for the statements every RPC runs.

SQLAlchemy spends some 0.1 ms on each execution, ten times what SQLite itself needs. A statement that
is used again and again is compiled once here, and then goes straight to the driver's cursor of the same
connection and transaction. What is unusual (executemany, odd types, errors) takes the ordinary way.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Insert
from sqlalchemy.engine.result import SimpleResultMetaData
from sqlalchemy.engine.row import Row
from sqlalchemy.sql.compiler import SQLCompiler

MAX_PLANS: Final = 2000


class FastResult:
    """The part of a CursorResult that is used here."""

    __slots__ = ("_make", "_rows", "inserted_primary_key", "rowcount")

    def __init__(self, rows: list[tuple[Any, ...]], make: Callable[[tuple[Any, ...]], Row[Any]] | None, cursor: sqlite3.Cursor) -> None:
        self._rows = rows
        self._make = make
        self.rowcount = cursor.rowcount
        self.inserted_primary_key = (cursor.lastrowid,)

    def __iter__(self) -> Iterator[Row[Any]]:
        return map(self._make, self._rows) if self._make else iter(())

    def all(self) -> list[Row[Any]]:
        return list(self)

    def first(self) -> Row[Any] | None:
        return self._make(self._rows[0]) if self._rows and self._make else None


class _Plan:
    """A compiled statement: its text and where its parameters come from."""

    __slots__ = ("defaults", "make", "names", "text")

    def __init__(self, compiled: SQLCompiler, values: Mapping[str, Any]) -> None:
        state = compiled.construct_expanded_state({**_dummies(compiled), **values}) if compiled.post_compile_params else None
        self.text = state.statement if state else str(compiled)
        self.names = list(state.positiontup or ()) if state else list(compiled.positiontup or ())
        self.defaults = _constants(compiled)
        self.make = _row_maker(compiled)


def _dummies(compiled: SQLCompiler) -> dict[str, Any]:
    return dict.fromkeys(compiled.params)


def _constants(compiled: SQLCompiler) -> dict[str, Any]:
    """Values of bound constants, and of column defaults that an INSERT fills in."""
    values = {name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required}
    if compiled.isinsert:
        for column in compiled.insert_prefetch:
            default = column.default
            if default is None or not default.is_scalar:
                raise _UnusualError
            values[column.key] = default.arg  # type: ignore[attr-defined]
    if compiled.isupdate and compiled.update_prefetch:
        raise _UnusualError
    return values


def _row_maker(compiled: SQLCompiler) -> Callable[[tuple[Any, ...]], Row[Any]] | None:
    columns = compiled._result_columns  # noqa: SLF001 - what compiled says of its own result
    if not columns:
        return None
    metadata = SimpleResultMetaData([entry.keyname for entry in columns])
    index = metadata._key_to_index  # noqa: SLF001

    def make(data: tuple[Any, ...]) -> Row[Any]:
        return Row(metadata, None, index, data)

    return make


class _UnusualError(Exception):
    """Not for the short way."""


class FastSql:
    """Executes statements on one sqlite3 connection."""

    _seen: Final[dict[tuple[Any, ...], weakref.ref[Any]]] = {}
    _plans: Final[dict[tuple[Any, ...], _Plan]] = {}
    """Shared by all projects: their statements and dialect are the same."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._dialect = conn.dialect
        raw = conn.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        self._raw = raw

    def execute(self, statement: Any, values: Mapping[str, Any] | None) -> Any:
        """Execute in the connection's transaction; a FastResult, or what SQLAlchemy returns."""
        values = values or {}
        plan = self._plan(statement, values)
        if plan is None:
            return self._conn.execute(statement, values)
        given = self._expand(values)
        defaults = plan.defaults
        try:
            parameters = [given[name] if name in given else defaults[name] for name in plan.names]
            cursor = self._raw.execute(plan.text, parameters)
            rows = cursor.fetchall() if plan.make is not None else []
        except (KeyError, sqlite3.Error):
            # The ordinary way reports what is wrong, in the ordinary words.
            return self._conn.execute(statement, values)
        return FastResult(rows, plan.make, cursor)

    @staticmethod
    def _expand(values: Mapping[str, Any]) -> Mapping[str, Any]:
        """Values of an IN list under the names that its expansion gives them."""
        if not any(isinstance(value, (list, tuple)) for value in values.values()):
            return values
        flat: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, (list, tuple)):
                flat.update({f"{name}_{number}": item for number, item in enumerate(value, 1)})
            else:
                flat[name] = value
        return flat

    def _plan(self, statement: Any, values: Mapping[str, Any]) -> _Plan | None:
        lengths = tuple(len(value) for value in values.values() if isinstance(value, (list, tuple)))
        key = (id(statement), tuple(values) if isinstance(statement, Insert) else lengths)
        plan = self._plans.get(key)
        if plan is not None:
            return plan
        if 0 in lengths or len(self._plans) >= MAX_PLANS:
            return None
        if key not in self._seen:
            # Compiling pays only for what comes again: a module's constant, not a statement made for one use.
            self._seen[key] = weakref.ref(statement, lambda _: self._forget(key))
            return None
        try:
            compiled = statement.compile(dialect=self._dialect, column_keys=list(values) if isinstance(statement, Insert) else None)
            plan = self._plans[key] = _Plan(compiled, values)
        except _UnusualError:
            return None
        return plan

    @classmethod
    def _forget(cls, key: tuple[Any, ...]) -> None:
        """A statement is gone: its id may be another's from now on."""
        cls._seen.pop(key, None)
        cls._plans.pop(key, None)
