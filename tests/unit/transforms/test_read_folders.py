"""`partition_by` of `tabular.read`: what `tabular.write` put into names of folders is read back."""

from __future__ import annotations

import datetime as dt
import gzip
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import Project

from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.read import READ

PIPELINE = """\
  rows: {{transform: tabular.read, key: id, params: {{path: in.csv}}}}
  write:
    transform: tabular.write
    inputs: [rows]
    params: {{path: out/rows, format: {0}, partition_by: [day, place, n]}}
  back:
    transform: tabular.read
    key: id
    params: {{path: "out/rows/**/*.{0}", partition_by: [day, place, n], types: {{place: VARCHAR}}, columns: [id, day, place, n, text]}}
"""
ROWS = """\
id,day,place,n,text
1,2024-01-01,São Paulo,1,a
2,2024-01-01,São Paulo,2,"b, c"
3,2024-02-29,a/b=c%20d,-7,d
4,,,,
5,2024-02-29,'x',1,e
"""


@pytest.mark.parametrize("kind", ["parquet", "csv", "ndjson"])
def test_what_was_written_is_read_back(empty: Project, kind: str) -> None:
    """In one pipeline: the read comes after the write, and the columns are those of the table, types and nulls included."""
    empty.write("in.csv", ROWS)
    empty.tasks(PIPELINE.format(kind))
    assert empty.run() == {"rows": "ran", "write": "ran", "back": "ran"}
    rows, back = (empty.fast("show", task, "--json").out for task in ("rows", "back"))
    assert back == rows
    assert set(empty.run().values()) == {"fresh"}
    empty.edit("in.csv", "5,2024-02-29,'x',1,e", "5,2024-02-29,'x',3,e")
    assert set(empty.run().values()) == {"ran"}
    assert empty.fast("show", "back", "--json").out == empty.fast("show", "rows", "--json").out != rows


def folder(bench: Any, path: str, kind: str, **columns: Any) -> None:
    """Write a file of some format."""
    full = bench.root / path
    full.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if kind == "parquet":
        pq.write_table(table, full)
    elif kind == "arrow":
        with pa.ipc.new_file(str(full), table.schema) as writer:
            writer.write_table(table)
    else:
        text = ",".join(columns) + "\n" + "".join(",".join(map(str, r.values())) + "\n" for r in table.to_pylist())
        full.write_bytes(gzip.compress(text.encode()) if path.endswith(".gz") else text.encode())


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv", "csv.gz"])
def test_every_format(bench: Any, kind: str) -> None:
    """In the order of the files' names, the columns of the folders behind those of the files."""
    for number, region in enumerate(["eu", "us", "eu", "asia"]):
        folder(bench, f"x/year={2020 + number}/region={region}/a.{kind}", kind, v=[number], w=["t"])
    made = bench.run(READ, {"path": f"x/**/*.{kind}", "partition_by": ["region", "year"]})
    assert [(c.name, c.type) for c in made.manifest.columns] == [
        *(("v", "int64"), ("w", "string")),
        *(("region", "string"), ("year", "int64")),
    ]
    assert [(r["v"], r["region"], r["year"]) for r in bench.rows(made)] == [
        *((0, "eu", 2020), (1, "us", 2021)),
        *((2, "eu", 2022), (3, "asia", 2023)),
    ]


TYPES: dict[str, tuple[list[str], str, list[Any]]] = {
    "whole numbers": (["1", "-20"], "int64", [1, -20]),
    "numbers that would lose a digit": (["007", "1"], "string", ["007", "1"]),
    "days": (["2024-01-01", "2024-02-29"], "date32[day]", [dt.date(2024, 1, 1), dt.date(2024, 2, 29)]),
    "no days": (["2024-01-01", "2024-02-30"], "string", ["2024-01-01", "2024-02-30"]),
    "null and a number": (["1", "__HIVE_DEFAULT_PARTITION__"], "int64", [1, None]),
    "an empty text": (["", "1"], "string", ["", "1"]),
    "signs": (["a%2Fb", "%C3%A9"], "string", ["a/b", "é"]),
}


@pytest.mark.parametrize(("texts", "kind", "values"), TYPES.values(), ids=TYPES.keys())
def test_types(bench: Any, texts: list[str], kind: str, values: list[Any]) -> None:
    """Those of a CSV column with these values: all of them fit, and none loses a digit."""
    for number, text in enumerate(texts):
        folder(bench, f"{number}/k={text}/a.csv", "csv", v=[number])
    made = bench.run(READ, {"path": "**/*.csv", "partition_by": ["k"]})
    assert made.manifest.columns[-1][:2] == ("k", kind)
    assert [r["k"] for r in bench.rows(made)] == values


def test_types_may_be_given(bench: Any) -> None:
    for text in ("1", "2"):
        folder(bench, f"k={text}/a.parquet", "parquet", v=[int(text)])
    made = bench.run(READ, {"path": "**/*.parquet", "partition_by": ["k"], "types": {"k": "VARCHAR"}})
    assert [r["k"] for r in bench.rows(made)] == ["1", "2"]
    with pytest.raises(TaskError, match="invalid date"):
        bench.run(READ, {"path": "**/*.parquet", "partition_by": ["k"], "types": {"k": "DATE"}})


def test_only_some_of_the_folders(bench: Any) -> None:
    """A folder that `partition_by` does not name is a folder; of two of one name the inner one counts."""
    folder(bench, "k=1/day=2/k=3/a.csv", "csv", v=[1])
    assert bench.rows(bench.run(READ, {"path": "**/*.csv", "partition_by": ["k"]})) == [{"v": 1, "k": 3}]
    assert bench.rows(bench.run(READ, {"path": "**/*.csv"})) == [{"v": 1}]


def test_files_of_other_columns(bench: Any) -> None:
    """`schema: union` works as elsewhere."""
    folder(bench, "k=1/a.parquet", "parquet", v=[1])
    folder(bench, "k=2/a.parquet", "parquet", w=[2])
    params = {"path": "**/*.parquet", "partition_by": ["k"]}
    with pytest.raises(TaskError, match="without 'v', with 'w'"):
        bench.run(READ, params)
    rows = bench.rows(bench.run(READ, {**params, "schema": "union"}))
    assert [(r["v"], r["w"], r["k"]) for r in rows] == [(1, None, 1), (None, 2, 2)]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_errors(bench: Any, kind: str) -> None:
    folder(bench, f"k=1/a.{kind}", kind, v=[1], K=[1])
    with pytest.raises(TaskError, match=rf"'k=1/a.{kind}' has a column 'k', and lies in a folder that gives it one"):
        bench.run(READ, {"path": f"**/*.{kind}", "partition_by": ["k"]})
    with pytest.raises(TaskError, match=r"lies in no folder 'year=...'"):
        bench.run(READ, {"path": f"**/*.{kind}", "partition_by": ["year"]})


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"path": "a.csv", "partition_by": ["a", "A"]}, "is there twice"),
        ({"path": "a.db", "table": "t", "partition_by": ["a"]}, "this is SQLite"),
        ({"path": "a.csv", "bad_rows": "quarantine", "partition_by": ["a"]}, "do not go together"),
    ],
)
def test_params_that_do_not_go_together(bench: Any, params: Any, told: str) -> None:
    with pytest.raises(ParamError, match=told):
        bench.declare(READ, params)
