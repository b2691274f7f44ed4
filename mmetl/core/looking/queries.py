"""The queries that tasks are made of: what runs in the end, with the views that it reads inside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mmetl.cache.layout import SCRATCH
from mmetl.contracts.artifact import Column
from mmetl.contracts.plan import Plan, TaskDetail
from mmetl.core.project import Project
from mmetl.core.registry import Registry, load
from mmetl.core.running.families import union
from mmetl.errors import UsageError
from mmetl.utils.text import quote

STATEMENT = "mmetl.engines.sql.query:statement"
COLUMNS_READ = "mmetl.engines.sql.reads:columns_read"

DUCKDB = "duckdb"

_NOTE = "may run on one thread: "


class TaskQuery(NamedTuple):
    """The query of one task.

    Attributes:
        sql: the query; views that it reads are CTEs of it.
        engine: what runs it.
        single_thread: why it may run on one thread.
        reads: task -> its columns that are read; None where that is not known, before the task has run.
    """

    task: str
    sql: str
    engine: str
    single_thread: tuple[str, ...]
    reads: Mapping[str, tuple[str, ...] | None]


def task_queries(project: Project, plan: Plan, tasks: Iterable[str]) -> Iterator[TaskQuery]:
    """Yield the query of each of some tasks that is one."""
    details = project.details(plan, plan.tasks)
    registry = Registry(project.root)
    for name in tasks:
        if _own(registry, details[name]) is not None:
            engine = _engine(registry, details, name)
            if engine != DUCKDB:
                yield TaskQuery(name, _own(registry, details[name]) or "", engine, (), {})
                continue
            reasons = dict.fromkeys(_reasons(details, name))
            sql = _fused(registry, details, name)
            reads = _reads(project, plan, sql, dict.fromkeys(_leaves(details, name)))
            yield TaskQuery(name, sql, DUCKDB, tuple(reasons), reads)


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


def _engine(registry: Registry, details: Mapping[str, TaskDetail], name: str) -> str:
    """Return what runs the query of a task."""
    transform: Any = registry.get(details[name].transform)
    if not hasattr(transform, "query_engine"):
        return DUCKDB
    engine: str = transform.query_engine({a: details[task].params for a, task in details[name].inputs.items()})
    return engine


def _fused(registry: Registry, details: dict[str, TaskDetail], name: str) -> str:
    detail = details[name]
    statement = load(STATEMENT)
    text = statement(_own(registry, detail))
    tables = []
    for alias, task in detail.inputs.items():
        if details[task].view:
            tables.append(_named(alias, _fused(registry, details, task)))
        elif alias != task:
            tables.append(f"{quote(alias)} as not materialized (from {quote(task)})")
    for alias, members in detail.families.items():
        views = [task for task, _ in members if details[task].view]
        tables += [_named(task, _fused(registry, details, task)) for task in views]
        tables.append(_named(alias, union(members, "\n")))
    return f"with {', '.join(tables)}\nselect * from (\n{text}\n)" if tables else text


def _named(name: str, sql: str) -> str:
    return f"{quote(name)} as not materialized (\n{sql}\n)"


def _below(detail: TaskDetail) -> Iterator[str]:
    """Yield the tasks that a query reads."""
    yield from detail.inputs.values()
    yield from (task for members in detail.families.values() for task, _ in members)


def _leaves(details: dict[str, TaskDetail], name: str) -> Iterator[str]:
    """Yield the tasks whose parts a query reads, by itself or through views."""
    for task in _below(details[name]):
        if details[task].view:
            yield from _leaves(details, task)
        else:
            yield task


def _reads(project: Project, plan: Plan, sql: str, tasks: Iterable[str]) -> dict[str, tuple[str, ...] | None]:
    tables: dict[str, tuple[Column, ...]] = {}
    unknown: dict[str, tuple[str, ...] | None] = dict.fromkeys(tasks)
    for task in unknown:
        try:
            tables[task] = project.artifact(plan, task)[0].columns
        except UsageError:
            return unknown
    if not tables:
        return {}
    found: dict[str, tuple[str, ...] | None] | None = load(COLUMNS_READ)(
        sql, tables, project.root / SCRATCH / f"sql-{os.getpid()}"
    )
    return unknown if found is None else found


def _reasons(details: dict[str, TaskDetail], name: str) -> Iterator[str]:
    """Yield the reasons of a task, and of the views that it reads."""
    detail = details[name]
    yield from (note.removeprefix(_NOTE) for note in detail.notes if note.startswith(_NOTE))
    for task in _below(detail):
        if details[task].view:
            yield from _reasons(details, task)
