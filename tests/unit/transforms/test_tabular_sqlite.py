"""`tabular.read` of SQLite: types, order, and reading on from a watermark."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from harness import Project

from mmetl.contracts.transform import Base, Table
from mmetl.errors import TaskError
from mmetl.transforms.tabular.read import READ


def execute(bench: Any, *statements: str) -> None:
    with closing(sqlite3.connect(bench.root / "x.db")) as con, con:
        for statement in statements:
            con.execute(statement)


def test_types_by_declaration_and_values(bench: Any) -> None:
    execute(
        bench,
        "create table t (i integer, r real, s text, b blob, n numeric, none, bool boolean, day date, empty integer)",
        "insert into t values (2, 1, 'x', x'00ff', 1.5, 7, 1, '2020-01-01', null)",
        "insert into t values (1, 2.5, null, null, 2, null, 0, null, null)",
    )
    made = bench.run(READ, {"path": "x.db", "table": "t"})
    assert [c.type for c in made.manifest.columns] == [
        "int64", "double", "string", "binary", "double", "int64", "int64", "string", "int64",
    ]  # fmt: skip
    assert [list(r.values()) for r in bench.rows(made)] == [
        [2, 1.0, "x", b"\x00\xff", 1.5, 7, 1, "2020-01-01", None],
        [1, 2.5, None, None, 2.0, None, 0, None, None],
    ]


def test_types_given(bench: Any) -> None:
    execute(
        bench,
        "create table t (a, d, f)",
        "insert into t values (1, '2020-01-01', 0.1)",
        "insert into t values ('2', null, 3)",
    )
    params = {
        "path": "x.db",
        "table": "t",
        "types": {"a": "INTEGER", "d": "DATE", "f": "DOUBLE"},
        "columns": ["f", "a"],
    }
    assert bench.rows(bench.run(READ, params)) == [{"f": 0.1, "a": 1}, {"f": 3.0, "a": 2}]


def test_query_and_wal(bench: Any) -> None:
    """Rows that are only in the write-ahead log are read too."""
    with closing(sqlite3.connect(bench.root / "x.db")) as con:
        con.execute("pragma journal_mode=wal")
        con.execute("create table t (a integer)")
        con.execute("insert into t values (1), (2)")
        con.commit()
        assert (bench.root / "x.db-wal").stat().st_size
        made = bench.run(
            READ,
            {"path": "x.db", "query": "select a * 2 as b, max(a) over () m from t order by a desc; -- all; rows\n;"},
        )
    assert bench.rows(made) == [{"b": 4, "m": 2}, {"b": 2, "m": 2}]


def test_rows_that_are_only_in_the_log_make_it_stale(project: Project) -> None:
    """The file itself is as it was."""
    with closing(sqlite3.connect(project.root / "x.db", isolation_level=None)) as con:
        con.execute("pragma journal_mode=wal")
        con.execute("create table t (a integer)")
        con.execute("pragma wal_checkpoint(truncate)")
        project.tasks("  t: {transform: tabular.read, params: {path: x.db, table: t}}\n")
        assert project.run() == {"t": "ran"}
        before = (project.root / "x.db").read_bytes()
        con.execute("insert into t values (1)")
        assert project.run() == {"t": "ran"}
        assert (project.root / "x.db").read_bytes() == before
        assert project.run() == {"t": "fresh"}


def test_without_rowid_and_views(bench: Any) -> None:
    execute(
        bench,
        "create table t (k text primary key) without rowid",
        "insert into t values ('b'), ('a')",
        "create view v as select * from t",
    )
    assert bench.rows(bench.run(READ, {"path": "x.db", "table": "t"})) == [{"k": "a"}, {"k": "b"}]
    assert bench.rows(bench.run(READ, {"path": "x.db", "table": "v"})) == [{"k": "a"}, {"k": "b"}]


def test_many_rows_keep_their_order(bench: Any) -> None:
    execute(
        bench,
        "create table t (a integer)",
        "with recursive r(i) as (select 50000 union all select i - 1 from r where i > 0) insert into t select i from r",
    )
    made = bench.run(READ, {"path": "x.db", "table": "t"}, threads=4)
    assert [r["a"] for r in bench.rows(made)] == list(range(50000, -1, -1))


ERRORS: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "mixed": (
        ["create table t (a integer)", "insert into t values (1), (null), ('x')"],
        {"table": "t"},
        "error: column 'a' has text in row 3, after numbers\nhelp: set `types: {a: VARCHAR}`, or mend the row",
    ),
    "a large integer among floats": (
        ["create table t (a)", "insert into t values (1.5), (9007199254740993)"],
        {"table": "t"},
        (
            "error: column 'a' has floats, and 9007199254740993, which no float holds\n"
            "help: set `types: {a: VARCHAR}`, or one such as DECIMAL(38,6)"
        ),
    ),
    "no table": (
        ["create table flights (a)"],
        {"table": "flihgts"},
        "error: there is no table 'flihgts'\nhelp: did you mean 'flights'? the tables are: flights",
    ),
    "bad query": ([], {"query": "selec 1"}, "error: SQLite cannot read 'x.db': near \"selec\": syntax error"),
    "writes are refused": (
        ["create table t (a)"],
        {"query": "delete from t"},
        "error: SQLite cannot read 'x.db': near \"delete\": syntax error",
    ),
    "watermark column": (
        ["create table t (id integer)"],
        {"table": "t", "watermark": {"column": "at"}},
        "error: there is no column 'at' for the read\nhelp: the columns are: id",
    ),
}


@pytest.mark.parametrize("title", ERRORS)
def test_errors(bench: Any, title: str) -> None:
    statements, params, expected = ERRORS[title]
    execute(bench, *statements, "create table other (id integer)")
    if title == "no table":
        execute(bench, "drop table other")
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": "x.db", **params}, key=["id"])
    assert str(caught.value) == expected


def test_a_file_that_is_none(bench: Any) -> None:
    bench.file("x.db", "hello" * 500)
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": "x.db", "table": "t"})
    assert str(caught.value) == "error: SQLite cannot read 'x.db': file is not a database"


def read_on(bench: Any, base: tuple[Table, Any] | None = None, **watermark: Any) -> Table:
    params = {"path": "x.db", "table": "t", "watermark": watermark}
    return bench.run(READ, params, key=["id"], base=Base(*base) if base else None)


def ids(bench: Any, table: Table) -> dict[int, Any]:
    return {r["id"]: r["v"] for r in bench.rows(table)}


def test_a_watermark_reads_what_is_new(bench: Any) -> None:
    execute(bench, "create table t (id integer, v text, at integer)", "insert into t values (1, 'a', 10), (2, 'b', 20)")
    first = read_on(bench, column="at")
    assert bench.watermark == 20
    # Changed without a new time, changed with one, added, deleted: only what is marked as new is seen.
    execute(
        bench,
        "update t set v = 'unseen' where id = 1",
        "update t set v = 'B', at = 30 where id = 2",
        "insert into t values (3, 'c', 40)",
    )
    second = read_on(bench, (first, 20), column="at")
    assert (ids(bench, second), bench.watermark) == ({1: "a", 2: "B", 3: "c"}, 40)
    execute(bench, "delete from t where id = 3")
    third = read_on(bench, (second, 40), column="at")
    assert (ids(bench, third), bench.watermark) == ({1: "a", 2: "B", 3: "c"}, 40)
    assert third.manifest == second.manifest


def test_the_lookback_reads_late_rows(bench: Any) -> None:
    execute(bench, "create table t (id integer, v text, at integer)", "insert into t values (1, 'a', 100)")
    first = read_on(bench, column="at", lookback=10)
    execute(bench, "insert into t values (2, 'late', 95), (3, 'too late', 89)")
    assert ids(bench, read_on(bench, (first, 100), column="at", lookback=10)) == {1: "a", 2: "late"}


@pytest.mark.parametrize(
    ("last", "late", "missed"),
    [
        ("2024-01-02 10:00:00", "2024-01-02 08:00:00.5", "2024-01-02 07:59:59"),
        ("2024-01-02T10:00:00Z", "2024-01-02T08:00:00Z", "2024-01-02T07:59:59Z"),
        ("2024-01-02", "2024-01-01", "2023-12-31"),
    ],
)
def test_the_lookback_is_a_time(bench: Any, last: str, late: str, missed: str) -> None:
    execute(bench, "create table t (id integer, v text, at text)", f"insert into t values (1, 'a', '{last}')")
    first = read_on(bench, column="at", lookback="2h")
    assert bench.watermark == last
    execute(bench, f"insert into t values (2, 'late', '{late}'), (3, 'missed', '{missed}')")
    assert ids(bench, read_on(bench, (first, last), column="at", lookback="2h")) == {1: "a", 2: "late"}


def test_new_columns_are_a_full_read(bench: Any) -> None:
    execute(bench, "create table t (id integer, v text, at integer)", "insert into t values (1, 'a', 10)")
    first = read_on(bench, column="at")
    execute(bench, "alter table t add column w text", "update t set v = 'seen'")
    again = read_on(bench, (first, 10), column="at")
    assert bench.rows(again) == [{"id": 1, "v": "seen", "at": 10, "w": None}]


def test_an_incremental_read_is_the_same_bytes_as_a_full_one(bench: Any) -> None:
    execute(
        bench,
        "create table t (id integer, v text, at integer)",
        "with recursive r(i) as (select 1 union all select i + 1 from r where i < 5000) insert into t select i, 'v' || i, i from r",
    )
    first = read_on(bench, column="at")
    execute(bench, "update t set v = 'x', at = 5001 where id = 77", "insert into t values (6000, 'new', 5002)")
    on = read_on(bench, (first, 5000), column="at")
    assert on.manifest.rows == 5001
    assert on.manifest == read_on(bench, column="at").manifest


def test_an_empty_table(bench: Any) -> None:
    execute(bench, "create table t (id integer, v text, at integer)")
    empty = read_on(bench, column="at")
    assert (empty.manifest.rows, bench.watermark) == (0, None)


def test_the_promise_is_declared(bench: Any) -> None:
    declared = bench.declare(READ, {"path": "x.db", "table": "t", "watermark": {"column": "at"}}, key=["id"])
    assert declared.promise == "watermark"
    assert declared.notes == (
        "rows older than the watermark are not read again: deletions there, and of rows without a value, are not seen",
    )


def test_emptied_table_keeps_the_last_artifact(project: Project) -> None:
    """A full read that finds nothing where there was something fails, unless that is allowed."""
    with closing(sqlite3.connect(project.root / "x.db")) as con:
        con.execute("create table t (id integer primary key)")
        con.executemany("insert into t values (?)", [(n,) for n in range(30)])
        con.commit()
        project.tasks("  t: {transform: tabular.read, key: id, params: {path: x.db, table: t}}\n")
        assert project.fast("run").code == 0
        con.execute("delete from t")
        con.commit()
    done = project.fast("run")
    assert done.code == 1
    assert "its source has 0 rows where there were 30; if that is right: mmetl run --allow-shrink t" in done.err
    assert project.fast("show", "t", "--limit", "0").out.endswith("30 rows, the first 0 shown\n")
    assert project.fast("run", "--allow-shrink", "t").code == 0
    assert project.fast("show", "t").out.endswith("0 rows\n")
