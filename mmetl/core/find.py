"""Find a task by the name that a person types."""

from __future__ import annotations

from mmetl.contracts.plan import Plan
from mmetl.core.project import Project
from mmetl.errors import UsageError
from mmetl.utils.text import near


def find_task(project: Project, name: str) -> tuple[Plan, str]:
    """Return the plan and short name of a task, given `task` (where that is unambiguous) or `pipeline:task`.

    Raises:
        UsageError: if no task has that name, or several pipelines have one.
        ConfigError: if a pipeline of the project is invalid.
    """
    pipeline, _, short = name.rpartition(":")
    plans = [project.plan(p) for p in project.pipeline_files()]
    if not plans:
        raise UsageError(
            "no pipeline was found here", help="list pipelines in mmetl.yml, or go to the project's folder"
        )
    found = [p for p in plans if short in p.tasks and pipeline in {"", p.pipeline}]
    if len(found) == 1:
        return found[0], short
    if found:
        names = ", ".join(f"{p.pipeline}:{short}" for p in found)
        raise UsageError(f"several pipelines have a task '{short}'", help=f"write one of: {names}")
    known = [t for p in plans for t in (*p.tasks, *(f"{p.pipeline}:{n}" for n in p.tasks))]
    close = near(name, known)
    raise UsageError(
        f"no task is called '{name}'", help=f"did you mean '{close}'?" if close else "mmetl dry-run lists the tasks"
    )
