"""What the transforms that keep a target share: their input, what the target holds for certain, and the difference to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mmetl.cache.fingerprints import combine
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.target import Applied, Target
from mmetl.contracts.transform import Job, Made, Table
from mmetl.errors import AnewError, TaskError
from mmetl.items.difference import difference
from mmetl.utils.hashing import xxh3_hex
from mmetl.utils.memory import give_back


def keyed_input(job: Job, what: str) -> Table:
    """Return the one table of a task. Raises TaskError if it is none, or its rows have no names.

    Args:
        job: the running task.
        what: what its rows are, for the message: `vectors`.
    """
    table = next(iter(job.inputs.values()), None)
    if not isinstance(table, Table):
        raise TaskError(f"its input is no table of {what}", help="name a task that makes one, and is no view")
    if not table.manifest.key:
        raise TaskError(f"'{table.task}' has no key", help="a target needs to know which row is which: set `key:`")
    return table


def refuse_unknown(table: Table, columns: Iterable[str]) -> None:
    """Raise TaskError for a column that a table does not have."""
    names = [c.name for c in table.manifest.columns]
    for name in columns:
        if name not in names:
            raise TaskError(f"'{table.task}' has no column '{name}'", help=f"it has: {', '.join(names)}")


def keep_equal(
    job: Job, target: Target, table: Table, columns: Sequence[str], made_with: Sequence[Any], *, named: bool = True
) -> Made:
    """Make a target hold a table; return the task's own table, which is that of its input, part by part.

    Args:
        job: the running task.
        target: in the task's folder.
        table: what it is to hold, with a key.
        columns: those that it holds besides the key.
        made_with: what else decides how it looks, as JSON values.
        named: whether the target needs the identities of rows.
    """
    manifest = table.manifest
    held = [(c.name, str(c.type)) for c in manifest.columns if c.name in columns or c.name in manifest.key]
    spec = combine([json.dumps([*made_with, held, list(manifest.key)])])
    now = Applied(manifest_name(manifest), spec)
    found = difference(_held(job, table, target, spec), table, columns, named=named)
    give_back()  # what was compared, before the target takes memory of its own
    try:
        counts = target.apply(found, now)
    except AnewError as error:
        job.log.write(f"made anew: {error.what}\n")
        target.apply(difference(None, table, columns, named=named), now)
        counts = found.counts
    return Made(manifest.parts, manifest.columns, manifest.buckets, key=tuple(manifest.key), counts=counts)


def manifest_name(manifest: Manifest) -> str:
    """Return what a target calls the table that it holds."""
    return xxh3_hex(manifest.to_json().encode())


def _held(job: Job, table: Table, target: Target, spec: str) -> Table | None:
    """Return the table that the target holds for certain; None if it has to be made anew."""
    before, applied = job.previous, target.applied()
    if before is None or applied is None or not job.intact or (job.earlier and job.earlier.forced):
        return None
    if applied != (manifest_name(before), spec) or not all(job.parts.has(p.fingerprint) for p in before.parts):
        return None
    return Table(table.task, before, tuple(job.parts.path(p.fingerprint) for p in before.parts))
