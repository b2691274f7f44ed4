"""Put the checks of a task to the table that it has just made, or to its current one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmetl.cache.artifacts import PartStore
from mmetl.cache.layout import SCRATCH
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.plan import Plan, TaskDetail, TaskNode
from mmetl.contracts.transform import Input
from mmetl.core.facts import Facts
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.registry import load
from mmetl.core.running.deadline import Cancellation
from mmetl.core.running.inputs import Inputs, current_input
from mmetl.core.running.jobs import Jobs
from mmetl.errors import TaskError, UsageError
from mmetl.observability.logs import TaskLog, printing_to
from mmetl.observability.runs import write_event

EXAMINE = "mmetl.checks.evaluate:examine"
OWN = "mmetl.checks.functions:Own"
REJECTED = "rejected"
"""The event that keeps the manifest of a table which its checks did not let through, so that its rows can be looked at."""


class Published(NamedTuple):
    """What the checks let through.

    Attributes:
        manifest: the table that is published.
        aside: the rows that are set aside, those from before included.
        told: a warning; empty where all is well.
    """

    manifest: Manifest
    aside: Manifest | None
    told: str = ""


def check_made(
    jobs: Jobs,
    plan: Plan,
    node: TaskNode,
    facts: Facts,
    detail: TaskDetail,
    made: Published,
    log: TaskLog,
    cancellation: Cancellation,
    *,
    restored: bool,
) -> Published:
    """Evaluate the checks of a table before it is published, and set rows aside where a check says so.

    Args:
        jobs: of the run.
        plan: of the task's pipeline.
        node: the task.
        facts: what was observed.
        detail: of the task.
        made: its table, and the rows that it has set aside itself.
        log: of the task.
        cancellation: of the task.
        restored: whether rows were set aside when the table was made.

    Raises:
        TaskError: if a check of severity `error` fails, too many rows would be set aside, or a check cannot be put to
            the table.
    """
    scratch = Path(facts.files.full(f"{SCRATCH}/{jobs.run_id}-checks-{plan.pipeline}.{node.name}"))
    put = Put(
        lambda manifest: _input(jobs, node.name, manifest),
        jobs.related(facts, detail),
        load(OWN)(jobs.check_functions(detail), jobs.project.root, log),
        jobs.parts,
        scratch,
        {"threads": jobs.threads, "memory_limit": jobs.memory_limit, "on_cancel": cancellation.add},
    )
    with printing_to(log):  # type: ignore[arg-type]  # TextIOBase is no TextIO
        results, left = put_checks(put, detail.expect, made, restored=restored)
    for result in results:
        log.write(f"check {result}{'' if result.severity == 'error' else f' ({result.severity})'}\n")
    failed = failure(results, help=f"mmetl check {node.name} --rows")
    if failed:
        with jobs.project.store.transaction() as db:
            task = f"{plan.pipeline}:{node.name}"
            write_event(db, jobs.run_id, REJECTED, task, manifest=left.manifest.to_json())
        raise failed
    warned = "; ".join(str(r) for r in results if r.told and r.severity == "warn")
    aside = "; ".join(map(str, _bad(results)))
    told = (warned and f"expected otherwise: {warned}", aside and f"set aside: {aside}")
    return left._replace(told="; ".join(filter(None, told)))


class Put(NamedTuple):
    """What checks are put to a table with.

    Attributes:
        table_of: finds the table or view that a manifest describes.
        related: `task.column` of a relationship -> what that task made.
        own: the functions that checks call.
        parts: where the parts go that are left when rows are set aside.
        scratch: a folder that is made for them, and removed.
        options: threads and the like; see `checks.evaluate.examine`.
    """

    table_of: Callable[[Manifest], Input]
    related: Mapping[str, Input]
    own: Any
    parts: PartStore
    scratch: Path
    options: Mapping[str, Any]


def put_checks(
    put: Put, expect: Sequence[Mapping[str, Any]], made: Published, *, restored: bool = False
) -> tuple[list[Any], Published]:
    """Evaluate checks, and set rows aside where none fails; return what came of each, and what is left.

    Args:
        put: what they are put to the table with.
        expect: the checks.
        made: the table, and the rows that were set aside before.
        restored: whether rows were set aside when the table was made.

    Raises:
        TaskError: if a check cannot be put to the table.
    """

    def once(expect: Sequence[Mapping[str, Any]], now: Published, *, split: bool) -> tuple[list[Any], Published]:
        table = put.table_of(now.manifest)
        with (
            _scratch(put.scratch),
            load(EXAMINE)(table, expect, put.related, put.own, put.scratch, **put.options) as seen,
        ):
            results = seen.results()
            if not split or not _bad(results) or any(r.fails for r in results if r.severity == "quarantine"):
                return results, now
            before = put.table_of(now.aside) if now.aside else None
            return results, Published(*seen.set_aside(put.parts, before))

    others = [check for check in expect if check.get("severity") != "quarantine"]
    results, left = once(others if restored else expect, made, split=not restored)
    if left is not made and others:
        # They are about the table that is published.
        results = [*_bad(results), *once(others, left, split=False)[0]]
    return results, left


def failure(results: Sequence[Any], help: str = "") -> TaskError | None:  # noqa: A002  the field's name
    """Return the error of a table that must not be published; None where it may be."""
    failed = [str(r) for r in results if r.fails]
    checks = "a check fails" if len(failed) == 1 else f"{len(failed)} checks fail"
    return TaskError(f"{checks}: {'; '.join(failed)}", help=help) if failed else None


def _bad(results: Sequence[Any]) -> list[Any]:
    """Return the results of the checks that set rows aside."""
    return [r for r in results if r.told and r.severity == "quarantine"]


def _input(jobs: Jobs, task: str, manifest: Manifest) -> Input:
    if manifest.kind == "files":
        raise TaskError("it made no table that could be checked", help="take `expect` out")
    return jobs.inputs.find(task, manifest)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    related = {to: current_input(project, plan, other) for to, other in detail.related.items()}
    scratch = project.root / SCRATCH / f"check-{os.getpid()}"
    functions = Jobs(project, RunOptions(), PartStore(project.files), "").check_functions(detail)
    own = load(OWN)(functions, project.root, sys.stderr)
    with (
        contextlib.chdir(project.root),
        contextlib.redirect_stdout(sys.stderr),
        _scratch(scratch),
        load(EXAMINE)(table, detail.expect, related, own, scratch, threads=os.cpu_count() or 1) as seen,
    ):
        return Checked(run_id, seen.results(sample))


def _rejected(project: Project, plan: Plan, task: str) -> tuple[str, Input] | None:
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
    try:
        return found[0][0], Inputs(project.store, PartStore(project.files), project.root).find(task, manifest)
    except TaskError:
        return None
