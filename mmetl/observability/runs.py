"""Runs and their tasks as rows: written while a run lasts, read by `status`. Nothing here reads a pipeline."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from mmetl.cache.lock import RunLock
from mmetl.cache.store import Store
from mmetl.errors import UsageError
from mmetl.observability.attempts import BEGAN, begun_tasks, decided_stale
from mmetl.utils.hashing import fingerprint_json
from mmetl.utils.text import shown
from mmetl.utils.time import now_ms

Status = Literal["succeeded", "failed", "running", "crashed", "cancelled"]
Outcome = Literal["ran", "fresh", "restored", "failed", "blocked", "skipped"]

AT_WORK, CUT_SHORT = "it is running", "it was running when the run ended"
KEPT_RUNS = 200  # older runs and their events are dropped with the next run


class TaskRun(NamedTuple):
    """What happened to one task in one run. `reasons` are in words; `seconds` is wall time; `counts` are of items."""

    task: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    rows: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    error: str = ""
    counts: Mapping[str, float] = MappingProxyType({})


class Run(NamedTuple):
    """One execution. Times are milliseconds since the epoch, UTC; `ended_ms` is None while it runs or after a crash."""

    id: str
    pipeline: str
    status: Status
    pid: int
    started_ms: int
    heartbeat_ms: int
    ended_ms: int | None
    arguments: Mapping[str, Any]
    tasks: tuple[TaskRun, ...] = ()


def new_run_id() -> str:
    """Return a run id: the UTC time, so that ids sort and can be typed, and four random digits."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + os.urandom(2).hex()


def begin_run(
    db: sqlite3.Connection, run_id: str, pipeline: str, selected: Sequence[str], arguments: Mapping[str, Any]
) -> None:
    """Write a run that starts now, and mark those as crashed that ended without a word. For the holder of the lock."""
    db.execute("update runs set status = 'crashed' where status = 'running' and id <> ?", (run_id,))
    _insert(db, run_id, pipeline, "running", selected, arguments)


def left_running(store: Store) -> list[str]:
    """Return the runs that ended without a word. For the holder of the lock."""
    return [run for (run,) in store.rows("select id from runs where status = 'running'")]


def record_noop(
    db: sqlite3.Connection, run_id: str, pipeline: str, selected: Sequence[str], arguments: Mapping[str, Any]
) -> None:
    """Write a run that found everything fresh."""
    _insert(db, run_id, pipeline, "succeeded", selected, arguments)


def _insert(
    db: sqlite3.Connection,
    run_id: str,
    pipeline: str,
    status: str,
    selected: Sequence[str],
    arguments: Mapping[str, Any],
) -> None:
    names = json.dumps(list(selected))
    key = fingerprint_json("tasks/1", names)
    db.execute("insert or ignore into task_lists values (?, ?)", (key, names))
    now = now_ms()
    ended = None if status == "running" else now
    db.execute(
        "insert or replace into runs values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run_id, pipeline, status, os.getpid(), now, now, ended, json.dumps(dict(arguments)), key),
    )
    db.execute("delete from runs where id in (select id from runs order by rowid desc limit -1 offset ?)", (KEPT_RUNS,))


def end_run(db: sqlite3.Connection, run_id: str, status: Status) -> None:
    """Write how a run ended."""
    db.execute("update runs set status = ?, ended_ms = ? where id = ?", (status, now_ms(), run_id))
    db.execute(
        "delete from events where run_id = ? and kind = ? and task in"
        " (select pipeline || ':' || task from task_runs where run_id = ? and outcome <> 'skipped')",
        (run_id, BEGAN, run_id),
    )
    for table in ("task_runs", "events"):
        db.execute(f"delete from {table} where run_id not in (select id from runs)")


def beat(db: sqlite3.Connection, run_id: str, begun: Iterable[str] = ()) -> None:
    """Show that a run is alive, and which tasks, as `pipeline:task`, have begun since it last did."""
    db.execute("update runs set heartbeat_ms = ? where id = ?", (now_ms(), run_id))
    for task in begun:
        write_event(db, run_id, BEGAN, task)


def write_task_runs(db: sqlite3.Connection, run_id: str, pipeline: str, tasks: Iterable[TaskRun]) -> None:
    """Write what happened to tasks that committed nothing else: blocked and skipped ones, late cutoffs."""
    db.executemany(
        "insert or replace into task_runs values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [task_run_row(run_id, pipeline, t) for t in tasks],
    )


@functools.lru_cache  # most tasks of a run have the same ones
def _reasons_json(reasons: tuple[str, ...]) -> str:
    return json.dumps(reasons)


def task_run_row(run_id: str, pipeline: str, t: TaskRun) -> tuple[Any, ...]:
    """Return the row of `task_runs`."""
    reasons = _reasons_json(tuple(t.reasons))
    counts = json.dumps(dict(t.counts)) if t.counts else "{}"
    return (run_id, pipeline, t.task, t.outcome, reasons, t.rows, t.size_bytes, round(t.seconds, 4), t.error, counts)


def write_event(db: sqlite3.Connection, run_id: str, kind: str, task: str = "", **data: Any) -> None:
    """Append one structured event."""
    db.execute(
        "insert into events (run_id, at_ms, kind, task, data) values (?, ?, ?, ?, ?)",
        (run_id, now_ms(), kind, task, json.dumps(data)),
    )


def kept_leftovers(store: Store, run_id: str) -> list[str]:
    """Return the files that tasks no longer declare and that a run left, because somebody changed them."""
    rows = store.rows("select data from events where run_id = ? and kind = 'leftover_kept' order by id", (run_id,))
    return [json.loads(data)["path"] for (data,) in rows]


def last_busy_run(store: Store, pipeline: str | None = None) -> str | None:
    """Return the id of the latest run that had something to do, of one pipeline or of any; None if there is none.

    A run of doit's own may be of several pipelines.
    """
    sql = (
        "select id from runs where (? is null or instr(', ' || pipeline || ',', ', ' || ? || ','))"
        " and exists (select 1 from events where run_id = runs.id and kind = 'decided')"
        " order by started_ms desc, runs.rowid desc limit 1"
    )
    found = store.rows(sql, (pipeline, pipeline))
    return found[0][0] if found else None


def find_run(store: Store, wanted: str | None) -> Run | None:
    """Return a run with its tasks: the latest, or the one whose id starts with `wanted`; None if nothing ever ran.

    Raises:
        UsageError: for an id that no run has, with the nearest ones, or a prefix that several share.
    """
    columns = "id, pipeline, status, pid, started_ms, heartbeat_ms, ended_ms, arguments, selected"
    if wanted is None:
        found = store.rows(f"select {columns} from runs order by rowid desc limit 1")
        if not found:
            return None
    else:
        wanted = shown(wanted)
        found = store.rows(f"select {columns} from runs where substr(id, 1, ?) = ?", (len(wanted), wanted))
        found = [r for r in found if r[0] == wanted] or found
        if len(found) != 1:
            raise _no_such_run(store, wanted, [r[0] for r in found])
    id_, pipeline, status, pid, started, heartbeat, ended, arguments, selected = found[0]
    if status == "running" and RunLock(store.folder).is_free():
        status = "crashed"
    tasks = _tasks(store, id_, pipeline, selected, AT_WORK if status == "running" else CUT_SHORT)
    return Run(id_, pipeline, status, pid, started, heartbeat, ended, json.loads(arguments), tasks)


def _no_such_run(store: Store, wanted: str, several: list[str]) -> UsageError:
    if several:
        return UsageError(f"several runs start with '{wanted}'", help="write more of it: " + ", ".join(several[:5]))
    import difflib

    ids = [r[0] for r in store.rows("select id from runs order by rowid desc")]
    close = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.0)
    return UsageError(
        f"no run has the id '{wanted}'", help="nearest: " + ", ".join(close) if close else "nothing ran here yet"
    )


def _tasks(store: Store, run_id: str, pipeline: str, selected: str, begun: str) -> tuple[TaskRun, ...]:
    """Return the run's tasks in plan order; those without a row were fresh, or never got their turn.

    `begun` is what is said of those that began and came to no result.
    """
    columns = "outcome, reasons, counts, rows, bytes, seconds, error"
    rows = store.rows(f"select pipeline, task, {columns} from task_runs where run_id = ?", (run_id,))
    names = store.rows("select names from task_lists where key = ?", (selected,))
    order: list[str] = json.loads(names[0][0]) if names else sorted(r[1] for r in rows)
    full = any(":" in n for n in order)  # a plain doit run of several pipelines
    known = {}
    for of, task, outcome, reasons, counts, *numbers in rows:
        name = f"{of}:{task}" if full else task
        known[name] = TaskRun(name, outcome, tuple(json.loads(reasons)), *numbers)._replace(counts=json.loads(counts))
    worked_on = set(decided_stale(store, run_id))
    began = begun_tasks(store, run_id)
    found = (known.get(n) or TaskRun(n, "skipped" if n in worked_on else "fresh") for n in order)
    return tuple(
        t._replace(error=begun)
        if t.outcome == "skipped" and (t.task if full else f"{pipeline}:{t.task}") in began
        else t
        for t in found
    )
