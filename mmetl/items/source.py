"""A listing of outside items as a keyed table: a bucket in which nothing changed is not written again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmetl.cache.arrow_types import columns_of
from mmetl.cache.buckets import bucket_count, buckets_of_texts
from mmetl.cache.fingerprints import combine
from mmetl.cache.tables import write_table
from mmetl.contracts.items import Basis, ItemIndex, Unit
from mmetl.contracts.transform import Job, Made
from mmetl.items.hashes import row_hashes
from mmetl.items.known import count_changes
from mmetl.items.ledger import Ledger, read_ledger, write_ledger
from mmetl.utils.hashing import xxh3_hex


def keep_listing(
    job: Job, listed: pa.Table, size_bytes: int, schema: pa.Schema, complete: Callable[[pa.Table], pa.Table]
) -> Made:
    """Keep what a source lists, cut into buckets by its first column, which is the key.

    Args:
        job: the running task.
        listed: what decides each row; sorted by the key, which is a text.
        size_bytes: of all items together: it decides how many buckets there are.
        schema: of the rows that are kept.
        complete: makes rows of the schema of some of the listed ones; called for buckets that changed only.
    """
    compared = _compare(job, listed, size_bytes, schema)
    units: list[Unit] = []
    for bucket in compared.buckets:
        unit = bucket.unit
        if unit is None:
            written = write_table(complete(bucket.rows).to_batches(), schema, job.parts)
            parts = tuple(p._replace(bucket=bucket.number) for p in written)
            unit = Unit(bucket.input, write_ledger(bucket.ledger, job.parts, bucket.number), parts)
        units.append(unit)
    return Made(
        tuple(p for u in units for p in u.parts),
        columns_of(schema),
        compared.cut,
        items=ItemIndex(compared.basis, tuple(units)),
        key=(schema.names[0],),
        counts=compared.counts,
    )


def estimate_listing(job: Job, listed: pa.Table, size_bytes: int, schema: pa.Schema) -> dict[str, int]:
    """Return the counts that `keep_listing` would have; nothing is written."""
    return _compare(job, listed, size_bytes, schema).counts


class _Bucket(NamedTuple):
    """A bucket that is not empty. `unit` is what it came to earlier, if nothing in it changed and its parts are there."""

    number: int
    rows: pa.Table
    ledger: Ledger
    input: str
    unit: Unit | None


class _Compared(NamedTuple):
    """What is listed now, against what was listed last. `cut` is the number of buckets, the empty ones too."""

    basis: Basis
    cut: int
    buckets: list[_Bucket]
    counts: dict[str, int]


def _compare(job: Job, listed: pa.Table, size_bytes: int, schema: pa.Schema) -> _Compared:
    previous = job.previous if job.previous and job.previous.kind == "table" else None
    count = bucket_count(size_bytes, previous.buckets if previous else None)
    of = np.array(buckets_of_texts(listed.column(0).to_pylist(), count), np.int64)
    order = np.argsort(of, kind="stable")
    rows, of = listed.take(pa.array(order)), of[order]
    basis = Basis(job.earlier.recipe if job.earlier else "", combine([str(schema)]))
    last = job.earlier.last() if job.earlier else None
    known = (
        {u.input: u for u in last.units}
        if last and last.basis == basis and not (job.earlier and job.earlier.forced)
        else {}
    )
    items, names = row_hashes(rows), row_hashes(rows.select([0]))[:, 0]
    starts = np.concatenate([[0], np.nonzero(np.diff(of))[0] + 1, [len(of)]]) if len(of) else np.zeros(1, np.int64)
    buckets: list[_Bucket] = []
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        bucket = int(of[start])
        input_ = xxh3_hex(items[start:end].tobytes() + bucket.to_bytes(4, "little"))
        unit = known.get(input_)
        if unit is not None and not all(job.parts.has(p.fingerprint) for p in (unit.ledger, *unit.parts)):
            unit = None
        one, zero = np.ones(end - start, np.int64), np.zeros(end - start, np.uint64)
        ledger = Ledger(items[start:end], names[start:end], zero, one)
        buckets.append(_Bucket(bucket, rows.slice(start, end - start), ledger, input_, unit))
    stays = {b.input for b in buckets}
    gone = _gone(job, [u for u in (last.units if last else ()) if u.input not in stays])
    counts = count_changes(gone, [b.ledger for b in buckets if b.unit is None], same_basis=True)
    counts["unchanged"] += sum(len(b.ledger) for b in buckets if b.unit)
    return _Compared(basis, count, buckets, {word: n for word, n in counts.items() if n})


def _gone(job: Job, gone: Sequence[Unit]) -> list[Ledger]:
    """Return the ledgers of units that are no longer there, as far as they are kept."""
    return [read_ledger(u.ledger, job.parts) for u in gone if job.parts.has(u.ledger.fingerprint)]
