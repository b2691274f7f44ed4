"""Encodings of parts: chosen by the rows, lost by none."""

from __future__ import annotations

import datetime as dt
import decimal
import io
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmetl.cache.encodings import FEW_ROWS, FORMAT, encodings

ROWS = 20_000
DAY = dt.date(1970, 1, 1)


def written(rows: pa.Table) -> io.BytesIO:
    file = io.BytesIO()
    with pq.ParquetWriter(file, rows.schema, **{**FORMAT, **encodings(rows)}) as writer:
        writer.write_table(rows)
    return file


def encoding(rows: pa.Table, column: int = 0) -> str:
    found = pq.ParquetFile(written(rows)).metadata.row_group(0).column(column).encodings
    return next((e for e in found if e.startswith(("DELTA", "RLE_DICT"))), "PLAIN")


@pytest.mark.parametrize(
    ("kind", "values", "distinct"),
    [
        (pa.int8(), lambda n: n % 100, "RLE_DICTIONARY"),
        (pa.int64(), lambda n: n, "DELTA_BINARY_PACKED"),
        (pa.uint64(), lambda n: n + 2**63, "DELTA_BINARY_PACKED"),
        (pa.float16(), float, "RLE_DICTIONARY"),
        (pa.float64(), float, "PLAIN"),
        (pa.string(), str, "DELTA_LENGTH_BYTE_ARRAY"),
        (pa.binary(), lambda n: b"%d" % n, "DELTA_LENGTH_BYTE_ARRAY"),
        (pa.binary(8), lambda n: b"%08d" % n, "PLAIN"),
        (pa.date32(), lambda n: DAY + dt.timedelta(n), "DELTA_BINARY_PACKED"),
        (pa.time64("us"), lambda n: dt.time(n // 3600, n // 60 % 60, n % 60), "DELTA_BINARY_PACKED"),
        (pa.timestamp("us", "UTC"), lambda n: dt.datetime.fromtimestamp(n, dt.UTC), "DELTA_BINARY_PACKED"),
        (pa.decimal128(9, 2), decimal.Decimal, "DELTA_BINARY_PACKED"),
        (pa.decimal128(18, 2), lambda n: decimal.Decimal(-n), "DELTA_BINARY_PACKED"),
        (pa.decimal128(19, 2), decimal.Decimal, "PLAIN"),
        (pa.decimal256(40, 0), decimal.Decimal, "PLAIN"),
        (pa.bool_(), lambda n: n % 3 == 0, "PLAIN"),
        (pa.list_(pa.field("element", pa.float32())), lambda n: [float(n)], "PLAIN"),
        (pa.list_(pa.field("element", pa.string())), lambda n: [str(n % 5)], "RLE_DICTIONARY"),
        (pa.map_(pa.string(), pa.int64()), lambda n: [("k", n % 5)], "RLE_DICTIONARY"),
        (pa.struct([("x", pa.struct([("y", pa.int64())]))]), lambda n: {"x": {"y": n % 5}}, "RLE_DICTIONARY"),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else "",
)
def test_values_that_hardly_repeat_have_no_dictionary(kind: pa.DataType, values: Any, distinct: str) -> None:
    """Every type comes back as it was, nulls too."""
    rows = pa.table({"a": pa.array([values(n) if n % 7 else None for n in range(ROWS)], kind)})
    assert encoding(rows) == distinct
    assert pq.read_table(written(rows)).equals(rows)


def test_values_that_repeat_have_a_dictionary() -> None:
    rows = pa.table({"i": [n % 9000 for n in range(122_880)], "s": [f"{n % 7}" for n in range(122_880)]})
    assert [encoding(rows, 0), encoding(rows, 1)] == ["RLE_DICTIONARY", "RLE_DICTIONARY"]


def test_few_rows_are_not_looked_at() -> None:
    assert encodings(pa.table({"a": list(range(FEW_ROWS - 1))})) == {"use_dictionary": False}


def test_vectors_are_not_compressed() -> None:
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), 4)
    rows = pa.table({"text": ["a" * 50] * 10, "vector": pa.array([[0.5] * 4] * 10, kind)})
    group = pq.ParquetFile(written(rows)).metadata.row_group(0)
    assert [group.column(i).compression for i in range(2)] == ["ZSTD", "UNCOMPRESSED"]
    assert pq.read_table(written(rows)).equals(rows)


def test_floats_do_not_tell_between_which_values_they_are(tmp_path: Any) -> None:
    """DuckDB holds NaN to be the largest number, Parquet's statistics leave it out: it was skipped with its row group."""
    nan = float("nan")
    rows = pa.table({"x": [1.0, nan], "s": [{"a": nan, "b": 1}, {"a": 1.0, "b": 2}], "n": [1, 2]})
    group = pq.ParquetFile(written(rows)).metadata.row_group(0)
    told = {group.column(i).path_in_schema: group.column(i).is_stats_set for i in range(group.num_columns)}
    assert told == {"x": False, "s.a": False, "s.b": True, "n": True}
    (tmp_path / "a.parquet").write_bytes(written(rows).getvalue())
    with duckdb.connect() as db:
        counts = [
            db.execute(f"select count(*) from '{tmp_path}/a.parquet' where {c} > 5").fetchone() for c in ("x", "s.a")
        ]
    assert counts == [(1,), (1,)]


def test_a_column_and_a_field_of_one_path() -> None:
    rows = pa.table({"a.b": list(range(ROWS)), "a": [{"b": n % 5} for n in range(ROWS)]})
    assert pq.read_table(written(rows)).equals(rows)


def test_duckdb_reads_all_encodings(tmp_path: Any) -> None:
    numbers = range(ROWS)
    rows = pa.table(
        {
            "i": pa.array(numbers, pa.int64()),
            "s": [f"text {n}" for n in numbers],
            "d": pa.array([decimal.Decimal(n) for n in numbers], pa.decimal128(15, 2)),
            "t": pa.array([dt.datetime.fromtimestamp(n, dt.UTC) for n in numbers], pa.timestamp("us", "UTC")),
        }
    )
    (tmp_path / "a.parquet").write_bytes(written(rows).getvalue())
    with duckdb.connect() as db:
        db.execute("set TimeZone='UTC'")
        read = db.sql(f"from '{tmp_path}/a.parquet'").to_arrow_table()
    assert read.cast(rows.schema).equals(rows)
