"""`graph.cypher`: a query runs where a graph lives, and its rows are a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table
from mmetl.engines.cypher_text import check_parameters, read_query, refuse_changing, tokens_of
from mmetl.engines.packages import require
from mmetl.errors import ParamError, QueryError, TaskError
from mmetl.items.frugal import frugal
from mmetl.transforms.graph.load import LOAD, LoadParams, find_graph, open_graph, refuse_others

if TYPE_CHECKING:
    from mmetl.contracts.graph import Answer, GraphStore

ROWS = "__mmetl_rows"

_UNFIT = re.compile(r"cannot order by (\S+)\. ")


class CypherParams(BaseModel):
    """Params of `graph.cypher`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    query: str = Field(min_length=1, description="one query in Cypher, which ends with RETURN")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="values of the `$names` in the query; they are bound, never pasted into it"
    )
    writes: bool = Field(
        default=False,
        description="allow clauses that change the graph, for this query only: a copy (ladybug), or in a transaction that is taken back (neo4j)",
    )
    volatile: bool = Field(
        default=False,
        description="allow what may give another result the next time: clocks, chance, LIMIT without ORDER BY",
    )


class Cypher:
    """See the module."""

    name = "graph.cypher"
    version = 1
    grain = "task: one query, when the graph or the query changed"
    params = CypherParams
    packages: tuple[str, ...] = ()
    optional_packages = ("ladybug",)  # where the graph is in a server, it needs none
    code: tuple[str, ...] = ()

    def declare(self, params: CypherParams, scope: Scope) -> Declaration:
        """Look at the query. Raises ParamError for one that does not only read, and without exactly one input."""
        if len(scope.inputs) != 1:
            raise ParamError("'graph.cypher' needs one input: a graph.load task", help="name it in `inputs:`")
        found = read_query(params.query, writes=params.writes)
        check_parameters(found, params.parameters)
        if not params.volatile:
            refuse_changing(params.query)
        if not found.returns:
            raise ParamError("the query gives no rows", help="end it with RETURN", param=("query",), offset=0)
        collects = any(t.text.lower() == "collect" for t in tokens_of(params.query))
        notes = ("collect() takes values in the order in which the database has them",) if collects else ()
        return Declaration(recipe={"query": found.canonical}, notes=notes, packages=("ladybug",), named_inputs=False)

    def query_text(self, params: CypherParams, _inputs: Any, _key: Any) -> str:
        """Return the query of a task, for people to read."""
        return params.query

    def query_engine(self, inputs: Mapping[str, Any]) -> str:
        """Return what runs it, by the params of the task that it reads."""
        return next((str(params.get("target", "")) for params in inputs.values()), "") or "ladybug"

    def run(self, job: Job) -> Made:
        """Run the query and keep its rows. Raises TaskError if the graph is not where its task left it."""
        frugal()
        require("tabular", "pyarrow", "duckdb")
        params: CypherParams = job.params
        found = read_query(params.query, writes=params.writes)
        table = _graph(job)
        store, scratch = _store(job, table), job.scratch / "copy" if params.writes else None
        unfit: set[str] = set()
        while True:
            try:
                with store.ask(found.break_ties(unfit), params.parameters, scratch=scratch) as answer:
                    return _kept(job, answer, store.engine, ordered=found.ordered)
            except QueryError as error:
                refused = _UNFIT.search(error.what)
                if refused and refused[1] in found.ties and refused[1] not in unfit:
                    unfit.add(refused[1])  # a column that breaks ties, and has no order in this engine
                    continue
                error.sql, error.offset = params.query, min(error.offset, len(params.query))
                raise


def _graph(job: Job) -> Table:
    table = next(iter(job.inputs.values()), None)
    if not isinstance(table, Table):
        raise TaskError("its input is no graph", help="name a task with graph.load")
    refuse_others(table, given=job.made_by is None)
    return table


def _store(job: Job, table: Table) -> GraphStore:
    """Return the database that the input is kept in; in a test, which has rows and no database, one of its own."""
    if job.made_by is None or job.connect is None:
        from mmetl.contracts.target import Applied
        from mmetl.items.difference import difference

        store = open_graph(LoadParams(path="graph"), job.scratch, threads=job.threads, on_cancel=job.on_cancel)
        store.apply(difference(None, table, [c.name for c in table.manifest.columns], named=False), Applied("", ""))
        return store
    transform, params = job.made_by(next(iter(job.inputs)))
    if transform != LOAD.name:
        raise TaskError(
            f"'{table.task}' is in no database", help="name a task with graph.load, which loads it into one"
        )
    owner = f"{job.name.partition(':')[0]}:{table.task}"
    said = LoadParams.model_validate(params)
    store = find_graph(said, job.root, owner, job.connect, on_cancel=job.on_cancel, threads=job.threads)
    refuse_stale(store, table)
    return store


def refuse_stale(store: GraphStore, table: Table) -> None:
    """Raise TaskError for a database that does not hold the graph of its task."""
    from mmetl.items.keeping import manifest_name

    applied = store.applied()
    if applied is None or applied.manifest != manifest_name(table.manifest):
        raise TaskError(f"the graph of '{table.task}' is not as its last run left it", help="mmetl run")


def _kept(job: Job, answer: Answer, engine: str, *, ordered: bool) -> Made:
    _refuse_entities(answer, engine)
    from mmetl.engines.duckdb import session
    from mmetl.transforms.tabular.results import buckets_of, check_names, store_query

    check_names(answer.names)
    with (
        answer.stream(job.scratch) as rows,
        session(job.scratch, threads=job.threads, memory_limit=job.memory_limit, on_cancel=job.on_cancel) as db,
    ):
        _refuse_entities(answer, engine)
        for warning in answer.warnings():
            job.log.write(f"{warning}\n")
        db.register(ROWS, rows)
        return store_query(job, db, f"from {ROWS}", rows.schema.names, ordered=ordered, buckets=buckets_of(job))


def _refuse_entities(answer: Answer, engine: str) -> None:
    if answer.entities:
        name, label = answer.entities[0], "labels" if engine == "neo4j" else "label"
        raise TaskError(
            f"the column '{name}' holds nodes, edges or paths, which are no values of a table",
            help=f"return what is needed of them: {name}._key, {label}({name}), {name}.property",
        )


CYPHER = Cypher()
