"""Closed sessions: nothing is read but what was given, and errors say what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmetl.contracts.artifact import Column, Manifest, Part
from mmetl.contracts.transform import Table
from mmetl.engines.duckdb import explain, session
from mmetl.errors import TaskError


@pytest.fixture
def table(tmp_path: Path) -> Table:
    paths = []
    for n in range(2):
        paths.append(tmp_path / f"part{n}")
        pq.write_table(pa.table({"a": [n * 2, n * 2 + 1], "from": ["x", "y"]}), paths[-1])
    columns = (Column("a", "int64"), Column("from", "string"))
    return Table("t", Manifest("table", (Part("0", 2, 1), Part("1", 2, 1)), (), columns), tuple(paths))


CLOSED = {
    "from '{other}'": 'cannot access file "{other}" - file system operations are disabled by configuration',
    "select * from read_csv('{other}')": 'cannot access file "{other}" - file system operations are disabled by configuration',
    "select * from glob('/*')": 'cannot access file "/*" - file system operations are disabled by configuration',
    "copy t to '{other}2'": 'cannot access file "{other}2" - file system operations are disabled by configuration',
    "attach '{other}.db'": 'cannot access file "{other}.db" - file system operations are disabled by configuration',
    "select * from hidden": "table with name hidden does not exist",
    "set threads = 8": "the configuration has been locked",
}


@pytest.mark.parametrize("sql", CLOSED)
def test_a_session_is_closed(tmp_path: Path, table: Table, sql: str) -> None:
    hidden = pa.table({"a": [1]})
    other = tmp_path / "other.csv"
    other.write_text("a\n1\n")
    with session(tmp_path / "scratch", tables={"t": table}) as db, pytest.raises(TaskError) as caught:
        db.rows(sql.format(other=other))
    assert CLOSED[sql].format(other=other) in caught.value.what
    assert hidden.num_rows


def test_the_zone_is_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with session(tmp_path) as db:
        assert db.rows("select timestamptz '2020-01-01 00:00:00+00'::varchar") == [("2020-01-01 00:00:00+00",)]


def test_parts_are_read_in_order(tmp_path: Path, table: Table) -> None:
    with session(tmp_path / "scratch", tables={"select": table}, threads=4) as db:
        assert db.rows('select a, "from" from "select"') == [(0, "x"), (1, "y"), (2, "x"), (3, "y")]


def test_only_needed_columns_are_read(tmp_path: Path, table: Table) -> None:
    with session(tmp_path / "scratch", tables={"t": table}) as db:
        ((_, plan),) = db.rows("explain select a from t where a > 2")
    assert "from" not in plan.replace("from t", "")
    assert "a>2" in plan.replace(" ", "")


def test_a_stream_can_be_stopped(tmp_path: Path) -> None:
    stops: list[Callable[[], None]] = []
    with session(tmp_path, on_cancel=stops.append) as db:
        timer = threading.Timer(0.2, stops[0])
        timer.start()
        with pytest.raises(TaskError, match="the query was interrupted"):
            list(
                db.stream(
                    "select count(*) from range(1000000) a, range(1000000) b where hash(a.range + b.range) = 3"
                ).batches
            )
        timer.join()
    stops[0]()  # after the session it does nothing


def test_errors_of_a_running_stream(tmp_path: Path) -> None:
    with session(tmp_path) as db, pytest.raises(TaskError) as caught:
        list(db.stream("select case when r = 3000000 then error('boom') else r end x from range(4000000) t(r)").batches)
    assert str(caught.value) == "error: boom"


def test_spill_files_go_to_the_scratch_folder(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    seen: set[Path] = set()
    with session(scratch, memory_limit="100MB") as db:
        for batch in db.stream("select r, md5(r::varchar) s from range(3000000) t(r) order by s").batches:
            seen.update(scratch.rglob("*"))
            assert batch.num_rows
    assert seen


EXPLAINED = {
    'Binder Error: Referenced column "nope" not found in FROM clause!\nCandidate bindings: "a"\n\nLINE 2:  nope from t\n         ^': (
        'sql:2:2: error: referenced column "nope" not found in FROM clause\n   2 |  nope from t\n     |  ^\nhelp: candidate bindings: "a"'
    ),
    'Parser Error: syntax error at or near "form"\n\nLINE 9: select form x\n               ^': 'error: syntax error at or near "form"',
    "INTERRUPT Error: Interrupted!": "error: the query was interrupted",
    'IO Error: No files found that match the pattern "/root/p/data.csv"': (
        'error: no files found that match the pattern "data.csv"'
    ),
    "Out of Memory Error: failed to pin block of size 256.0 KiB (29.8 MiB/30.0 MiB used)\n\nPossible solutions:\n* Reducing": (
        "error: the query needs more memory: failed to pin block of size 256.0 KiB (29.8 MiB/30.0 MiB used)\n"
        "help: raise `memory_limit`, or run fewer tasks at once"
    ),
}  # fmt: skip


@pytest.mark.parametrize("message", EXPLAINED)
def test_messages(message: str) -> None:
    error = explain(message, "select\n nope from t", {"/root/p/data.csv": "data.csv"})
    assert str(error) == EXPLAINED[message]
