"""Running the query of a task over the tables of its job, closed and reproducible."""

from __future__ import annotations

from collections.abc import Iterable

from mmetl.contracts.transform import Job, Made
from mmetl.engines.duckdb import session
from mmetl.engines.sql.analysis import Analysis
from mmetl.errors import TaskError
from mmetl.transforms.tabular.exactness import exact_columns, reasons_below
from mmetl.transforms.tabular.results import buckets_of, check_names, describe_view, store_query
from mmetl.transforms.tabular.types import holds


def run_query(job: Job, found: Analysis, memory_limit: str | None, *, reproducible: bool) -> Made:
    """Run a query, on one thread where more could change its result, and keep what it gives.

    Args:
        job: the running task.
        found: what the query is.
        memory_limit: such as `2GB`; None: the share of the task.
        reproducible: whether to go down to one thread.
    """
    tables = job.inputs.values()
    alone = reproducible and bool([*found.single_thread(exact_columns(tables)), *reasons_below(tables)])
    with session(
        job.scratch,
        tables=job.inputs,
        threads=1 if alone else job.threads,
        memory_limit=memory_limit or job.memory_limit,
        canonical=alone,
        on_cancel=job.on_cancel,
    ) as db:
        columns = db.columns(found.body, found.body)
        names = [name for name, _ in columns]
        _refuse_types(columns)
        check_names(names)  # a view around them would number those that are equal
        if job.view:
            return describe_view(db, found.canonical, found.body)
        sql = found.break_ties(len(columns)) if found.ordered else found.body
        return store_query(job, db, sql, names, ordered=found.ordered, buckets=buckets_of(job), text=sql)


def _refuse_types(columns: Iterable[tuple[str, str]]) -> None:
    for name, kind in columns:
        if not holds(kind):
            raise TaskError(
                f"column '{name}' has the type '{kind}', which a table cannot hold",
                help="cast it, for example to text: cast(x as varchar)",
            )
