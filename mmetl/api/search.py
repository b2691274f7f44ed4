"""Which rows are nearest to a question: the same model that made a task's vectors makes that of the question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmetl.api.query import query
from mmetl.config.secrets import resolve_secrets
from mmetl.contracts.plan import Plan
from mmetl.core.project import Project
from mmetl.core.registry import Registry, load_function
from mmetl.errors import UsageError
from mmetl.utils.text import quote

EMBED = "vector.embed"
SCORE = "score"


class Hit(NamedTuple):
    """One row that was found. `score` is the cosine of the angle between its vector and that of the question."""

    score: float
    row: Mapping[str, Any]


def search(project: Project, plan: Plan, task: str, question: str, k: int = 5, where: str | None = None) -> list[Hit]:
    """Return the rows of a task that are nearest to a question, the nearest first. Exact: every vector is compared.

    Args:
        project: the project.
        plan: the task's pipeline.
        task: a task with a column of vectors.
        question: in words.
        k: how many rows.
        where: a SQL expression; only rows for which it is true are found.

    Raises:
        UsageError: if the task has no vectors, or `where` is no expression over its columns.
        MissingError: if the model's package is not installed.
    """
    made_by = _embedding(project, plan, task)
    params, vector = _embed(project, plan, made_by, question)
    manifest, _ = project.artifact(plan, task)
    names = [c.name for c in manifest.columns]
    if params.into not in names:
        raise UsageError(f"'{task}' has no column '{params.into}'", help=f"it has: {', '.join(names)}")
    numbers = ", ".join(f"{float(x)!r}" for x in vector)
    score = f"array_cosine_similarity({quote(params.into)}, [{numbers}]::float[{params.size}])"
    condition = f"where ({where}\n)" if where else ""
    shown = ", ".join(quote(n) for n in names if n != params.into)
    key = "".join(f", {quote(c)}" for c in manifest.key)
    sql = (
        f"select {shown}, {score} as {quote(SCORE)} from {quote(plan.pipeline)}.{quote(task)} {condition}"
        f" order by {quote(SCORE)} desc{key} limit {int(k)}"
    )
    with query(project, sql) as rows:
        found = [row for batch in rows.batches for row in batch.to_pylist()]
    return [Hit(row.pop(SCORE), row) for row in found]


def _embedding(project: Project, plan: Plan, task: str) -> str:
    """Return the nearest task, upstream of this one or itself, that made vectors. Raises UsageError if none has."""
    details = project.details(plan, plan.tasks)
    level, seen = [task], set()
    while level:
        found = [t for t in level if details[t].transform == EMBED]
        if found:
            return found[0]
        seen.update(level)
        level = [t for name in level for t in plan.tasks[name].tables if t not in seen]
    embedders = [t for t, d in details.items() if d.transform == EMBED]
    raise UsageError(
        f"nothing that '{task}' reads was made by {EMBED}",
        help=f"search one of: {', '.join(embedders)}" if embedders else f"add a task with {EMBED}",
    )


def _embed(project: Project, plan: Plan, task: str, question: str) -> tuple[Any, Any]:
    """Return the params of a `vector.embed` task, and the vector that its model makes of the question."""
    from mmetl.transforms.vector.embed import embedder

    detail = project.details(plan, (task,))[task]
    registry = Registry(project.root)
    if detail.imports:
        registry.add_modules(detail.imports)
    params = registry.get(EMBED).params.model_validate(resolve_secrets(detail.params, project.env))
    functions = {f: load_function(project.root, f) for f in detail.functions}
    return params, embedder(params, functions)([question])[0]
