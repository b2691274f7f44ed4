"""Finished tasks become rows together: all that a success says, or none of it."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from harness import Project

from mmetl.cache.commits import Commit, Committer
from mmetl.cache.fingerprints import FileCache
from mmetl.cache.store import Store
from mmetl.cache.tree_cache import TreeCache

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


def test_an_interrupt_while_rows_are_written_loses_none(tmp_path: Path) -> None:
    """They are written with the rest."""
    store = Store(tmp_path)
    store.check()
    files = FileCache(str(tmp_path), {})
    interrupted = threading.Event()

    def beat(*_: object) -> None:
        if threading.current_thread() is threading.main_thread() and not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt

    committer = Committer(store, files, TreeCache(store, files), beat)
    submitted = set()
    for n in range(5000):
        name = f"t{n}"
        submitted.add(name)
        try:
            committer.submit(Commit("p", name, ("run", "p", name, "ran", "[]", 0, 0, 0.0, "", "{}")))
        except KeyboardInterrupt:
            break
        time.sleep(0.001)
    committer.close()
    assert interrupted.is_set()
    assert {task for (task,) in store.rows("select task from task_runs")} == submitted
