"""`list` and `graph`, without their parsing."""

from __future__ import annotations

from mmetl.cli.output import JSON_SCHEMA_VERSION, columns, count, say, say_json, utc
from mmetl.cli.running import open_project
from mmetl.core.graph.model import graph_of
from mmetl.core.looking.listing import Listed, list_tasks
from mmetl.core.options import RunOptions
from mmetl.errors import ExitCode

WORDS = {"fresh": "fresh", "stale": "stale", "waits": "waiting"}
"""A state -> what tasks in it are, in the last line of `list`."""


def list_all(pipeline: str | None, options: RunOptions, *, as_json: bool = False) -> int:
    """Print the selected tasks, what they are, and whether they are fresh."""
    project, path = open_project(pipeline)
    plan, tasks = list_tasks(project, path, options)
    if as_json:
        say_json({"schema_version": JSON_SCHEMA_VERSION, "pipeline": plan.pipeline, "tasks": [_json(t) for t in tasks]})
        return ExitCode.DONE
    tagged = any(t.tags for t in tasks)
    head = ("TASK", "STATE", "TRANSFORM", "TAGS", "DESCRIPTION")
    rows = [(t.task, t.state, t.transform, ", ".join(t.tags), t.description) for t in tasks]
    say(columns([r if tagged else (*r[:3], r[4]) for r in [head, *rows]], indent=""))
    states = [t.state for t in tasks]
    told = ", ".join(f"{states.count(s)} {word}" for s, word in WORDS.items() if s in states)
    say(f"{plan.pipeline}: {count(len(tasks), 'task')}, {told}")
    return ExitCode.DONE


def _json(task: Listed) -> dict[str, object]:
    """Return one task of `list --json`."""
    built = utc(task.built_ms)
    return {
        "task": task.task,
        "transform": task.transform,
        "state": task.state,
        "tags": list(task.tags),
        "needs": list(task.needs),
        "built": built,
        "description": task.description,
    }


def graph(pipeline: str | None, options: RunOptions, form: str) -> int:
    """Print the tasks and what they need."""
    project, path = open_project(pipeline)
    found = graph_of(project, path, options)
    if form == "json":
        say_json({"schema_version": JSON_SCHEMA_VERSION, **found.as_json()})
    elif form == "svg":
        from mmetl.core.graph.svg import svg

        say(svg(found))
    else:
        from mmetl.core.graph.text import drawn, mermaid

        say(mermaid(found) if form == "mermaid" else drawn(found))
    return ExitCode.DONE
