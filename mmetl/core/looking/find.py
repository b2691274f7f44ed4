"""Find a task by the name that a person types."""

from __future__ import annotations

from mmetl.config.matrix import family_of
from mmetl.contracts.plan import Plan
from mmetl.core.project import Project
from mmetl.errors import UsageError
from mmetl.utils.text import near

SHOWN = 5  # members of a matrix that a message names


def find_task(project: Project, name: str) -> tuple[Plan, str]:
    """Return the plan and short name of a task, given `task` (where that is unambiguous) or `pipeline:task`.

    Raises:
        UsageError: if no task has that name, or several pipelines have one.
        ConfigError: if a pipeline of the project is invalid.
    """
    pipeline, _, short = name.rpartition(":")
    plans = _named(project, pipeline, short) or [project.plan(p) for p in project.pipeline_files()]
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
    members = [t for p in plans for t in p.tasks if family_of(t) == short and pipeline in {"", p.pipeline}]
    if members:
        more = ", ..." if len(members) > SHOWN else ""
        raise UsageError(f"'{name}' is several tasks", help=f"name one of {', '.join(members[:SHOWN])}{more}")
    raise UsageError(
        f"no task is called '{name}'", help=f"did you mean '{close}'?" if close else "mmetl dry-run lists the tasks"
    )


def _named(project: Project, pipeline: str, task: str) -> list[Plan]:
    """Return the plan of a pipeline that is named and has the task, so that nothing wrong in another file is in the way."""
    if not pipeline:
        return []
    try:
        plan = project.plan(project.find_pipeline(pipeline))
    except UsageError:
        return []
    return [plan] if plan.pipeline == pipeline and task in plan.tasks else []
