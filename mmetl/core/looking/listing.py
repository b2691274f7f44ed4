"""The tasks of a pipeline with what they are and whether they are fresh: what `mmetl list` prints."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from mmetl.contracts.plan import Plan
from mmetl.core.options import RunOptions
from mmetl.core.project import Project
from mmetl.core.select import select

WORDS = {"fresh": "fresh", "stale": "stale", "unknown": "waits"}


class Listed(NamedTuple):
    """One task. `state` is `fresh`, `stale` or `waits`: then it depends on what the tasks that it needs will make."""

    task: str
    transform: str
    state: str
    tags: tuple[str, ...]
    needs: tuple[str, ...]
    built_ms: int | None
    description: str


def list_tasks(project: Project, path: Path, options: RunOptions) -> tuple[Plan, list[Listed]]:
    """Return the plan and its selected tasks in order. Raises UsageError for a selector that is wrong."""
    plan = project.plan(path, options.variables)
    chosen = select(project, plan, options).tasks
    facts, decisions = project.decide(plan)
    details = project.details(plan, chosen)
    found = []
    for name in chosen:
        node, detail, record = plan.tasks[name], details[name], facts.records.get(name)
        state = WORDS[decisions[name].freshness]
        built = record.built_ms if record else None
        needs = tuple(dict.fromkeys((*node.tables, *node.after)))
        found.append(Listed(name, detail.transform, state, tuple(detail.tags), needs, built, detail.description))
    return plan, found
