"""Finished tasks become rows together: all that a success says, or none of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from harness import Project

ROWS = "  t: {transform: tabular.read, key: id, params: {path: d.db, table: t, watermark: {column: id}}}\n"
FILES = "  t: {transform: document.files, params: {path: 'in/*'}}\n"
SUCCESS = ("tasks", "builds", "manifests", "watermarks", "task_runs")
TABLES = {**dict.fromkeys(SUCCESS, ROWS), "pages": FILES, "folders": FILES}


@pytest.mark.parametrize(("table", "task"), TABLES.items(), ids=TABLES)
def test_a_success_is_one_transaction(empty: Project, table: str, task: str) -> None:
    """Where one of its rows cannot be written, none is, and the next run does it all: what a kill between two would leave."""
    with closing(sqlite3.connect(empty.root / "d.db", isolation_level=None)) as db:
        db.execute("create table t (id integer primary key)")
        db.execute("insert into t values (1), (2)")
    empty.write("in/a.txt", "a")
    empty.tasks(task)
    empty.dry()
    with closing(sqlite3.connect(empty.root / ".mmetl/state.db", isolation_level=None)) as db:
        db.execute(f"create trigger no before insert on {table} begin select raise(abort, 'no'); end")
        assert empty.fast("run").code == 4
        assert [t for t in SUCCESS if db.execute(f"select 1 from {t}").fetchall()] == []
        db.execute("drop trigger no")
        assert empty.run() == {"t": "ran"}
        assert db.execute(f"select 1 from {table}").fetchall()
    assert empty.run() == {"t": "fresh"}
