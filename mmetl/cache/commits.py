"""Group commit: finished tasks become rows together, after their files are durable; nothing waits longer than a moment."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mmetl.cache.artifacts import sync
from mmetl.cache.fingerprints import FileCache
from mmetl.cache.stat_cache import write_files
from mmetl.cache.store import Store
from mmetl.cache.tree_cache import TreeCache, TreeChanges, write_trees
from mmetl.cache.unfinished import forget_unfinished
from mmetl.cache.watermarks import set_watermark
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.items import Basis

GROUP_S = 0.025  # a group is written so soon after its first task; with the sync it stays below 50 ms
HANDOVER_S = 0.005  # how long a durable group waits for a thread that comes by
BEAT_S = 1.0  # how often a running process shows that it is alive
TASK_COLUMNS = (
    "pipeline, task, state, recipe, inputs, outputs, manifest, parts, built_ms, run_id, quarantine, items,"
    " input_list, output_list, trees"
)
BUILD_COLUMNS = "key, recipe, manifest, watermark, pipeline, task, made_ms, used_ms, quarantine, items"


class Commit(NamedTuple):
    """All that one finished task writes to the store, in one transaction.

    Attributes:
        record: the row of `tasks` without its lists; None leaves the row as it is.
        lists: fingerprints of the further manifests (quarantine, items; empty: none), then what the task read and
            wrote, as two JSON objects path -> fingerprint, and what its globs stood for, as one glob -> tree.
        failed: instead of a record: the row, if there is one, is marked as failed.
        build: the row of `builds`; None keeps the result out of the index.
        manifest: (fingerprint, body) of the manifest.
        beside: the same of further manifests of the build: rows that were set aside, items.
        basis: of an item-wise task: what it noted as finished while it ran goes with the commit.
        watermark: how far an incremental read got; moves with the record.
        task_run: the row of `task_runs`.
        files: absolute paths that must be durable before the rows are.
    """

    pipeline: str
    task: str
    task_run: Sequence[Any]
    record: Sequence[Any] | None = None
    lists: tuple[str, str, str, str, str] = ("", "", "{}", "{}", "{}")
    build: Sequence[Any] | None = None
    manifest: tuple[Fingerprint, str] | None = None
    beside: Sequence[tuple[Fingerprint, str]] = ()
    basis: Basis | None = None
    watermark: Any = None
    files: Sequence[str] = ()
    failed: bool = False


class Committer:
    """Writes commits in groups, durable data first.

    A thread closes a group, and makes its files durable, which waits for the disk. The rows are then written by the thread
    that next submits a task; only if none comes in a moment, as during a long task, the background thread writes them
    itself. Two threads in SQLite and Python at once would cost three times the CPU of one: each row gives the interpreter
    lock away and waits for it again.

    Args:
        store: the project's store.
        files: the file cache, whose changes are written with each group.
        trees: what globs stand for; likewise.
        beat: called with the open transaction about once a second, and with every group; it gets the tasks at work that
            no earlier call has had, as `pipeline:task`. Most tasks end before anybody would have read that they began.
    """

    def __init__(
        self,
        store: Store,
        files: FileCache,
        trees: TreeCache,
        beat: Callable[[sqlite3.Connection, Iterable[str]], None],
    ) -> None:
        self._store = store
        self._files, self._trees = files, trees
        self._beat = beat
        self._pending: list[Commit] = []
        self._begun: dict[str, None] = {}  # used as a set, and without the lock
        self._idle = False
        self._durable: _Group | None = None
        self._wake = threading.Condition()  # guards what is pending and what is durable
        self._taken = threading.Event()
        self._closed = threading.Event()
        self._syncing = threading.Lock()  # held from closing a group until it is durable: groups keep their order
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="mmetl-commits", daemon=True)
        self._thread.start()

    def begin(self, pipeline: str, task: str) -> None:
        """Note that a task begins; it is written if the task is still at work when the next group is, in a moment."""
        self._begun[f"{pipeline}:{task}"] = None
        if self._idle:  # set before the thread looks for work the last time: it misses none
            with self._wake:
                self._wake.notify()

    def submit(self, commit: Commit) -> None:
        """Hand over a finished task, and write the group before it if that is durable. Raises what a group failed with."""
        if self._error:
            raise self._error
        with self._wake:
            self._pending.append(commit)
            self._begun.pop(f"{commit.pipeline}:{commit.task}", None)
            if self._idle:
                self._wake.notify()
        if self._durable is not None:
            self._write_durable()

    def close(self) -> None:
        """Write the rest and stop the thread. Raises what a group failed with."""
        with self._wake:
            self._closed.set()
            self._wake.notify()
        self._thread.join()
        if self._error:
            raise self._error
        self._write_durable()
        self._make_durable()
        self._write_durable()

    def _work(self) -> None:
        try:
            while not self._closed.is_set():
                with self._wake:
                    self._idle = True
                    if not (self._pending or self._begun):
                        self._wake.wait(BEAT_S)
                    self._idle = False
                    waiting = bool(self._pending or self._begun)
                if waiting:
                    self._closed.wait(GROUP_S)
                self._taken.clear()
                self._make_durable()
                if waiting and not self._closed.is_set():
                    self._taken.wait(HANDOVER_S)
                self._write_durable()
        except BaseException as e:  # noqa: BLE001  told to the main thread at its next submit
            self._error = e

    def _make_durable(self) -> None:
        """Close the group, and wait until the disk has its files."""
        with self._syncing:
            with self._wake:
                group, self._pending = self._pending, []
                changes, listed = self._files.take_changes(), self._trees.take_changes()
            sync([p for c in group for p in c.files])
            with self._wake:
                self._durable = _Group(group, changes, listed)

    def _write_durable(self) -> None:
        """Write the rows of the durable group, if nobody has. One that cannot be written stays: no later one may go before it."""
        with self._wake:
            if self._durable is not None:
                self._write(self._durable)
                self._durable = None
        self._taken.set()

    def _write(self, group: _Group) -> None:
        with self._store.transaction() as db:
            write_group(db, group.commits)
            write_files(db, group.changes)
            write_trees(db, group.listed)
            self._beat(db, self._begun)
        self._begun.clear()


class _Group(NamedTuple):
    """Finished tasks whose files are on the disk, and what was learnt of other files until then."""

    commits: list[Commit]
    changes: dict[str, tuple[bytes, Fingerprint] | None]
    listed: TreeChanges


def write_group(db: sqlite3.Connection, group: Sequence[Commit]) -> None:
    """Write the rows of several finished tasks."""
    db.executemany(
        f"insert or replace into tasks ({TASK_COLUMNS}) values ({_marks(15)})",
        [(c.pipeline, *c.record, *c.lists) for c in group if c.record],
    )
    db.executemany(
        "update tasks set state = 'failed' where pipeline = ? and task = ?",
        [(c.pipeline, c.task) for c in group if c.failed],
    )
    db.executemany(
        f"insert or replace into builds ({BUILD_COLUMNS}) values ({_marks(10)})", [c.build for c in group if c.build]
    )
    manifests = [m for c in group if c.manifest for m in (c.manifest, *c.beside)]
    db.executemany("insert or ignore into manifests values (?, ?)", manifests)
    db.executemany(f"insert or replace into task_runs values ({_marks(10)})", [c.task_run for c in group])
    for c in group:
        if c.record and c.watermark is not None and c.manifest:
            set_watermark(db, c.pipeline, c.task, c.manifest[0], c.watermark)
        if c.basis:
            forget_unfinished(db, c.basis)


def invalidate(db: sqlite3.Connection, pipeline: str, tasks: Sequence[str]) -> None:
    """Mark tasks as started: until they are committed again, they are stale, whatever happens."""
    db.executemany("update tasks set state = 'started' where pipeline = ? and task = ?", [(pipeline, t) for t in tasks])


def validate_again(db: sqlite3.Connection, states: Mapping[tuple[str, str], str]) -> None:
    """Give (pipeline, task) its state back, where a task was invalidated and its action never began."""
    db.executemany(
        "update tasks set state = ? where pipeline = ? and task = ?", [(s, *which) for which, s in states.items()]
    )


def _marks(n: int) -> str:
    return ", ".join("?" * n)
