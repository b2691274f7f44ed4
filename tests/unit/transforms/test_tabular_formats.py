"""`tabular.read`: JSON, Arrow, and compressed files."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pytest
from transform_bench import Content

from mmetl.errors import TaskError
from mmetl.transforms.tabular.read import READ

ROWS: list[dict[str, Any]] = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]

JSON: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "an array": ('[{"a":1,"b":"x"},{"a":2}]', ROWS),
    "an array over lines": ('\ufeff[\n  {"a": 1,\n   "b": "x"},\n  {"b": null, "a": 2}\n]\n', ROWS),
    "one object a line": ('{"a":1,"b":"x"}\n\n{"a":2}\n', ROWS),
    "nested": ('[{"a":{"x":[1,2]}}]', [{"a": {"x": [1, 2]}}]),
}


@pytest.mark.parametrize("title", JSON)
def test_json(bench: Any, title: str) -> None:
    content, rows = JSON[title]
    bench.file("x.json", content)
    assert bench.rows(bench.run(READ, {"path": "x.json"})) == rows


def test_an_empty_array_beside_others_has_no_rows(bench: Any) -> None:
    bench.file("d/1.json", "[]\n")
    bench.file("d/2.json", '[{"a":1}]')
    bench.file("d/3.json", "")
    assert bench.rows(bench.run(READ, {"path": "d/*.json"})) == [{"a": 1}]


JSON_ERRORS: dict[str, tuple[dict[str, Content], str]] = {
    "no rows": (
        {"x.json": "[ ]"},
        "error: 'x.json' is empty, so its columns are not known\nhelp: write at least one row",
    ),
    "no objects": (
        {"x.json": '[{"a":1},3]'},
        "error: not all rows of 'x.json' are JSON objects\nhelp: write an array of objects, or one object a line",
    ),
    "two forms": (
        {"a.json": '[{"a":1}]', "b.json": '{"a":1}\n'},
        (
            "error: 'a.json' is a JSON array, and 'b.json' has one object a line\n"
            "help: read files of one form by one task"
        ),
    ),
    "a long object": (
        {"x.json": lambda: '[{"a":1},{"a":"' + "x" * 40_000_000 + '"}]'},
        "error: this object is longer than 32 MB\nhelp: write smaller objects",
    ),
    "cut off": (
        {"x.json": '[{"a":1}'},
        'error: malformed JSON in file "x.json", at byte 8 in record/value 3: unexpected character',
    ),
}


@pytest.mark.parametrize("title", JSON_ERRORS)
def test_json_errors(bench: Any, title: str) -> None:
    files, expected = JSON_ERRORS[title]
    for name, content in files.items():
        bench.file(name, content)
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": list(files)})
    assert str(caught.value) == expected


def _file_format(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=10_000)


def _stream_format(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=10_000)


ARROW: dict[str, tuple[str, Callable[[pa.Table, Path], None]]] = {
    "file": ("x.arrow", _file_format),
    "stream": ("x.arrows", _stream_format),
    "feather": ("x.feather", pa.feather.write_feather),
}


@pytest.mark.parametrize("title", ARROW)
def test_arrow(bench: Any, title: str) -> None:
    name, write = ARROW[title]
    table = pa.table({
        "n": pa.array(range(50_000), pa.int32()),
        "s": pa.array(["x", None] * 25_000).dictionary_encode(),
        "l": [[1, 2]] * 50_000,
    })  # fmt: skip
    for folder in ("a", "b"):
        (bench.root / folder).mkdir()
        write(table, bench.root / folder / name)
    for threads in (1, 4):
        made = bench.run(READ, {"path": f"*/{name}", "columns": ["s", "n"]}, threads=threads)
        assert [c.type for c in made.manifest.columns] == ["string", "int32"]
        rows = bench.rows(made)
        assert [r["n"] for r in rows] == [*range(50_000)] * 2
        assert rows[:2] == [{"s": "x", "n": 0}, {"s": None, "n": 1}]


def test_a_file_that_is_not_arrow(bench: Any) -> None:
    bench.file("x.feather", "hello")
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": "x.feather"})
    assert str(caught.value) == (
        "error: 'x.feather' is not an Arrow file, or its end is missing\n"
        "help: Feather files of version 1 are no Arrow files; set `format` if it is one of another kind"
    )


def _zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


def _gzip_members(content: bytes) -> bytes:
    return gzip.compress(content[:5]) + gzip.compress(content[5:])


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": _gzip_members,
    "GZ": gzip.compress,
    "bz2": bz2.compress,
    "zst": _zstd,
}
CONTENT = {"csv": b"a,b\n1,x\n2,\n", "tsv": b"a\tb\n1\tx\n2\t\n", "ndjson": b'{"a":1,"b":"x"}\n{"a":2}\n', "json": b'[{"a":1,"b":"x"},{"a":2}]'}  # fmt: skip


@pytest.mark.parametrize("extension", PACK)
@pytest.mark.parametrize("kind", CONTENT)
def test_compressed(bench: Any, kind: str, extension: str) -> None:
    bench.file(f"x.{kind}.{extension}", PACK[extension](CONTENT[kind]))
    assert bench.rows(bench.run(READ, {"path": f"x.{kind}.{extension}"})) == ROWS
    bench.file(f"y.{extension}", PACK[extension](CONTENT[kind]))
    assert bench.rows(bench.run(READ, {"path": f"y.{extension}", "format": kind})) == ROWS


@pytest.mark.parametrize(
    ("extension", "codec", "cut", "told"),
    [
        ("gz", "gzip", True, "Truncated compressed stream"),
        ("gz", "gzip", False, "zlib inflate failed: incorrect header check"),
        ("bz2", "bz2", True, "Truncated compressed stream"),
        ("zst", "zstd", False, "ZSTD decompress failed: Unknown frame descriptor"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_damaged_file(bench: Any, kind: str, extension: str, codec: str, cut: bool, told: str) -> None:
    content = "".join(f"{n * 7919 % 100_003}\n" for n in range(20_000)).encode()
    bench.file(f"x.{kind}.{extension}", PACK[extension](content)[:-4000] if cut else b"hello")
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": f"x.{kind}.{extension}"})
    assert str(caught.value) == (
        f"error: 'x.{kind}.{extension}' cannot be unpacked: {told}\nhelp: it is no {codec} file, or its end is missing"
    )


def test_an_error_in_a_compressed_file_names_it(bench: Any) -> None:
    bench.file("x.csv.zst", _zstd(b"a,b\n1,2\n3\n"))
    with pytest.raises(TaskError) as caught:
        bench.run(READ, {"path": "x.csv.zst"})
    assert str(caught.value).startswith("x.csv.zst:3:1: error: this row has 1 columns, not 2\n")
