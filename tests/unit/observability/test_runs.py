"""Runs and their tasks as rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmetl.cache.lock import RunLock
from mmetl.cache.store import Store
from mmetl.errors import UsageError
from mmetl.observability import runs
from mmetl.observability.attempts import attempts
from mmetl.observability.runs import (
    TaskRun,
    beat,
    begin_run,
    end_run,
    find_run,
    new_run_id,
    record_noop,
    write_event,
    write_task_runs,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    store = Store(tmp_path)
    store.check()
    return store


def begin(store: Store, run_id: str, tasks: list[str]) -> None:
    with store.transaction() as db:
        begin_run(db, run_id, "p", tasks, {"force": True})


def test_ids_sort_by_time() -> None:
    """The time comes first, and two of one second differ."""
    ids = {new_run_id() for _ in range(50)}
    assert len(ids) > 45
    assert len({i[:13] for i in ids}) <= 2


def test_round_trip(store: Store) -> None:
    """A run is told as it was: its tasks in the order of the plan, those without a row as fresh."""
    begin(store, "r1", ["b", "a", "c"])
    failed = TaskRun("a", "failed", ("x changed",), 3, 4, 0.5, "it broke")
    with store.transaction() as db:
        write_event(db, "r1", "decided", stale=["a"])
        write_task_runs(db, "r1", "p", [failed])
        end_run(db, "r1", "failed")
    run = find_run(store, None)
    assert run
    assert (run.id, run.pipeline, run.status, run.arguments) == ("r1", "p", "failed", {"force": True})
    assert run.tasks == (TaskRun("b", "fresh"), failed, TaskRun("c", "fresh"))
    assert run.ended_ms
    assert run.ended_ms >= run.started_ms


def test_lock_tells_running_from_crashed(store: Store) -> None:
    """A run without an end is running while the lock is held; what it had not reached was skipped."""
    begin(store, "r1", ["a", "b"])
    with store.transaction() as db:
        write_event(db, "r1", "decided", stale=["a", "b"])
        write_task_runs(db, "r1", "p", [TaskRun("a", "ran")])
        beat(db, "r1")
    lock = RunLock(store.folder)
    lock.acquire("r1")
    found = find_run(store, "r1")
    assert found
    assert found.status == "running"
    lock.release()
    found = find_run(store, "r1")
    assert found
    assert found.status == "crashed"
    assert [t.outcome for t in found.tasks] == ["ran", "skipped"]
    begin(store, "r2", [])
    assert store.rows("select id, status from runs order by id") == [("r1", "crashed"), ("r2", "running")]


def test_the_last_attempt_is_the_one_that_began_last(store: Store) -> None:
    """A run that ended before a task's turn says nothing new of one that was cut short, or failed, before."""
    for run_id, began in (("r1", "ab"), ("r2", "a"), ("r3", "")):
        begin(store, run_id, ["a", "b", "c"])
        with store.transaction() as db:
            write_event(db, run_id, "decided", stale=["a", "b", "c"])
            beat(db, run_id, [f"p:{task}" for task in began])
            end_run(db, run_id, "cancelled")
    found = attempts(store, "p")
    assert {t: (a.run_id, a.began) for t, a in found.items()} == {
        "a": ("r2", True),
        "b": ("r1", True),
        "c": ("r1", False),
    }


def test_old_runs_are_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """State does not grow with the number of runs."""
    monkeypatch.setattr(runs, "KEPT_RUNS", 3)
    for n in range(6):
        begin(store, f"r{n}", ["a"])
        with store.transaction() as db:
            db.execute("update runs set started_ms = ? where id = ?", (n, f"r{n}"))
            write_event(db, f"r{n}", "decided", stale=["a"])
            write_task_runs(db, f"r{n}", "p", [TaskRun("a", "ran")])
            end_run(db, f"r{n}", "succeeded")
    with store.transaction() as db:
        record_noop(db, "last", "p", ["a"], {})
        end_run(db, "last", "succeeded")
    kept = {r for (r,) in store.rows("select id from runs")}
    assert len(kept) == 3
    assert "last" in kept
    assert {r for (r,) in store.rows("select run_id from events")} <= kept
    assert {r for (r,) in store.rows("select run_id from task_runs")} <= kept


def test_equal_task_lists_are_kept_once(store: Store) -> None:
    """A no-op of 10,000 tasks adds one row, not 10,000."""
    with store.transaction() as db:
        for n in range(5):
            record_noop(db, f"r{n}", "p", ["a", "b"], {})
    assert [json.loads(names) for (names,) in store.rows("select names from task_lists")] == [["a", "b"]]
    assert store.rows("select count(*) from task_runs") == [(0,)]


@pytest.mark.parametrize(
    ("wanted", "what", "help_"),
    [
        ("2026", "several runs start with '2026'", "write more of it: "),
        ("20260101-0001", None, None),
        ("20260101-000", "several runs start with '20260101-000'", "write more of it: "),
        ("20260191-0001", "no run has the id '20260191-0001'", "nearest: 20260101-0001, "),
        ("%", "no run has the id '%'", "nearest: "),
    ],
)
def test_find_by_prefix(store: Store, wanted: str, what: str | None, help_: str | None) -> None:
    """A prefix does where it is one run's; else the error shows ids that can be typed."""
    for n in range(1, 5):
        begin(store, f"20260101-000{n}", [])
    begin(store, "20260101-00010", [])
    if what is None:
        found = find_run(store, wanted)
        assert found
        assert found.id == wanted
        return
    with pytest.raises(UsageError) as caught:
        find_run(store, wanted)
    assert caught.value.what == what
    assert caught.value.help.startswith(str(help_))


def test_nothing_ran(tmp_path: Path) -> None:
    """Asking makes no state."""
    assert find_run(Store(tmp_path), None) is None
    with pytest.raises(UsageError) as caught:
        find_run(Store(tmp_path), "x")
    assert caught.value.help == "nothing ran here yet"
    assert list(tmp_path.iterdir()) == []
