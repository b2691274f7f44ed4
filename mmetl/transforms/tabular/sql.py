"""`tabular.sql`: one query over the tables of other tasks, run by DuckDB, closed and reproducible."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.engines.packages import require
from mmetl.engines.sql.analysis import Analysis, Mention
from mmetl.errors import ParamError, QueryError, TaskError
from mmetl.utils.memory import MEMORY
from mmetl.utils.text import near


class SqlParams(BaseModel):
    """Params of `tabular.sql`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sql: str = Field(description="one query in DuckDB's dialect; the tables that it names are tasks of this pipeline")
    reproducible: bool = Field(
        default=True, description="run on one thread where more could change the result; false: always on all threads"
    )
    volatile: bool = Field(default=False, description="allow functions such as now() and random()")
    memory_limit: str | None = Field(
        default=None, pattern=MEMORY, description="memory above which the query spills to disk, such as 2GB"
    )


class Sql:
    """See the module."""

    name = "tabular.sql"
    version = 3
    params = SqlParams
    packages: tuple[str, ...] = ("duckdb", "pyarrow")
    code: tuple[str, ...] = ()
    views = True

    def declare(self, params: SqlParams, scope: Scope) -> Declaration:
        """Find the tables of the query. Raises ParamError for one that is no task."""
        require("tabular", "sqlglot")
        from mmetl.engines.sql.query import analyse

        found = analyse(params.sql, volatile=params.volatile)
        known = scope.inputs or {task: task for task in scope.tasks - {scope.task}}
        by_name = {alias.lower(): alias for alias in known}

        def task_of(mention: Mention) -> str:
            if mention.name.lower() in by_name:
                return known[by_name[mention.name.lower()]]
            raise _unknown(mention.name, mention.offset, scope, known)

        tables = {m.name.lower(): task_of(m) for m in found.tables}
        unused = [alias for alias in scope.inputs if alias.lower() not in tables]
        if unused:
            raise ParamError(
                f"input '{unused[0]}' is not read by the query",
                help="name it in the SQL, or move it to `depends_on` if only the order matters",
                param=("sql",),
            )
        notes = (
            tuple(f"may run on one thread: {reason}" for reason in found.single_thread()) if params.reproducible else ()
        )
        aliases = {} if scope.inputs else tables
        recipe = {"sql": found.canonical, "memory_limit": None}
        return Declaration(tables=aliases, recipe=recipe, notes=notes, prepared=found)

    def query_text(self, params: SqlParams, _inputs: Sequence[str], _key: Sequence[str]) -> str:
        """Return the query of a task, for people to read."""
        return params.sql

    def lineage(self, params: SqlParams, inputs: Mapping[str, Manifest], _key: object) -> Iterable[Trace]:
        """Return what the query tells of where its rows come from: see contracts.lineage."""
        require("tabular", "sqlglot")
        from mmetl.engines.sql.lineage import sql_traces

        return sql_traces(params.sql, inputs)

    def run(self, job: Job) -> Made:
        """Run the query and keep its result."""
        require("tabular", "duckdb", "pyarrow")
        from mmetl.transforms.tabular.queries import run_query

        params: SqlParams = job.params
        found = analysed(job, params.sql, volatile=params.volatile)
        with _placed(params.sql, found.body, found.start):
            return run_query(job, found, params.memory_limit, reproducible=params.reproducible)


def analysed(job: Job, sql: str, *, volatile: bool = False) -> Analysis:
    """Return what the query of a task is: as the plan keeps it, or analysed now, where secrets have made it another text."""
    if (kept := Analysis.kept(job.prepared, sql)) is not None:
        return kept
    require("tabular", "sqlglot")
    from mmetl.engines.sql.query import analyse

    return analyse(sql, volatile=volatile)


@contextlib.contextmanager
def _placed(sql: str, body: str, start: int) -> Iterator[None]:
    """Say of an error inside `body`, which begins `start` characters into the param, how far into the param it is."""
    try:
        yield
    except TaskError as error:
        if error.where is None or error.where.file != "sql":
            raise
        lines = body.splitlines(keepends=True)[: error.where.line - 1]
        offset = start + sum(map(len, lines)) + error.where.column - 1
        where = error.where._replace(line=error.where.line + sql.count("\n", 0, start))
        raise QueryError(error.what, where, error.help, sql, offset) from error


def _unknown(name: str, offset: int, scope: Scope, known: Mapping[str, str]) -> ParamError:
    if name.lower() == scope.task and not scope.inputs:
        return ParamError(
            f"the query reads '{name}', which is this task itself",
            help="read another task, or give this one another name",
            param=("sql",),
            offset=offset,
        )
    meant = near(name, known)
    what = f"'{name}' is not one of this task's inputs" if scope.inputs else f"there is no task '{name}'"
    rest = (
        f"the inputs are: {', '.join(scope.inputs)}" if scope.inputs else "a query reads tasks of this pipeline by name"
    )
    return ParamError(what, help=f"did you mean '{meant}'? {rest}" if meant else rest, param=("sql",), offset=offset)


SQL = Sql()
