# ruff: noqa: DTZ001 - times without a zone are data here
"""Tables as parts: the same rows are the same bytes, however they arrive."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts import Parts

import mmetl.cache.tables as tables_module
from mmetl.cache.arrow_types import arrow_schema, columns_of, normal_schema, parse_type, type_text
from mmetl.cache.buckets import bucket_count, bucket_of, bucket_sql
from mmetl.cache.tables import BUCKET, read_table, unique, write_table
from mmetl.cache.zeros import with_plain_zeros
from mmetl.contracts.artifact import Manifest, Part
from mmetl.contracts.transform import Table
from mmetl.errors import TaskError


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


NESTED = pa.table(
    {
        "id": pa.array([1, 2, 3, 4], pa.int64()),
        "s": pa.array(["a", None, "", "é" * 40]),
        "l": pa.array([["x", None], None, [], ["yy"]], pa.list_(pa.string())),
        "st": pa.array([{"a": 1, "b": ["q"]}, None, {"a": None, "b": None}, {"a": 2, "b": []}]),
        "m": pa.array([[("k", 1)], None, [], [("a", None), ("b", 2)]], pa.map_(pa.string(), pa.int64())),
        "f": pa.array([[1.0, 2.0], None, [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
        "d": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("-2.25"), None], pa.decimal128(9, 2)),
        "t": pa.array([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * 4, pa.timestamp("us", tz="UTC")),
        "b": pa.array([b"\x00\xff", None, b"", b"z"]),
    }
)


def written(rows: pa.Table, cuts: list[int], parts: Parts) -> list[Part]:
    edges = [0, *sorted(cuts), rows.num_rows]
    batches = [b for a, z in itertools.pairwise(edges) for b in rows.slice(a, z - a).combine_chunks().to_batches()]
    return list(write_table(batches, normal_schema(rows.schema), parts))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 40), max_size=8), group_rows=st.integers(1, 9), group_bytes=st.integers(1, 400))
def test_batches_do_not_matter(parts: Parts, cuts: list[int], group_rows: int, group_bytes: int) -> None:
    """Row groups and parts are cut by the rows alone: by their number and by their size."""
    rows = pa.concat_tables([NESTED] * 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables_module, "ROW_GROUP_ROWS", group_rows)
        patch.setattr(tables_module, "ROW_GROUP_BYTES", group_bytes)
        assert written(rows, cuts, parts) == written(rows, [], parts)


def test_encodings_do_not_depend_on_batches(parts: Parts) -> None:
    """They are chosen by the first row group of a part, which is the same however the rows arrive."""
    rows = pa.table({"id": list(range(250_000)), "s": [f"{n % 9}" for n in range(250_000)]})
    assert written(rows, [1, 2_000, 130_000], parts) == written(rows, [], parts)


def test_parts_end_after_eight_row_groups_or_many_bytes(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "ROW_GROUP_ROWS", 10)
    rows = pa.table({"a": list(range(205))})
    assert [p.rows for p in written(rows, [], parts)] == [80, 80, 45]
    assert pq.ParquetFile(parts.root / written(rows, [], parts)[0].fingerprint).num_row_groups == 8
    monkeypatch.setattr(tables_module, "PART_BYTES", 100)
    assert [p.rows for p in written(rows, [], parts)] == [10] * 20 + [5]


def test_a_row_group_holds_a_limit_of_bytes(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "ROW_GROUP_BYTES", 1000)
    rows = pa.table({"a": ["x" * 400, "x" * 400, "x" * 400, "x" * 5000, "x"]})
    (part,) = written(rows, [2], parts)
    file = pq.ParquetFile(parts.root / part.fingerprint)
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 1, 1, 1]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_huge_row_is_a_part_of_its_own(parts: Parts, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """However the rows arrive. What Parquet tells of its columns would be copies of it, so nothing is told."""
    monkeypatch.setattr(tables_module, "HUGE_BYTES", 1000)
    monkeypatch.setattr(tables_module, "ROW_GROUP_BYTES", 800)
    rows = pa.table({"t": ["a" * 10, "b" * 300, "c" * 5000, "d" * 10, "e" * 6000]})
    made = write_table(rows.to_batches(max_chunksize=size), rows.schema, parts)
    assert [p.rows for p in made] == [2, 1, 1, 1]
    files = [pq.ParquetFile(parts.root / f"{p.fingerprint}") for p in made]
    assert [f.metadata.row_group(0).column(0).is_stats_set for f in files] == [True, False, True, False]
    assert pa.concat_tables([f.read() for f in files]).column("t").to_pylist() == rows.column("t").to_pylist()


def test_no_row_makes_no_part(parts: Parts) -> None:
    assert written(NESTED.slice(0, 0), [], parts) == []
    assert list(parts.root.iterdir()) == []


def test_a_failed_stream_leaves_no_file(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "ROW_GROUP_ROWS", 2)

    def batches() -> Any:
        yield from NESTED.to_batches()
        raise TaskError("stop")

    with pytest.raises(TaskError):
        write_table(batches(), normal_schema(NESTED.schema), parts)
    assert list(parts.root.iterdir()) == []


def test_every_bucket_has_its_parts(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "ROW_GROUP_ROWS", 3)
    monkeypatch.setattr(tables_module, "PART_ROW_GROUPS", 2)
    rows = pa.table({"id": list(range(12)), BUCKET: pa.array([0] * 2 + [3] * 8 + [7] * 2, pa.uint32())})
    schema = pa.schema([("id", pa.int64())])
    for size in (1, 5, 12):
        made = write_table(rows.to_batches(max_chunksize=size), schema, parts, bucketed=True)
        assert [(p.bucket, p.rows) for p in made] == [(0, 2), (3, 8), (7, 2)]
    monkeypatch.setattr(tables_module, "PART_BYTES", 1)
    made = write_table(rows.to_batches(), schema, parts, bucketed=True)
    assert [(p.bucket, p.rows) for p in made] == [(0, 2), (3, 3), (3, 3), (3, 2), (7, 2)]
    assert pq.read_schema(parts.root / made[0].fingerprint).names == ["id"]


def test_rows_come_back(parts: Parts) -> None:
    made = written(NESTED, [1, 3], parts)
    columns = columns_of(normal_schema(NESTED.schema))
    table = Table("t", Manifest("table", tuple(made), (), columns), tuple(parts.root / p.fingerprint for p in made))
    read = read_table(table).read_all()
    assert read.to_pylist() == NESTED.to_pylist()
    assert read.schema.equals(normal_schema(NESTED.schema))
    assert read_table(table, ["st", "id"]).read_all().schema.names == ["st", "id"]
    empty = Table("t", Manifest("table", (), (), columns), ())
    assert read_table(empty).read_all().schema.equals(read.schema)


LIKE = {
    "large": (pa.large_list(pa.large_string()), [["a", None], None]),
    "views": (pa.string_view(), ["a", None]),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["a", None]),
    "seconds": (pa.timestamp("s"), [dt.datetime(2020, 1, 1), None]),
    "nulls": (pa.null(), [None, None]),
    "small decimals": (pa.decimal64(9, 2), [decimal.Decimal("1.50"), None]),
    "large bytes": (pa.large_binary(), [b"a", None]),
    "json": (pa.json_(), ['{"a":1}', None]),
}


@pytest.mark.parametrize("title", LIKE)
def test_types_that_hold_the_same_are_written_the_same(parts: Parts, title: str) -> None:
    kind, values = LIKE[title]
    rows = pa.table({"x": pa.array(values, kind)})
    schema = normal_schema(rows.schema)
    plain = pa.table({"x": pa.array(values, schema.field("x").type)}, schema=schema)
    assert written(rows, [1], parts) == written(plain, [], parts)


def test_the_name_of_a_list_child_does_not_matter(parts: Parts) -> None:
    found = set()
    for name in ("item", "element", "l"):
        kind = pa.list_(pa.field(name, pa.int64()))
        found.update(p.fingerprint for p in written(pa.table({"x": pa.array([[1], None], kind)}), [], parts))
    assert len(found) == 1


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
def test_there_is_one_zero(parts: Parts, kind: pa.DataType) -> None:
    zeros = [pa.table({"x": pa.array([zero, None, 1.5], kind)}) for zero in (0.0, -0.0)]
    assert written(zeros[0], [], parts) == written(zeros[1], [], parts)


F32 = pa.float32()
NESTED_ZEROS: list[tuple[pa.DataType, Any]] = [
    (pa.list_(F32), lambda zero: [[zero, 1.5, None], None, [], [zero]]),
    (
        pa.list_(pa.field("element", F32, nullable=False), 2),
        lambda zero: [[zero, 1.5], None, [2.5, zero], [zero, zero]],
    ),
    (pa.list_(pa.list_(pa.float64())), lambda zero: [[[zero], None], None, [[], [1.5, zero]], []]),
    (
        pa.struct([("a", pa.float64()), ("b", pa.string()), ("c", pa.list_(F32, 1))]),
        lambda zero: [
            {"a": zero, "b": "x", "c": [zero]},
            None,
            {"a": None, "b": None, "c": None},
            {"a": 1, "b": "", "c": [1]},
        ],
    ),
    (pa.map_(pa.string(), pa.float64()), lambda zero: [[("k", zero)], None, [], [("a", None), ("b", zero)]]),
    (pa.float16(), lambda zero: [np.float16(zero), None, np.float16(1.5), np.float16(zero)]),
]


@pytest.mark.parametrize(
    ("kind", "values"), NESTED_ZEROS, ids=lambda v: str(v)[:40] if isinstance(v, pa.DataType) else ""
)
@pytest.mark.parametrize("slices", [[], [1], [2, 3]])
def test_there_is_one_zero_within_a_value(kind: pa.DataType, values: Any, slices: list[int], parts: Parts) -> None:
    """However the rows are sliced; and what is no zero stays."""
    plus, minus = (pa.table({"x": pa.array(values(zero), kind)}) for zero in (0.0, -0.0))
    assert written(minus, slices, parts) == written(plus, [], parts)
    assert repr(with_plain_zeros(minus).to_pylist()) == repr(plus.to_pylist())


TYPES = st.recursive(
    st.sampled_from(
        [pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.bool_(), pa.string(), pa.binary(), pa.date32(),
         pa.timestamp("ns"), pa.timestamp("us", tz="Europe/Berlin"), pa.time64("us"), pa.time32("ms"), pa.decimal128(38, 4),
         pa.decimal128(5, -2), pa.decimal256(30, 2), pa.binary(16), pa.float16()]
    ),
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(lambda t: pa.list_(pa.field("element", t, nullable=False))),
        st.tuples(inner, st.integers(1, 9)).map(lambda p: pa.list_(*p)),
        inner.map(lambda t: pa.map_(pa.string(), t)),
        st.dictionaries(st.text(min_size=1), inner, min_size=1, max_size=3).map(lambda d: pa.struct(list(d.items()))),
    ),
    max_leaves=6,
)  # fmt: skip


@given(TYPES)
def test_types_are_told_as_text(kind: pa.DataType) -> None:
    schema = normal_schema(pa.schema([("x", kind)]))
    assert arrow_schema(columns_of(schema)).equals(schema)
    assert str(parse_type(type_text(schema.field(0).type))) == str(schema.field(0).type)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("list<string>", pa.list_(pa.string())),
        ("fixed_size_list<float32>[3]", pa.list_(pa.float32(), 3)),
        ("struct<a: list<int64>, b: float64>", pa.struct([("a", pa.list_(pa.int64())), ("b", pa.float64())])),
        ("date32", pa.date32()),
        (str(pa.list_(pa.string())), pa.list_(pa.string())),
    ],
)
def test_types_may_be_written_by_hand(written: str, kind: pa.DataType) -> None:
    """As in `Items(makes=...)`: the child of a list needs no name."""
    assert parse_type(written).equals(kind)


@pytest.mark.parametrize("written", ["struct<int64>", "list<>", "list<text>", "text", "float128"])
def test_texts_that_are_no_types(written: str) -> None:
    with pytest.raises(ValueError, match="type"):
        parse_type(written)


@pytest.mark.parametrize(
    "kind",
    [pa.duration("s"), pa.decimal256(39, 2), pa.struct([]), pa.run_end_encoded(pa.int32(), pa.string())],
    ids=str,
)
def test_a_type_that_no_table_holds(kind: pa.DataType) -> None:
    """DuckDB would read decimals of more than 38 digits as other numbers."""
    with pytest.raises(TaskError) as caught:
        normal_schema(pa.schema([("x", pa.list_(kind))]))
    assert str(caught.value) == (
        f"error: column 'x' has the type '{kind}', which a table cannot hold\n"
        "help: cast it, for example to text: cast(x as varchar)"
    )


MOMENTS = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
KEYS = {
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
    "VARCHAR": st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    "BOOLEAN": st.booleans(),
    "DATE": st.dates(dt.date(1, 1, 1)),
    "TIMESTAMP": MOMENTS,
    "TIMESTAMPTZ": st.datetimes(dt.datetime(1000, 1, 2), dt.datetime(9999, 12, 30), timezones=st.just(dt.UTC)),
    "TIME": st.times(),
    "DECIMAL(18, 4)": st.decimals(-(10**12), 10**12, places=4),
    "UUID": st.uuids(),
}


@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("kind", KEYS)
@given(data=st.data())
def test_every_engine_finds_the_same_bucket(kind: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | KEYS[kind], min_size=1, max_size=20))
    arrow = {"TIMESTAMPTZ": pa.timestamp("us", tz="UTC"), "UUID": pa.string(), "TIMESTAMP": pa.timestamp("us")}.get(
        kind
    )
    rows = pa.table(
        {"k": pa.array([str(v) if kind == "UUID" and v else v for v in values], arrow), "o": [7] * len(values)}
    )
    with duckdb.connect() as con:
        con.execute("set TimeZone='UTC'")
        con.register("rows", rows)
        typed = f"(select cast(k as {kind}) k, o from rows)"
        one = con.execute(f"select {bucket_sql(['k'], 64)} from {typed}").fetchall()
        two = con.execute(f"select {bucket_sql(['o', 'k'], 4096)} from {typed}").fetchall()
    assert [b for (b,) in one] == [bucket_of([v], 64) for v in values]
    assert [b for (b,) in two] == [bucket_of([7, v], 4096) for v in values]


@pytest.mark.parametrize(
    ("size", "previous", "expected"),
    [
        (0, None, 1), (1_000, None, 1), (1_900, None, 1), (2_100, None, 2), (100_000, None, 8), (10**9, None, 1024),
        (10**15, None, 4096), (250_000, 8, 8), (255_000, 8, 8), (257_000, 8, 16), (17_000, 8, 8), (15_000, 8, 4),
        (0, 1, 1), (3_900, 1, 1), (4_100, 1, 2),
    ],
)  # fmt: skip
def test_bucket_counts(size: int, previous: int | None, expected: int) -> None:
    assert bucket_count(size, previous) == expected


def test_unique_looks_across_batches() -> None:
    rows = pa.table({"a": [1, 1, 2, 2, 2, 3, 4, 4], "b": ["x", "y", "x", "x", "x", "z", "q", "q"]})
    assert list(unique(rows.slice(0, 3).to_batches(max_chunksize=1), ["a", "b"]))
    for size in (1, 3, 8):
        with pytest.raises(TaskError, match=r"key 'a', 'b' is not unique: more than one row has 2/x"):
            list(unique(rows.to_batches(max_chunksize=size), ["a", "b"]))
