"""Run a pipeline: decide over everything first, and let doit have only what is stale or downstream of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from mmetl.cache.stat_cache import save_file_changes
from mmetl.contracts.plan import Plan
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.select import select, task_name
from mmetl.observability.runs import Status, TaskRun, new_run_id, record_noop
from mmetl.utils.garbage import collection_paused


class Progress(Protocol):
    """Is told what happens while a run lasts."""

    def begin(self, pipeline: str, run_id: str, todo: int, fresh: int) -> None:
        """Some tasks will be looked at by doit; the others are fresh."""
        ...

    def started(self, task: str) -> None:
        """`pipeline:task` starts."""
        ...

    def items(self, task: str, done: int, todo: int, counts: Mapping[str, float]) -> None:
        """`pipeline:task` has computed `done` of `todo` items; `counts` says what is known of all its items."""
        ...

    def finished(self, result: TaskRun) -> None:
        """A task is done with, one way or the other."""
        ...


class RunResult(NamedTuple):
    """How a run ended, with every selected task in plan order. `seconds` is wall time.

    `limited`: tasks that stopped before the run spent more than it may; they count as failed.
    """

    run_id: str
    pipeline: str
    status: Status
    tasks: tuple[TaskRun, ...]
    seconds: float
    limited: frozenset[str] = frozenset()


def run(project: Project, path: Path, options: RunOptions, progress: Progress) -> RunResult:
    """Bring the selected tasks of a pipeline up to date.

    Raises:
        ConfigError: if the pipeline is invalid.
        UsageError: for a selector that is wrong, or selects nothing.
        RefusedError: if another run holds the project, or its state file cannot be used.
    """
    started = time.perf_counter()
    with collection_paused():
        return _run(project, path, options, progress, started)


def _run(project: Project, path: Path, options: RunOptions, progress: Progress, started: float) -> RunResult:
    plan = project.plan(path, options.variables)
    selected, forced = select(project, plan, options)
    options = options._replace(allow_shrink=frozenset(task_name(plan, t) for t in options.allow_shrink))
    version = project.store.version()
    facts, decisions = project.decide(plan, selected, forced=forced)
    if all(d.freshness == "fresh" for d in decisions.values()):
        return _noop(project, plan, options, selected, started)
    from mmetl.core.work import Work, work_off  # imports doit

    status, run_id, worked, limited = work_off(
        Work(project, plan, options, selected, facts, decisions, version), progress
    )
    known = {t.task: t for t in worked}
    tasks = tuple(known.get(n) or TaskRun(n, "fresh") for n in selected)
    return RunResult(run_id, plan.pipeline, status, tasks, time.perf_counter() - started, limited)


def _noop(project: Project, plan: Plan, options: RunOptions, selected: Sequence[str], started: float) -> RunResult:
    run_id = new_run_id()
    if selected:
        save_file_changes(project.store, project.files, project.trees)
        with project.store.transaction() as db:
            record_noop(db, run_id, plan.pipeline, selected, options.arguments())
    tasks = tuple(TaskRun(n, "fresh") for n in selected)
    return RunResult(run_id, plan.pipeline, "succeeded", tasks, time.perf_counter() - started)
