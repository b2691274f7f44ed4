"""Run a pipeline: decide over everything first, and let doit have only what is stale or downstream of it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mmetl.cache.stat_cache import save_file_changes
from mmetl.contracts.plan import Plan
from mmetl.core.options import RunOptions
from mmetl.core.progress import Progress
from mmetl.core.project import Project
from mmetl.core.select import select, task_name
from mmetl.errors import ExitCode
from mmetl.observability.runs import Status, TaskRun, new_run_id, record_noop
from mmetl.utils.garbage import collection_paused


class RunResult(NamedTuple):
    """How a run ended, with every selected task in plan order. `seconds` is wall time.

    `codes`: failed task -> exit code, for those whose error has one of its own: a limit was reached, a package is missing.
    """

    run_id: str
    pipeline: str
    status: Status
    tasks: tuple[TaskRun, ...]
    seconds: float
    codes: Mapping[str, ExitCode] = MappingProxyType({})

    @property
    def exit_code(self) -> ExitCode:
        """What a process says of it: a code of its own, where all tasks that failed have the same one."""
        if self.status != "failed":
            return ExitCode.DONE if self.status == "succeeded" else ExitCode.INTERRUPTED
        found = {self.codes.get(t.task, ExitCode.TASK_FAILED) for t in self.tasks if t.outcome == "failed"}
        return found.pop() if len(found) == 1 else ExitCode.TASK_FAILED


def run(project: Project, path: Path, options: RunOptions, progress: Progress) -> RunResult:
    """Bring the selected tasks of a pipeline up to date.

    Raises:
        ConfigError: if the pipeline is invalid.
        UsageError: for a selector that is wrong, or selects nothing.
        RefusedError: if another run holds the project, or its state file cannot be used.
        MissingError: if a package is not installed that a task to be run is sure to need.
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

    status, run_id, worked, codes = work_off(
        Work(project, plan, options, selected, facts, decisions, version), progress
    )
    known = {t.task: t for t in worked}
    tasks = tuple(known.get(n) or TaskRun(n, "fresh") for n in selected)
    return RunResult(run_id, plan.pipeline, status, tasks, time.perf_counter() - started, codes)


def _noop(project: Project, plan: Plan, options: RunOptions, selected: Sequence[str], started: float) -> RunResult:
    run_id = new_run_id()
    if selected:
        save_file_changes(project.store, project.files, project.trees)
        with project.store.transaction() as db:
            record_noop(db, run_id, plan.pipeline, selected, options.arguments())
    tasks = tuple(TaskRun(n, "fresh") for n in selected)
    return RunResult(run_id, plan.pipeline, "succeeded", tasks, time.perf_counter() - started)
