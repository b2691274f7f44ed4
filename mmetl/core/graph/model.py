"""What is drawn: tasks in order, and what each needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from mmetl.core.looking.listing import Listed, list_tasks
from mmetl.core.options import RunOptions
from mmetl.core.project import Project


class Graph(NamedTuple):
    """Tasks, each after those that it needs. `needs` names only tasks of the graph."""

    pipeline: str
    tasks: tuple[Listed, ...]

    def as_json(self) -> dict[str, Any]:
        """Return nodes and edges."""
        nodes = [{"task": t.task, "transform": t.transform, "state": t.state, "tags": list(t.tags)} for t in self.tasks]
        edges = [{"from": need, "to": t.task} for t in self.tasks for need in t.needs]
        return {"pipeline": self.pipeline, "tasks": nodes, "edges": edges}


def graph_of(project: Project, path: Path, options: RunOptions) -> Graph:
    """Return the graph of the selected tasks. Raises UsageError for a selector that is wrong."""
    plan, tasks = list_tasks(project, path, options)
    names = {t.task for t in tasks}
    kept = (t._replace(needs=tuple(n for n in t.needs if n in names)) for t in tasks)
    return Graph(plan.pipeline, tuple(kept))
