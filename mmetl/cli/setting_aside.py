"""`quarantine ls`, `show` and `drop`, without their parsing."""

from __future__ import annotations

import itertools

from mmetl.cache.lock import reading
from mmetl.cli.output import JSON_SCHEMA_VERSION, columns, count, say, say_json, talk
from mmetl.cli.rows import CELL, cell, print_json
from mmetl.core.dropping import drop_failed
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project
from mmetl.core.running.quarantine import Aside, all_aside, commonest_error, rows_aside
from mmetl.errors import ExitCode

ERROR = 200  # characters of what is wrong with a row, which is what one looks for


def ls(task: str | None, *, as_json: bool = False) -> int:
    """List the tasks that have set rows aside: how many, since which run, and the commonest error."""
    project = Project.open(".")
    with reading(project.store.folder):
        found = [(a, *commonest_error(project, a)) for a in (_of(project, task) if task else all_aside(project))]
    if as_json:
        tasks = [
            {
                "task": a.task,
                "pipeline": a.pipeline,
                "rows": a.manifest.rows,
                "run_id": a.run_id,
                "error": error,
                "error_rows": rows,
            }
            for a, error, rows in found
        ]
        say_json({"schema_version": JSON_SCHEMA_VERSION, "tasks": tasks})
    elif found:
        lines = [(f"{a.pipeline}:{a.task}", f"{a.manifest.rows:,}", a.run_id, error) for a, error, _ in found]
        say(columns([("TASK", "ROWS", "RUN", "COMMONEST ERROR"), *lines], indent=""))
    else:
        talk(_none(task))
    return ExitCode.DONE


def show(task: str, *, limit: int = 20, as_json: bool = False) -> int:
    """Print the rows that a task has set aside."""
    project = Project.open(".")
    found = _of(project, task)
    if not found:
        talk(_none(task))
        return ExitCode.DONE
    (aside,) = found
    with reading(project.store.folder):
        rows = rows_aside(project, aside)
        if as_json:
            print_json(rows)
            return ExitCode.DONE
        head = list(itertools.islice(rows, limit))
    names = [c.name for c in aside.manifest.columns]
    say(columns([names, *([cell(r[n], ERROR if n == "_error" else CELL) for n in names] for r in head)], indent=""))
    total = aside.manifest.rows
    say(count(total, "row") + (f", the first {limit} shown" if total > limit else ""))
    return ExitCode.DONE


def drop(task: str) -> int:
    """Forget the items of a task that failed."""
    project = Project.open(".")
    plan, name = find_task(project, task)
    dropped = drop_failed(project, plan, name)
    if dropped:
        say(f"{plan.pipeline}:{name}: {count(dropped, 'item')} forgotten until changed")
    else:
        talk(_none(task))
    return ExitCode.DONE


def _of(project: Project, task: str) -> list[Aside]:
    plan, name = find_task(project, task)
    return [a for a in all_aside(project) if (a.pipeline, a.task) == (plan.pipeline, name)]


def _none(task: str | None) -> str:
    return f"no row of '{task}' is set aside" if task else "no row is set aside"
