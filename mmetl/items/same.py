"""Rows that stand in two tables alike: found column by column, without a hash of each row.

Hashing a row takes some microseconds in Python; of two versions of a table most rows are the same, and that Arrow tells in a twentieth
of the time. Whoever needs to be exact hashes what is left: here a row that is the same may be taken for one that is not, and never the
other way round.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def differing(old: Sequence[pa.Table], new: Sequence[pa.Table], key: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    """Return which rows of the old and of the new tables have none that is certainly the same on the other side.

    Args:
        old: tables of one schema.
        new: the same.
        key: the columns that name a row.
    """
    sizes = [sum(t.num_rows for t in side) for side in (old, new)]
    if not all(sizes):
        return pa.array(np.ones(sizes[0], bool)), pa.array(np.ones(sizes[1], bool))
    one, other = (pa.concat_tables(side).combine_chunks() for side in (old, new))
    at = pc.index_in(_names(other, key), value_set=_names(one, key))
    # A row of the old table may be the same as one of the new: else one of two equal ones would be lost.
    same = pc.is_valid(at)
    # What was found by looking it up is equal; only floats that are equal may have other bits, and of joined texts nobody knows.
    looked_up = (key[-1],) if _names_alone(other, key) and not pa.types.is_floating(other[key[-1]].type) else ()
    for name in (n for n in other.column_names if n not in looked_up):
        before, after = _comparable(one[name], other[name])
        same = pc.and_(same, _equal(before.take(at), after))
    matched = np.zeros(sizes[0], bool)
    matched[at.filter(same).to_numpy(zero_copy_only=False)] = True
    return pa.array(~matched), pc.invert(same)


def _comparable(one: pa.ChunkedArray, other: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Return two columns as arrays that can be compared value by value; of dictionaries the numbers, under which both have the same."""
    arrays = _plain(one), _plain(other)
    if not pa.types.is_dictionary(one.type):
        return arrays
    before, after = pa.chunked_array(arrays).unify_dictionaries().chunks
    return before.indices, after.indices


def _names_alone(rows: pa.Table, key: Sequence[str]) -> bool:
    """Tell whether the last column of a key nearly names a row: a number may only count what stands below the other columns."""
    return len(key) == 1 or not pa.types.is_integer(rows[key[-1]].type)


def _names(rows: pa.Table, key: Sequence[str]) -> pa.Array:
    """Return what nearly names each row: the last column of its key, or all that Arrow writes as text."""
    own = [_decoded(_plain(rows[name])) for name in (key[-1:] if _names_alone(rows, key) else key)]
    written = [pc.cast(c, pa.string()) for c in own if pa.types.is_integer(c.type) or pa.types.is_string(c.type)]
    return pc.binary_join_element_wise(*written, "/") if len(own) > 1 else own[0]


def _decoded(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; floats, and vectors of them, as their bits: minus zero is not zero, and a NaN is itself."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_fixed_size_list(array.type):
        return _as_bytes(array)
    bits = {pa.float64(): pa.int64(), pa.float32(): pa.int32(), pa.float16(): pa.int16()}
    return array.view(bits[array.type]) if array.type in bits else array


def _as_bytes(vectors: pa.Array) -> pa.Array:
    """Return vectors as bytes of one length, which Arrow can compare; lists that are no such vectors as they are."""
    values, size = vectors.flatten(), vectors.type.list_size
    if vectors.null_count or values.null_count or not pa.types.is_floating(values.type) or not len(values):
        return vectors
    width = values.type.bit_width // 8
    data = values.buffers()[1].slice(values.offset * width, len(values) * width)
    return pa.Array.from_buffers(pa.binary(size * width), len(vectors), [None, data])


def _equal(one: pa.Array, other: pa.Array) -> pa.Array:
    """Return where two columns are equal, null like null; nowhere, if Arrow cannot compare their type."""
    try:
        equal = pc.fill_null(pc.equal(one, other), fill_value=False)
    except pa.ArrowNotImplementedError:
        return pa.array(np.zeros(len(one), bool))
    if not one.null_count and not other.null_count:
        return equal
    return pc.or_(equal, pc.and_(pc.is_null(one), pc.is_null(other)))
