"""What stays and what goes: clean, forget, orphans, garbage collection."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path

from mmetl.cache.artifacts import remove_if_ours
from mmetl.cache.layout import LOGS, PARTS, REPLACED
from mmetl.cache.lock import RunLock, no_readers
from mmetl.cache.stat_cache import save_file_changes
from mmetl.cache.tree_cache import drop_folders, drop_pages
from mmetl.cache.unfinished import expire_unfinished
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import ItemIndex, Unit
from mmetl.core.outside import is_outside
from mmetl.core.project import Project
from mmetl.core.running.folders import remove_empty
from mmetl.utils.time import now_ms

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Cleaned:
    """What `clean` did: files removed, and files left because somebody changed them since."""

    removed: tuple[str, ...]
    kept: tuple[str, ...]


@contextlib.contextmanager
def locked(project: Project, what: str) -> Iterator[None]:
    """Hold the run lock. Raises RefusedError, naming its holder, if another process has it."""
    project.store.check()
    lock = RunLock(project.store.folder)
    lock.acquire(what)
    try:
        yield
    finally:
        lock.release()


def clean_task(project: Project, pipeline: str, task: str, *, spare: Container[str] = ()) -> Cleaned:
    """Remove the files that a task wrote, and take its artifact from what is current; the next run restores both.

    A file that was changed since is left, and told. Files in `spare` are left without a word. What it keeps in a store of others is
    removed there.

    Raises:
        MmetlError: if that store cannot be reached.
    """
    rows = project.store.rows("select output_list from tasks where pipeline = ? and task = ?", (pipeline, task))
    removed: list[str] = []
    kept: list[str] = []
    for path, fingerprint in json.loads(rows[0][0] or "{}").items() if rows else ():
        if path in spare:
            continue
        if is_outside(path):
            project.stores.drop(path)
        else:
            (removed if remove_if_ours(project.files, path, fingerprint) else kept).append(path)
    remove_empty(project.files, removed)
    with project.store.transaction() as db:
        db.execute("update tasks set manifest = '' where pipeline = ? and task = ?", (pipeline, task))
    save_file_changes(project.store, project.files, project.trees)
    return Cleaned(tuple(removed), tuple(kept))


def forget_task(project: Project, pipeline: str, task: str) -> None:
    """Drop a task's record, its builds in the index and its watermark; the next run computes."""
    with project.store.transaction() as db:
        recipes = db.execute("select recipe from tasks where pipeline = ? and task = ?", (pipeline, task)).fetchall()
        db.executemany("delete from builds where recipe = ?", recipes)
        for table in ("tasks", "builds", "watermarks"):
            db.execute(f"delete from {table} where pipeline = ? and task = ?", (pipeline, task))


def orphans(project: Project) -> list[tuple[str, str]]:
    """Return (pipeline, task) of every recorded task that no plan of the project names any more."""
    recorded = project.store.rows("select pipeline, task from tasks order by 1, 2")
    if not recorded:
        return []
    current: set[tuple[str, str]] = set()
    for checks, body in project.store.rows("select checks, body from plans order by used_ms"):
        if (project.root / json.loads(checks)["path"]).exists():
            plan = json.loads(body)
            current = {(p, t) for p, t in current if p != plan["pipeline"]}
            current |= {(plan["pipeline"], row[0]) for row in plan["tasks"]}
    return [(p, t) for p, t in recorded if (p, t) not in current]


def clean_orphans(project: Project) -> list[tuple[str, str, Cleaned]]:
    """Remove what tasks left that are gone from their YAML: files, manifest and record. Their builds stay in the index."""
    gone = orphans(project)
    # A renamed task has written the same files under its new name.
    spare = {
        path
        for pipeline, task, listed in project.store.rows("select pipeline, task, output_list from tasks")
        if (pipeline, task) not in gone
        for path in json.loads(listed or "{}")
    }
    done = []
    for pipeline, task in gone:
        done.append((pipeline, task, clean_task(project, pipeline, task, spare=spare)))
        with project.store.transaction() as db:
            for table in ("tasks", "watermarks"):
                db.execute(f"delete from {table} where pipeline = ? and task = ?", (pipeline, task))
    return done


@dataclass(frozen=True)
class Collected:
    """What garbage collection removed. `deferred`: somebody is reading parts, so they stay until the next time."""

    builds: int
    parts: int
    size_bytes: int
    deferred: bool = False


def collect(project: Project, *, days: float, builds: int) -> Collected:
    """Remove builds used neither in the last `days` nor among a task's last `builds`, and every part that nothing needs.

    Takes the run lock.

    Raises:
        RefusedError: if another run holds the lock.
    """
    if not project.store.exists():
        return Collected(0, 0, 0)
    with locked(project, "mmetl gc"):
        dropped = expire(project, days=days, builds=builds)
        _remove_old_logs(project)
        with no_readers(project.store.folder) as free:
            if not free:
                return Collected(dropped, 0, 0, deferred=True)
            return Collected(dropped, *_remove_dead_parts(project))


def replaced(project: Project, *, remove: bool) -> tuple[int, int]:
    """Return how many files were moved out of the way of outputs, and their bytes; `remove` deletes them.

    Nothing else ever does: besides what killed commands left half-written, they may be somebody's work.
    """
    folder = project.root / REPLACED
    sizes = [os.lstat(Path(where) / name).st_size for where, _, names in os.walk(folder) for name in names]
    if remove:
        shutil.rmtree(folder, ignore_errors=True)
    return len(sizes), sum(sizes)


def tidy(project: Project) -> None:
    """Do after a run what `collect` does, where there is anything to do. For the holder of the run lock.

    One query tells whether any build has not been used for a day; the rest costs more.
    """
    if project.trees.wrote:
        with project.store.transaction() as db:
            drop_pages(db)
    old = project.store.rows("select 1 from builds where used_ms < ? limit 1", (now_ms() - DAY_MS,))
    if not old:
        return
    kept = project.settings
    if expire(project, days=kept.retention_days, builds=kept.retention_builds):
        with no_readers(project.store.folder) as free:
            if free:
                _remove_dead_parts(project)


def expire(project: Project, *, days: float, builds: int) -> int:
    """Drop index entries past retention, and manifests that nothing names; return how many builds went. Cheap."""
    with project.store.transaction() as db:
        oldest = now_ms() - int(days * DAY_MS)
        dropped = db.execute(
            "delete from builds where key in (select key from (select key, used_ms, row_number() over"
            " (partition by pipeline, task order by used_ms desc, key) as age from builds)"
            " where age > ? and used_ms < ?)",
            (builds, oldest),
        ).rowcount
        db.execute(
            "delete from manifests where fingerprint not in (select manifest from builds union select quarantine from"
            " builds union select items from builds union select manifest from tasks union select quarantine from tasks"
            " union select items from tasks)"
        )
        expire_unfinished(db, oldest)
        drop_folders(db)
        # Of every pipeline file the newest plan stays, whatever its age: it says which tasks are no orphans.
        db.execute(
            "delete from plans where used_ms < ? and key not in (select key from (select key, row_number() over"
            " (partition by json_extract(checks, '$.path') order by used_ms desc) as age from plans) where age = 1)",
            (oldest,),
        )
        db.execute("delete from plan_tasks where plan not in (select key from plans)")
        db.execute(
            "delete from recipes where fingerprint not in (select recipe from builds)"
            " and fingerprint not in (select recipe from tasks)"
            " and fingerprint not in (select json_extract(t.value, '$[1]') from plans, json_each(body, '$.tasks') t)"
        )
    return int(dropped)


def _remove_dead_parts(project: Project) -> tuple[int, int]:
    live = set()
    for (body,) in project.store.rows("select body from manifests"):
        items = '"kind":"items"' in body[:40]
        live |= {p.fingerprint for p in (ItemIndex.from_json(body).parts if items else Manifest.from_json(body).parts)}
    for (body,) in project.store.rows("select body from unfinished"):
        unit = Unit.from_list(json.loads(body))
        live |= {unit.ledger.fingerprint, *(p.fingerprint for p in unit.parts)}
    count = size = 0
    gone = []
    folder = project.root / PARTS
    for entry in _files(folder):
        if entry.name not in live:
            size += entry.stat().st_size
            entry.unlink()
            gone.append(f"{PARTS}/{entry.name[:2]}/{entry.name}")
            count += 1
    with project.store.transaction() as db:
        db.executemany("delete from files where path = ?", [(p,) for p in gone])
    return count, size


def _files(folder: Path) -> list[Path]:
    if not folder.exists():
        return []
    return [Path(e.path) for d in os.scandir(folder) if d.is_dir() for e in os.scandir(d.path)]


def _remove_old_logs(project: Project) -> None:
    """Remove the logs of runs that are no longer listed."""
    kept = {r[0] for r in project.store.rows("select id from runs")}
    folder = project.root / LOGS
    for entry in folder.iterdir() if folder.exists() else ():
        if entry.name not in kept:
            shutil.rmtree(entry, ignore_errors=True)
