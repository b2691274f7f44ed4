# ruff: noqa: DTZ001 - times without a zone are data here
"""`tabular.read` of files whose columns differ: the error, and `schema: union`."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from harness import Project

from mmetl.errors import TaskError
from mmetl.transforms.tabular.read import READ

BIG = 9007199254740993  # no float of 64 bits holds it


def _write(table: pa.Table, path: Path, kind: str) -> None:
    if kind == "parquet":
        pq.write_table(table, path)
        return
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


def test_the_difference_is_told_file_by_file(bench: Any) -> None:
    tables = [{"a": [1], "b": ["x"]}, {"a": [1], "b": ["y"]}, {"a": [1]}, {"a": ["1"], "b": ["x"], "c": [1.5]}]
    for kind in ("parquet", "arrow"):
        for number, table in enumerate(tables):
            _write(pa.table(table), bench.root / f"{number}.{kind}", kind)
        with pytest.raises(TaskError) as caught:
            bench.run(READ, {"path": f"*.{kind}"})
        assert str(caught.value) == (
            f"error: 2 of 4 files have other columns than '0.{kind}'\n"
            f"  2.{kind}: without 'b'\n"
            f"  3.{kind}: with 'c', 'a' is string, not int64\n"
            "help: set `schema: union`, or read files of one schema by one task"
        )


def test_many_differences_are_cut_short(bench: Any) -> None:
    bench.file("00.csv", "a\n1\n")
    for number in range(1, 13):
        bench.file(f"{number:02}.csv", f"a,b{number}\n1,2\n")
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": "*.csv"})
    lines = str(caught.value).splitlines()
    assert lines[0] == "error: 12 of 13 files have other columns than '00.csv'"
    assert lines[1:11] == [f"  {n:02}.csv: with 'b{n}'" for n in range(1, 11)]
    assert lines[11] == "  and 2 more"


def test_union_of_csv(bench: Any) -> None:
    bench.file("1.csv", "a,b\n1,x\n")
    bench.file("2.csv", "c,a\n2020-01-01,2.5\n")
    bench.file("3.csv", "b\ny\n")
    made = bench.run(READ, {"path": "*.csv", "schema": "union"})
    assert [(c.name, c.type) for c in made.manifest.columns] == [("a", "double"), ("b", "string"), ("c", "date32[day]")]
    assert [list(r.values()) for r in bench.rows(made)] == [
        [1.0, "x", None],
        [2.5, None, dt.date(2020, 1, 1)],
        [None, "y", None],
    ]


UNION: dict[str, tuple[list[pa.Array], str, list[Any]]] = {
    "integers": ([pa.array([1], pa.int8()), pa.array([2], pa.int64())], "int64", [1, 2]),
    "with and without sign": (
        [pa.array([-1], pa.int8()), pa.array([2**32 - 1], pa.uint32())],
        "int64",
        [-1, 2**32 - 1],
    ),
    "64 bits with and without sign": (
        [pa.array([-1], pa.int64()), pa.array([2**64 - 1], pa.uint64())],
        "decimal128(20, 0)",
        [Decimal(-1), Decimal(2**64 - 1)],
    ),
    "a float holds 32 bits": ([pa.array([2**31 - 1], pa.int32()), pa.array([0.5])], "double", [2.0**31 - 1, 0.5]),
    "a float does not hold 64 bits": ([pa.array([BIG]), pa.array([0.1])], "string", [str(BIG), "0.1"]),
    "floats": ([pa.array([0.5], pa.float32()), pa.array([0.1])], "double", [0.5, 0.1]),
    "decimals": (
        [pa.array([Decimal("1.25")], pa.decimal128(5, 2)), pa.array([Decimal(12345)], pa.decimal128(5, 0))],
        "decimal128(7, 2)",
        [Decimal("1.25"), Decimal("12345.00")],
    ),
    "a decimal and an integer": (
        [pa.array([Decimal("1.25")], pa.decimal128(5, 2)), pa.array([7], pa.int64())],
        "decimal128(21, 2)",
        [Decimal("1.25"), Decimal("7.00")],
    ),
    "a day and a time": (
        [pa.array([dt.date(2020, 1, 2)]), pa.array([dt.datetime(2020, 1, 2, 3)], pa.timestamp("ms"))],
        "timestamp[us]",
        [dt.datetime(2020, 1, 2), dt.datetime(2020, 1, 2, 3)],
    ),
    "a number and text": ([pa.array([1]), pa.array(["x"])], "string", ["1", "x"]),
    "truth and a number": ([pa.array([True]), pa.array([1])], "string", ["true", "1"]),
    "nothing and a number": ([pa.array([None], pa.null()), pa.array([1])], "int64", [None, 1]),
    "nested and text": ([pa.array([{"x": [1]}]), pa.array(["y"])], "string", ['{"x":[1]}', "y"]),
    "three types": ([pa.array([1], pa.int32()), pa.array([0.5]), pa.array([BIG])], "string", ["1", "0.5", str(BIG)]),
}


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("title", UNION)
def test_union_holds_every_value(bench: Any, title: str, kind: str) -> None:
    arrays, type_, values = UNION[title]
    for number, array in enumerate(arrays):
        _write(pa.table({"k": [number], "v": array}), bench.root / f"{number}.{kind}", kind)
    made = bench.run(READ, {"path": f"*.{kind}", "schema": "union"})
    assert [(c.name, c.type) for c in made.manifest.columns] == [("k", "int64"), ("v", type_)]
    assert [r["v"] for r in bench.rows(made)] == values


def test_union_of_missing_columns_keeps_the_order_of_files(bench: Any) -> None:
    for number in range(6):
        columns = {"n": range(number * 10_000, (number + 1) * 10_000)}
        extra = {"x": [number] * 10_000} if number % 2 else {}
        pq.write_table(pa.table({**columns, **extra}), bench.root / f"{number}.parquet")
    made = bench.run(READ, {"path": "*.parquet", "schema": "union"}, threads=4)
    rows = bench.rows(made)
    assert [r["n"] for r in rows] == [*range(60_000)]
    assert [r["x"] for r in rows[::10_000]] == [None, 1, None, 3, None, 5]


def test_types_decide_in_a_union(bench: Any) -> None:
    pq.write_table(pa.table({"v": [1]}), bench.root / "1.parquet")
    pq.write_table(pa.table({"v": [0.5]}), bench.root / "2.parquet")
    made = bench.run(READ, {"path": "*.parquet", "schema": "union", "types": {"v": "DOUBLE"}})
    assert bench.rows(made) == [{"v": 1.0}, {"v": 0.5}]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv"])
def test_types_decide_where_files_disagree(bench: Any, kind: str) -> None:
    """As for CSV, whose columns have no type of their own: the declared one holds for all files."""
    days = [pa.array(["2024-01-02"]), pa.array([dt.date(2024, 1, 3)]), pa.array([dt.datetime(2024, 1, 4)])]
    amounts = [pa.array([1], pa.int32()), pa.array(["2.50"]), pa.array([0.25])]
    for number, (day, amount) in enumerate(zip(days, amounts, strict=True)):
        table = pa.table({"n": [number], "day": day, "amount": amount})
        if kind == "csv":
            row = ",".join(str(v) for v in table.to_pylist()[0].values())
            bench.file(f"{number}.csv", f"n,day,amount\n{row}\n")
        else:
            _write(table, bench.root / f"{number}.{kind}", kind)
    made = bench.run(READ, {"path": f"*.{kind}", "types": {"day": "DATE", "amount": "DECIMAL(10,2)"}})
    assert [(c.name, c.type) for c in made.manifest.columns][1:] == [
        ("day", "date32[day]"),
        ("amount", "decimal128(10, 2)"),
    ]
    assert [(r["day"].day, r["amount"]) for r in bench.rows(made)] == [
        (2, Decimal("1.00")),
        (3, Decimal("2.50")),
        (4, Decimal("0.25")),
    ]


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_types_of_other_columns_still_count(bench: Any, kind: str) -> None:
    """A type for one column says nothing of the others, or of columns that are missing."""
    _write(pa.table({"a": [1], "b": [1]}), bench.root / f"0.{kind}", kind)
    _write(pa.table({"a": ["1"], "b": ["1"]}), bench.root / f"1.{kind}", kind)
    _write(pa.table({"b": [2]}), bench.root / f"2.{kind}", kind)
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": f"*.{kind}", "types": {"a": "BIGINT"}})
    assert "'b' is string, not int64" in str(caught.value)
    assert "without 'a'" in str(caught.value)
    assert "'a' is" not in str(caught.value)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_a_value_that_does_not_fit_the_declared_type(bench: Any, kind: str) -> None:
    """Is an error, in whichever file it is."""
    _write(pa.table({"a": [1]}), bench.root / f"0.{kind}", kind)
    _write(pa.table({"a": ["one"]}), bench.root / f"1.{kind}", kind)
    with pytest.raises(TaskError, match="one"):
        bench.run(READ, {"path": f"*.{kind}", "types": {"a": "BIGINT"}})


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_two_files_that_differ_in_case(bench: Any, kind: str) -> None:
    for number, name in enumerate(["id", "Id"]):
        if kind == "csv":
            bench.file(f"{number}.csv", f"{name}\n1\n")
        else:
            pq.write_table(pa.table({name: [1]}), bench.root / f"{number}.parquet")
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": f"*.{kind}", "schema": "union"})
    assert str(caught.value) == (
        f"error: '0.{kind}' has a column 'id', and '1.{kind}' has 'Id': they differ in case only\n"
        "help: rename one, or read the files by tasks of their own"
    )


def test_a_union_through_the_command_line(project: Project) -> None:
    project.write("d/1.csv", "a\n1\n")
    project.write("d/2.csv", "a,b\n2,x\n")
    project.tasks("  rows: {transform: tabular.read, params: {path: d/*.csv}}\n")
    failed = project.fast("run")
    assert failed.code == 1
    assert "'d/2.csv' has other columns than 'd/1.csv': with 'b'" in failed.err + failed.out
    project.edit("pipeline.yaml", "d/*.csv}", "d/*.csv, schema: union}")
    assert project.fast("run").code == 0
    assert project.fast("query", "select * from rows", "--csv").out == "a,b\n1,\n2,x\n"
    assert project.fast("run", "--json").outcomes() == {"rows": "fresh"}
