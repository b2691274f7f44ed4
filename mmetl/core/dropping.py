"""Forget items that failed: they are listed and tried again no more, until they or the recipe of their task change."""

from __future__ import annotations

from typing import Any

from mmetl.cache.artifacts import PartStore, sync
from mmetl.cache.layout import part_path
from mmetl.cache.stat_cache import save_file_changes
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import ItemIndex, Unit
from mmetl.contracts.plan import Plan
from mmetl.core.keep import locked
from mmetl.core.project import Project
from mmetl.core.running.inputs import Inputs
from mmetl.core.running.restore import parts_of
from mmetl.errors import UsageError
from mmetl.utils.hashing import xxh3_hex


def drop_failed(project: Project, plan: Plan, task: str) -> int:
    """Forget the items of a task that failed, and return how many there were.

    From then on each counts as an item that makes no row: its line in the ledger stays, without the error.

    Raises:
        UsageError: if rows are set aside, and none of them is an item that failed.
        RefusedError: if a run is under way.
    """
    with locked(project, "quarantine drop"):
        found = project.store.rows(
            "select m.body, q.body, i.body, t.items from tasks t join manifests m on m.fingerprint = t.manifest"
            " join manifests q on q.fingerprint = t.quarantine left join manifests i on i.fingerprint = t.items"
            " where t.pipeline = ? and t.task = ?",
            (plan.pipeline, task),
        )
        if not found:
            return 0
        body, aside, items, old = found[0]
        index = ItemIndex.from_json(items) if items else None
        failed = sum(u.failed for u in index.units) if index else 0
        if index is None or not failed:
            raise UsageError(
                f"the rows of '{task}' that are set aside are no items that failed",
                help="they go when they are mended, or what sets them aside is changed: a check, or `bad_rows`",
            )
        parts = PartStore(project.files)
        index = ItemIndex(index.basis, tuple(_forgiven(u, parts) if u.failed else u for u in index.units))
        left = _without_items(project, task, Manifest.from_json(aside), parts)
        _commit(project, (plan.pipeline, task), Manifest.from_json(body), left, (old, index))
    return failed


def _forgiven(unit: Unit, parts: PartStore) -> Unit:
    from mmetl.items.ledger import read_ledger, write_ledger

    ledger = read_ledger(unit.ledger, parts)
    ledger.errors.clear()
    return unit._replace(ledger=write_ledger(ledger, parts, unit.ledger.bucket), failed=0)


def _without_items(project: Project, task: str, aside: Manifest, parts: PartStore) -> Manifest | None:
    """Return what is set aside besides the items that failed: rows that a check refused. None if there is nothing."""
    import pyarrow.compute as pc

    from mmetl.cache.tables import read_table, write_table
    from mmetl.items.calls import ITEM

    table: Any = Inputs(project.store, parts, project.root).find(task, aside)
    rows = read_table(table).read_all()
    rows = rows.filter(pc.is_null(rows.column(ITEM)))
    if not rows.num_rows:
        return None
    return aside._replace(parts=write_table(rows.to_batches(), rows.schema, parts))


def _commit(
    project: Project, task: tuple[str, str], made: Manifest, left: Manifest | None, items: tuple[str, ItemIndex]
) -> None:
    """Let the state name what is left, after its files are durable."""
    old, index = items
    kept = list(dict.fromkeys(p.fingerprint for p in parts_of(made, left, index)))
    sync([project.files.full(part_path(p)) for p in kept])
    bodies = {xxh3_hex(b.encode()): b for b in (left.to_json() if left else "", index.to_json()) if b}
    quarantine = xxh3_hex(left.to_json().encode()) if left else ""
    new = xxh3_hex(index.to_json().encode())
    with project.store.transaction() as db:
        db.executemany("insert or ignore into manifests values (?, ?)", bodies.items())
        db.execute(
            "update tasks set quarantine = ?, items = ?, parts = ? where pipeline = ? and task = ?",
            (quarantine, new, " ".join(kept), *task),
        )
        db.execute("update builds set quarantine = ?, items = ? where items = ?", (quarantine, new, old))
    save_file_changes(project.store, project.files, project.trees)
