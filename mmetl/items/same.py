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


def differing(old: Sequence[pa.Table], new: Sequence[pa.Table], named: str) -> tuple[pa.Array, pa.Array]:
    """Return which rows of the old and of the new tables have none that is certainly the same on the other side.

    Args:
        old: tables of one schema.
        new: the same.
        named: a column whose values nearly name the rows.
    """
    sizes = [sum(t.num_rows for t in side) for side in (old, new)]
    if not all(sizes):
        return pa.array(np.ones(sizes[0], bool)), pa.array(np.ones(sizes[1], bool))
    one, other = (pa.concat_tables(side).combine_chunks() for side in (old, new))
    at = pc.index_in(other[named], value_set=one[named].combine_chunks()).combine_chunks()
    # A row of the old table may be the same as one of the new: else one of two equal ones would be lost.
    same = pc.is_valid(at)
    # What was found by looking it up is equal; only floats that are equal may have other bits.
    looked_up = () if pa.types.is_floating(other[named].type) else (named,)
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


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array; floats as their bits: minus zero is not zero, and a NaN is itself."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    bits = {pa.float64(): pa.int64(), pa.float32(): pa.int32(), pa.float16(): pa.int16()}
    return array.view(bits[array.type]) if array.type in bits else array


def _equal(one: pa.Array, other: pa.Array) -> pa.Array:
    """Return where two columns are equal, null like null; nowhere, if Arrow cannot compare their type."""
    try:
        equal = pc.fill_null(pc.equal(one, other), fill_value=False)
    except pa.ArrowNotImplementedError:
        return pa.array(np.zeros(len(one), bool))
    if not one.null_count and not other.null_count:
        return equal
    return pc.or_(equal, pc.and_(pc.is_null(one), pc.is_null(other)))
