"""The difference of two tables with the same key: what a target has to delete and to take up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.tables import PACKED, read_part, repeating
from mmetl.contracts.target import Difference
from mmetl.contracts.transform import Table
from mmetl.items.hashes import DIGEST, row_digests
from mmetl.items.same import differing

ID = "_id"
FEW = 8
"""Of so many rows of a part one is kept at hand; more are read again: a part where all changed would fill the memory."""

GATHERED_ROWS = 65_536
"""Rows of several buckets that are compared at once: each call of Arrow has its price, however few the rows."""

GATHERED_BYTES = 8 << 20
"""Bytes of them, as they lie in parts: in memory they are more, and there are three copies of them for a moment."""


class _Rows(NamedTuple):
    """Rows of one part that the other table may not have: where they stand in it, and hashes of 16 bytes.

    Attributes:
        found: the rows themselves, where they are few: the part need not be read again.
    """

    number: int
    at: pa.Array
    keys: pa.Array
    rows: pa.Array
    found: pa.Table | None


class _Wanted(NamedTuple):
    """Rows of a part: all of them, or some, which may be at hand."""

    number: int
    at: pa.Array | None = None
    found: pa.Table | None = None


def difference(before: Table | None, after: Table, columns: Sequence[str], *, named: bool = True) -> Difference:
    """Return what makes a target that holds `before` hold `after`. Parts that both have are not read.

    Args:
        before: what it holds; None: it is to be made anew.
        after: what it is to hold. Both have the same key.
        columns: those that the target holds, besides the key.
        named: whether the rows get their identities; hashing the keys of a whole table takes longer than reading it.

    Raises:
        TaskError: where a part is missing or damaged; also while the rows are read.
    """
    total = after.manifest.rows
    if before is None:
        whole = [_Wanted(n) for n in range(len(after.manifest.parts))]
        return Difference(True, (), _rows(after, columns, whole, named=named), {"added": total} if total else {})
    old, new = _unlike(before, after, columns)
    old_keys, old_rows = _joined([p.keys for p in old]), _joined([p.rows for p in old])
    new_keys, new_rows = _joined([p.keys for p in new]), _joined([p.rows for p in new])
    gone = old_keys.filter(pc.invert(pc.is_in(old_keys, value_set=new_keys)))
    at = pc.index_in(new_keys, value_set=old_keys)
    is_new = pc.is_null(at)
    differs = pc.fill_null(pc.not_equal(old_rows.take(at), new_rows), fill_value=False)
    added, changed = pc.sum(is_new).as_py() or 0, pc.sum(differs).as_py() or 0
    wanted = list(_where(new, pc.or_(is_new, differs)))
    counts = {"added": added, "changed": changed, "removed": len(gone), "unchanged": total - added - changed}
    stays = pc.fill_null(pc.equal(new_rows.take(pc.index_in(old_keys, value_set=new_keys)), old_rows), fill_value=False)
    return Difference(
        False,
        [key.hex() for key in gone.to_pylist()],
        _rows(after, columns, wanted, named=named),
        {k: n for k, n in counts.items() if n},
        _rows(before, columns, list(_where(old, pc.invert(stays))), named=named),
    )


def _where(parts: Sequence[_Rows], mask: pa.Array) -> Iterator[_Wanted]:
    """Yield of each part the rows for which a mask over the rows of all is true."""
    start = 0
    for part in parts:
        own = mask.slice(start, len(part.at))
        start += len(part.at)
        if pc.any(own).as_py():
            yield _Wanted(part.number, part.at.filter(own), None if part.found is None else part.found.filter(own))


def _rows(table: Table, columns: Sequence[str], wanted: Sequence[_Wanted], *, named: bool) -> Iterator[pa.Table]:
    """Yield the wanted rows of some parts, with their identities first."""
    key = list(table.manifest.key)
    for number, at, found in wanted:
        rows = read_part(table, number, [*key, *(c for c in columns if c not in key)]) if found is None else found
        if at is not None and found is None:
            rows = rows.take(at)
        if named:
            ids = [digest.hex() for digest in row_digests(rows.select(key)).to_pylist()]
            rows = rows.add_column(0, ID, pa.array(ids, pa.string()))
        yield rows.combine_chunks()


def _unlike(before: Table, after: Table, columns: Sequence[str]) -> tuple[list[_Rows], list[_Rows]]:
    """Return the rows of parts that only one of two tables has, without those that stand in both."""
    key = list(after.manifest.key)
    wanted = [*key, *(c for c in columns if c not in key)]
    sides = (before, _by_bucket(before, after)), (after, _by_bucket(after, before))
    alike = before.manifest.buckets == after.manifest.buckets and before.manifest.columns == after.manifest.columns
    found: tuple[list[_Rows], list[_Rows]] = ([], [])
    # What repeats is compared by number, which is faster to read, too.
    packed = _packed(*sides[1]) - {key[-1]} if alike else frozenset()
    for buckets in _gathered(sides):
        old, new = ([(n, read_part(t, n, wanted, packed)) for b in buckets for n in own.get(b, ())] for t, own in sides)
        masks = differing([rows for _, rows in old], [rows for _, rows in new], key) if alike else (None, None)
        for side, mask, into in zip((old, new), masks, found, strict=True):
            into.extend(_left(side, mask, key, columns))
    return found


def _packed(table: Table, own: Mapping[int, Sequence[int]]) -> frozenset[str]:
    """Return the columns of text that repeat, as the first part that is read tells."""
    first = next(iter(own.values()), ())
    return repeating(table, first[0]) if first else frozenset()


def _by_bucket(table: Table, other: Table) -> dict[int, list[int]]:
    """Return the numbers of the parts that the other table does not have, by bucket."""
    known = {p.fingerprint for p in other.manifest.parts}
    found: dict[int, list[int]] = {}
    for number, part in enumerate(table.manifest.parts):
        if part.fingerprint not in known:
            found.setdefault(part.bucket, []).append(number)
    return found


def _gathered(sides: Sequence[tuple[Table, Mapping[int, Sequence[int]]]]) -> Iterator[list[int]]:
    """Yield buckets that are compared at once."""
    gathered: list[int] = []
    rows = size = 0
    for bucket in sorted({bucket for _, own in sides for bucket in own}):
        parts = [table.manifest.parts[n] for table, own in sides for n in own.get(bucket, ())]
        rows, size = rows + sum(p.rows for p in parts), size + sum(p.size_bytes for p in parts)
        if gathered and (rows > GATHERED_ROWS or size > GATHERED_BYTES):
            yield gathered
            gathered, rows, size = [], sum(p.rows for p in parts), sum(p.size_bytes for p in parts)
        gathered.append(bucket)
    if gathered:
        yield gathered


def _left(
    parts: Sequence[tuple[int, pa.Table]], mask: pa.Array | None, key: Sequence[str], columns: Sequence[str]
) -> Iterator[_Rows]:
    """Yield the rows of some parts for which a mask over the rows of all is true; no mask: all rows."""
    kept: list[tuple[int, pa.Array, pa.Table, bool]] = []
    start = 0
    for number, rows in parts:
        at = pa.array(np.arange(rows.num_rows))
        if mask is not None:
            at = at.filter(mask.slice(start, rows.num_rows))
        start += rows.num_rows
        if len(at):
            are_few = len(at) * FEW <= rows.num_rows
            kept.append((number, at, _unpacked(rows if len(at) == rows.num_rows else rows.take(at)), are_few))
    if not kept:
        return
    whole = pa.concat_tables([rows for _, _, rows, _ in kept])
    keys, others = row_digests(whole.select(key)), row_digests(whole.select(columns))
    start = 0
    for number, at, rows, are_few in kept:
        hashes = keys.slice(start, len(at)), others.slice(start, len(at))
        yield _Rows(number, at, *hashes, rows if are_few else None)
        start += len(at)


def _unpacked(rows: pa.Table) -> pa.Table:
    for n, field in enumerate(rows.schema):
        if field.type == PACKED:
            rows = rows.set_column(n, field.name, rows.column(n).cast(PACKED.value_type))
    return rows


def _joined(arrays: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays(arrays) if arrays else pa.array([], DIGEST)
