"""Integers of JSON keep all their digits, however deep they stand, and have no wider type than that takes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from transform_bench import Bench

from mmetl.transforms.tabular.read import READ

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
