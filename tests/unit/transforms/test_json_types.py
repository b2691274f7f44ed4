"""Values of JSON stay what they are, however deep they stand, and have no wider type than that takes."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transform_bench import Bench

from mmetl.errors import TaskError
from mmetl.transforms.tabular.read import READ

UUID = "AAAAAAAA-0000-4000-8000-00000000000A"
BIG = 9007199254740993  # 2^53 + 1

# title: lines, the type of column `a`, its values
CASES: dict[str, tuple[list[str], str, list[Any]]] = {
    "fractions": (["0.5", "1", "1e22", "-2.5e-10"], "double", [0.5, 1.0, 1e22, -2.5e-10]),
    "a large integer that a float holds": ([str(BIG - 1), "0.5"], "double", [float(BIG - 1), 0.5]),
    "a large integer": ([str(BIG), "0.5"], "string", [str(BIG), "0.5"]),
    "a large negative integer": ([f"-{BIG}", "0.5", "null"], "string", [f"-{BIG}", "0.5", None]),
    "negative and positive integers": (["-1", "5"], "int64", [-1, 5]),
    "integers beyond 63 bits": (["-1", str(2**63)], "decimal128(38, 0)", [Decimal(-1), Decimal(2**63)]),
    "negative ones in a list of an object": (
        ['{"x": [-1, 5]}', '{"x": [7]}'],
        "struct<x: list<element: int64>>",
        [{"x": [-1, 5]}, {"x": [7]}],
    ),
    "large integers alone": ([str(BIG), "1"], "int64", [BIG, 1]),
    "beyond 64 bits": (["18446744073709551617", "1"], "string", ["18446744073709551617", "1"]),
    "too large": (["1e400", "1.5"], "string", ["1e400", "1.5"]),
    "no numbers": (["NaN", "1.5"], "double", ["nan", 1.5]),
    "texts beside numbers": (['"x"', "1", "true", '"2"'], "string", ["x", "1", "true", "2"]),
    "texts beside objects": (['"x"', '{"k": [1]}', '["y"]'], "string", ["x", '{"k":[1]}', '["y"]']),
    "texts beside numbers in a list": (['["x", 1]', "[]"], "list<element: string>", [["x", "1"], []]),
    "texts beside numbers in objects": (['{"k": "x"}', '{"k": 1}'], "struct<k: string>", [{"k": "x"}, {"k": "1"}]),
    "times with a zone": (
        ['"2024-01-01T10:00:00+02:00"', '"2024-01-01T10:00:00+00:00"'],
        "timestamp[us, tz=UTC]",
        [dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC)],
    ),
    "times with a zone in a list": (
        ['["2024-01-01T10:00:00+0200"]'],
        "list<element: timestamp[us, tz=UTC]>",
        [[dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)]],
    ),
    "times in UTC": (
        ['"2024-01-01T10:00:00Z"'],
        "timestamp[us, tz=UTC]",
        [dt.datetime(2024, 1, 1, 10, tzinfo=dt.UTC)],
    ),
    "times of which only some have a zone": (
        ['"2024-01-01T10:00:00"', '"2024-01-01T10:00:00Z"'],
        "string",
        ["2024-01-01T10:00:00", "2024-01-01T10:00:00Z"],
    ),
    "times": (['"2024-01-01 10:00:00"'], "timestamp[us]", [dt.datetime.fromisoformat("2024-01-01T10:00")]),
    "days": (['"2024-01-31"', "null"], "date32[day]", [dt.date(2024, 1, 31), None]),
    "no days": (['"2024-1-31"', '"2024-01-31"'], "string", ["2024-1-31", "2024-01-31"]),
    "words that DuckDB takes for days": (['"epoch"', '"infinity"'], "string", ["epoch", "infinity"]),
    "hours": (['"10:00:00"'], "time64[us]", [dt.time(10)]),
    "hours without seconds": (['"10:00"'], "string", ["10:00"]),
    "identifiers": ([f'"{UUID}"'], "string", [UUID]),
    "in a list": ([f"[0.5, {BIG}]", "[]", "null"], "list<element: string>", [["0.5", str(BIG)], [], None]),
    "in a list that keeps them": (["[0.5, 1]", "[]"], "list<element: double>", [[0.5, 1.0], []]),
    "in one of two members": (
        [f'{{"x": {BIG}, "y d": 0.5}}', '{"x": 0.5, "y d": 1}'],
        'struct<x: string, "y d": double>',
        [{"x": str(BIG), "y d": 0.5}, {"x": "0.5", "y d": 1.0}],
    ),
    "in objects of a list": (
        [f'[{{"x": [1.5, {BIG}], "y": 0.5}}, {{"y": 1}}]', '[{"y": null}]'],
        "list<element: struct<x: list<element: string>, y: double>>",
        [[{"x": ["1.5", str(BIG)], "y": 0.5}, {"x": None, "y": 1.0}], [{"x": None, "y": None}]],
    ),
}


@pytest.mark.parametrize("kind", ["ndjson", "json"])
@pytest.mark.parametrize("title", CASES)
def test_digits(bench: Bench, title: str, kind: str) -> None:
    values, type_, expected = CASES[title]
    lines = [f'{{"n": 0.5, "a": {value}}}' for value in values]
    bench.file(f"x.{kind}", f"[{','.join(lines)}]" if kind == "json" else "\n".join(lines) + "\n")
    made = bench.run(READ, {"path": f"x.{kind}"})
    assert [(c.name, c.type) for c in made.manifest.columns] == [("n", "double"), ("a", type_)]
    rows = [r["a"] for r in bench.rows(made)]
    assert ["nan" if v != v else v for v in rows] == expected


def test_in_an_object_of_many_keys(bench: Bench) -> None:
    """DuckDB takes it for a map."""
    bench.file("x.ndjson", "".join(f'{{"a": {{"k{n}": 0.5, "z": {BIG + n}}}}}\n' for n in range(300)))
    made = bench.run(READ, {"path": "x.ndjson"})
    assert [c.type for c in made.manifest.columns] == ["map<string, string>"]
    assert dict(bench.rows(made)[2]["a"]) == {"k2": "0.5", "z": str(BIG + 2)}


def test_a_declared_type_gets_all_digits(bench: Bench) -> None:
    bench.file("x.ndjson", f'{{"a": {BIG}}}\n{{"a": 0.5}}\n')
    made = bench.run(READ, {"path": "x.ndjson", "types": {"a": "DECIMAL(20,1)"}})
    assert [r["a"] for r in bench.rows(made)] == [Decimal(BIG), Decimal("0.5")]


def test_files_are_one_column(bench: Bench) -> None:
    bench.file("1.ndjson", f'{{"a": {BIG}}}\n')
    bench.file("2.ndjson", '{"a": 0.5}\n')
    assert bench.rows(bench.run(READ, {"path": "*.ndjson"})) == [{"a": str(BIG)}, {"a": "0.5"}]


def test_digits_of_rows_beside_a_bad_one(bench: Bench) -> None:
    bench.file("x.ndjson", f'{{"a": {BIG}}}\n{{"a": 0.5}}\n{{\n')
    made = bench.run(READ, {"path": "x.ndjson", "bad_rows": "quarantine", "max_bad_fraction": 0.5})
    assert bench.rows(made) == [{"a": str(BIG)}, {"a": "0.5"}]


ALIKE = "write them alike: SQL cannot tell them apart"
KEYS: dict[str, tuple[list[str], str]] = {
    "in one object": (['{"a":1,"A":2}'], f"error: objects in '{{}}' have the keys 'A' and 'a': they differ in case only\nhelp: {ALIKE}"),
    "in two objects": (['{"id":1}', '{"ID":2}'], f"error: objects in '{{}}' have the keys 'ID' and 'id': they differ in case only\nhelp: {ALIKE}"),
    "in an object inside": (
        ['{"o":{"a":1}}', '{"o":{"A":2}}'],
        f"error: objects inside of those in '{{}}' have keys that differ in case only, such as 'A'\nhelp: {ALIKE}",
    ),
    "empty": (['{"":1,"b":2}'], "error: an object in '{}' has an empty key\nhelp: give it a name"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["ndjson", "json"])
@pytest.mark.parametrize("title", KEYS)
def test_keys_that_are_no_columns(bench: Bench, title: str, kind: str) -> None:
    """DuckDB would read columns without a value in their place."""
    lines, message = KEYS[title]
    bench.file(f"x.{kind}", f"[{','.join(lines)}]" if kind == "json" else "\n".join(lines) + "\n")
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": f"x.{kind}"})
    assert str(caught.value) == message.format(f"x.{kind}")


def test_keys_that_look_as_if_duckdb_had_made_them(bench: Bench) -> None:
    bench.file("x.ndjson", '{"a": 1, "a_1": 2, "C0": 3}\n')
    assert bench.rows(bench.run(READ, {"path": "x.ndjson"})) == [{"a": 1, "a_1": 2, "C0": 3}]


def test_objects_of_which_each_has_few_of_many_keys(bench: Bench) -> None:
    """They are rows all the same, and no maps."""
    bench.file("x.ndjson", "".join(f'{{"k{n}": {n}}}\n' for n in range(300)))
    made = bench.run(READ, {"path": "x.ndjson"})
    assert (len(made.manifest.columns), bench.rows(made)[7]["k7"]) == (300, 7)


def test_a_column_that_is_declared_json(bench: Bench) -> None:
    bench.file("x.ndjson", '{"a": "x"}\n{"a": [1]}\n')
    assert bench.rows(bench.run(READ, {"path": "x.ndjson", "types": {"a": "JSON"}})) == [{"a": '"x"'}, {"a": "[1]"}]


@pytest.mark.parametrize("kind", [pa.decimal256(50, 2), pa.struct([("x", pa.decimal256(39, 0))])])
@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_decimals_that_duckdb_cannot_hold(bench: Bench, kind: pa.DataType, form: str) -> None:
    """It reads those of Parquet as other numbers, without a word."""
    table = pa.table({"n": [1], "d": pa.nulls(1, kind)})
    buffer = pa.BufferOutputStream()
    if form == "parquet":
        pq.write_table(table, buffer)
    else:
        with pa.ipc.new_file(buffer, table.schema) as writer:
            writer.write_table(table)
    bench.file(f"x.{form}", buffer.getvalue().to_pybytes())
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": f"x.{form}"})
    assert str(caught.value) == (
        f"error: column 'd' of 'x.{form}' has decimals of more than 38 digits: {kind}\n"
        "help: write it as text, or as a decimal of up to 38 digits"
    )


@pytest.mark.parametrize("rows", ["fail", "quarantine"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(bench: Bench, rows: str) -> None:
    """Programs on Windows write one."""
    bench.file("x.ndjson", b'\xef\xbb\xbf{"a":1}\n{"a":2}\n')
    bench.file("y.ndjson", b'{"a":3}\n')
    made = bench.run(READ, {"path": "*.ndjson", "bad_rows": rows})
    assert bench.rows(made) == [{"a": 1}, {"a": 2}, {"a": 3}]
