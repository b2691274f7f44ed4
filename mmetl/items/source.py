"""A listing of outside items as a keyed table: a bucket in which nothing changed is neither gone through nor written again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.arrow_types import columns_of
from mmetl.cache.buckets import bucket_count, buckets_of_texts
from mmetl.cache.fingerprints import combine
from mmetl.cache.tables import read_table, write_table
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import Basis, ItemIndex, Unit
from mmetl.contracts.transform import Job, Made, Table
from mmetl.items.hashes import row_hashes
from mmetl.items.known import count_changes
from mmetl.items.ledger import Ledger, read_ledger, write_ledger
from mmetl.utils.hashing import xxh3_hex

Complete = Callable[[pa.Table], pa.Table]
"""Makes rows of some of what is listed, of each one or none; called only for what has none yet."""


class _Bucket(NamedTuple):
    """A bucket that is to be written.

    Attributes:
        number: of the bucket.
        kept: rows that are as they were; no order.
        new: what decides each of the others.
        ledger: of all of them, sorted by the key. Until it is completed, each is taken to come to a row.
        input: fingerprint of that.
    """

    number: int
    kept: pa.Table
    new: pa.Table
    ledger: Ledger
    input: str


class Compared(NamedTuple):
    """What is listed now, against what was listed last.

    Attributes:
        basis: what decides, besides the listed rows.
        cut: the number of buckets, the empty ones too.
        kept: what buckets came to earlier in which nothing changed, and whose parts are there.
        changed: the others that are not empty.
        gone: what the last output came to that is not kept.
        opened: see `Made.opened`.
    """

    basis: Basis
    cut: int
    kept: Sequence[Unit]
    changed: Sequence[_Bucket]
    gone: Sequence[Unit]
    opened: Sequence[str] | None

    @property
    def rows(self) -> int:
        """How many rows there are: of buckets that are not completed, at most."""
        return sum(_rows_in(u) for u in self.kept) + sum(int(b.ledger.rows.sum()) for b in self.changed)

    def completed(self, complete: Complete) -> Compared:
        """Return it with the rows of the changed buckets."""
        return self._replace(changed=[_completed(bucket, complete) for bucket in self.changed])

    def counts(self, job: Job) -> dict[str, int]:
        """Count rows that were added, changed, removed, unchanged; earlier ones as far as their ledgers are kept."""
        before = [read_ledger(u.ledger, job.parts) for u in self.gone if job.parts.has(u.ledger.fingerprint)]
        after = [b.ledger for b in self.changed]
        counts = count_changes(list(map(_of_rows, before)), list(map(_of_rows, after)), same_basis=True)
        counts["unchanged"] += sum(map(_rows_in, self.kept))
        return {word: n for word, n in counts.items() if n}


def _completed(bucket: _Bucket, complete: Complete) -> _Bucket:
    made = complete(bucket.new)
    rows = pa.concat_tables([bucket.kept, made]) if len(bucket.kept) else made
    ledger = bucket.ledger
    if len(rows) < len(ledger):
        there = np.isin(ledger.keys, row_hashes(rows.select([0]))[:, 0])
        ledger = replace(ledger, rows=there.astype(np.int64))
    return bucket._replace(kept=rows, new=bucket.new.slice(0, 0), ledger=ledger)


def _of_rows(ledger: Ledger) -> Ledger:
    """Return a ledger without the items that came to no row."""
    there = ledger.rows > 0
    if there.all():
        return ledger
    return Ledger(ledger.items[there], ledger.keys[there], ledger.rest[there], ledger.rows[there])


def _rows_in(unit: Unit) -> int:
    return sum(p.rows for p in unit.parts)


def keep_listing(job: Job, compared: Compared, schema: pa.Schema, complete: Complete) -> Made:
    """Keep what a source lists, cut into buckets by its first column, which is the key.

    Args:
        job: the running task.
        compared: what is listed.
        schema: of the rows.
        complete: makes rows of some of the listed ones.
    """
    key = schema.names[0]
    units = {u.ledger.bucket: u for u in compared.kept}
    made: list[_Bucket] = []
    for listed in compared.changed:
        bucket = _completed(listed, complete)
        written = write_table(bucket.kept.sort_by(key).to_batches(), schema, job.parts)
        made.append(bucket._replace(kept=schema.empty_table()))
        parts = tuple(p._replace(bucket=bucket.number) for p in written)
        units[bucket.number] = Unit(bucket.input, write_ledger(bucket.ledger, job.parts, bucket.number), parts)
    in_order = tuple(units[number] for number in sorted(units))
    return Made(
        tuple(p for u in in_order for p in u.parts),
        columns_of(schema),
        compared.cut,
        items=ItemIndex(compared.basis, in_order),
        key=(key,),
        counts=compared._replace(changed=made).counts(job),
        opened=compared.opened,
    )


def compare_listing(job: Job, listed: pa.Table, size_bytes: int, schema: pa.Schema) -> Compared:
    """Compare all that a source lists with what it listed last; nothing is written.

    Args:
        job: the running task.
        listed: what decides each row; sorted by the key, which is a text.
        size_bytes: of all items together: it decides how many buckets there are.
        schema: of the rows that are kept.
    """
    previous = _previous(job)
    count = bucket_count(size_bytes, previous.buckets if previous else None)
    of = np.array(buckets_of_texts(listed.column(0).to_pylist(), count), np.int64)
    order = np.argsort(of, kind="stable")
    rows, of = listed.take(pa.array(order)), of[order]
    basis, last = _basis(job, schema), job.earlier.last() if job.earlier else None
    same = last is not None and last.basis == basis and not (job.earlier and job.earlier.forced)
    known = {u.input: u for u in last.units} if last and same else {}
    starts = np.concatenate([[0], np.nonzero(np.diff(of))[0] + 1, [len(of)]]) if len(of) else np.zeros(1, np.int64)
    kept: list[Unit] = []
    changed: list[_Bucket] = []
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        bucket = _bucket(int(of[start]), schema.empty_table(), rows.slice(start, end - start))
        unit = known.get(bucket.input)
        if unit is not None and _whole(job, unit):
            kept.append(unit)
        else:
            changed.append(bucket)
    stays = {u.input for u in kept}
    gone = [u for u in (last.units if last else ()) if u.input not in stays]
    return Compared(basis, count, kept, changed, gone, None)


def compare_changes(
    job: Job, gone: Iterable[str], now: pa.Table, size_bytes: int, schema: pa.Schema
) -> Compared | None:
    """Do what `compare_listing` does by what changed: other buckets are not gone through.

    Args:
        job: the running task.
        gone: keys that are no longer listed, or whose rows are other.
        now: rows that are new or other.
        size_bytes: of all items together.
        schema: of the rows that are kept; all that is listed is kept, with the columns of `now` as they are.

    Returns:
        None where everything has to be compared: the buckets are cut anew, or not all that was kept is there.
    """
    previous, basis = _previous(job), _basis(job, schema)
    last = job.earlier.last() if job.earlier and not job.earlier.forced else None
    if previous is None or last is None or last.basis != basis:
        return None
    count = bucket_count(size_bytes, previous.buckets)
    units = {u.ledger.bucket: u for u in last.units}
    if count != previous.buckets or len(units) < len(last.units) or not all(_whole(job, u) for u in last.units):
        return None
    left_out = pa.array(gone, pa.string())
    of_new = np.array(buckets_of_texts(now.column(0).to_pylist(), count), np.int64)
    changed: list[_Bucket] = []
    for number in sorted({*of_new.tolist(), *buckets_of_texts(left_out.to_pylist(), count)}):
        rows = schema.empty_table()
        if unit := units.pop(number, None):
            before = _rows_of(job, unit, schema)
            if before.num_rows != unit.ledger.rows:
                return None
            rows = before.filter(pc.invert(pc.is_in(before.column(0), left_out)))
        new = now.filter(pa.array(of_new == number))
        if rows.num_rows or new.num_rows:
            changed.append(_bucket(number, rows, new))
    kept = [units[number] for number in sorted(units)]
    stays = {u.input for u in kept}
    gone_units = [u for u in last.units if u.input not in stays]
    return Compared(basis, count, kept, changed, gone_units, now.column(0).to_pylist())


def _previous(job: Job) -> Manifest | None:
    return job.previous if job.previous and job.previous.kind == "table" else None


def _basis(job: Job, schema: pa.Schema) -> Basis:
    return Basis(job.earlier.recipe if job.earlier else "", combine([str(schema)]))


def _bucket(number: int, kept: pa.Table, new: pa.Table) -> _Bucket:
    rows = pa.concat_tables([kept.select(new.schema.names), new]).sort_by(new.schema.names[0]) if len(kept) else new
    items, names = row_hashes(rows), row_hashes(rows.select([0]))[:, 0]
    ledger = Ledger(items, names, np.zeros(len(items), np.uint64), np.ones(len(items), np.int64))
    return _Bucket(number, kept, new, ledger, xxh3_hex(items.tobytes() + number.to_bytes(4, "little")))


def _whole(job: Job, unit: Unit) -> bool:
    return all(job.parts.has(p.fingerprint) for p in (unit.ledger, *unit.parts))


def _rows_of(job: Job, unit: Unit, schema: pa.Schema) -> pa.Table:
    manifest = Manifest("table", unit.parts, columns=columns_of(schema))
    paths = tuple(job.parts.path(p.fingerprint) for p in unit.parts)
    return read_table(Table(job.name, manifest, paths)).read_all()
