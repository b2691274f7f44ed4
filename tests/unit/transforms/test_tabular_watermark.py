"""Reading a SQLite table on from a watermark: what has no value, what is of two kinds, and what equals a full read."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from harness import Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transform_bench import Bench

from mmetl.contracts.transform import Base, Table
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.read import READ


def execute(bench: Any, *statements: str) -> None:
    with closing(sqlite3.connect(bench.root / "x.db")) as con, con:
        for statement in statements:
            con.execute(statement)


def read_on(bench: Any, base: Table | None = None, **watermark: Any) -> Table:
    params = {"path": "x.db", "table": "t", "watermark": {"column": "at", **watermark}}
    return bench.run(READ, params, key=["id"], base=Base(base, bench.watermark) if base else None)


def ids(bench: Any, table: Table) -> dict[int, Any]:
    return {r["id"]: r["v"] for r in bench.rows(table)}


def test_rows_without_a_value_are_always_read_again(bench: Any) -> None:
    execute(
        bench,
        "create table t (id integer, v text, at integer)",
        "insert into t values (1, 'a', 10), (2, 'b', null), (3, 'c', null)",
    )
    first = read_on(bench)
    execute(bench, "update t set v = 'B' where id = 2", "update t set v = 'C', at = 20 where id = 3")
    execute(bench, "insert into t values (4, 'd', null)")
    second = read_on(bench, first)
    assert (ids(bench, second), bench.watermark) == ({1: "a", 2: "B", 3: "C", 4: "d"}, 20)
    assert second.manifest == read_on(bench).manifest
    assert bench.log.getvalue() == "rows without a value in 'at', read again by every run: 2\n"


def test_a_row_without_a_value_that_is_deleted_stays(bench: Any) -> None:
    """The promise, as the page says it: it cannot be told from a row that was given an old value, and that is there."""
    execute(
        bench,
        "create table t (id integer, v text, at integer)",
        "insert into t values (1, 'a', 10), (2, 'gone', null), (3, 'old now', null), (4, 'd', null)",
    )
    first = read_on(bench)
    execute(
        bench, "delete from t where id = 2", "update t set at = 5 where id = 3", "update t set v = 'D' where id = 4"
    )
    assert ids(bench, read_on(bench, first)) == {1: "a", 2: "gone", 3: "old now", 4: "D"}
    assert ids(bench, read_on(bench)) == {1: "a", 3: "old now", 4: "D"}
    declared = bench.declare(READ, {"path": "x.db", "table": "t", "watermark": {"column": "at"}}, key=["id"])
    assert "rows without a value" in declared.notes[0]


def test_rows_that_all_lose_their_value(bench: Any) -> None:
    execute(bench, "create table t (id integer, v text, at integer)", "insert into t values (1, 'a', 10)")
    first = read_on(bench)
    execute(bench, "update t set v = 'b', at = null")
    second = read_on(bench, first)
    assert (ids(bench, second), bench.watermark) == ({1: "b"}, 10)


def test_a_column_that_becomes_text(bench: Any) -> None:
    execute(bench, "create table t (id integer, v text, at)", "insert into t values (1, 'a', 10)")
    first = read_on(bench)
    execute(bench, "update t set at = '2024-01-01'", "insert into t values (2, 'b', '2023-01-01')")
    assert ids(bench, read_on(bench, first, lookback="1d")) == {1: "a", 2: "b"}


TIME_FOR_NUMBERS = (
    "error: the lookback 2h is a time, and column 'at' holds numbers\n"
    "help: write `lookback` as a number, in the unit of 'at'"
)
ERRORS: dict[str, tuple[str, Any, str]] = {
    "numbers and text": (
        "10, 'later'",
        0,
        (
            "error: column 'at' holds numbers and text, which have no common order\n"
            "help: mend its values, or cast it in `query`: select *, cast(at as text) as mark from ..."
        ),
    ),
    "text and bytes": (
        "'2024', x'00'",
        0,
        (
            "error: column 'at' holds text and bytes, which have no common order\n"
            "help: mend its values, or cast it in `query`: select *, cast(at as text) as mark from ..."
        ),
    ),
    "bytes": ("x'00', null", 0, "error: column 'at' holds bytes and cannot be a watermark\nhelp: read another column"),
    "a time for integers": ("10, null", "2h", TIME_FOR_NUMBERS),
    "a time for floats": ("1.5, 2", "2h", TIME_FOR_NUMBERS),
    "a number for text": (
        "'2024-01-01', null",
        5,
        (
            "error: the lookback 5 is a number, and column 'at' holds text\n"
            "help: write `lookback` as a time, such as 1d, or leave it out"
        ),
    ),
    "a time for words": (
        "'v1', 'v2'",
        "1d",
        "error: the watermark 'v2' is not a time\nhelp: set `lookback` to 0, or read another column",
    ),
}


@pytest.mark.parametrize("title", ERRORS)
def test_errors_of_the_first_read(bench: Any, title: str) -> None:
    values, lookback, expected = ERRORS[title]
    rows = ", ".join(f"({n}, 'v', {value})" for n, value in enumerate(values.split(", ")))
    execute(bench, "create table t (id integer, v text, at)", f"insert into t values {rows}")
    with pytest.raises(TaskError) as caught:
        read_on(bench, lookback=lookback)
    assert str(caught.value) == expected


def test_text_among_numbers_is_seen_by_later_reads_too(bench: Any) -> None:
    """A smaller kind is below every watermark, and would never be read."""
    execute(bench, "create table t (id integer, v text, at)", "insert into t values (1, 'a', '2024')")
    first = read_on(bench)
    execute(bench, "insert into t values (2, 'b', 2025)")
    with pytest.raises(TaskError, match="column 'at' holds numbers and text"):
        read_on(bench, first)


@pytest.mark.parametrize("lookback", [-1, -0.5, float("nan"), "1 week", "-1d", ""])
def test_what_is_no_lookback(bench: Any, lookback: Any) -> None:
    params = {"path": "x.db", "table": "t", "watermark": {"column": "at", "lookback": lookback}}
    with pytest.raises(ParamError, match="is not a lookback"):
        bench.declare(READ, params, key=["id"])


def test_a_lookback_before_all_times(bench: Any) -> None:
    execute(bench, "create table t (id integer, v text, at text)", "insert into t values (1, 'a', '2024-01-01')")
    first = read_on(bench, lookback="9999999d")
    execute(bench, "insert into t values (2, 'b', '0001-01-01')")
    assert ids(bench, read_on(bench, first, lookback="9999999d")) == {1: "a", 2: "b"}


def test_an_index_is_used(bench: Any) -> None:
    """Reading on of a large table with an index costs what is new."""
    from mmetl.transforms.tabular.reading.sqlite_source import _source

    execute(bench, "create table t (id integer primary key, v text, at integer)", "create index i on t (at)")
    params = READ.params.model_validate({"path": "x.db", "table": "t", "watermark": {"column": "at"}})
    with closing(sqlite3.connect(bench.root / "x.db")) as con:
        sql = _source(con, params).sql
        for query in (f"select max(at) from ({sql})", f"select * from ({sql} where at >= 1 or at is null)"):
            plan = str(con.execute(f"explain query plan {query}").fetchall())
            assert "USING" in plan, plan
            assert "SCAN" not in plan, plan


def test_the_count_is_in_the_log(project: Project) -> None:
    with contextlib.closing(sqlite3.connect(project.root / "x.db")) as con, con:
        con.execute("create table t (id integer primary key, at integer)")
        con.execute("insert into t values (1, 5), (2, null)")
    project.tasks(
        "  t:\n    transform: tabular.read\n    key: id\n    params: {path: x.db, table: t, watermark: {column: at}}\n"
    )
    assert project.run() == {"t": "ran"}
    with contextlib.closing(sqlite3.connect(project.root / "x.db")) as con, con:
        con.execute("insert into t values (3, 9)")
    assert project.run() == {"t": "ran"}
    logs = sorted((project.root / ".mmetl/logs").glob("*/p.t.log"))
    assert logs[-1].read_text() == "rows without a value in 'at', read again by every run: 1\n"


class Marked(Project):
    """A project that reads a table on from a watermark. A full read sees that a row has vanished, one that goes on does not."""

    def make(self, query: str = "select * from t") -> None:
        """Write the pipeline."""
        self.tasks(
            "  t:\n    transform: tabular.read\n    key: id\n    expect: [{range: {column: v, min: 0}, severity: quarantine, max_fraction: 1}]\n"
            f"    params: {{path: x.db, query: '{query}', watermark: {{column: at}}}}\n"
        )

    def ids(self, *command: str) -> list[int]:
        """Return the ids of a table's rows."""
        shown = self.fast(*(command or ("show",)), "t", "--json").out.splitlines()
        return sorted(json.loads(line)["id"] for line in shown)


@pytest.fixture
def marked(tmp_path: Path) -> Marked:
    """It has read four rows, of which one is set aside."""
    project = Marked(tmp_path)
    execute(
        project,
        "create table t (id integer primary key, v integer, at integer)",
        "insert into t values (1, 1, 1), (2, 2, 2), (3, -1, 3), (4, 4, 4)",
    )
    project.make()
    assert project.run() == {"t": "ran"}
    return project


def grow(project: Project) -> None:
    """Let the source have a new row, and an old one less."""
    execute(project, "insert into t values (5, 5, 5)", "delete from t where id = 1")


def test_what_was_set_aside_stays_so(marked: Marked) -> None:
    grow(marked)
    assert marked.run() == {"t": "ran"}
    assert (marked.ids(), marked.ids("quarantine", "show")) == ([1, 2, 4, 5], [3])


def test_a_forced_read_is_a_full_one(marked: Marked) -> None:
    grow(marked)
    assert marked.run("--force") == {"t": "ran"}
    assert marked.ids() == [2, 4, 5]


def test_a_lost_part_makes_a_full_read(marked: Marked) -> None:
    for part in (marked.root / ".mmetl/parts").glob("*/*"):
        part.unlink()
    grow(marked)
    assert marked.run() == {"t": "ran"}
    assert marked.ids() == [2, 4, 5]


def test_another_query_reads_all(marked: Marked) -> None:
    """It never goes on from the rows of the one before; changed back while the source grew, it goes on from its own."""
    marked.make("select * from t where id <> 2")
    assert marked.run() == {"t": "ran"}
    assert marked.ids() == [1, 4]
    grow(marked)
    marked.make()
    assert marked.run() == {"t": "ran"}
    assert marked.ids() == [1, 2, 4, 5]


def test_a_restored_table_has_its_watermark(marked: Marked) -> None:
    marked.make("select * from t where id <> 2")
    marked.run()
    marked.make()
    assert marked.run() == {"t": "restored"}
    grow(marked)
    assert marked.run() == {"t": "ran"}
    assert (marked.ids(), marked.ids("quarantine", "show")) == ([1, 2, 4, 5], [3])


ROWS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 3), st.one_of(st.none(), st.just(0), st.just(1))), max_size=6
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(ROWS, min_size=2, max_size=5))
def test_reading_on_equals_a_full_read(tmp_path: Path, steps: list[list[tuple[int, int, int | None]]]) -> None:
    """Rows are added and changed, with no value in the column, the same as before, or a larger one."""
    bench = Bench(Path(tempfile.mkdtemp(dir=tmp_path)))
    execute(bench, "create table t (id integer primary key, v integer, at integer)")
    execute(bench, "insert into t values (100, 0, 0)")
    table = None
    for now, rows in enumerate(steps):
        for key, value, later in rows:
            at = "null" if later is None else now + later
            execute(bench, f"insert or replace into t values ({key}, {value}, {at})")
        table = read_on(bench, table, lookback=0)
        mark = bench.watermark
        assert bench.rows(table) == bench.rows(read_on(bench)), rows
        bench.watermark = mark
