"""The difference of two tables with the same key: what a target has to delete and to take up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.tables import read_table
from mmetl.contracts.target import Difference
from mmetl.contracts.transform import Table
from mmetl.items.hashes import DIGEST, row_digests

ID = "_id"


class _Part(NamedTuple):
    """The rows of one part, as hashes of 16 bytes: of the key, and of the columns that are compared."""

    number: int
    keys: pa.Array
    rows: pa.Array


def difference(before: Table | None, after: Table, columns: Sequence[str]) -> Difference:
    """Return what makes a target that holds `before` hold `after`. Parts that both have are not read.

    Args:
        before: what it holds; None: it is to be made anew.
        after: what it is to hold. Both have the same key.
        columns: those that the target holds, besides the key.

    Raises:
        TaskError: where a part is missing or damaged; also while the rows are read.
    """
    total = after.manifest.rows
    if before is None:
        whole: list[tuple[int, pa.Array | None]] = [(n, None) for n in range(len(after.manifest.parts))]
        return Difference(True, (), _rows(after, columns, whole), {"added": total} if total else {})
    old = _hashed(before, {p.fingerprint for p in after.manifest.parts}, columns)
    new = _hashed(after, {p.fingerprint for p in before.manifest.parts}, columns)
    old_keys, old_rows = _joined([p.keys for p in old]), _joined([p.rows for p in old])
    new_keys = _joined([p.keys for p in new])
    gone = old_keys.filter(pc.invert(pc.is_in(old_keys, value_set=new_keys)))
    wanted: list[tuple[int, pa.Array | None]] = []
    added = changed = 0
    for part in new:
        at = pc.index_in(part.keys, value_set=old_keys)
        is_new = pc.is_null(at)
        differs = pc.fill_null(pc.not_equal(old_rows.take(at), part.rows), fill_value=False)
        added += pc.sum(is_new).as_py() or 0
        changed += pc.sum(differs).as_py() or 0
        mask = pc.or_(is_new, differs)
        if pc.any(mask).as_py():
            wanted.append((part.number, mask))
    counts = {"added": added, "changed": changed, "removed": len(gone), "unchanged": total - added - changed}
    deleted = [key.hex() for key in gone.to_pylist()]
    left = _left(before, columns, old, new_keys, _joined([p.rows for p in new]))
    return Difference(False, deleted, _rows(after, columns, wanted), {k: n for k, n in counts.items() if n}, left)


def _left(
    before: Table, columns: Sequence[str], old: Sequence[_Part], new_keys: pa.Array, new_rows: pa.Array
) -> Iterator[pa.Table]:
    """Yield the rows that are gone or changed, as they were."""
    wanted: list[tuple[int, pa.Array | None]] = []
    for part in old:
        at = pc.index_in(part.keys, value_set=new_keys)
        same = pc.fill_null(pc.equal(new_rows.take(at), part.rows), fill_value=False)
        if not pc.all(same).as_py():
            wanted.append((part.number, pc.invert(same)))
    yield from _rows(before, columns, wanted)


def _rows(table: Table, columns: Sequence[str], wanted: Sequence[tuple[int, pa.Array | None]]) -> Iterator[pa.Table]:
    """Yield the wanted rows of some parts, with their identities first."""
    key = list(table.manifest.key)
    for number, mask in wanted:
        rows = _read(table, number, [*key, *(c for c in columns if c not in key)])
        if mask is not None:
            rows = rows.filter(mask)
        named = [digest.hex() for digest in row_digests(rows.select(key)).to_pylist()]
        yield rows.add_column(0, ID, pa.array(named, pa.string())).combine_chunks()


def _hashed(table: Table, known: set[str], columns: Sequence[str]) -> list[_Part]:
    """Return the parts of a table that the other one does not have."""
    key = list(table.manifest.key)
    found = []
    for number, part in enumerate(table.manifest.parts):
        if part.fingerprint not in known:
            rows = _read(table, number, [*key, *(c for c in columns if c not in key)])
            found.append(_Part(number, row_digests(rows.select(key)), row_digests(rows.select(columns))))
    return found


def _read(table: Table, number: int, columns: Sequence[str]) -> pa.Table:
    return read_table(Table(table.task, table.manifest, (table.paths[number],)), columns).read_all()


def _joined(arrays: Sequence[pa.Array]) -> pa.Array:
    return pa.concat_arrays(arrays) if arrays else pa.array([], DIGEST)
