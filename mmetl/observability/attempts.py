"""What became of tasks that were tried and did not come to a result."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from mmetl.cache.lock import RunLock
from mmetl.cache.store import Store

LOOKED_AT = 20  # runs
BEGAN = "began"
"""The event of a task that begins. Of those that come to a result it is gone when the run ends."""
SHORT = 200  # characters of an error


class Attempt(NamedTuple):
    """A try without a result.

    Attributes:
        run_id: the run.
        error: why it failed; empty: the run ended before the task did.
        began: whether the task had begun when the run ended.
    """

    run_id: str
    error: str
    began: bool = True


def attempts(store: Store, pipeline: str) -> dict[str, Attempt]:
    """Return task -> its last attempt, for the tasks that have not succeeded since."""
    runs = store.rows(f"select id, pipeline, status from runs order by rowid desc limit {LOOKED_AT}")
    found: dict[str, Attempt] = {}
    for run_id, of, status in reversed(runs):
        outcomes = {
            task: (outcome, error)
            for task, outcome, error in store.rows(
                "select task, outcome, error from task_runs where run_id = ? and pipeline = ?", (run_id, pipeline)
            )
        }
        for task, (outcome, error) in outcomes.items():
            if outcome == "failed":
                found[task] = Attempt(run_id, _short(error))
            elif outcome in {"ran", "restored", "fresh"}:
                found.pop(task, None)
        if status in {"crashed", "cancelled"} or (status == "running" and RunLock(store.folder).is_free()):
            begun = begun_tasks(store, run_id)
            for task in decided_stale(store, run_id):
                name = task if of == pipeline else task.removeprefix(f"{pipeline}:")
                if (of == pipeline or name != task) and outcomes.get(name, ("skipped",))[0] == "skipped":
                    cut = Attempt(run_id, "", f"{pipeline}:{name}" in begun)
                    found[name] = cut if cut.began else found.get(name, cut)
    return found


def decided_stale(store: Store, run_id: str) -> list[str]:
    """Return the tasks that a run set out to do; an event says which."""
    return list(_decided(store, run_id).get("stale", ()))


def definition_run(store: Store, run_id: str) -> str:
    """Return the fingerprint of the pipeline that a run ran; empty for one with nothing to do, and for doit's own runs."""
    return str(_decided(store, run_id).get("definition", ""))


def _decided(store: Store, run_id: str) -> dict[str, Any]:
    found = store.rows("select data from events where run_id = ? and kind = 'decided'", (run_id,))
    return dict(json.loads(found[0][0])) if found else {}


def begun_tasks(store: Store, run_id: str) -> set[str]:
    """Return the tasks that a run began, as `pipeline:task`; of one that has ended, only those without a result."""
    return {task for (task,) in store.rows("select task from events where run_id = ? and kind = ?", (run_id, BEGAN))}


def _short(error: str) -> str:
    first = error.split("\n", 1)[0]
    return first if len(first) <= SHORT else first[: SHORT - 1] + "…"
