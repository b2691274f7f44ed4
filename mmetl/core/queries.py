"""The queries that tasks are made of: what runs in the end, with the views that it reads inside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from mmetl.contracts.plan import Plan, TaskDetail
from mmetl.core.project import Project
from mmetl.core.registry import Registry
from mmetl.utils.text import quote

_NOTE = "may run on one thread: "


class TaskQuery(NamedTuple):
    """The query of one task.

    Attributes:
        sql: the query; views that it reads are CTEs of it.
        engine: what runs it.
        single_thread: why it may run on one thread.
    """

    task: str
    sql: str
    engine: str
    single_thread: tuple[str, ...]


def task_queries(project: Project, plan: Plan, tasks: Iterable[str]) -> Iterator[TaskQuery]:
    """Yield the query of each of some tasks that is one."""
    details = project.details(plan, plan.tasks)
    registry = Registry(project.root)
    for name in tasks:
        if _own(registry, details[name]) is not None:
            reasons = dict.fromkeys(_reasons(details, name))
            yield TaskQuery(name, _fused(registry, details, name), "duckdb", tuple(reasons))


def _own(registry: Registry, detail: TaskDetail) -> str | None:
    """Return the text of a task's query; None if it is no query."""
    if detail.imports:
        registry.add_modules(detail.imports)
    transform: Any = registry.get(detail.transform)
    if not hasattr(transform, "query_text"):
        return None
    params = transform.params.model_validate(detail.params)
    text: str = transform.query_text(params, [*detail.inputs, *detail.families], tuple(detail.key))
    return text.strip()


def _fused(registry: Registry, details: dict[str, TaskDetail], name: str) -> str:
    detail = details[name]
    text = _own(registry, detail) or ""
    tables = []
    for alias, task in detail.inputs.items():
        if details[task].view:
            tables.append(f"{quote(alias)} as not materialized (\n{_fused(registry, details, task)}\n)")
        elif alias != task:
            tables.append(f"{quote(alias)} as not materialized (from {quote(task)})")
    return f"with {', '.join(tables)}\nselect * from (\n{text}\n)" if tables else text


def _reasons(details: dict[str, TaskDetail], name: str) -> Iterator[str]:
    """Yield the reasons of a task, and of the views that it reads."""
    detail = details[name]
    yield from (note.removeprefix(_NOTE) for note in detail.notes if note.startswith(_NOTE))
    for task in detail.inputs.values():
        if details[task].view:
            yield from _reasons(details, task)
