"""0.0 in the place of -0.0, wherever it stands in a row: the two are equal, so which of them DISTINCT, min or a sort keeps depends on threads."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_MINUS_ZERO_16 = -(1 << 15)
"""The bits of -0.0 with 16 of them, as a whole number."""


def with_plain_zeros(rows: pa.Table) -> pa.Table:
    """Return the rows with 0.0 for -0.0, also within lists, structs and maps."""
    columns = [_column(c) if _has_floats(f.type) else c for f, c in zip(rows.schema, rows.columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=rows.schema)


def _column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([_array(chunk) for chunk in column.chunks], column.type)


def _array(array: pa.Array) -> pa.Array:  # noqa: PLR0911 - one line a kind of type
    """Return values with plain zeros; of a slice of lists only what is in it is copied."""
    t, kind = pa.types, array.type
    if t.is_float16(kind):
        bits = array.view(pa.int16())
        return pc.if_else(pc.equal(bits, _MINUS_ZERO_16), pa.scalar(0, pa.int16()), bits).view(kind)
    if t.is_floating(kind):
        return pc.add(array, pa.scalar(0.0, kind))
    if not _has_floats(kind) or not len(array):
        return array
    if t.is_struct(kind):
        children = [_array(array.field(n)) for n in range(kind.num_fields)]
        return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())
    if t.is_fixed_size_list(kind):
        values = array.values.slice(array.offset * kind.list_size, len(array) * kind.list_size)
        return pa.FixedSizeListArray.from_arrays(_array(values), type=kind, mask=array.is_null())
    start, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
    offsets = pc.subtract(array.offsets, array.offsets[0])
    if t.is_map(kind):
        keys, items = (_array(side.slice(start, end - start)) for side in (array.keys, array.items))
        return pa.MapArray.from_arrays(offsets, keys, items, type=kind, mask=array.is_null())
    return pa.ListArray.from_arrays(
        offsets, _array(array.values.slice(start, end - start)), type=kind, mask=array.is_null()
    )


def _has_floats(kind: pa.DataType) -> bool:
    t = pa.types
    if t.is_floating(kind):
        return True
    if t.is_map(kind):
        return _has_floats(kind.key_type) or _has_floats(kind.item_type)
    if t.is_list(kind) or t.is_fixed_size_list(kind):
        return _has_floats(kind.value_type)
    return bool(t.is_struct(kind)) and any(_has_floats(field.type) for field in kind)
