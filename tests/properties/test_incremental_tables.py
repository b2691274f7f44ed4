"""Tables: an incremental run equals a run from scratch, rows and bytes, whatever was edited in between."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inside import from_scratch, run_here, tree, worked, write_pipeline
from test_incremental import SETTINGS

pytest.importorskip("duckdb", reason="the tabular extra is not installed")

CODE = """\
import pyarrow.compute as pc

FACTOR = {factor}

# {comment}
def scale(rows):
    return rows.append_column("scaled", pc.multiply(rows["amount"], FACTOR))
"""
QUERIES = (
    "select grp, count(*) as n, sum(amount) as total from orders group by grp",
    "select grp, count(*) as n, sum(amount) as total from orders where amount > {least} group by grp -- big ones",
    "select *, row_number() over (partition by grp order by amount) as place from orders",
    "select o.*, g.label from orders o join groups g using (grp) order by amount desc",
)


class Tables:
    """CSV files, a lookup table, a query, a function, and three files written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "src").mkdir(parents=True)
        self.rows: dict[str, dict[int, tuple[str, int]]] = {
            "one": {n: (f"g{n % 3}", n % 7) for n in range(40)},
            "two": {n: ("g1", n) for n in range(100, 110)},
        }
        self.labels = {"g0": "zero", "g1": "one", "g2": "two"}
        self.params: dict[str, Any] = {"query": 0, "least": 2, "factor": 2, "comment": "c", "key": 1, "name": "top"}

    def save(self) -> None:
        """Write data, code and YAML as they are now."""
        for path in (self.root / "src").iterdir():
            path.unlink()
        for name, rows in self.rows.items():
            lines = [f"{n},{grp},{amount}\n" for n, (grp, amount) in rows.items()]
            (self.root / f"src/{name}.csv").write_text("".join(["id,grp,amount\n", *lines]))
        lines = [f'{{"grp": "{grp}", "label": "{label}"}}\n' for grp, label in self.labels.items()]
        (self.root / "src/groups.ndjson").write_text("".join(lines))
        p = self.params
        (self.root / "work.py").write_text(CODE.format(**p))
        read = {"path": "src/*.csv"}
        write_pipeline(
            self.root,
            {
                "orders": {"transform": "tabular.read", "key": ["id", "grp"][: p["key"]], "params": read},
                "groups": {"transform": "tabular.read", "params": {"path": "src/groups.ndjson"}},
                p["name"]: {"transform": "tabular.sql", "params": {"sql": QUERIES[p["query"]].format(**p)}},
                "scaled": {
                    "transform": "tabular.python",
                    "inputs": {"rows": "orders"},
                    "params": {"function": "work:scale"},
                },
                "csv": {"transform": "tabular.write", "inputs": [p["name"]], "params": {"path": "out/top.csv"}},
                "json": {"transform": "tabular.write", "inputs": ["scaled"], "params": {"path": "out/scaled.ndjson"}},
                "binary": {"transform": "tabular.write", "inputs": ["orders"], "params": {"path": "out/all.parquet"}},
            },
        )


def edit_row(world: Tables, name: str, number: int, group: str, amount: int) -> None:
    world.rows.setdefault(name, {})[number + 1000 * len(name)] = (group, amount)


def delete_rows(world: Tables, name: str, every: int) -> None:
    rows = world.rows.get(name, {})
    world.rows[name] = {n: row for n, row in rows.items() if n % every}


def move_rows(world: Tables, name: str) -> None:
    """Rename a file: the same rows come from elsewhere, in another order."""
    if "one" in world.rows and name not in world.rows:
        world.rows[name] = world.rows.pop("one")


def relabel(world: Tables, group: str, label: str) -> None:
    world.labels[group] = label


def set_param(world: Tables, name: str, value: Any) -> None:
    world.params[name] = value


def edit(function: Any, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(function), *parts)


FILES, GROUPS = st.sampled_from(["one", "two", "three"]), st.sampled_from(["g0", "g1", "g2"])
EDITS = st.one_of(
    edit(edit_row, FILES, st.integers(0, 5), GROUPS, st.integers(0, 9)),
    edit(delete_rows, st.sampled_from(["one", "two"]), st.integers(2, 9)),
    edit(move_rows, st.sampled_from(["zero", "zzz"])),
    edit(relabel, GROUPS, st.sampled_from(["zero", "many"])),
    edit(set_param, st.just("query"), st.integers(0, len(QUERIES) - 1)),
    edit(set_param, st.just("least"), st.integers(1, 3)),
    edit(set_param, st.just("factor"), st.integers(1, 2)),
    edit(set_param, st.just("comment"), st.sampled_from("cd")),
    edit(set_param, st.just("key"), st.integers(0, 2)),
    edit(set_param, st.just("name"), st.sampled_from(["top", "best"])),
)


def manifests(root: Path) -> dict[str, str]:
    """Return the body of every task's manifest: schema, key, buckets, and the fingerprints of all parts."""
    with contextlib.closing(sqlite3.connect(root / ".mmetl/state.db")) as db:
        return dict(db.execute("select task, body from tasks join manifests on fingerprint = manifest"))


@settings(SETTINGS, max_examples=6)
@given(st.lists(st.lists(EDITS, min_size=1, max_size=3), min_size=2, max_size=5))
def test_incremental_tables_equal_those_from_scratch(steps):
    """Over edits of rows, files, SQL, keys, code and names: every part and every written file has the same bytes."""
    folder = Path(tempfile.mkdtemp(prefix="mmetl-prop-"))
    try:
        world = Tables(folder / "live")
        world.save()
        run_here(world.root)
        for edits in steps:
            for function, *values in edits:
                function(world, *values)
            world.save()
            run_here(world.root)
            from_scratch(world.root, folder / "scratch")
            assert tree(world.root / "out") == tree(folder / "scratch/out")
            live, scratch = manifests(world.root), manifests(folder / "scratch")
            assert {task: live[task] for task in scratch} == scratch  # these few rows are one bucket: all bytes
            assert worked(run_here(world.root)) == {}
    finally:
        shutil.rmtree(folder)


class Log:
    """A SQLite table that grows, read on from a watermark, and written to a file."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.size = 0
        with contextlib.closing(sqlite3.connect(root / "log.db")) as db, db:
            db.execute("create table log (id integer primary key, at integer, word text)")

    def grow(self, count: int) -> None:
        with contextlib.closing(sqlite3.connect(self.root / "log.db")) as db, db:
            for n in range(self.size, self.size + count):
                db.execute("insert into log values (?, ?, ?)", (n, n // 2, f"word {n}"))
        self.size += count

    def save(self, query: str, lookback: int) -> None:
        mark = {"column": "at", "lookback": lookback}
        read = {"path": "log.db", "query": query, "watermark": mark}
        write_pipeline(
            self.root,
            {
                "log": {"transform": "tabular.read", "key": ["id"], "params": read},
                "csv": {"transform": "tabular.write", "inputs": ["log"], "params": {"path": "out/log.csv"}},
            },
        )

    def written(self) -> list[str]:
        return (self.root / "out/log.csv").read_text().splitlines()[1:]

    def expected(self, query: str) -> list[str]:
        with contextlib.closing(sqlite3.connect(self.root / "log.db")) as db:
            return [f"{n},{at},{word}" for n, at, word in db.execute(f"select * from ({query}) order by id")]


LOG_QUERIES = ("select * from log", "select id, at, upper(word) as word from log", "select * from log where id % 3")


def test_a_watermark_read_whose_query_is_changed_and_changed_back(tmp_path):
    """What came while the other query was in place is read: the watermark belongs to the build that read it."""
    log = Log(tmp_path)
    for query in (LOG_QUERIES[0], LOG_QUERIES[1], LOG_QUERIES[0]):
        log.grow(5)
        log.save(query, lookback=0)
        run_here(log.root)
        assert log.written() == log.expected(query)
        assert worked(run_here(log.root)) == {}


@settings(SETTINGS, max_examples=12)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(LOG_QUERIES), st.integers(0, 1), st.booleans()),
        min_size=3,
        max_size=6,
    )
)
def test_a_watermark_read_loses_and_doubles_nothing(steps):
    """Whatever the order of growth, changed queries, changed params and lost artifacts."""
    with tempfile.TemporaryDirectory(prefix="mmetl-prop-") as folder:
        log = Log(Path(folder))
        log.grow(3)
        for count, query, lookback, lost in steps:
            log.grow(count)
            log.save(query, lookback)
            if lost:
                shutil.rmtree(log.root / ".mmetl/parts", ignore_errors=True)
            run_here(log.root)
            assert log.written() == log.expected(query)


def test_a_watermark_read_goes_on_from_where_it_was(tmp_path):
    """It is incremental at all: a row below the watermark that changes is not read again, as the promise says."""
    log = Log(tmp_path)
    log.grow(6)
    log.save(LOG_QUERIES[0], lookback=0)
    run_here(log.root)
    with contextlib.closing(sqlite3.connect(log.root / "log.db")) as db, db:
        db.execute("update log set word = 'late' where id in (0, 5)")
    log.grow(1)
    run_here(log.root)
    assert [row.rpartition(",")[2] for row in log.written()] == [
        *(f"word {n}" for n in range(5)),
        "late",
        "word 6",
    ]
