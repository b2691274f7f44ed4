"""`bad_rows: quarantine`: good rows go on, bad ones stand aside with file, line and reason."""

from __future__ import annotations

import bz2
import contextlib
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from transform_bench import Bench, Content

from mmetl.contracts.transform import Scope, Table
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.read import READ
from mmetl.transforms.tabular.reading.csv_rows import rows_of

OPEN = "value with unterminated quote found"


def read(bench: Bench, params: dict[str, Any], key: tuple[str, ...] = ()) -> tuple[list[Any], list[Any]]:
    """Return the rows that were read and those that were set aside, as lists of values."""
    model = READ.params.model_validate({"bad_rows": "quarantine", "max_bad_fraction": 0.9, **params})
    made = READ.run(bench.job(model, READ.declare(model, Scope("me", frozenset({"me"}), {}, key)), key=key))
    rows = [list(r.values()) for r in bench.rows(bench.table_of(made, key))]
    if made.quarantine is None:
        return rows, []
    paths = tuple(bench.parts.root / p.fingerprint for p in made.quarantine.parts)
    aside = bench.rows(Table("me", made.quarantine, paths))
    assert [c.name for c in made.quarantine.columns] == ["_error", "_file", "_line", "_text"]
    return rows, [list(r.values()) for r in aside]


# title: content, params, the rows, what is set aside without the file
CSV: dict[str, tuple[Content, dict[str, Any], list[Any], list[Any]]] = {
    "ragged rows": (
        b"a,b\n1,x\n2\n3,y,z\n4,w\n",
        {},
        [[1, "x"], [4, "w"]],
        [["this row has 1 columns, not 2", 3, "2"], ["this row has 3 columns, not 2", 4, "3,y,z"]],
    ),
    "empty columns at the end do no harm": (b"a,b\n1,x,,\n2\n", {}, [[1, "x"]], [["this row has 1 columns, not 2", 3, "2"]]),
    "a value that is no date": (
        b"d,n\n2024-01-01,1\n2024-02-30,2\n,3\n",
        {"types": {"d": "DATE"}},
        [["2024-01-01", 1], [None, 3]],
        [["'2024-02-30' in column 'd' is no DATE", 3, "2024-02-30,2"]],
    ),
    "a value on the second line of a row": (
        b'n,t\n1,"x\ny"\nz,"v\nw"\n2\n',
        {"types": {"n": "INTEGER"}},
        [[1, "x\ny"]],
        [["'z' in column 'n' is no INTEGER", 4, 'z,"v\nw"'], ["this row has 1 columns, not 2", 6, "2"]],
    ),
    "what is set aside has no part in the types": (b"a,b\n1,x\nno\n2,y\n", {}, [[1, "x"], [2, "y"]], [["this row has 1 columns, not 2", 3, "no"]]),
    "an open quote spoils one line": (b'a,b\n1,"x\n2,y\n3,"z"\n', {}, [[2, "y"], [3, "z"]], [[OPEN, 2, '1,"x']]),
    "an open quote at the end": (b'a,b\n1,x\n2,"y\n', {}, [[1, "x"]], [[OPEN, 3, '2,"y']]),
    "text after a quote": (b'a,b\n"x"y,2\n3,4\n', {}, [[3, 4]], [[OPEN, 2, '"x"y,2']]),
    "bytes that are not utf-8": (b"a,b\n1,\xc3\xa9\n2,\xe9\n", {}, [[1, "é"]], [["this row is not utf-8", 3, "2,\\xe9"]]),
    "utf-16": ("a,b\n1,é\nü\n".encode("utf-16"), {"encoding": "utf-16"}, [[1, "é"]], [["this row has 1 columns, not 2", 3, "ü"]]),
    "latin-1": (b"a,b\n1,\xe9\n\xfc\n", {"encoding": "latin-1"}, [[1, "é"]], [["this row has 1 columns, not 2", 3, "ü"]]),
    "ends of lines that differ": (b"a,b\n1,2\r\n3,4\n5\r\n", {}, [[1, 2], [3, 4]], [["this row has 1 columns, not 2", 4, "5"]]),
    "without a header": (b"1,2\n\n3\n", {"header": False, "names": ["x", "y"]}, [[1, 2]], [["this row has 1 columns, not 2", 3, "3"]]),
    "blank lines of one column are nulls": (b"a\n1\n\n2,3\n", {}, [[1], [None]], [["this row has 2 columns, not 1", 4, "2,3"]]),
    "a delimiter of its own": (b"a;b\n1;2\n3\n", {"delimiter": ";"}, [[1, 2]], [["this row has 1 columns, not 2", 3, "3"]]),
    "texts that mean null": (b"a,b\n1,2\n3\n2,1\n", {"null_values": ["2", "@2"]}, [[1, None], [None, 1]], [["this row has 1 columns, not 2", 3, "3"]]),
    "a long line": (
        lambda: b"a,b\n1," + b"x" * 20_000_000 + b"\n2,3\n",
        {},
        [[2, 3]],
        [["this row is longer than 16 MB", 2, "1," + "x" * 998 + "…"]],
    ),
    "a row too long by its bytes": (
        lambda: b"a,b\n1," + "é".encode() * 9_000_000 + b"\n2,3\n",
        {},
        [[2, 3]],
        [["this row is longer than 16 MB", 2, "1," + "é" * 998 + "…"]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("title", CSV)
def test_bad_rows_of_csv(bench: Bench, title: str) -> None:
    content, params, good, bad = CSV[title]
    bench.file("x.csv", content)
    rows, aside = read(bench, {"path": "x.csv", **params})
    assert [[v.isoformat() if hasattr(v, "isoformat") else v for v in r] for r in rows] == good
    assert aside == [[error, "x.csv", line, text] for error, line, text in bad]


NDJSON: dict[str, tuple[Content, dict[str, Any], list[Any], list[Any]]] = {
    "no JSON": (b'{"a":1}\n{"a":\n{"a":2}\n', {}, [[1], [2]], [["this line is no JSON", 2, '{"a":']]),
    "no object": (b'{"a":1}\n[1]\n5\n', {}, [[1]], [["this line is no JSON object", 2, "[1]"], ["this line is no JSON object", 3, "5"]]),
    "a null is a row without values": (b'{"a":1}\n null\nx\n', {}, [[1], [None]], [["this line is no JSON", 3, "x"]]),
    "a value that does not fit": (
        b'{"a":"1.5","b":1}\n\n{"a":"x","b":2}\n{"b":3}\n{}\n',
        {"types": {"a": "DECIMAL(9,2)"}},
        [["1.50", 1], [None, 3], [None, None]],
        [["'x' in column 'a' is no DECIMAL(9,2)", 3, '{"a":"x","b":2}']],
    ),
    "bytes that are not utf-8": (b'{"a":"\xe9"}\n{"a":"\xc3\xa9"}\r\n', {}, [["é"]], [["this line is not utf-8", 1, '{"a":"\\xe9"}']]),
    "half a character": (b'{"a":"\\ud800"}\n{"a":"x"}\n', {}, [["x"]], [["this line is no JSON", 1, '{"a":"\\ud800"}']]),
    "a line too long": (
        lambda: b'{"a":1}\n{"a":"' + b"x" * 40_000_000 + b'"}\n',
        {},
        [[1]],
        [["this line is longer than 32 MB", 2, '{"a":"' + "x" * 994 + "…"]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("title", NDJSON)
def test_bad_lines_of_ndjson(bench: Bench, title: str) -> None:
    content, params, good, bad = NDJSON[title]
    bench.file("x.ndjson", content)
    rows, aside = read(bench, {"path": "x.ndjson", **params})
    assert [[str(v) if hasattr(v, "as_tuple") else v for v in r] for r in rows] == good
    assert aside == [[error, "x.ndjson", line, text] for error, line, text in bad]


def test_several_files_and_their_union(bench: Bench) -> None:
    bench.file("a.csv", "x,y\n1,2\n3\n")
    bench.file("b.csv", "z,x\nq,4\nr,no\ns,t,u\n")
    bench.file("c.csv.bz2", bz2.compress(b"x\n5\n6,7\n"))
    params = {"path": ["*.csv", "*.bz2"], "schema": "union", "types": {"x": "INTEGER"}, "format": "csv"}
    rows, aside = read(bench, params)
    assert rows == [[1, 2, None], [4, None, "q"], [5, None, None]]
    assert aside == [
        ["this row has 1 columns, not 2", "a.csv", 3, "3"],
        ["'no' in column 'x' is no INTEGER", "b.csv", 3, "r,no"],
        ["this row has 3 columns, not 2", "b.csv", 4, "s,t,u"],
        ["this row has 2 columns, not 1", "c.csv.bz2", 3, "6,7"],
    ]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from(["a", '"', ",", " ", "\n", '""', ",,", "\r\n"]), max_size=14))
@example(pieces=['"', '"', " ", '"', " ", '"', ","])
@example(pieces=[",", " ", " ", '"', "\n", '"'])
def test_what_is_bad_is_what_fails(tmp_path: Path, pieces: list[str]) -> None:
    """Rows are judged as DuckDB judges them: something is set aside exactly where the same file fails as a whole."""
    bench = Bench(Path(tempfile.mkdtemp(dir=tmp_path)))
    bench.file("x.csv", "h,i\n1,2\n" + "".join(pieces) + "\n")
    params = {"path": "x.csv", "types": {"h": "VARCHAR", "i": "VARCHAR"}}
    _, aside = read(bench, {**params, "max_bad_fraction": 1})
    with (bench.root / "x.csv").open(newline="") as file:
        judged = [row for row in rows_of(file, ",", 2) if row.error]
    with contextlib.suppress(TaskError):
        bench.run(READ, params)
        assert judged == []
        return
    assert len(judged) == len(aside)
    assert aside or "\r\n" in pieces  # ends of lines that differ


def test_ends_of_lines_that_differ_are_no_bad_rows(bench: Bench) -> None:
    bench.file("x.csv", b"a,b\n1,2\r\n3,4\n")
    assert read(bench, {"path": "x.csv"}) == ([[1, 2], [3, 4]], [])


def test_nothing_is_set_aside_where_all_is_well(bench: Bench) -> None:
    bench.file("x.csv", "a\n1\n")
    assert read(bench, {"path": "x.csv"}) == ([[1]], [])


def test_the_same_rows_with_and_without_a_bad_one(bench: Bench) -> None:
    """What is good is read the same way, in the same order and types, whoever stands beside it."""
    lines = [f'{n},"t {n}\n{n}",{n / 4},2024-01-{n % 28 + 1:02}' for n in range(5000)]
    bench.file("x.csv", "n,t,f,d\n" + "\n".join(lines) + "\n")
    clean, nothing = read(bench, {"path": "x.csv"})
    lines.insert(3000, "1,2")
    bench.file("x.csv", "n,t,f,d\n" + "\n".join(lines) + "\n")
    rows, aside = read(bench, {"path": "x.csv"})
    assert (rows, nothing, len(aside)) == (clean, [], 1)


def test_a_key_is_still_a_key(bench: Bench) -> None:
    bench.file("x.csv", "k\n1\n2,\n1\n3,3\n")
    with pytest.raises(TaskError, match="1"):
        read(bench, {"path": "x.csv"}, key=("k",))


MANY: dict[str, tuple[str, str]] = {
    "x.csv": (
        "a\n1\n2\n3,4\n5,6\n",
        (
            "x.csv:4:1: error: 2 of 4 rows are bad, more than a share of 0.4; the first: this row has 2 columns, not 1\n"
            "   4 | 3,4\n     | ^\nhelp: mend them, or raise `max_bad_fraction`"
        ),
    ),
    "y.csv": (
        "a\n1\nx\ny\n",
        (
            "y.csv:3:1: error: 2 of 3 rows are bad, more than a share of 0.4; the first: 'x' in column 'a' is no INTEGER\n"
            "   3 | x\n     | ^\nhelp: mend them, or raise `max_bad_fraction`"
        ),
    ),
    "z.ndjson": (
        '{"a":1}\n{"a":"x"}\nx\n{"a":2}\n{"a":"y"}\n',
        (
            "z.ndjson:2:1: error: 3 of 5 rows are bad, more than a share of 0.4; the first: 'x' in column 'a' is no INTEGER\n"
            '   2 | {"a":"x"}\n     | ^\nhelp: mend them, or raise `max_bad_fraction`'
        ),
    ),
}


@pytest.mark.parametrize("path", MANY)
def test_too_many_bad_rows_fail(bench: Bench, path: str) -> None:
    content, error = MANY[path]
    bench.file(path, content)
    with pytest.raises(TaskError) as caught:
        read(bench, {"path": path, "max_bad_fraction": 0.4, "types": {"a": "INTEGER"}})
    assert str(caught.value) == error


def test_all_rows_may_be_bad(bench: Bench) -> None:
    bench.file("x.csv", "a,b\n1\n")
    rows, aside = read(bench, {"path": "x.csv", "max_bad_fraction": 1})
    assert (rows, len(aside)) == ([], 1)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "parquet": ({"path": "x.parquet"}, "'bad_rows' is for csv, tsv and ndjson, and this file is parquet"),
    "json": ({"path": "x.json"}, "'bad_rows' is for csv, tsv and ndjson, and this file is json"),
    "a fraction alone": (
        {"path": "x.csv", "bad_rows": "fail", "max_bad_fraction": 0.5},
        "'max_bad_fraction' is for rows that are set aside",
    ),
}


@pytest.mark.parametrize("title", REFUSED)
def test_params_that_do_not_go_together(bench: Bench, title: str) -> None:
    params, error = REFUSED[title]
    with pytest.raises(ParamError, match=error):
        bench.declare(READ, {"bad_rows": "quarantine", **params})
