"""Cypher over the graph of a `graph.load` task, in the database that it is kept in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmetl.config.secrets import resolve_secrets
from mmetl.contracts.plan import Plan
from mmetl.contracts.transform import Table
from mmetl.core.project import Project
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError, UsageError

if TYPE_CHECKING:
    from mmetl.contracts.graph import Answer

LOAD = "graph.load"


@contextlib.contextmanager
def cypher(
    project: Project, plan: Plan, task: str, query: str, parameters: Mapping[str, Any] | None = None
) -> Iterator[Answer]:
    """Run one query over the graph of a task, and give its rows. It only reads.

    Args:
        project: the project.
        plan: the task's pipeline.
        task: one with `graph.load`.
        query: in Cypher.
        parameters: values of its `$names`; they are bound, never pasted into it.

    Raises:
        UsageError: for another task, a database that is not as the last run left it, and a query that is wrong or would change the
            graph, with the place in it.
        MissingError: if the engine is not installed.
    """
    require("tabular", "pyarrow")
    from mmetl.engines.cypher_text import check_parameters, read_query, where_of
    from mmetl.transforms.graph.cypher import refuse_stale
    from mmetl.transforms.graph.load import LoadParams, find_graph

    details = project.details(plan, plan.tasks)
    if details[task].transform != LOAD:
        loaded = [name for name, detail in details.items() if detail.transform == LOAD]
        raise UsageError(
            f"'{task}' is in no graph database",
            help=f"ask one of: {', '.join(loaded)}" if loaded else f"add a task with {LOAD}",
        )
    manifest, _ = project.artifact(plan, task)
    params = LoadParams.model_validate(resolve_secrets(details[task].params, project.env))
    given = dict(parameters or {})
    with contextlib.ExitStack() as stack:
        try:
            owner, threads = f"{plan.pipeline}:{task}", os.cpu_count() or 1
            store = find_graph(params, project.root, owner, lambda n: project.stores.resolved(n)[0], threads=threads)
            found = read_query(query)
            check_parameters(found, given, mend="--param {0}=VALUE, or in Python parameters={{'{0}': ...}}")
            refuse_stale(store, Table(task, manifest, ()))
            answer = stack.enter_context(store.ask(found.text, given))
        except ParamError as error:
            where = None if error.offset is None else where_of(query, error.offset)
            raise UsageError(error.what, where, error.help) from error
        except TaskError as error:
            raise UsageError(error.what, error.where, error.help) from error
        yield answer
