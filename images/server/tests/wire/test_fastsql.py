"""The short way to SQLite gives what SQLAlchemy gives."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from boinc_server import models
from boinc_server.fastsql import FastResult, FastSql
from boinc_server.project import Project
from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

_m = models.platform.c
ALL = select(models.platform).order_by(_m.id)
ONE = select(_m.id, _m.name.label("title")).where(_m.name == bindparam("name"), _m.deprecated == 0)
IN = select(_m.name).where(_m.name.in_(bindparam("names", expanding=True)), _m.id > bindparam("least")).order_by(_m.name)
COUNT = select(func.count().label("n")).select_from(models.platform)
INSERT = insert(models.platform)
UPDATE = update(models.platform).where(_m.id == bindparam("b_id")).values(user_friendly_name=bindparam("text"), deprecated=0)
DELETE = delete(models.platform).where(_m.name == bindparam("name"))

CASES: list[tuple[Any, dict[str, Any]]] = [
    (ALL, {}),
    (ONE, {"name": "x86_64-pc-linux-gnu"}),
    (ONE, {"name": "nothing"}),
    (IN, {"names": ["x86_64-pc-linux-gnu", "windows_x86_64", "' OR 1=1"], "least": 0}),
    (IN, {"names": ["x86_64-pc-linux-gnu"], "least": 0}),
    (IN, {"names": [], "least": 0}),
    (COUNT, {}),
]


@pytest.mark.parametrize(("statement", "values"), CASES)
def test_same_rows_as_the_ordinary_way(project: Project, statement: Any, values: dict[str, Any]) -> None:
    with project.transaction() as tx:
        expected = tx.conn.execute(statement, values).all()
        for _ in range(3):
            got = tx.execute(statement, values).all()
            assert got == expected
            assert [row._mapping for row in got] == [row._mapping for row in expected]
    if expected:
        assert got[0]._fields == expected[0]._fields


def test_the_second_time_is_the_short_way(project: Project) -> None:
    with project.transaction() as tx:
        tx.execute(ONE, {"name": "x"})
        assert isinstance(tx.execute(ONE, {"name": "x"}), FastResult)


def test_inserts_fill_in_defaults_and_return_the_id(project: Project) -> None:
    with project.transaction() as tx:
        ids = [tx.insert(INSERT, name=f"p{number}") for number in range(4)]
        rows = [row for row in tx.all(ALL) if row.name.startswith("p") and row.name[1:].isdigit()]
    assert [row.id for row in rows] == ids
    assert {(row.user_friendly_name, row.deprecated) for row in rows} == {("", 0)}


def test_updates_and_deletes_count_rows(project: Project) -> None:
    with project.transaction() as tx:
        tx.insert(INSERT, name="mine")
        row = tx.one(ONE, name="mine")
        assert row is not None
        for text in ("a", "b", "c"):
            assert tx.execute(UPDATE, {"b_id": row.id, "text": text}).rowcount == 1
        assert tx.execute(UPDATE, {"b_id": 99999, "text": "x"}).rowcount == 0
        assert [tx.execute(DELETE, {"name": "mine"}).rowcount for _ in range(3)] == [1, 0, 0]


def test_errors_are_the_ordinary_ones_and_roll_back(project: Project) -> None:
    def insert_twice() -> None:
        with project.transaction() as tx:
            tx.insert(INSERT, name="twice")
            tx.insert(INSERT, name="twice")

    for _ in range(3):
        with pytest.raises(IntegrityError):
            insert_twice()
    with project.transaction() as tx:
        assert tx.one(ONE, name="twice") is None


def test_statements_made_for_one_use_leave_nothing_behind(project: Project) -> None:
    with project.transaction() as tx:
        before = len(FastSql._seen)
        for number in range(300):
            tx.one(select(_m.id).where(_m.id == number))
        gc.collect()
        assert len(FastSql._seen) <= before + 1
