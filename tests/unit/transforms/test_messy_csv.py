"""A corpus of messy CSV files: each is read whole, or refused with what, where and how to mend it."""

from __future__ import annotations

from typing import Any

import pytest

from mmetl.errors import TaskError
from mmetl.transforms.tabular import READ

MEND = "help: mend the row, or set `delimiter` or `encoding`"
EMPTY = "error: 'x.csv' is empty: it has not even a header\nhelp: remove the file, or write its header"
ENDS = "error: the rows cannot be told apart\nhelp: let all lines end alike, with \\n or with \\r\\n"
NUL = "error: the header of 'x.csv' has a NUL byte\nhelp: mend the file, or set `encoding`"

# title: content, params, the rows or the whole error
CORPUS: dict[str, tuple[bytes, dict[str, Any], list[list[Any]] | str]] = {
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
    "a line of 100 MB": (
        b"a,b\n1,2\n3," + b"x" * 100_000_000 + b"\n4,5\n",
        {},
        "error: a row is longer than 16 MB\nhelp: look for an end of line that is missing",
    ),
    "a header of 100 MB": (
        b"x" * 100_000_000,
        {},
        (
            "error: the header of 'x.csv' cannot be read: field larger than field limit (16777216)\n"
            "help: mend it, or set `encoding`"
        ),
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
