"""One 128-bit hash a row: XXH3 over the values of some columns, the same whichever way the rows are batched."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from mmetl.cache.python_rows import python_values

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
"""Shape (rows, 2): the high and the low half of each hash."""

DIGEST = pa.binary(16)
"""The type of `row_digests`."""

_NULL_LENGTH = b"\xff" * 8
_NULL = xxhash.xxh3_128_digest(b"null", seed=1)


def row_hashes(rows: pa.Table) -> Hashes:
    """Return the hash of each row. Two rows have the same one if they are equal, column by column, null like null."""
    digest = xxhash.xxh3_128_digest
    columns = list(_columns(rows))
    if not columns:
        hashed = digest(b"") * rows.num_rows
    elif len(columns) == 1:
        hashed = b"".join([_NULL if value is None else digest(value) for value in columns[0]])
    else:
        hashed = b"".join([digest(b"".join(_framed(row))) for row in zip(*columns, strict=True)])
    return np.frombuffer(hashed, ">u8").astype(np.uint64).reshape(-1, 2)


def row_digests(rows: pa.Table) -> pa.Array:
    """Return the hash of each row as 16 bytes, in which Arrow can look rows up."""
    return digests(row_hashes(rows))


def digests(hashes: Hashes) -> pa.Array:
    """Return hashes as 16 bytes each."""
    packed = np.ascontiguousarray(hashes.astype(">u8"))
    return pa.Array.from_buffers(DIGEST, len(packed), [None, pa.py_buffer(packed.tobytes())])


def _framed(values: Iterable[Any]) -> Iterator[Any]:
    """Yield each value after its length: ("ab", "c") is not ("a", "bc")."""
    for value in values:
        if value is None:
            yield _NULL_LENGTH
        else:
            yield len(value).to_bytes(8, "little")
            yield value


def _columns(rows: pa.Table) -> Iterator[Iterable[Any]]:
    """Yield the values of each column as bytes or None; all columns of a fixed width together come first, as one."""
    arrays = [c.chunk(0) if c.num_chunks == 1 else c.combine_chunks() for c in rows.columns]
    fixed = [a for a in arrays if _width(a.type)]
    if len(fixed) == 1 and fixed[0].null_count == 0 and len(arrays) == 1:
        yield _cut(_bytes(fixed[0]))
    elif fixed:
        # Before each value stands whether there is one, whatever its column holds elsewhere.
        pieces = [piece for a in fixed for piece in (np.asarray(a.is_valid()).astype(np.uint8)[:, None], _bytes(a))]
        yield _cut(np.hstack(pieces))
    for array in arrays:
        if not _width(array.type):
            yield _values(array)


def _width(kind: pa.DataType) -> int:
    """Return the bytes of a value that lies by itself in one buffer; 0 for other types."""
    t = pa.types
    if t.is_boolean(kind) or t.is_nested(kind) or t.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType):
        return 0
    try:
        return int(kind.bit_width) // 8
    except ValueError:
        return 0


def _bytes(column: pa.Array) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a column of a fixed width as an array (rows, width); nulls are zeros."""
    width = _width(column.type)
    buffer = column.buffers()[1]
    whole = np.frombuffer(buffer, np.uint8) if buffer else np.zeros(0, np.uint8)
    found = whole[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)
    return np.where(np.asarray(column.is_valid())[:, None], found, 0).astype(np.uint8) if column.null_count else found


def _cut(values: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[memoryview]:
    rows, width = values.shape
    data = memoryview(np.ascontiguousarray(values).reshape(-1).data)
    return (data[i : i + width] for i in range(0, rows * width, width))


def _values(column: pa.Array) -> Iterator[Any]:  # noqa: PLR0911 - one line a kind of type
    """Yield the bytes of each value, None for a null."""
    t = pa.types
    if column.null_count:
        filled = _values(column.drop_null())
        return (next(filled) if valid else None for valid in column.is_valid().to_pylist())
    if t.is_string(column.type) or t.is_binary(column.type):
        return _slices(column.buffers()[1], column.buffers()[2], column.offset, len(column), 1)
    if t.is_list(column.type) and _width(column.type.value_type) and column.values.null_count == 0:
        values = memoryview(np.ascontiguousarray(_bytes(column.values)).reshape(-1).data)
        return _slices(column.buffers()[1], values, column.offset, len(column), _width(column.type.value_type))
    if t.is_fixed_size_list(column.type) and _width(column.type.value_type) and column.flatten().null_count == 0:
        return _cut(_bytes(column.flatten()).reshape(len(column), -1))
    if t.is_boolean(column.type):
        return (b"\x01" if v else b"\x00" for v in column.to_pylist())
    if t.is_dictionary(column.type):
        return _values(pc.cast(column, column.type.value_type))
    return (repr(v).encode() for v in python_values(column))


def _slices(offsets: Any, data: Any, start: int, rows: int, width: int) -> Iterator[Any]:
    """Yield the slices of `data` between neighbouring offsets, which count values of `width` bytes."""
    if rows == 0:
        return iter(())
    ends = (np.frombuffer(offsets, np.int32)[start : start + rows + 1].astype(np.int64) * width).tolist()
    whole = memoryview(data) if data is not None else memoryview(b"")
    return (whole[a:b] for a, b in itertools.pairwise(ends))
