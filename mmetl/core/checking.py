"""Put the checks of a task to the table that it has just made, or to its current one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from mmetl.cache.artifacts import PartStore
from mmetl.cache.layout import SCRATCH
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.contracts.transform import Input, Table
from mmetl.core.deadline import Cancellation
from mmetl.core.decide import Facts
from mmetl.core.inputs import Inputs, current_input
from mmetl.core.jobs import Jobs
from mmetl.core.project import Project
from mmetl.core.registry import load
from mmetl.errors import TaskError, UsageError
from mmetl.observability.logs import TaskLog
from mmetl.observability.runs import write_event

EVALUATE = "mmetl.checks.evaluate:evaluate"
REJECTED = "rejected"
"""The event that keeps the manifest of a table which its checks did not let through, so that its rows can be looked at."""


def check_made(
    jobs: Jobs,
    plan: Plan,
    node: TaskNode,
    facts: Facts,
    detail: TaskDetail,
    manifest: Manifest,
    log: TaskLog,
    cancellation: Cancellation,
) -> str:
    """Evaluate the checks of a table before it is published; return the warning, empty where all is well.

    Raises:
        TaskError: if a check of severity `error` fails, or cannot be put to the table.
    """
    table = jobs.inputs.find(node.name, manifest)
    if not isinstance(table, Table) or manifest.kind != "table":
        raise TaskError("it made no table that could be checked", help="take `expect` out")
    scratch = Path(facts.files.full(f"{SCRATCH}/{jobs.run_id}-checks-{plan.pipeline}.{node.name}"))
    results = _evaluate(
        table, detail, jobs.related(facts, detail), scratch, threads=jobs.threads, on_cancel=cancellation.add
    )
    for result in results:
        log.write(f"check {result}{'' if result.severity == 'error' else f' ({result.severity})'}\n")
    failed = [str(r) for r in results if r.told and r.severity == "error"]
    warned = [str(r) for r in results if r.told and r.severity == "warn"]
    if failed:
        with jobs.project.store.transaction() as db:
            task = f"{plan.pipeline}:{node.name}"
            write_event(db, jobs.run_id, REJECTED, task, manifest=manifest.to_json())
        checks = "a check fails" if len(failed) == 1 else f"{len(failed)} checks fail"
        raise TaskError(f"{checks}: {'; '.join(failed)}", help=f"mmetl check {node.name} --rows")
    return f"expected otherwise: {'; '.join(warned)}" if warned else ""


def _evaluate(table: Table, detail: TaskDetail, related: dict[str, Input], scratch: Path, **options: Any) -> list[Any]:
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        results: list[Any] = load(EVALUATE)(table, detail.expect, related, scratch, **options)
        return results
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class Checked(NamedTuple):
    """What came of checking a task's table.

    Attributes:
        run_id: the run that made a table which was not published; empty: the current artifact was checked.
        results: one for each check (see `checks.evaluate.Result`).
    """

    run_id: str
    results: list[Any]


def check_task(project: Project, plan: Plan, task: str, *, sample: int) -> Checked:
    """Evaluate the checks of a task's table: of the one that its checks have just refused, else of the current one.

    Args:
        project: the project.
        plan: of the task's pipeline.
        task: its name.
        sample: how many failing rows of each check to look up.

    Raises:
        UsageError: if the task has no checks, or no table.
        TaskError: if a check cannot be evaluated.
    """
    detail = project.details(plan, (task,))[task]
    if not detail.expect:
        raise UsageError(f"'{task}' has no checks", help="give it some: expect: [{not_null: COLUMN}]")
    run_id, table = _rejected(project, plan, task) or ("", current_input(project, plan, task))
    if not isinstance(table, Table):
        raise UsageError(f"'{task}' made no table", help="take `expect` out")
    related = {to: current_input(project, plan, other) for to, other in detail.related.items()}
    scratch = project.root / SCRATCH / f"check-{os.getpid()}"
    return Checked(run_id, _evaluate(table, detail, related, scratch, sample=sample, threads=os.cpu_count() or 1))


def _rejected(project: Project, plan: Plan, task: str) -> tuple[str, Table] | None:
    """Return the table that the checks refused when the task last ran, with the run; None if its parts are gone."""
    found = project.store.rows(
        "select t.run_id, e.data from task_runs t left join events e"
        " on e.run_id = t.run_id and e.kind = ? and e.task = ? join runs r on r.id = t.run_id"
        " where t.pipeline = ? and t.task = ? and t.outcome in ('ran', 'restored', 'failed')"
        " order by r.rowid desc limit 1",
        (REJECTED, f"{plan.pipeline}:{task}", plan.pipeline, task),
    )
    if not found or found[0][1] is None:
        return None
    manifest = Manifest.from_json(json.loads(found[0][1])["manifest"])
    parts = PartStore(project.files)
    if parts.missing(manifest):
        return None
    table = Inputs(project.store, parts, project.root).find(task, manifest)
    return (found[0][0], table) if isinstance(table, Table) else None
