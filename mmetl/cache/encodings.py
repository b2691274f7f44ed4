"""How a column is encoded in Parquet, chosen by the rows themselves: so the same rows are the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

FEW_ROWS = 2_048  # below, a choice is not worth its time, nor is a dictionary, least of all of vectors
SAMPLE_ROWS = 8_192
MOST_DISTINCT = 0.6  # of the sample; above, a dictionary costs twice the time of plain values and saves nothing

FORMAT: dict[str, Any] = {
    "version": "2.6",
    "compression": "zstd",
    "compression_level": 1,  # 3 takes 3 % off the size and costs a tenth more time
    "data_page_version": "1.0",
    "store_schema": True,  # else a list of fixed size and a time zone would not come back
    "store_decimal_as_integer": True,  # 18 digits fit into an integer, which is faster to write and to read
}


def encodings(rows: pa.Table, *, huge: bool = False) -> dict[str, Any]:
    """Return what ParquetWriter is told of the columns of a file that begins with these rows, beside FORMAT.

    `huge`: they are one row that fills the memory with few copies of it.
    """
    whole = _vectors(rows.schema) | _statistics(rows.schema)
    if huge:
        whole["write_statistics"] = False  # the least and the greatest value: each is a copy of the text
        whole["data_page_version"] = "2.0"  # the other joins a page and its levels before it packs them: one copy more
    if rows.num_rows < FEW_ROWS:
        return {"use_dictionary": False} | whole
    step = max(rows.num_rows // SAMPLE_ROWS, 1)
    sample = rows.take(pa.array(range(0, rows.num_rows, step), pa.int32())) if step > 1 else rows
    plain = [f.name for f in rows.schema if _is_flat(f.type) and _is_distinct(sample.column(f.name))]
    others = [leaf for f in rows.schema if f.name not in set(plain) for leaf, _ in _leaves(f.name, f.type)]
    packed = {name: found for name in plain if (found := _packed(rows.schema.field(name).type))}
    for name in {*others} & {*packed}:  # a column `a.b` beside a field `b` of a column `a`
        del packed[name]
    return {"use_dictionary": others, "column_encoding": packed} | whole


def _statistics(schema: pa.Schema) -> dict[str, Any]:
    """Return which columns tell between which values theirs are: none of floats, of which a NaN is in no such statement.

    A reader to which NaN is the largest number, as it is to DuckDB, would skip it with its row group.
    """
    leaves = [leaf for f in schema for leaf in _leaves(f.name, f.type)]
    exact = [name for name, kind in leaves if not pa.types.is_floating(kind)]
    return {"write_statistics": exact} if len(exact) < len(leaves) else {}


def _vectors(schema: pa.Schema) -> dict[str, Any]:
    """Return how columns are compressed where some hold vectors, whose bits are as good as random."""
    if not any(_is_vector(f.type) for f in schema):
        return {}
    leaves = [leaf for f in schema for leaf, _ in _leaves(f.name, f.type)]
    whole = dict.fromkeys(leaves, FORMAT["compression"])
    none = {f"{f.name}.list.{f.type.value_field.name}": "none" for f in schema if _is_vector(f.type)}
    return {"compression": whole | none, "compression_level": dict.fromkeys(leaves, FORMAT["compression_level"])}


def _is_vector(kind: pa.DataType) -> bool:
    t = pa.types
    return bool((t.is_list(kind) or t.is_fixed_size_list(kind)) and t.is_floating(kind.value_type))


def _is_flat(kind: pa.DataType) -> bool:
    return not pa.types.is_nested(kind) and not pa.types.is_boolean(kind)


def _is_distinct(sample: pa.ChunkedArray) -> bool:
    return bool(pc.count_distinct(sample).as_py() > MOST_DISTINCT * len(sample))


def _packed(kind: pa.DataType) -> str | None:
    """Return the encoding of values that hardly repeat; None: as they are."""
    t = pa.types
    if t.is_integer(kind) or t.is_temporal(kind) or (t.is_decimal(kind) and kind.precision <= 18):
        return "DELTA_BINARY_PACKED"
    return "DELTA_LENGTH_BYTE_ARRAY" if t.is_string(kind) or t.is_binary(kind) else None


def _leaves(path: str, kind: pa.DataType) -> Iterator[tuple[str, pa.DataType]]:
    """Yield the Parquet columns of a column, and their types; without those of floats in lists, which are vectors and do not repeat."""
    t = pa.types
    if t.is_struct(kind):
        for field in kind:
            yield from _leaves(f"{path}.{field.name}", field.type)
    elif t.is_map(kind):
        yield from _leaves(f"{path}.key_value.key", kind.key_type)
        yield from _leaves(f"{path}.key_value.value", kind.item_type)
    elif t.is_list(kind) or t.is_fixed_size_list(kind):
        if not t.is_floating(kind.value_type):
            yield from _leaves(f"{path}.list.{kind.value_field.name}", kind.value_type)
    else:
        yield path, kind
