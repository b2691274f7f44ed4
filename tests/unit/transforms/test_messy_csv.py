"""A corpus of messy CSV files: each is read whole, or refused with what, where and how to mend it."""

from __future__ import annotations

from typing import Any

import pytest
from transform_bench import Content

from mmetl.errors import TaskError
from mmetl.transforms.tabular.read import READ

MEND = "help: mend the row, or set `delimiter` or `encoding`"
LONG = "this row is longer than 16 MB"
MEND_LONG = "help: look for an end of line that is missing"
EMPTY = "error: 'x.csv' is empty: it has not even a header\nhelp: remove the file, or write its header"
ENDS = "error: the rows cannot be told apart\nhelp: let all lines end alike, with \\n or with \\r\\n"
NUL = "error: the header of 'x.csv' has a NUL byte\nhelp: mend the file, or set `encoding`"

# title: content, params, the rows or the whole error
CORPUS: dict[str, tuple[Content, dict[str, Any], list[list[Any]] | str]] = {
    "empty": (b"", {}, EMPTY),
    "only a byte order mark": (b"\xef\xbb\xbf", {}, EMPTY),
    "only blank lines": (b"\n\n", {}, EMPTY),
    "only a header": (b"a,b\n", {}, []),
    "a blank line before the header": (
        b"\na,b\n1,2\n",
        {},
        "error: 'x.csv' begins with a blank line, not with a header\nhelp: remove the line",
    ),
    "a blank line before rows without a header": (b"\n1,2\n", {"header": False}, [[1, 2]]),
    "utf-16": ("a,b\n1,é\n".encode("utf-16"), {"encoding": "utf-16"}, [[1, "é"]]),
    "utf-16, not told": (
        "a,b\n1,é\n".encode("utf-16"),
        {},
        "error: the header of 'x.csv' is not utf-8\nhelp: set `encoding`",
    ),
    "utf-16 without its mark": (
        "a,b\n1,é\n".encode("utf-16-le"),
        {"encoding": "utf-16"},
        (
            "error: the header of 'x.csv' cannot be read: UTF-16 stream does not start with BOM\n"
            "help: mend it, or set `encoding`"
        ),
    ),
    "a byte order mark inside": ("a\n\ufeff1\n".encode(), {}, [["\ufeff1"]]),
    "latin-1, not told": (
        b"a,b\n1,\xe9\n",
        {},
        (
            "x.csv:2:1: error: invalid unicode (byte sequence mismatch) detected. This file is not utf-8 encoded\n"
            f"   2 | 1,?\n     | ^\n{MEND}"
        ),
    ),
    "NUL in a value": (b"a,b\n1,x\0y\n", {}, [[1, "x\0y"]]),
    "NUL in the header": (b"a\0,b\n1,2\n", {}, NUL),
    "nothing but NUL": (b"\0\0\0\0", {}, NUL),
    "bytes of all kinds": (bytes(range(256)) * 4, {}, NUL),
    "lines that end in CR": (b"a,b\r1,2\r3,4\r", {}, [[1, 2], [3, 4]]),
    "CRLF after LF": (b"a,b\n1,2\r\n3,4\n", {}, ENDS),
    "CR after CRLF": (b"a,b\r\n1,2\r3,4\r\n", {}, ENDS),
    "CRLF in quotes": (b'a,b\n"x\r\ny",2\n', {}, [["x\r\ny", 2]]),
    "other line ends of Unicode": ("a,b\nx\u2028y,z\x85w\n".encode(), {}, [["x\u2028y", "z\x85w"]]),
    "no end of line at the end": (b"a,b\n1,2", {}, [[1, 2]]),
    "a comma at the end of all lines": (b"a,b,\n1,2,\n", {}, [[1, 2, None]]),
    "a comma at the end of rows": (b"a,b\n1,2,\n3,4,\n", {}, [[1, 2], [3, 4]]),
    "a comma at the end of the header": (
        b"a,b,\n1,2\n",
        {},
        f"x.csv:2:1: error: this row has 2 columns, not 3\n   2 | 1,2\n     | ^\n{MEND}",
    ),
    "a long row": (
        b"a,b\n1,2\n3,4,5\n",
        {},
        f"x.csv:3:1: error: this row has 3 columns, not 2\n   3 | 3,4,5\n     | ^\n{MEND}",
    ),
    "a short row": (
        b"a,b\n1,2\n3\n",
        {},
        f"x.csv:3:1: error: this row has 1 columns, not 2\n   3 | 3\n     | ^\n{MEND}",
    ),
    "a quote inside of a value": (b'a,b\nx"y,2\n', {}, [['x"y', 2]]),
    "text after a quote": (
        b'a,b\n"x"y,2\n',
        {},
        f'x.csv:2:1: error: value with unterminated quote found\n   2 | "x"y,2\n     | ^\n{MEND}',
    ),
    "an open quote": (
        b'a,b\n"x,2\n3,4\n',
        {},
        f'x.csv:2:1: error: value with unterminated quote found\n   2 | "x,2\n     | ^\n{MEND}',
    ),
    "an open quote in the header": (
        b'a,"b\n1,2\n3,4\n',
        {},
        f'x.csv:1:1: error: value with unterminated quote found\n   1 | a,"b\n     | ^\n{MEND}',
    ),
    "an end of line in the header": (b'"a\nb",c\n1,2\n', {}, [[1, 2]]),
    "names that are missing": (b",,\n1,2,3\n", {}, [[1, 2, 3]]),
    "a comment before the header": (
        b"# hi\na,b\n1,2\n",
        {},
        f"x.csv:2:1: error: this row has 2 columns, not 1\n   2 | a,b\n     | ^\n{MEND}",
    ),
    "500 columns": (
        (",".join(f"c{n}" for n in range(500)) + "\n" + ",".join(map(str, range(500))) + "\n").encode(),
        {},
        [list(range(500))],
    ),
    "10,000 columns": (
        (",".join(f"c{n}" for n in range(10_000)) + "\n" + ",".join(map(str, range(10_000))) + "\n").encode(),
        {},
        [list(range(10_000))],
    ),
    "only a header of 1,000 columns": (",".join(f"c{n}" for n in range(1000)).encode(), {}, []),
    "1,000 columns, each with a type": (
        (",".join(f"c{n}" for n in range(1000)) + "\n" + "1," * 999 + "1\n").encode(),
        {"types": {f"c{n}": "VARCHAR" for n in range(1000)}},
        [["1"] * 1000],
    ),
    "a line of 100 MB": (
        lambda: b"a,b\n1,2\n3," + b"x" * 100_000_000 + b"\n4,5\n",
        {},
        f"x.csv:3:1: error: {LONG}\n   3 | 3,{'x' * 198}\n     | ^\n{MEND_LONG}",
    ),
    "a header of 100 MB": (
        lambda: b"x" * 100_000_000,
        {},
        f"x.csv:1:1: error: {LONG}\n   1 | {'x' * 200}\n     | ^\n{MEND_LONG}",
    ),
    "a long line among lines with quotes": (
        lambda: b'a,b\n"1",2\n3,"' + b"x" * 20_000_000 + b'"\n',
        {},
        f'x.csv:3:1: error: {LONG}\n   3 | 3,"{"x" * 197}\n     | ^\n{MEND_LONG}',
    ),
    "a very long row of short lines": (
        lambda: b'a,b\n1,2\n3,"' + b"xyz\n" * 12_000_000 + b'"\n',
        {},
        f'x.csv:3:1: error: {LONG}\n   3 | 3,"xyz\n     | ^\n{MEND_LONG}',
    ),
    "a long row of short lines": (
        lambda: b'a,b\n1,2\n3,"' + b"xyz\n" * 5_000_000 + b'"\n',
        {},
        f'x.csv:3:1: error: {LONG}\n   3 | 3,"xyz\n     | ^\n{MEND_LONG}',
    ),
    "a row too long by its bytes": (
        lambda: b"a,b\n1,2\n3," + "é".encode() * 9_000_000 + b"\n",
        {},
        f"x.csv:3:1: error: {LONG}\n   3 | 3,{'é' * 198}\n     | ^\n{MEND_LONG}",
    ),
}


@pytest.mark.parametrize("title", CORPUS)
def test_messy_csv(bench: Any, title: str) -> None:
    content, params, expected = CORPUS[title]
    bench.file("x.csv", content)
    if isinstance(expected, str):
        with pytest.raises(TaskError) as caught:
            bench.run(READ, {"path": "x.csv", **params})
        assert str(caught.value) == expected
    else:
        assert [list(row.values()) for row in bench.rows(bench.run(READ, {"path": "x.csv", **params}))] == expected


def test_types_of_many_columns(bench: Any) -> None:
    """They are those that few columns have: looked at all at once, or beside each other."""
    kinds = {
        "int64": ["7", "", "-1"],
        "double": ["1", "0.5", "1e22"],
        "string": ["007", "x", '""'],
        "bool": ["true", "FALSE", ""],
        "date32[day]": ["2024-02-29", "", ""],
        "timestamp[us]": ["2024-02-29", "2024-01-01T10:00", ""],
        "timestamp[us, tz=UTC]": ["2024-01-01 10:00:00+02:00", "", ""],
    }
    names = [f"{kind} {n}" for kind in kinds for n in range(40)] + ["name", "value", 'a "b"']
    values = [kinds.get(name.rpartition(" ")[0], ["", "", "1"]) for name in names]
    header = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    rows = [",".join(row) for row in zip(*values, strict=True)]
    bench.file("x.csv", "\n".join([header, *rows]) + "\n")
    bench.file("y.csv", f"z,{header}\n5,{rows[0]}\n")
    wide = bench.run(READ, {"path": ["x.csv", "y.csv"], "schema": "union"})
    assert [c.name for c in wide.manifest.columns] == [*names, "z"]
    expected = [name.rpartition(" ")[0] if " " in name and '"' not in name else "int64" for name in names]
    assert [c.type for c in wide.manifest.columns] == [*expected, "int64"]
    found = bench.rows(wide)
    for at in range(0, len(names), 100):
        some = names[at : at + 100]
        bench.file("s.csv", "\n".join(",".join(r[at : at + 100]) for r in zip(*values, strict=True)) + "\n")
        narrow = bench.rows(bench.run(READ, {"path": "s.csv", "header": False, "names": some}))
        assert [{n: row[n] for n in some} for row in found[:3]] == narrow


def test_bad_rows_of_many_columns(bench: Any) -> None:
    bench.file(
        "x.csv", ",".join(f"c{n}" for n in range(300)) + "\n" + ("1," * 299 + "1\n") * 3 + "1,2\n" + "x," * 299 + "1\n"
    )
    params = {"path": "x.csv", "bad_rows": "quarantine", "max_bad_fraction": 0.5, "types": {"c0": "INTEGER"}}
    assert [list(row.values()) for row in bench.rows(bench.run(READ, params))] == [[1] * 300] * 3
