"""Try a run again: what came to no result in it, with its arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mmetl.core.dag import downstream
from mmetl.core.options import Retry, RunOptions
from mmetl.core.project import Project
from mmetl.errors import RefusedError, UsageError
from mmetl.observability.runs import Run, find_run, last_busy_run

UNFINISHED = frozenset({"failed", "blocked", "skipped"})


def retry_options(project: Project, wanted: str | None, variables: Mapping[str, str]) -> tuple[Path, RunOptions]:
    """Return the pipeline file and the options that try a run again.

    Args:
        project: the project.
        wanted: a run's id or the start of it; None for the latest run that had something to do.
        variables: values that take the place of recorded ones, and those of secrets, which are not recorded.

    Raises:
        UsageError: if there is no such run, or nothing of it to try again.
        RefusedError: if the run has not ended.
    """
    run = _find(project, wanted)
    aside = _with_failed_items(project, run.pipeline)
    left = [t.task for t in run.tasks if t.outcome in UNFINISHED or t.task in aside]
    if run.status == "running":
        raise RefusedError(f"run '{run.id}' has not ended", help=f"mmetl status {run.id}")
    if not left:
        what = f"run '{run.id}' left nothing to retry: none of its tasks failed, was blocked or was skipped, and no item failed"
        raise UsageError(what, help=f"mmetl status {run.id}")
    if ", " in run.pipeline:
        what = f"run '{run.id}' is a doit run of several pipelines: {run.pipeline}"
        raise UsageError(what, help="mmetl run PIPELINE --select 'result:error result:blocked result:skipped'")
    options = RunOptions.recorded(run.arguments)
    options = options._replace(variables={**options.variables, **variables})
    _refuse_unknown_values(run, options)
    path = _pipeline_file(project, run)
    plan = project.plan(path, options.variables)
    below = downstream(plan.needs, aside.intersection(left)) & {t.task for t in run.tasks}
    tasks = frozenset(plan.tasks).intersection({*left, *below})
    if plan.pipeline != run.pipeline or not tasks:
        what = f"none of the tasks that run '{run.id}' left is a task of '{plan.pipeline}' any more"
        raise UsageError(what, help="mmetl run")
    shrink = options.allow_shrink.intersection(plan.tasks)
    return path, options._replace(allow_shrink=shrink, retry=Retry(run.id, tasks, aside & tasks))


def _with_failed_items(project: Project, pipeline: str) -> frozenset[str]:
    """Return the tasks of a pipeline that have set failed items aside."""
    sql = "select task from tasks where pipeline = ? and quarantine <> '' and items <> ''"
    return frozenset(task for (task,) in project.store.rows(sql, (pipeline,)))


def _find(project: Project, wanted: str | None) -> Run:
    wanted = wanted or last_busy_run(project.store)
    run = find_run(project.store, wanted)
    if run is None:
        raise UsageError("nothing ran here yet", help="mmetl run")
    return run


def _refuse_unknown_values(run: Run, options: RunOptions) -> None:
    """Refuse to run with fewer variables than before."""
    missing = [n for n in run.arguments.get("vars", ()) if n not in options.variables]
    if missing:
        what = f"the value of '{missing[0]}' was not kept with run '{run.id}'"
        given = " ".join(f"--var {n}=VALUE" for n in missing)
        raise UsageError(what, help=f"give it again: mmetl retry {run.id} {given}")


def _pipeline_file(project: Project, run: Run) -> Path:
    """Return the file of a run's pipeline, as it was planned last."""
    sql = "select checks from plans where json_extract(body, '$.pipeline') = ? order by used_ms desc"
    for (checks,) in project.store.rows(sql, (run.pipeline,)):
        path = project.root / str(json.loads(checks)["path"])
        if path.is_file():
            return path
    raise UsageError(f"the file of the pipeline '{run.pipeline}' is gone", help="mmetl run PIPELINE")
