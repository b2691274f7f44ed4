"""The difference of two tables with the same key: what a target has to delete and to take up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.tables import read_table
from mmetl.contracts.target import Difference
from mmetl.contracts.transform import Table
from mmetl.items.hashes import row_hashes
from mmetl.items.same import differing

ID = "_id"
FEW = 8
"""Of so many rows of a part one is kept at hand; more are read again: a part where all changed would fill the memory."""

_HASH = pa.binary(16)


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
        rows = _read(table, number, [*key, *(c for c in columns if c not in key)]) if found is None else found
        if at is not None and found is None:
            rows = rows.take(at)
        if named:
            ids = [digest.hex() for digest in _binary(rows.select(key)).to_pylist()]
            rows = rows.add_column(0, ID, pa.array(ids, pa.string()))
        yield rows.combine_chunks()


def _unlike(before: Table, after: Table, columns: Sequence[str]) -> tuple[list[_Rows], list[_Rows]]:
    """Return the rows of parts that only one of two tables has, without those that stand in both."""
    key = list(after.manifest.key)
    wanted = [*key, *(c for c in columns if c not in key)]
    known, wanted_now = ({p.fingerprint for p in t.manifest.parts} for t in (before, after))
    old = {n: p.bucket for n, p in enumerate(before.manifest.parts) if p.fingerprint not in wanted_now}
    new = {n: p.bucket for n, p in enumerate(after.manifest.parts) if p.fingerprint not in known}
    alike = before.manifest.buckets == after.manifest.buckets and before.manifest.columns == after.manifest.columns
    found: tuple[list[_Rows], list[_Rows]] = ([], [])
    for bucket in sorted({*old.values(), *new.values()}):
        sides = [
            [(n, _read(table, n, wanted)) for n, b in numbers.items() if b == bucket]
            for table, numbers in ((before, old), (after, new))
        ]
        before_rows, after_rows = ([rows for _, rows in side] for side in sides)
        masks = differing(before_rows, after_rows, key[-1]) if alike else None
        for side, into, which in zip(sides, found, (0, 1), strict=True):
            start = 0
            for number, rows in side:
                at, whole = pa.array(np.arange(rows.num_rows)), rows.num_rows
                if masks is not None:
                    at = at.filter(masks[which].slice(start, rows.num_rows))
                    start += rows.num_rows
                    rows = rows.take(at)  # noqa: PLW2901
                if len(at):
                    hashes = _binary(rows.select(key)), _binary(rows.select(columns))
                    into.append(_Rows(number, at, *hashes, rows if len(at) * FEW <= whole else None))
    return found


def _read(table: Table, number: int, columns: Sequence[str]) -> pa.Table:
    return read_table(Table(table.task, table.manifest, (table.paths[number],)), columns).read_all()


def _binary(rows: pa.Table) -> pa.Array:
    hashes = np.ascontiguousarray(row_hashes(rows).astype(">u8"))
    return pa.Array.from_buffers(_HASH, len(hashes), [None, pa.py_buffer(hashes.tobytes())])


def _joined(arrays: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays(arrays) if arrays else pa.array([], _HASH)
