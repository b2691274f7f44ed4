"""Where the YAML has what went wrong while a task ran."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mmetl.contracts.plan import Plan
from mmetl.core.project import Project
from mmetl.errors import ConfigError, QueryError


def in_yaml(
    project: Project, plan: Plan, task: str, variables: Mapping[str, str], error: BaseException
) -> BaseException:
    """Return the error of a query with its place in the YAML; any other error, or one whose query is not there, as it is."""
    if isinstance(error, QueryError):
        from mmetl.config.loader import load_pipeline

        plans = project.store.rows("select checks from plans where key = ?", (plan.key,))
        try:
            path = project.root / json.loads(plans[0][0])["path"]
            loaded = load_pipeline(path, root=project.root, variables=variables, env=project.env)
        except (ConfigError, LookupError, TypeError):
            return error  # the YAML is another one by now
        place(loaded, task, error)
    return error


def place(loaded: Any, task: str, error: QueryError) -> None:
    """Give the error of a query its place in the YAML that was loaded (see config.loader), if its query is there."""
    found: Any = loaded.pipeline.tasks[task].params if task in loaded.pipeline.tasks else None
    try:
        for step in error.param:
            found = found[step]
    except (LookupError, TypeError):
        return
    if found == error.sql:
        error.where = loaded.source.locate(("tasks", task, "params", *error.param), offset=error.offset)
