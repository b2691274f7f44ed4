"""A listing of outside items as a keyed table: a bucket in which nothing changed is not written again."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from mmetl.cache.arrow_types import columns_of
from mmetl.cache.buckets import bucket_count, bucket_of
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
        listed: what decides each row; sorted by the key.
        size_bytes: of all items together: it decides how many buckets there are.
        schema: of the rows that are kept.
        complete: makes rows of the schema of some of the listed ones; called for buckets that changed only.
    """
    previous = job.previous if job.previous and job.previous.kind == "table" else None
    buckets = bucket_count(size_bytes, previous.buckets if previous else None)
    keys = listed.column(0).to_pylist()
    of = np.array([bucket_of([key], buckets) for key in keys], np.int64)
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
    units: list[Unit] = []
    changed: list[Ledger] = []
    kept = 0
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        bucket = int(of[start])
        input_ = xxh3_hex(items[start:end].tobytes() + bucket.to_bytes(4, "little"))
        unit = known.get(input_)
        if unit is None or not all(job.parts.has(p.fingerprint) for p in (unit.ledger, *unit.parts)):
            one = np.ones(end - start, np.int64)
            ledger = Ledger(items[start:end], names[start:end], np.zeros(end - start, np.uint64), one)
            changed.append(ledger)
            written = write_table(complete(rows.slice(start, end - start)).to_batches(), schema, job.parts)
            parts = tuple(p._replace(bucket=bucket) for p in written)
            unit = Unit(input_, write_ledger(ledger, job.parts, bucket), parts)
        else:
            kept += end - start
        units.append(unit)
    counts = count_changes(_gone(job, last.units if last else (), units), changed, same_basis=True)
    counts["unchanged"] += kept
    return Made(
        tuple(p for u in units for p in u.parts),
        columns_of(schema),
        buckets,
        items=ItemIndex(basis, tuple(units)),
        key=(schema.names[0],),
        counts={word: n for word, n in counts.items() if n},
    )


def _gone(job: Job, before: Sequence[Unit], now: Sequence[Unit]) -> list[Ledger]:
    """Return the ledgers of the units that are no longer there."""
    stays = {u.input for u in now}
    gone = [u for u in before if u.input not in stays]
    return [read_ledger(u.ledger, job.parts) for u in gone if job.parts.has(u.ledger.fingerprint)]
