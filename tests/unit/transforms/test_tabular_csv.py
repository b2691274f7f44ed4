"""What a CSV file says and what is read: types that keep every value, quotes over lines, and Python's reader as the judge."""

from __future__ import annotations

import csv
import datetime as dt
import io
import random
import re
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transform_bench import Bench

from mmetl.errors import TaskError
from mmetl.transforms.tabular.read import READ
from mmetl.transforms.tabular.types import _OTHERS, _SHOWN, holds

GUESSES: dict[str, tuple[list[str], str]] = {
    "integers": (["1", "-9223372036854775808", "9223372036854775807"], "int64"),
    "an integer too long": (["1", "9223372036854775808"], "string"),
    "a large integer and a fraction": (["9007199254740993", "0.5"], "string"),
    "a large integer that a float holds": (["9007199254740992", "0.5"], "double"),
    "a large negative integer and a fraction": (["-9007199254740993", "0.5"], "string"),
    "fractions as programs write them": (["0.1", "0.30000000000000004", "1e22", "-2.5e-10", "0.0"], "double"),
    "seventeen digits, as some write all floats": (["40.712776000000000", "0.10000000000000001"], "double"),
    "more digits than a float has": (["0.1234567890123456789"], "string"),
    "seventeen digits that are no float": (["0.30000000000000001"], "string"),
    "zeros at the end": (["1.50000000000000000000000"], "double"),
    "too large": (["1e400", "1.5"], "string"),
    "too small": (["1e-400", "1.5"], "string"),
    "too small for all its digits": (["1.23456789e-320"], "string"),
    "the largest float": (["1.7976931348623157e308"], "double"),
    "zeros in front": (["00123", "5"], "string"),
    "a zero in front of a fraction": (["00.5"], "string"),
    "a plus": (["+5"], "string"),
    "no digit before the point": ([".5"], "string"),
    "a minus zero": (["-0"], "string"),
    "no number": (["NaN", "1.5"], "string"),
    "infinity": (["inf", "-inf"], "string"),
    "infinity as a date": (["infinity", "2024-01-01"], "string"),
    "hexadecimal": (["0x10"], "string"),
    "underscores": (["1_000"], "string"),
    "spaces": ([" 5", "6 "], "string"),
    "yes and no": (["yes", "no"], "string"),
    "t and f": (["t", "f"], "string"),
    "booleans": (["true", "FALSE"], "bool"),
    "dates": (["2024-02-29"], "date32[day]"),
    "a day that is not": (["2024-02-30"], "string"),
    "a short date": (["2024-2-3"], "string"),
    "a date of another order": (["02/03/2024"], "string"),
    "a date before Christ": (["0044-03-15 (BC)"], "string"),
    "a year of five digits": (["20240-01-01"], "string"),
    "times": (["2024-01-01 10:00:00.123456", "2024-01-01T10:00"], "timestamp[us]"),
    "times of nanoseconds": (["2024-01-01 10:00:00.123456789"], "string"),
    "midnight at the end of a day": (["2024-01-01 24:00:00"], "string"),
    "a leap second": (["2024-01-01 23:59:60"], "string"),
    "times with zones": (["2024-01-01 10:00:00+02:00", "2024-01-01T10:00:00Z"], "timestamp[us, tz=UTC]"),
    "a zone that is not": (["2024-01-01 10:00:00+99:99"], "string"),
    "times with and without zones": (["2024-01-01 10:00:00Z", "2024-01-01 10:00:00"], "string"),
    "hours": (["10:00"], "string"),
    "nulls only": (["", ""], "string"),
}


@pytest.mark.parametrize("title", GUESSES)
def test_a_guess_keeps_every_value(bench: Any, title: str) -> None:
    values, expected = GUESSES[title]
    bench.file("x.csv", "n,v\n" + "".join(f"{n},{v}\n" for n, v in enumerate(values)))
    made = bench.run(READ, {"path": "x.csv", "columns": ["v"]})
    assert [c.type for c in made.manifest.columns] == [expected]
    if expected == "string":
        assert [r["v"] or "" for r in bench.rows(made)] == values


NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda f: f"{f:.16e}"),
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=5).map(lambda d: format(d, "f")),
    st.from_regex(r"-?(0|[1-9]\d{0,20})(\.\d{1,20})?([eE][+-]?\d{1,3})?", fullmatch=True).filter(str.isascii),
)


def gives_back(text: str) -> bool:
    """Tell by Python alone whether a float gives back the digits of a number."""
    number = Decimal(text)
    if Decimal(repr(float(text))) == number:
        return True
    digits = len(number.normalize().as_tuple().digits)
    return digits <= 17 and Decimal(f"{float(text):.{max(digits, 15) - 1}e}") == number


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(NUMBERS, min_size=1, max_size=5))
def test_numbers_are_read_as_what_holds_them(tmp_path: Path, values: list[str]) -> None:
    bench = Bench(Path(tempfile.mkdtemp(dir=tmp_path)))
    bench.file("x.csv", "v\n" + "\n".join(values) + "\n")
    made = bench.run(READ, {"path": "x.csv"})
    found = [r["v"] for r in bench.rows(made)]
    if all(str(v) == t for v, t in zip(found, values, strict=True)):
        return
    assert made.manifest.columns[0].type == "double"
    assert all(gives_back(t) for t in values)
    assert found == [float(t) for t in values]


CELLS = ["1", "", '""', "a", "1.5", '"a,b"', '"a""b"', '"x\ny"', " ", "-1", "é", "'", "#", "\\", "NULL", '"\n"', "a b"]


def test_rows_are_those_of_python(bench: Any) -> None:
    """Over random files: the texts are the same, or there is an error; never another row."""
    draw, same = random.Random(5), 0
    for _ in range(200):
        width = draw.randint(1, 3)
        rows = [[draw.choice(CELLS) for _ in range(width)] for _ in range(draw.randint(0, 5))]
        if draw.random() < 0.2 and rows:
            rows[-1] = rows[-1] + [draw.choice(CELLS[3:])] if draw.random() < 0.5 else [draw.choice('"x')] * (width + 1)
        text = "\n".join(",".join(row) for row in [list("cde"[:width]), *rows]) + draw.choice(["", "\n"])
        bench.file("x.csv", text)
        try:
            made = bench.run(READ, {"path": "x.csv"})
        except TaskError:
            assert rows
            assert any(len(r) != width for r in csv.reader(io.StringIO(text, newline=""))) or text.count('"') % 2
            continue
        expected = [r or [""] for r in csv.reader(io.StringIO(text, newline=""))][1:]
        if width > 1:
            expected = [r for r in expected if r != [""]]
        found = [["" if v is None else v for v in r.values()] for r in bench.rows(made)]
        typed = [c.type for c in made.manifest.columns]
        for column, kind in enumerate(typed):
            read = {"int64": int, "double": float}.get(kind, str)
            for row in expected:
                row[column] = read(row[column]) if row[column] else ""
        assert found == expected, text
        same += 1
    assert same > 120


def lines(inside: str, count: int, size: int) -> str:
    """Return a CSV file of so many bytes whose second column has lines that look like rows."""
    field = inside * count
    return "i,d\n" + "".join(f'{n},"{field}"\n' for n in range(size // (len(field) + 8)))


@pytest.mark.parametrize(("inside", "count"), [("1,2\n", 3), ("x,\n", 300), ('1,""\n', 3000), ("x,\n", 1_000_000)])
def test_quoted_lines_of_a_large_file_are_no_rows(bench: Any, inside: str, count: int) -> None:
    text = lines(inside, count, 17_000_000)
    bench.file("x.csv", text)
    for threads in (1, 4):
        made = bench.run(READ, {"path": "x.csv"}, threads=threads)
        assert [c.type for c in made.manifest.columns] == ["int64", "string"]
        with duckdb.connect() as con:
            parts = [str(bench.parts.root / p.fingerprint) for p in made.manifest.parts]
            query = "select count(*), max(i), min(length(d)), max(length(d)) from read_parquet(?)"
            size = len(inside.replace('""', '"')) * count
            rows = text.count('"\n') if '""' not in inside else len(re.findall(r'(?m)^\d+,"1', text))
            assert con.execute(query, [parts]).fetchall() == [(rows, rows - 1, size, size)]


def test_an_open_quote_in_a_large_file_is_told(bench: Any) -> None:
    """Reading in one piece, DuckDB drops what follows."""
    bench.file("x.csv", 'i,d\n0,"two\nlines"\n' + "1,x\n" * 600_000 + '2,"y\n' + "3,z\n" * 10)
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": "x.csv"})
    assert str(caught.value) == (
        'x.csv:600004:1: error: value with unterminated quote found\n600004 | 2,"y\n     | ^\n'
        "help: mend the row, or set `delimiter` or `encoding`"
    )


def test_a_field_of_some_megabytes(bench: Any) -> None:
    bench.file("x.csv", "i,d\n1," + "x" * 12_000_000 + "\n2,y\n")
    assert [len(r["d"]) for r in bench.rows(bench.run(READ, {"path": "x.csv"}))] == [12_000_000, 1]


def test_a_value_of_a_long_field_that_does_not_fit(bench: Any) -> None:
    bench.file("x.csv", "i,d\n1," + "x" * 200_000 + "\noops,y\n")
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": "x.csv", "types": {"i": "INTEGER"}})
    assert str(caught.value.where) == "x.csv:3:1"


def test_a_single_column_keeps_its_nulls(bench: Any) -> None:
    bench.file("x.csv", 'a\n1\n\n""\n2\n')
    assert [r["a"] for r in bench.rows(bench.run(READ, {"path": "x.csv"}))] == [1, None, None, 2]


def test_every_type_that_may_be_named_is_one() -> None:
    nested = {"ARRAY": "INTEGER[2]", "LIST": "INTEGER[]", "MAP": "MAP(INTEGER, TEXT)", "STRUCT": "STRUCT(a INTEGER)", "ROW": "ROW(a INTEGER)"}  # fmt: skip
    with duckdb.connect() as con:
        for word in (*_SHOWN, *_OTHERS):
            ((_, kind, *_),) = con.execute(f"describe select null::{nested.get(word, word)} as x").fetchall()
            assert holds(kind), word


def test_times_with_zones_keep_their_moment(bench: Any) -> None:
    bench.file("x.csv", "t\n2024-01-01 10:00:00+02:00\n2024-01-01T10:00:00-00:30\n")
    moments = [r["t"] for r in bench.rows(bench.run(READ, {"path": "x.csv"}))]
    assert moments == [
        dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC),
        dt.datetime(2024, 1, 1, 10, 30, tzinfo=dt.UTC),
    ]
