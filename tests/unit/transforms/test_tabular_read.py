# ruff: noqa: DTZ001 - times without a zone are data here
"""`tabular.read`: CSV and its oddities, NDJSON, Parquet."""

from __future__ import annotations

import datetime as dt
import gzip
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transform_bench import Content

from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.read import READ

CSV: dict[str, tuple[str | bytes, dict[str, Any], list[str], list[list[Any]]]] = {
    "types": (
        "i,d,b,t,ts,z,s\n1,1.5,true,2020-01-02,2020-01-02 03:04:05,2020-01-02T03:04:05Z,x\n-2,3,FALSE,,,,\n",
        {},
        ["int64", "double", "bool", "date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]", "string"],
        [
            [
                1,
                1.5,
                True,
                dt.date(2020, 1, 2),
                dt.datetime(2020, 1, 2, 3, 4, 5),
                dt.datetime(2020, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
                "x",
            ],
            [-2, 3.0, False, None, None, None, None],
        ],
    ),
    "what a number would lose stays text": (
        "a,b,c,d\n007,12345678901234567890,+1,1_000\n8,1,2,3\n",
        {},
        ["string"] * 4,
        [["007", "12345678901234567890", "+1", "1_000"], ["8", "1", "2", "3"]],
    ),
    "empty text and null": ('a,n\n"",1\n,""\n', {}, ["string", "int64"], [["", 1], [None, None]]),
    "byte order mark, CRLF, quotes": (
        b'\xef\xbb\xbfa,b\r\n"x\r\ny","q""q"\r\n1,2',
        {},
        ["string", "string"],
        [["x\r\ny", 'q"q'], ["1", "2"]],
    ),
    "null values": ("a\n1\nNA\n-\n", {"null_values": ["NA", "-"]}, ["int64"], [[1], [None], [None]]),
    "types given": (
        "a,b\n007,1.50\n",
        {"types": {"a": "BIGINT", "b": "DECIMAL(9,2)"}},
        ["int64", "decimal128(9, 2)"],
        [[7, __import__("decimal").Decimal("1.50")]],
    ),
    "columns": ("a,b,c\n1,2,3\n", {"columns": ["c", "a"]}, ["int64", "int64"], [[3, 1]]),
    "no header": ("1;x\n2;y\n", {"header": False, "delimiter": ";"}, ["int64", "string"], [[1, "x"], [2, "y"]]),
    "names": ("1,x\n", {"header": False, "names": ["n", "s"]}, ["int64", "string"], [[1, "x"]]),
    "latin-1": ("a\né\n".encode("latin-1"), {"encoding": "latin-1"}, ["string"], [["é"]]),
    "only a header": ("a,b\n", {}, ["string", "string"], []),
    "a header without its line end": ("a,b", {}, ["string", "string"], []),
    "blank lines": ("a,b\n1,2\n\n3,4\n\n", {}, ["int64", "int64"], [[1, 2], [3, 4]]),
    "names with spaces and quotes": ('" a ","b ""q""","it\'s",\n1,2,3,4\n', {}, ["int64"] * 4, [[1, 2, 3, 4]]),
    "impossible dates": ("a\n2020-02-30\n2020-01-01\n", {}, ["string"], [["2020-02-30"], ["2020-01-01"]]),
}


@pytest.mark.parametrize("title", CSV)
def test_csv(bench: Any, title: str) -> None:
    content, params, types, rows = CSV[title]
    bench.file("x.csv", content)
    made = bench.run(READ, {"path": "x.csv", **params})
    assert [c.type for c in made.manifest.columns] == types
    assert [list(r.values()) for r in bench.rows(made)] == rows


def test_a_type_depends_on_every_row_of_every_file(bench: Any) -> None:
    bench.file("d/a.csv", "n,m\n" + "1,1\n" * 60_000)
    bench.file("d/b.csv", "n,m\n" + "2,2\n" * 60_000 + "x,2.5\n")
    made = bench.run(READ, {"path": "d/*.csv"})
    assert [c.type for c in made.manifest.columns] == ["string", "double"]
    assert made.manifest.rows == 120_001


def test_rows_keep_the_order_of_files_and_lines(bench: Any) -> None:
    for n, name in enumerate(["b10.csv", "b2.csv", "Z.csv"]):
        bench.file(name, "n\n" + "".join(f"{n * 100_000 + i}\n" for i in range(100_000)))
    prints = set()
    for threads in (1, 4):
        made = bench.run(READ, {"path": ["b*.csv", "Z.csv"]}, threads=threads)
        prints.add(tuple(p.fingerprint for p in made.manifest.parts))
    assert len(prints) == 1
    assert [r["n"] for r in bench.rows(made)] == [*range(200_000, 300_000), *range(200_000)]


def test_compressed_and_tab_separated(bench: Any) -> None:
    bench.file("x.tsv.gz", gzip.compress(b"a\tb\n1\tx,y\n"))
    assert bench.rows(bench.run(READ, {"path": "x.tsv.gz"})) == [{"a": 1, "b": "x,y"}]


def test_a_name_with_wildcards(bench: Any) -> None:
    bench.file("a[1].csv", "a\n1\n")
    bench.file("a1.csv", "a\n2\n")
    assert bench.rows(bench.run(READ, {"path": "a[[]1].csv"})) == [{"a": 1}]


def test_a_key_sorts_and_cuts(bench: Any) -> None:
    bench.file("x.csv", "id,v\n" + "".join(f"{i},{'x' * 50}\n" for i in reversed(range(20_000))))
    made = bench.run(READ, {"path": "x.csv"}, key=["id"])
    assert made.manifest.buckets == 32
    assert made.manifest.rows == 20_000
    assert sorted(p.bucket for p in made.manifest.parts) == list(range(32))


ERRORS: dict[str, tuple[dict[str, Content], dict[str, Any], str]] = {
    "missing": (
        {},
        {"path": "x.csv"},
        "error: there is no file 'x.csv'\nhelp: paths are relative to the project's folder",
    ),
    "empty": (
        {"x.csv": ""},
        {"path": "x.csv"},
        "error: 'x.csv' is empty: it has not even a header\nhelp: remove the file, or write its header",
    ),
    "short row": (
        {"x.csv": "a,b\n1,2\n3\n"},
        {"path": "x.csv"},
        "x.csv:3:1: error: this row has 1 columns, not 2\n   3 | 3\n     | ^\nhelp: mend the row, or set `delimiter` or `encoding`",
    ),
    "long row in the second file": (
        {"d/a.csv": "a,b\n1,2\n", "d/b.csv": "a,b\n1,2\n3,4,5\n"},
        {"path": "d/*.csv"},
        "d/b.csv:3:1: error: this row has 3 columns, not 2\n   3 | 3,4,5\n     | ^\nhelp: mend the row, or set `delimiter` or `encoding`",
    ),
    "open quote": (
        {"x.csv": 'a,b\n1,2\n3,"x\n4,5\n'},
        {"path": "x.csv"},
        'x.csv:3:1: error: value with unterminated quote found\n   3 | 3,"x\n     | ^\nhelp: mend the row, or set `delimiter` or `encoding`',
    ),
    "not utf-8": (
        {"x.csv": b"a,b\n1,2\n3,\xe9\n"},
        {"path": "x.csv"},
        (
            "x.csv:3:1: error: invalid unicode (byte sequence mismatch) detected. This file is not utf-8 encoded\n"
            "   3 | 3,?\n     | ^\nhelp: mend the row, or set `delimiter` or `encoding`"
        ),
    ),
    "value does not fit": (
        {"x.csv": "a,b\n1,2\n3,oops\n"},
        {"path": "x.csv", "types": {"b": "INTEGER"}},
        (
            "x.csv:3:1: error: could not convert string 'oops' to INT32\n"
            "   3 | 3,oops\n     | ^\nhelp: mend the value, or change the column's type in `types`"
        ),
    ),
    "other columns": (
        {"d/a.csv": "a,b\n1,2\n", "d/b.csv": "a,c\n1,2\n"},
        {"path": "d/*.csv"},
        "error: 'd/b.csv' has other columns than 'd/a.csv': without 'b', with 'c'\nhelp: set `schema: union`, or read files of one schema by one task",
    ),
    "other order": (
        {"d/a.csv": "a,b\n1,2\n", "d/b.csv": "b,a\n1,2\n"},
        {"path": "d/*.csv"},
        "error: 'd/b.csv' has other columns than 'd/a.csv': in another order\nhelp: set `schema: union`, or read files of one schema by one task",
    ),
    "header not utf-8": (
        {"x.csv": b"\xe9,b\n1,2\n"},
        {"path": "x.csv"},
        "error: the header of 'x.csv' is not utf-8\nhelp: set `encoding`",
    ),
    "line ends": (
        {"x.csv": b"a,b\r\n1,2\n3,4\r\n"},
        {"path": "x.csv"},
        "error: the rows cannot be told apart\nhelp: let all lines end alike, with \\n or with \\r\\n",
    ),
    "two columns of one name": (
        {"x.csv": "a,A\n1,2\n"},
        {"path": "x.csv"},
        (
            "error: columns 1 and 2 of 'x.csv' are named 'a' and 'A': they differ in case only\n"
            "help: rename one in the header of the file"
        ),
    ),
    "a column twice": (
        {"x.csv": "a,b,a\n1,2,3\n"},
        {"path": "x.csv"},
        "error: columns 1 and 3 of 'x.csv' are both named 'a'\nhelp: rename one in the header of the file",
    ),
    "a name twice": (
        {"x.csv": "1,2\n"},
        {"path": "x.csv", "header": False, "names": ["a", "a"]},
        "error: columns 1 and 2 of 'x.csv' are both named 'a'\nhelp: rename one in `names`",
    ),
    "semicolons": (
        {"x.csv": "a;b\n1;2\n"},
        {"path": "x.csv"},
        (
            "error: the header of 'x.csv' is one column: 'a;b'\n"
            'help: set `delimiter: ";"`, or `delimiter: ","` if it is right'
        ),
    ),
    "commas in a tsv file": (
        {"x.tsv": "a,b\n1,2\n"},
        {"path": "x.tsv"},
        (
            "error: the header of 'x.tsv' is one column: 'a,b'\n"
            'help: set `delimiter: ","`, or `delimiter: "\\t"` if it is right'
        ),
    ),
    "blank row": (
        {"x.csv": "a,b\n1,2\n   \n"},
        {"path": "x.csv"},
        "x.csv:3:1: error: this row has 1 columns, not 2\nhelp: mend the row, or set `delimiter` or `encoding`",
    ),
    "json array": (
        {"x.ndjson": '\n [{"a":1},\n{"a":2}]\n'},
        {"path": "x.ndjson"},
        ("error: 'x.ndjson' is a JSON array, and not one object a line\nhelp: set `format: json`"),
    ),
    "no such column": (
        {"x.csv": "price\n1\n"},
        {"path": "x.csv", "types": {"prize": "DOUBLE"}},
        "error: there is no column 'prize' for the types\nhelp: did you mean 'price'? the columns are: price",
    ),
    "key twice": (
        {"x.csv": "id\n7\n8\n7\n"},
        {"path": "x.csv", "key": ["id"]},
        (
            "error: key 'id' is not unique: more than one row has 7\n"
            "help: add a column to the key, or keep one row of each, for example with `select distinct on`"
        ),
    ),
    "bad json": (
        {"x.ndjson": '{"a":1}\n{"a":\n'},
        {"path": "x.ndjson"},
        'error: malformed JSON in file "x.ndjson", at byte 7 in line 3: unexpected end of data',
    ),
    "a long line of json": (
        {"x.ndjson": lambda: '{"a":1}\n{"a":"' + "x" * 40_000_000 + '"}\n'},
        {"path": "x.ndjson"},
        (
            f'x.ndjson:2:1: error: this object is longer than 32 MB\n   2 | {{"a":"{"x" * 194}\n     | ^\n'
            "help: look for an end of line that is missing"
        ),
    ),
    "empty json": (
        {"x.ndjson": ""},
        {"path": "x.ndjson"},
        "error: 'x.ndjson' is empty, so its columns are not known\nhelp: write at least one row",
    ),
    "no parquet": (
        {"x.parquet": "hello"},
        {"path": "x.parquet"},
        "error: 'x.parquet' is not a Parquet file\nhelp: set `format` if it is one of another kind",
    ),
}


@pytest.mark.parametrize("title", ERRORS)
def test_errors(bench: Any, title: str) -> None:
    files, params, expected = ERRORS[title]
    for name, content in files.items():
        bench.file(name, content)
    key = params.get("key", ())
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {k: v for k, v in params.items() if k != "key"}, key=key)
    assert str(caught.value) == expected


def test_ndjson(bench: Any) -> None:
    bench.file("d/a.ndjson", '{"a":1,"s":"007","o":{"x":1}}\n\n{"b":1.5,"a":2,"l":[1,2]}\n')
    bench.file("d/b.ndjson", '{"a":3,"c":"2020-01-01"}\n')
    made = bench.run(READ, {"path": "d/*.ndjson", "types": {"a": "VARCHAR"}})
    assert [(c.name, c.type) for c in made.manifest.columns] == [
        ("a", "string"),
        ("s", "string"),
        ("o", "struct<x: int64>"),
        ("b", "double"),
        ("l", "list<element: int64>"),
        ("c", "date32[day]"),
    ]
    assert [r["a"] for r in bench.rows(made)] == ["1", "2", "3"]


def test_parquet(bench: Any) -> None:
    for year in ("2019", "2020"):
        folder = bench.root / "d" / f"year={year}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"a": [int(year)], "l": [["x"]]}), folder / "x.parquet")
    assert bench.rows(bench.run(READ, {"path": "d/*/x.parquet"})) == [{"a": 2019, "l": ["x"]}, {"a": 2020, "l": ["x"]}]
    pq.write_table(pa.table({"a": ["x"]}), bench.root / "d" / "year=2020" / "x.parquet")
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": "d/*/x.parquet"})
    assert str(caught.value) == (
        "error: 'd/year=2020/x.parquet' has other columns than 'd/year=2019/x.parquet':"
        " without 'l', 'a' is string, not int64\nhelp: set `schema: union`, or read files of one schema by one task"
    )


DECLARE_ERRORS: dict[str, tuple[dict[str, Any], tuple[str, str, tuple[str | int, ...]]]] = {
    "extension": (
        {"path": "x.doc"},
        (
            "the format of 'x.doc' is not known by its extension",
            "set `format`: csv, tsv, ndjson, json, arrow, parquet, xlsx or sqlite",
            ("path",),
        ),
    ),
    "two formats": (
        {"path": ["x.csv", "y.parquet"]},
        ("the paths are of different formats: 'y.parquet' and 'x.csv'", "use one task for each format", ("path",)),
    ),
    "no path": ({"path": []}, ("there is no path", "name a file or a glob", ("path",))),
    "csv option": (
        {"path": "x.parquet", "header": False},
        ("'header' is for csv, tsv and xlsx, and this file is parquet", "leave it out", ("header",)),
    ),
    "sqlite option": (
        {"path": "x.csv", "table": "t"},
        ("'table' is for SQLite, and this file is csv", "leave it out", ("table",)),
    ),
    "union of SQLite": (
        {"path": "x.db", "table": "t", "schema": "union"},
        ("'schema' is for files, and this is SQLite", "leave it out", ("schema",)),
    ),
    "type": (
        {"path": "x.csv", "types": {"a": "int; drop"}},
        ("'int; drop' is not a type", "write a type of DuckDB, such as DECIMAL(10,2)", ("types", "a")),
    ),
    "near type": (
        {"path": "x.csv", "types": {"a": "Jsn"}},
        (
            "'Jsn' is not a type",
            "did you mean 'JSON'? write a type of DuckDB, such as DECIMAL(10,2)",
            ("types", "a"),
        ),
    ),
    "type that no table holds": (
        {"path": "x.csv", "types": {"a": "time with time zone"}},
        (
            "a table cannot hold the type 'time with time zone'",
            "read it as VARCHAR, and cast it where it is needed",
            ("types", "a"),
        ),
    ),
    "names": (
        {"path": "x.csv", "names": ["a"]},
        ("'names' is for files without a header", "set `header: false`", ("names",)),
    ),
    "table and query": (
        {"path": "x.db", "table": "t", "query": "select 1"},
        (
            "a SQLite read needs a table or a query, and not both",
            "set `table: NAME` or `query: select ...`",
            ("query",),
        ),
    ),
    "sqlite glob": (
        {"path": "*.db", "table": "t"},
        ("a SQLite read is of one file", "use one task for each file", ("path",)),
    ),
    "watermark without key": (
        {"path": "x.db", "table": "t", "watermark": {"column": "id"}},
        ("a read with a watermark needs a key", "set `key:` to the columns that name a row", ("watermark",)),
    ),
}


@pytest.mark.parametrize("title", DECLARE_ERRORS)
def test_declare_errors(bench: Any, title: str) -> None:
    params, expected = DECLARE_ERRORS[title]
    with pytest.raises(ParamError) as caught:
        bench.declare(READ, params)
    assert (caught.value.what, caught.value.help, caught.value.param) == expected


def test_declare(bench: Any) -> None:
    declared = bench.declare(READ, {"path": ["a/*.csv", "b.csv.gz"]})
    assert declared.sources == ("a/*.csv", "b.csv.gz")
    assert declared.recipe == {"format": "csv"}
    assert declared.promise == "pure"
